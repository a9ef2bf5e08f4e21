"""The mapper: map, grant and unmap as L4's kernel does them, in a program that holds frame caps and VSpace caps.

It decides nothing. Whose space is whose to fill follows from who has caps to which ``Space``; what memory there is from
its description: one untyped, of which it makes frames when it starts, and frames of devices. All of that is the *root
space* at first, each page at its physical address. Session 1 is the root space, session n > 1 the task whose VSpace cap
is in slot ``VSPACES`` + n of the mapper's root CNode.

A page of a task is a copy of the frame's cap with the page's rights, made from the cap of the page that it came of, and
mapped. The kernel bounds the rights of a copy by those of its source; but which copy came of which it knows for one
step only: a copy of a copy hangs below the original, beside the copy. So the tree is kept here.
"""

from typing import Any, Final

from capkernel.abi import errors as err
from capkernel.abi import objects as obj
from capkernel.abi.bootinfo import UntypedDesc
from capkernel.abi.words import WORD_BITS
from capkernel.protocols.failures import Malformed, NotPermitted, QuotaExceeded, TooLarge
from capkernel.protocols.l4 import EVERYTHING, RW, Fpage, MemoryDescriptor, Rights, Space, SpaceInfo
from capkernel.protocols.service import Service
from capkernel.user import stubs
from capkernel.user.allocators import OutOfSlots, SlotAllocator, UntypedAllocator
from capkernel.user.errors import KernelError
from capkernel.user.loop import PD
from capkernel.user.syscalls import Message, Syscalls
from servers.l4.mapping_tree import MappingTree, Node, fewest
from servers.l4.task_vspace import TaskVSpace, kernel_rights

ENDPOINT, OWN_CNODE, MEMORY, PLACE_CNODE, TABLES = 300, 301, 302, 303, 304
"""Own endpoint, own CNode, the RAM for frames, slots for frames' caps, the memory for page tables."""
DEVICES: Final = range(310, 320)
"""Slots of caps to frames of devices; the description fills as many as it likes, from the first on."""
TABLES_BITS: Final = 18
"""log2 of the bytes for page tables."""
FIRST_SLOT, END_SLOT = 320, 510
PLACE_ROOT: Final = 5
PLACE: Final = PLACE_ROOT << 58
PLACE_BITS: Final = 11
VSPACES: Final = 8
"""Slot of the root CNode for session 0; the others' follow."""
SESSIONS: Final = range(1, 64 - VSPACES)
ROOT: Final = 1
PAGE_LIMIT: Final = 256
"""Pages that a task may have: so none can use up what others need."""
MAX_DESCRIPTORS: Final = 24


class Mapper:
    """The deeds: the tree says what came of what, caps and page tables follow it."""

    def __init__(self, sys: Syscalls) -> None:
        self.sys = sys
        self.tree = MappingTree()
        self.places = SlotAllocator(PLACE_CNODE, 1, 1 << PLACE_BITS)
        slots = SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT)
        self.memory = UntypedAllocator(sys, slots, [(TABLES, UntypedDesc(0, TABLES_BITS, False))])
        self.targets: dict[int, TaskVSpace] = {}

    def target(self, space: int) -> TaskVSpace:
        """The address space of a task. Raises NotPermitted for the root space, which no program runs in."""
        if space == ROOT:
            raise NotPermitted("the root space has all memory from the start; nobody maps into it")
        if space not in self.targets:
            self.targets[space] = TaskVSpace(self.memory, VSPACES + space << 58)
        return self.targets[space]

    # The root space

    async def open(self) -> None:
        """Make frames of all memory, as many as there is room for, and list those of devices."""
        while True:
            slot = self.places.alloc()
            try:
                await stubs.untyped_retype(
                    self.sys, MEMORY, object_type=obj.PAGE, size_bits=0, root=PLACE_CNODE, node_index=0, node_depth=0,
                    node_offset=slot, num_objects=1,
                )  # fmt: skip
            except KernelError as error:
                self.places.free(slot)
                if error.code != err.NOT_ENOUGH_MEMORY:
                    raise
                break
            await self._add_root(slot, is_device=False)
        for cap in DEVICES:
            slot = self.places.alloc()
            try:
                await stubs.cnode_move(
                    self.sys, PLACE_CNODE, dest_index=slot, dest_depth=WORD_BITS, src_root=OWN_CNODE, src_index=cap,
                    src_depth=WORD_BITS,
                )  # fmt: skip
            except KernelError:
                self.places.free(slot)
                break
            await self._add_root(slot, is_device=True)

    async def _add_root(self, slot: int, *, is_device: bool) -> None:
        address = await stubs.page_get_address(self.sys, PLACE | slot)
        rights = RW if is_device else int(Rights.READ | Rights.WRITE | Rights.EXECUTE)
        self.tree.add(ROOT, address, rights, slot, is_device=is_device)

    # Map, grant, unmap

    async def map(self, source: int, fpage: Fpage, space: int, base: int) -> int:
        """``Space.map``."""
        pairs = self._pairs(source, fpage, space, base)
        for node, address in pairs:
            await self._map_page(node, space, address, node.rights & fpage.rights)
        return len(pairs)

    async def grant(self, source: int, fpage: Fpage, space: int, base: int) -> int:
        """``Space.grant``."""
        if source == ROOT:
            raise NotPermitted("the root space cannot lose pages")
        pairs = self._pairs(source, fpage, space, base)
        for node, address in pairs:
            if (node.space, node.address) != (space, address):
                await self._grant_page(node, space, address)
            await self._thin(node, node.rights & ~fpage.rights)
        return len(pairs)

    def _pairs(self, source: int, fpage: Fpage, space: int, base: int) -> list[tuple[Node, int]]:
        """The source's pages that have any of the rights, and where each goes. Raises Malformed, QuotaExceeded."""
        self.target(space)
        if base % fpage.size or not 0 <= base <= EVERYTHING.end - fpage.size:
            raise Malformed(f"a flexpage of {fpage.size:#x} bytes cannot be mapped at {base:#x}")
        nodes = [node for node in self.tree.within(source, fpage) if node.rights & fpage.rights]
        pairs = [(node, base + node.address - fpage.address) for node in nodes]
        new = 0
        for node, address in pairs:
            there = self.tree.find(space, address)
            new += there is None
            if there is not None and there is not node and any(other.is_from(there) for other in nodes):
                raise Malformed(f"the page at {address:#x} is what pages to be mapped came of")
        if len(self.tree.pages(space)) + new > PAGE_LIMIT:
            raise QuotaExceeded(f"a space has at most {PAGE_LIMIT} pages")
        return pairs

    async def _map_page(self, node: Node, space: int, address: int, rights: int) -> None:
        there = self.tree.find(space, address)
        if there is node:
            return
        if there is not None and there.parent is node:
            if rights & ~there.rights:
                there.rights |= rights
                await self._renew(there)
            return
        if there is not None:
            await self._remove(there)
        slot = await self.copy(node, rights)
        try:
            await self.target(space).map(PLACE | slot, address, rights)
        except Exception:
            await self._delete(slot)
            raise
        self.tree.add(space, address, rights, slot, node)

    async def _grant_page(self, node: Node, space: int, address: int) -> None:
        there = self.tree.find(space, address)
        if there is not None:
            await self._remove(there)
        former = node.space, node.address
        await self._move(node, space, address)
        try:
            await self.target(space).map(PLACE | node.slot, address, node.rights)
        except Exception:
            await self._move(node, *former)
            await self.target(node.space).map(PLACE | node.slot, node.address, node.rights)
            raise

    async def _move(self, node: Node, space: int, address: int) -> None:
        """Take a page out of its space and put it into another, where it is still to be mapped."""
        await stubs.page_unmap(self.sys, PLACE | node.slot)
        self.tree.move(node, space, address)

    async def unmap(self, space: int, fpage: Fpage, *, flush: bool) -> int:
        """``Space.unmap``."""
        if flush and space == ROOT:
            raise NotPermitted("the root space cannot lose pages")
        changed = 0
        for node in self.tree.within(space, fpage):
            for start in [node] if flush else list(node.below):
                changed += await self._thin(start, fpage.rights)
        return changed

    async def clear(self, space: int) -> int:
        """``Space.clear``."""
        target, pages = self.target(space), list(self.tree.pages(space).values())
        for node in pages:
            # One that came of another page of the same space may have gone with that.
            if self.tree.find(space, node.address) is node:
                await self._remove(node)
        await target.free_tables()
        return len(pages)

    async def _thin(self, start: Node, rights: int) -> int:
        """Take rights away from a page and all that came of it; returns how many had any of them."""
        found = [node for node in start.subtree() if node.rights & rights]
        for node in found:
            node.rights &= ~rights
        # Whoever came of a page without rights has none, and is removed before it.
        for node in reversed(found):
            if not node.rights:
                await self._remove_one(node)
        for node in found:
            if node.rights:
                await self._renew(node)
        return len(found)

    async def _remove(self, start: Node) -> None:
        for node in reversed(list(start.subtree())):
            await self._remove_one(node)

    async def _remove_one(self, node: Node) -> None:
        """To delete a mapped cap is to unmap it."""
        await self._delete(node.slot)
        self.tree.remove(node)

    async def _renew(self, node: Node) -> None:
        """Give a task's page a cap with just its rights."""
        assert node.parent is not None
        await self._delete(node.slot)
        node.slot = await self.copy(node.parent, node.rights)
        await self.target(node.space).map(PLACE | node.slot, node.address, node.rights)

    # Caps

    async def copy(self, node: Node, rights: int) -> int:
        """A copy of a page's cap with fewer rights; returns its slot. Raises QuotaExceeded."""
        try:
            slot = self.places.alloc()
        except OutOfSlots:
            raise QuotaExceeded("there is no slot left for a page") from None
        await stubs.cnode_copy(
            self.sys, PLACE_CNODE, dest_index=slot, dest_depth=WORD_BITS, src_root=PLACE_CNODE, src_index=node.slot,
            src_depth=WORD_BITS, rights=kernel_rights(rights),
        )  # fmt: skip
        return slot

    async def _delete(self, slot: int) -> None:
        await stubs.cnode_delete(self.sys, PLACE_CNODE, index=slot, depth=WORD_BITS)
        self.places.free(slot)


class SpaceServant(Space):
    """A space, as its holders see it."""

    def __init__(self, mapper: Mapper, space: int) -> None:
        self.mapper = mapper
        self.space = space

    async def map(self, target: Space, fpage: Fpage, base: int) -> int:
        """Map to another space."""
        return await self.mapper.map(self.space, fpage, _number(target), base)

    async def grant(self, target: Space, fpage: Fpage, base: int) -> int:
        """Give pages to another space."""
        return await self.mapper.grant(self.space, fpage, _number(target), base)

    async def unmap(self, fpage: Fpage, flush: bool) -> int:
        """Take rights away."""
        return await self.mapper.unmap(self.space, fpage, flush=flush)

    async def rights(self, address: int) -> int:
        """What can be done at an address."""
        node = self.mapper.tree.find(self.space, address & -obj.PAGE_BYTES)
        return 0 if node is None else node.rights

    async def clear(self) -> int:
        """Take everything."""
        return await self.mapper.clear(self.space)

    async def memory(self) -> list[MemoryDescriptor]:
        """All its pages."""
        found = [MemoryDescriptor(*each) for each in fewest(list(self.mapper.tree.pages(self.space).values()))]
        if len(found) > MAX_DESCRIPTORS:
            raise TooLarge(f"this space has {len(found)} separate flexpages")
        return found

    async def info(self) -> SpaceInfo:
        """How it stands."""
        target = self.mapper.targets.get(self.space)
        tables = len(target.vspace.tables) if target else 0
        return SpaceInfo(len(self.mapper.tree.pages(self.space)), PAGE_LIMIT, tables)


def _number(space: Space) -> int:
    if not isinstance(space, SpaceServant):
        raise Malformed("that is no space of this mapper's")
    return space.space


class Program:
    """The server."""

    make = Mapper

    def __init__(self) -> None:
        self.service: Any = None

    async def init(self, pd: PD) -> None:
        """Serve."""
        mapper = self.make(pd.sys)
        await mapper.open()
        spaces = {session: SpaceServant(mapper, session) for session in SESSIONS}
        self.service = Service(pd, roots=spaces.get)

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """Somebody asks."""
        return await self.service.protected(msg)
