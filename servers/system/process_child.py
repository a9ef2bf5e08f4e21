"""A process that has not ended: its objects, its memory, its caps. What it is to others, ``process_servants`` says.

``Child.kept`` is all of it as a row of the table; ``Child.again`` goes on with such a row in the server's next life.
"""

import struct
from collections.abc import Callable
from typing import Any, Final, Protocol

from capkernel.abi import errors as err
from capkernel.abi import objects as obj
from capkernel.abi import registers as reg
from capkernel.abi import rights as rt
from capkernel.abi.flags import EXECUTE_NEVER
from capkernel.abi.words import WORD_BITS
from capkernel.protocols.failures import AlreadyExists, Malformed, NotFound, TooLarge
from capkernel.protocols.memory import PAGE
from capkernel.protocols.processes import MAX_NAME
from capkernel.protocols.service import CLIENT_RIGHTS
from capkernel.user import process as user
from capkernel.user import stubs
from capkernel.user.errors import KernelError
from capkernel.user.loop import ENDPOINT_BADGE, FAULT_BADGE
from capkernel.user.operations import write
from capkernel.user.vspaces import VSpace
from servers.system.funds import Fund
from servers.system.process_objects import OWN_CNODE, PLACE, PLACE_CNODE, PLACES, Objects, Workshop, if_there
from servers.system.process_table import KeptChild, KeptChunk, KeptShare
from servers.system.program_file import ProgramFile

ENDPOINT, ASIDS, OWN_VSPACE = 300, 302, 303
OWN_TCB: Final = 7 << 58
"""Slot 7 of the root CNode: whose maximum controlled priority bounds that of processes."""
WINDOW: Final = 0x301_0000
"""Where a page of a process is seen while it is written: beside ``programs``, whose page table serves it, too."""
PRIORITY: Final = 90
CALL_RIGHTS: Final = rt.WRITE | rt.GRANT_REPLY


class Ending(Protocol):
    """A launcher, which is over when the process is."""

    id: int
    is_over: bool

    async def end(self) -> None:
        """Be over."""
        ...


class Child:
    """A process that has not ended: its objects. ``number`` is in the badges of its faults."""

    def __init__(self, workshop: Workshop, number: int, fund: Fund, time: int) -> None:
        self.workshop = workshop
        self.sys = workshop.sys
        self.number = number
        self.time = time
        self.objects = Objects(workshop, fund)
        self.tcb = self.cnode = self.badged = 0
        self.vspace: Any = None
        self.tables: set[int] = set()
        """Of each page table: where the memory begins that it is for, and in the low bits log2 of how much that is."""
        self.entry = 0
        """Where its program begins; 0 if it has none."""
        self.caps: list[user.NamedCap] = []
        self.launchers: dict[str, Ending] = {}
        self.is_paged = False
        self.is_running = False
        self.cpu_us = 0
        self.startup: list[int] = []
        """The pages of what it is told; behind its ``granted_at`` bytes there is the list of its caps."""
        self.granted_at = self.version = 0
        self.pending = 0
        """A slot that is being changed, or 0."""

    def kept(self) -> KeptChild:
        """All of this, to be written down."""
        objects = self.objects
        return KeptChild(
            number=self.number, time=self.time,
            chunks=[KeptChunk(chunk.number, chunk.count, chunk.used) for chunk in objects.chunks],
            slots=[PLACE | slot for slot in objects.taken], tcb=self.tcb, cnode=self.cnode,
            vspace=0 if self.vspace is None else self.vspace.root, badged=self.badged, tables=sorted(self.tables),
            entry=self.entry, caps=list(self.caps),
            shares=[KeptShare(name, each.id) for name, each in self.launchers.items() if not each.is_over],
            pending=self.pending, is_paged=self.is_paged, is_running=self.is_running, startup=list(self.startup),
            granted_at=self.granted_at, version=self.version,
        )  # fmt: skip

    @classmethod
    def again(cls, workshop: Workshop, fund: Fund, kept: KeptChild, launcher: Callable[[int], Ending]) -> "Child":
        """The same in a later life. ``launcher`` finds one by its number."""
        child = cls(workshop, kept.number, fund, kept.time)
        child.objects.chunks = [fund.memory(chunk.number, chunk.pages, chunk.used) for chunk in kept.chunks]
        child.objects.taken = [slot & PLACES - 1 for slot in kept.slots]
        child.tcb, child.cnode, child.badged = kept.tcb, kept.cnode, kept.badged
        child.vspace = VSpace(child.objects, kept.vspace) if kept.vspace else None
        child.tables, child.entry = set(kept.tables), kept.entry
        child.caps, child.pending = list(kept.caps), kept.pending
        child.launchers = {share.name: launcher(share.launcher) for share in kept.shares}
        child.is_paged, child.is_running = kept.is_paged, kept.is_running
        child.startup, child.granted_at, child.version = list(kept.startup), kept.granted_at, kept.version
        return child

    async def get_time(self) -> bool:
        """In a later life, which began with its time taken away: give it its time again. False if that cannot be yet:
        it waits for somebody, and has used up what it has for now.
        """
        try:
            await stubs.sched_context_bind(self.sys, self.time, cap=self.tcb)
        except KernelError as error:
            if error.code != err.ILLEGAL_OPERATION:
                raise
            return False
        return True

    async def go_on(self, without_time: int) -> None:
        """In a later life, before it gets its time: what was being changed when the former life ended is as before
        that. One that was stopped in the midst of a fault, or before its first step, tries again.
        """
        if self.is_running and not await self.workshop.is_blocked(self.tcb, without_time):
            await stubs.tcb_resume(self.sys, self.tcb)
        if self.pending:
            await self._empty(self.pending)
            # The former life may have told it a list of the next number.
            self.version += 2
            await self._tell()
            self.pending = 0

    async def build(self) -> None:
        """Make everything that every process has. Raises QuotaExceeded."""
        places = [user.IPC_BUFFER]
        await self.objects.reserve(4 + self._new_tables(places))
        self.cnode = await self.objects.alloc(obj.CNODE, user.CSPACE_BITS)
        self.tcb = await self.objects.alloc(obj.TCB)
        self.vspace = await VSpace.create(self.objects, ASIDS)
        await self._mint_badged()
        buffer = await self.objects.alloc(obj.PAGE)
        await self.vspace.map(buffer, user.IPC_BUFFER)
        guard = WORD_BITS - user.CSPACE_BITS
        fault_ep = await self._copy(self.badged, CALL_RIGHTS)
        await stubs.tcb_set_space(
            self.sys, self.tcb, cspace_root_data=guard, vspace_root_data=0, fault_ep=fault_ep, cspace_root=self.cnode,
            vspace_root=self.vspace.root,
        )  # fmt: skip
        await self.workshop.inbox.discard(fault_ep)
        await stubs.tcb_set_ipc_buffer(self.sys, self.tcb, buffer=user.IPC_BUFFER, buffer_frame=buffer)
        await stubs.tcb_set_priority(self.sys, self.tcb, priority=PRIORITY, authority=OWN_TCB)
        await stubs.sched_context_consumed(self.sys, self.time)
        await stubs.sched_context_bind(self.sys, self.time, cap=self.tcb)
        await self._put(user.EXIT, self.badged, PLACE_CNODE, rt.WRITE)

    async def page(self, segment: int) -> None:
        """Let the pager give it its heap. Its faults go there first."""
        size = await self.workshop.segment_size(segment)
        places = range(user.HEAP, user.HEAP + size, 1 << obj.MEGA_PAGE_BITS)
        missing = [(place, self._new_tables([place])) for place in places]
        await self.objects.reserve(sum(tables for _, tables in missing))
        for place in (place for place, tables in missing for _ in range(tables)):
            table = await self.objects.alloc(obj.PAGE_TABLE)
            await stubs.page_table_map(self.sys, table, vaddr=place, attr=0, vspace=self.vspace.root)
        self.is_paged = True
        await self.workshop.save()
        faults = await self.workshop.attach(segment, self.vspace.root, self.number, user.HEAP)
        await stubs.tcb_set_space(
            self.sys, self.tcb, cspace_root_data=WORD_BITS - user.CSPACE_BITS, vspace_root_data=0, fault_ep=faults,
            cspace_root=self.cnode, vspace_root=self.vspace.root,
        )  # fmt: skip
        await self.workshop.inbox.discard(faults)

    async def _mint_badged(self) -> None:
        """This server's endpoint, by the badge of this process: what its caps for exits and faults are derived from."""
        slot = self.workshop.places.alloc()
        self.badged = PLACE | slot
        await self.workshop.save()
        await stubs.cnode_mint(
            self.sys, PLACE_CNODE, dest_index=slot, dest_depth=WORD_BITS, src_root=OWN_CNODE, src_index=ENDPOINT,
            src_depth=WORD_BITS, rights=rt.ALL, badge=FAULT_BADGE | self.number,
        )  # fmt: skip

    async def _copy(self, cap: int, rights: int) -> int:
        """A copy for a moment, in a slot that does not last."""
        slot = self.workshop.inbox.slots.alloc()
        await stubs.cnode_copy(
            self.sys, OWN_CNODE, dest_index=slot, dest_depth=WORD_BITS, src_root=PLACE_CNODE,
            src_index=cap & PLACES - 1, src_depth=WORD_BITS, rights=rights,
        )  # fmt: skip
        return slot

    async def _put(self, index: int, cap: int, root: int, rights: int, badge: int | None = None) -> None:
        """Derive a cap of ours into a slot of the process."""
        source = cap & PLACES - 1 if root == PLACE_CNODE else cap
        where = {"dest_index": index, "dest_depth": user.CSPACE_BITS, "src_root": root, "src_index": source}
        if badge is None:
            await stubs.cnode_copy(self.sys, self.cnode, **where, src_depth=WORD_BITS, rights=rights)
        else:
            await stubs.cnode_mint(self.sys, self.cnode, **where, src_depth=WORD_BITS, rights=rights, badge=badge)

    # Caps

    def name_for(self, name: str) -> int:
        """The slot for a cap of that name. Raises Malformed, AlreadyExists, TooLarge."""
        if not 1 <= len(name.encode()) <= MAX_NAME:
            raise Malformed(f"a cap's name has 1 to {MAX_NAME} bytes, not {len(name.encode())}")
        if any(cap.name == name for cap in self.caps):
            raise AlreadyExists(f"it has a cap {name!r}")
        if len(self.caps) >= user.MAX_CAPS:
            raise TooLarge(f"a process is given at most {user.MAX_CAPS} caps")
        taken = {cap.address for cap in self.caps}
        return next(slot for slot in range(user.FIRST_CAP, user.FIRST_EMPTY) if slot not in taken)

    async def _slot_for(self, name: str) -> int:
        """The same, empty (a process that runs may have put something there itself), and written down as pending."""
        self.workshop.need_room(0)
        slot = self.pending = self.name_for(name)
        await self.workshop.save()
        if self.is_running:
            await self._empty(slot)
        return slot

    async def _empty(self, slot: int) -> None:
        await stubs.cnode_delete(self.sys, self.cnode, index=slot, depth=user.CSPACE_BITS)

    async def _named(self, name: str) -> None:
        self.caps.append(user.NamedCap(name, self.pending))
        await self._tell()
        self.pending = 0

    async def give(self, name: str, cap: int) -> None:
        """Move a cap that came by message into the process."""
        slot = await self._slot_for(name)
        await stubs.cnode_move(
            self.sys, self.cnode, dest_index=slot, dest_depth=user.CSPACE_BITS, src_root=OWN_CNODE, src_index=cap,
            src_depth=WORD_BITS,
        )  # fmt: skip
        self.workshop.inbox.slots.free(cap)
        await self._named(name)

    async def give_slots(self) -> None:
        """A cap to its CSpace."""
        slot = await self._slot_for(user.SLOTS)
        await self._put(slot, self.cnode, PLACE_CNODE, rt.ALL, WORD_BITS - user.CSPACE_BITS)
        await self._named(user.SLOTS)

    async def give_launcher(self, name: str, launcher: Ending, session: int) -> None:
        """A launcher that ends with it."""
        slot = await self._slot_for(name)
        await self._put(slot, ENDPOINT, OWN_CNODE, CLIENT_RIGHTS, ENDPOINT_BADGE | session)
        self.launchers[name] = launcher
        await self._named(name)

    async def withdraw(self, name: str) -> None:
        """Take what it was given under a name. Raises NotFound."""
        found = next((cap for cap in self.caps if cap.name == name), None)
        if found is None:
            raise NotFound(f"it was given no cap {name!r}")
        self.caps.remove(found)
        self.pending = found.address
        launcher = self.launchers.pop(name, None)
        await self.workshop.save()
        if launcher is not None:
            await launcher.end()
        await self._empty(found.address)
        await self._tell()
        self.pending = 0

    async def held(self, slot: int) -> bool:
        """Whether there is a cap in a slot: it can be copied, or the kernel says that it is of a kind that cannot."""
        near = self.workshop.inbox.slots
        probe = near.alloc()
        try:
            await stubs.cnode_copy(
                self.sys, OWN_CNODE, dest_index=probe, dest_depth=WORD_BITS, src_root=self.cnode, src_index=slot,
                src_depth=user.CSPACE_BITS, rights=rt.ALL,
            )  # fmt: skip
        except KernelError as error:
            near.free(probe)
            return error.code != err.FAILED_LOOKUP
        await self.workshop.inbox.discard(probe)
        return True

    async def _tell(self) -> None:
        """Tell it, if it runs, which caps it has now."""
        if not self.is_running:
            return
        list_of_caps = user.encode_granted(self.version + 2, self.caps)
        await self._rewrite(0, struct.pack("<Q", self.version + 1))
        await self._rewrite(8, list_of_caps[8:])
        await self._rewrite(0, list_of_caps[:8])
        self.version += 2

    async def _rewrite(self, offset: int, data: bytes) -> None:
        """Change the list of caps in its memory, from an offset on."""
        page, start = divmod(self.granted_at + offset, PAGE)
        while data:
            copy = await self._copy(self.startup[page], rt.READ_WRITE)
            await self._write(copy, start, data[: PAGE - start])
            await self.workshop.inbox.discard(copy)
            page, start, data = page + 1, 0, data[PAGE - start :]

    # Memory

    def _new_tables(self, pages: list[int]) -> int:
        """How many page tables are missing for pages; they count as there from now on."""
        wanted = {page >> bits << bits | bits for page in pages for bits in (obj.GIGA_PAGE_BITS, obj.MEGA_PAGE_BITS)}
        missing = wanted - self.tables
        self.tables |= missing
        return len(missing)

    async def load(self, program: ProgramFile) -> None:
        """Put a program into its memory. Raises QuotaExceeded; what could not be finished can only be ended."""
        pages = program.pages
        await self.objects.reserve(len(pages) + self._new_tables(pages))
        for segment in program.segments:
            rights = rt.READ_WRITE if segment.writable else rt.READ if segment.readable else 0
            attr = 0 if segment.executable else EXECUTE_NEVER
            for address in segment.pages:
                offset, content = segment.page(address)
                await self._add(address, rights, attr, content, offset)
        self.entry = program.entry

    async def _add(self, address: int, rights: int, attr: int, content: bytes = b"", offset: int = 0) -> int:
        """A page with this content; returns the address of its cap."""
        frame = await self.objects.alloc(obj.PAGE)
        if content:
            await self._write(frame, offset, content)
        await self.vspace.map(frame, address, rights, attr)
        return frame

    async def _write(self, frame: int, offset: int, content: bytes) -> None:
        """Write into a page by a cap that is not mapped."""
        await stubs.page_map(self.sys, frame, vaddr=WINDOW, rights=rt.READ_WRITE, attr=EXECUTE_NEVER, vspace=OWN_VSPACE)
        await write(WINDOW + offset, content)
        await stubs.page_unmap(self.sys, frame)

    def told(self, name: str, arguments: list[str], heap: int) -> bytes:
        """What it is told when it starts. Raises TooLarge."""
        try:
            return user.encode_startup(user.Startup(name, arguments, self.caps, heap))
        except ValueError as error:
            raise TooLarge(str(error)) from None

    async def prepare(self, told: bytes, heap: int) -> None:
        """Make all that it needs to run. Raises QuotaExceeded."""
        parts = [(user.STARTUP + at, told[at : at + PAGE]) for at in range(0, len(told) + user.GRANTED_BYTES, PAGE)]
        is_python = self.entry == user.PROGRAM
        stack = [] if is_python else list(range(user.STACK_TOP - user.STACK_SIZE, user.STACK_TOP, PAGE))
        zeros = [*stack, *range(user.HEAP, user.HEAP + heap, PAGE)]
        await self.objects.reserve(len(parts) + len(zeros) + self._new_tables([*zeros, *(at for at, _ in parts)]))
        self.startup = [await self._add(address, rt.READ, EXECUTE_NEVER, content) for address, content in parts]
        self.granted_at = len(told)
        for address in zeros:
            await self._add(address, rt.READ_WRITE, EXECUTE_NEVER)
        values = dict.fromkeys(reg.USER_CONTEXT, 0)
        values |= {
            reg.FAULT_IP: self.entry, reg.SP: user.STACK_TOP, reg.TP: user.IPC_BUFFER, reg.A0: user.STARTUP,
            reg.A0 + 1: len(told) // 8,
        }  # fmt: skip
        registers = [values[register] for register in reg.USER_CONTEXT]
        await stubs.tcb_write_registers(self.sys, self.tcb, flags=0, registers=registers)

    async def run(self) -> None:
        """Let it run. It counts as running from the moment when that is written down: its server goes on with it."""
        self.is_running = True
        await self.workshop.save()
        await stubs.tcb_resume(self.sys, self.tcb)

    async def consumed(self) -> int:
        """For how many microseconds it ran so far."""
        self.cpu_us += await stubs.sched_context_consumed(self.sys, self.time)
        return self.cpu_us

    async def end(self) -> None:
        """Take it apart, and everything that came of it. What a former life has begun to take apart may be gone."""
        if self.tcb:
            await if_there(stubs.tcb_suspend(self.sys, self.tcb))
            await self.consumed()
        await stubs.sched_context_unbind(self.sys, self.time)
        if self.is_paged:
            await self.workshop.detach(self.number)
        if self.badged:
            index = self.badged & PLACES - 1
            await if_there(stubs.cnode_revoke(self.sys, PLACE_CNODE, index=index, depth=WORD_BITS))
            await if_there(stubs.cnode_cancel_badged_sends(self.sys, PLACE_CNODE, index=index, depth=WORD_BITS))
            badged, self.badged = self.badged, 0
            await self.workshop.places.discard(badged)
        await self.objects.destroy()
        # It may be written down like this, while what it started is ended: then it has nothing any more.
        self.tcb = self.cnode = 0
        self.vspace, self.startup = None, []
