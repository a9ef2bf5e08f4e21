"""The pager: the fault handler of processes whose memory is larger than what is there.

Its frames come from an account of the memory server. It sees their content through a window of its own; a process sees
a frame through a copy of its cap, read-only until it writes: so the pager knows what was changed, and what is shared is
copied first. What it knows is in memory that outlives it, written down before it is done:

* a frame is given to another content only after the table says that the former one is elsewhere;
* a page can be written only after the table says that it was changed.

When the pager dies, the copies of frames go with its slots, so every page of every process faults again, and waits at
its endpoint. Frames, the disk's places and (in slots that last) the caps to processes' address spaces are found again.
"""

from contextlib import suppress
from typing import Any, ClassVar, Final

from attrs import frozen

from capkernel.abi import faults as flt
from capkernel.abi import rights as rt
from capkernel.abi.flags import EXECUTE_NEVER
from capkernel.abi.words import WORD_BITS, WORD_BYTES
from capkernel.protocols.block import Block
from capkernel.protocols.client import Connection, Stub, connect
from capkernel.protocols.failures import Failure, Malformed, NoSpace, NotFound, QuotaExceeded
from capkernel.protocols.files import READ, READ_WRITE, Directory, File
from capkernel.protocols.given import GivenCap, given_caps, restore_given
from capkernel.protocols.interface import Cap, Interface
from capkernel.protocols.memory import PAGE, Account, Use
from capkernel.protocols.paging import Lost, Pager, PagingControl, PagingInfo, Segment
from capkernel.protocols.service import Service
from capkernel.user import stubs
from capkernel.user.allocators import OutOfSlots, SlotAllocator
from capkernel.user.errors import KernelError
from capkernel.user.inbox import Inbox
from capkernel.user.kept import Kept
from capkernel.user.loop import BASE_ENDPOINT_CAP, FAULT_BADGE, PD
from capkernel.user.messages import SharedRegion
from capkernel.user.operations import read, write
from capkernel.user.syscalls import Message
from servers.neighbours import Asks, Role, Serves, Uses
from servers.system.funds import Refound
from servers.system.page_table import (
    FIXED_WORDS,
    SPACE_WORDS,
    Content,
    PageTable,
    Pool,
    SegmentRow,
    SpaceRow,
    words_for,
)
from servers.system.pager_swap import Swap, SwapDisk, SwapFiles
from servers.system.retiring import Handover, decline

table: int = 0
table_size: int = 0x1_0000
state: int = 0
state_size: int = 0x4000
"""Memory for the pager after this one, for the caps that were given out; the table says what is behind them."""
files_region: int = 0
files_region_size: int = 0x1_0000
swap_transfer: int = 0
swap_transfer_size: int = 0x1_0000
"""The transfer region of a disk, if pages that have no room go there, and not into files."""

SUPERVISOR, CONTROL, CLIENTS, FILES, MEMORY, UPDATE, DISK = 1, 2, range(3, 6), 20, 21, 22, 23
ENDPOINT, OWN_CNODE, OWN_VSPACE, KEPT_CNODE = 300, 301, 303, 304
FIRST_COPY, END_COPY, FIRST_SLOT, END_SLOT = 310, 440, 440, 510
KEPT: Final = 5 << 58
"""Slots that last: processes' address spaces by number, then files by pool's place."""
SPACES: Final = 256
MAX_SIZE: Final = 0x40_0000
CALL_RIGHTS: Final = rt.WRITE | rt.GRANT_REPLY


class Frames:
    """The frames of the pools: windows on them, and copies of their caps that are mapped in processes."""

    def __init__(self, pd: PD, account: Refound, inbox: Inbox) -> None:
        self.sys = pd.sys
        self.account = account
        self.inbox = inbox
        self.copies = SlotAllocator(OWN_CNODE, FIRST_COPY, END_COPY)
        self.base = files_region + files_region_size
        self.windows: dict[tuple[int, int], tuple[int, int]] = {}
        """Of each frame of a pool: its cap, and where it is mapped here."""
        self.memories: dict[int, Refound] = {}
        self.mapped: dict[int, dict[tuple[int, int], int]] = {}
        """Of each content: the copies by space and address."""

    def memory(self, pool: int) -> Refound:
        """The memory of a pool, whose number it has in the account."""
        if pool not in self.memories:
            self.memories[pool] = Refound(lambda: self.account.ask(lambda account: account.memory(pool)))
        return self.memories[pool]

    async def window(self, pool: int, frame: int) -> tuple[int, int]:
        """The cap to a frame, and where its content can be seen."""
        found = self.windows.get((pool, frame))
        if found is not None:
            return found
        taken = {place for _, place in self.windows.values()}
        place = next(at for at in range(self.base, self.base + MAX_SIZE, PAGE) if at not in taken)

        cap: int = await self.memory(pool).ask(lambda memory: memory.frame(frame))
        await stubs.page_map(
            self.sys, cap, vaddr=place, rights=rt.READ_WRITE, attr=EXECUTE_NEVER, vspace=OWN_VSPACE
        )
        self.windows[pool, frame] = cap, place
        return cap, place

    async def forget_pool(self, pool: int) -> None:
        """The frames of a pool were given back."""
        for key in [key for key in self.windows if key[0] == pool]:
            await self.inbox.discard(self.windows.pop(key)[0])
        if pool in self.memories:
            await self.memories.pop(pool).forget()

    async def map(self, content: Content, space: int, address: int, *, writable: bool) -> None:
        """Show a content to a process."""
        await self.unmap(content.id, space, address)
        cap, _ = await self.window(content.pool, content.frame)
        copy = await self.slot()
        rights = rt.READ_WRITE if writable else rt.READ
        await stubs.cnode_copy(
            self.sys, OWN_CNODE, dest_index=copy, dest_depth=WORD_BITS, src_root=OWN_CNODE, src_index=cap,
            src_depth=WORD_BITS, rights=rights,
        )  # fmt: skip
        await stubs.page_map(
            self.sys, copy, vaddr=address, rights=rights, attr=EXECUTE_NEVER, vspace=KEPT | space
        )
        self.mapped.setdefault(content.id, {})[space, address] = copy

    async def slot(self) -> int:
        """A slot for a copy. If all are taken whoever has had a page for longest does without until he asks again."""
        try:
            return self.copies.alloc()
        except OutOfSlots:
            oldest = next(content for content, mapped in self.mapped.items() if mapped)
            await self.unmap(oldest)
            return self.copies.alloc()

    async def unmap(self, content: int, space: int | None = None, address: int | None = None) -> None:
        """Take a content away from a process, or from all."""
        mapped = self.mapped.get(content, {})
        for key in [key for key in mapped if space in (None, key[0]) and address in (None, key[1])]:
            copy = mapped.pop(key)
            await stubs.cnode_delete(self.sys, OWN_CNODE, index=copy, depth=WORD_BITS)
            self.copies.free(copy)

    async def unmap_space(self, space: int) -> None:
        """Take everything away from a process."""
        for content in list(self.mapped):
            await self.unmap(content, space)


class Paging:
    """The decisions and the deeds."""

    def __init__(self, pd: PD) -> None:
        self.pd = pd
        self.kept = Kept(SharedRegion(table, table_size))
        self.table = PageTable()
        self.inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        connection = Connection(pd.sys, self.inbox)
        self.account = Refound(lambda: self._connected(connect(Account, connection, BASE_ENDPOINT_CAP + MEMORY)))
        self.bulk = Connection(pd.sys, self.inbox, SharedRegion(files_region, files_region_size))
        root = connect(Directory, self.bulk, BASE_ENDPOINT_CAP + FILES)
        self.root = Refound(lambda: root.restrict(READ_WRITE))
        self.swap: Swap = SwapFiles(root)
        if swap_transfer:
            block = connect(Block, Connection(pd.sys), BASE_ENDPOINT_CAP + DISK)
            self.swap = SwapDisk(block, SharedRegion(swap_transfer, swap_transfer_size))
        self.frames = Frames(pd, self.account, self.inbox)
        self.lost: list[Lost] = []
        self.held: set[int] = set()
        """Segments to which there are caps."""
        self.service: Any = None

    async def _connected(self, stub: Any) -> Any:
        return stub

    async def save(self) -> None:
        """Write the table down."""
        await self.kept.save(self.table.encode())

    async def begin(self) -> None:
        """Go on from the table."""
        saved = await self.kept.load()
        if saved is None:
            await self.account.ask(lambda account: account.clear())
            return
        self.table = PageTable.decode(saved)

    async def release_unreachable(self) -> None:
        """A segment that no process has, and to which there is no cap, cannot be reached any more."""
        for segment in set(self.table.segments) - {space.segment for space in self.table.spaces.values()} - self.held:
            await self.release(segment)

    # Segments

    async def create(self, owner: int, size: int, frames: int, file: Any = None) -> int:
        """A segment with a pool of its own. Raises QuotaExceeded, Malformed."""
        if size <= 0 or size % PAGE or size > MAX_SIZE or frames < 2:
            raise Malformed(f"a segment has whole pages, at most {MAX_SIZE} bytes, and at least two frames")
        self._need_room(owner, size // PAGE)
        pool = Pool(self.table.new_id(), min(frames, size // PAGE + 1))
        size_of_pool = pool.frames * PAGE
        made = await self.account.ask(lambda account: account.allocate(pool.id, size_of_pool, Use.FRAMES))
        self.frames.memory(pool.id).hold(made)
        self.table.pools[pool.id] = pool
        pages = [-1] * (size // PAGE)
        if file is not None:
            pool.file = await self._keep(file)
            pages = [self.table.content(pool.id, page).id for page in range(size // PAGE)]
        return await self._add(owner, pool.id, pages)

    def _need_room(self, owner: int, pages: int) -> None:
        """Each client may have as much written down as there is room for if all do. Raises QuotaExceeded."""
        words = self.kept.room // WORD_BYTES - FIXED_WORDS - SPACES * SPACE_WORDS
        wanted, left = words_for(pages), words // len(CLIENTS) - self.table.taken(owner)
        if wanted > left:
            raise QuotaExceeded(f"a segment of {pages} pages takes {wanted} words of the table; {left} are left")

    async def _add(self, owner: int, pool: int, pages: list[int]) -> int:
        segment = self.table.new_id()
        self.table.segments[segment] = SegmentRow(segment, pool, owner, pages)
        self.held.add(segment)
        await self.save()
        return segment

    async def _keep(self, file: Any) -> int:
        """Put a file's cap where a next life finds it."""
        taken = {pool.file for pool in self.table.pools.values()}
        place = next(place for place in range(SPACES, 2 * SPACES) if place not in taken)
        await stubs.cnode_move(
            self.pd.sys, KEPT_CNODE, dest_index=place, dest_depth=WORD_BITS, src_root=OWN_CNODE, src_index=file.cap,
            src_depth=WORD_BITS,
        )  # fmt: skip
        self.inbox.slots.free(file.cap)
        return place

    async def snapshot(self, segment: int) -> int:
        """Another with the same content: nobody may write what is shared now without a fault."""
        row = self.table.segments[segment]
        self._need_room(row.owner, len(row.pages))
        copy = await self._add(row.owner, row.pool, list(row.pages))
        for content in row.pages:
            await self.frames.unmap(content)
        return copy

    async def released(self, segment: int) -> None:
        """No cap leads to a segment any more."""
        self.held.discard(segment)
        if all(space.segment != segment for space in self.table.spaces.values()):
            await self.release(segment)

    async def release(self, segment: int) -> None:
        """Give up a segment."""
        row = self.table.segments.get(segment)
        if row is None:
            return
        file = self.table.pools[row.pool].file
        pool = self.table.remove_segment(segment)
        for content in [content for content in self.frames.mapped if content not in self.table.contents]:
            await self.frames.unmap(content)
            del self.frames.mapped[content]
        await self.save()
        if pool is not None:
            await self.frames.forget_pool(pool)
            if file >= 0:
                await stubs.cnode_delete(self.pd.sys, KEPT_CNODE, index=file, depth=WORD_BITS)
            with suppress(NotFound):
                await self.account.ask(lambda account: account.release(pool))

    # Processes

    async def attach(self, segment: int, vspace: Cap, space: int, address: int) -> Cap:
        """A process has a segment from now on; returns where its faults go."""
        await self.detach(space)
        await stubs.cnode_move(
            self.pd.sys, KEPT_CNODE, dest_index=space, dest_depth=WORD_BITS, src_root=OWN_CNODE, src_index=vspace,
            src_depth=WORD_BITS,
        )  # fmt: skip
        self.inbox.slots.free(vspace)
        self.table.spaces[space] = SpaceRow(space, segment, address)
        await self.save()
        cap = await self.frames.slot()
        await stubs.cnode_mint(
            self.pd.sys, OWN_CNODE, dest_index=cap, dest_depth=WORD_BITS, src_root=OWN_CNODE, src_index=ENDPOINT,
            src_depth=WORD_BITS, rights=CALL_RIGHTS, badge=FAULT_BADGE | space,
        )  # fmt: skip
        return Cap(cap)

    async def handed_over(self, cap: int) -> None:
        """The cap for faults is where it is needed."""
        await stubs.cnode_delete(self.pd.sys, OWN_CNODE, index=cap, depth=WORD_BITS)
        self.frames.copies.free(cap)

    async def detach(self, space: int) -> None:
        """A process is over."""
        self.lost = [each for each in self.lost if each.space != space]
        row = self.table.spaces.pop(space, None)
        if row is None:
            return
        await self.frames.unmap_space(space)
        await stubs.cnode_delete(self.pd.sys, KEPT_CNODE, index=space, depth=WORD_BITS)
        await self.save()
        if row.segment not in self.held and all(other.segment != row.segment for other in self.table.spaces.values()):
            await self.release(row.segment)

    # Faults

    async def fault(self, space: int, msg: Message) -> bool:
        """Whether the process may go on; else the process server is told."""
        row = self.table.spaces.get(space)
        if row is not None and msg.label == flt.VM_FAULT and not msg.words[2]:
            page = (msg.words[1] - row.address) // PAGE
            if 0 <= page < len(self.table.segments[row.segment].pages):
                try:
                    await self._touch(space, page, writes=msg.words[3] == flt.CAUSE_STORE_ACCESS)
                    return True
                except (Failure, KernelError):
                    pass
        self.lost.append(Lost(space, msg.label, [word & (1 << 63) - 1 for word in msg.words[:12]]))
        await self.pd.notify(CONTROL)
        return False

    async def _touch(self, space: int, page: int, *, writes: bool) -> None:
        row = self.table.spaces[space]
        segment = self.table.segments[row.segment]
        pool = self.table.pools[segment.pool]
        pool.faults += 1
        if segment.pages[page] < 0:
            segment.pages[page] = self.table.content(pool.id).id
        content = self.table.contents[segment.pages[page]]
        await self._bring(content)
        if writes and self.table.sharers(content.id) > 1:
            content = await self._copy(content)
            segment.pages[page] = content.id
            pool.copies += 1
        if writes:
            content.is_dirty = True
        await self.save()
        await self.frames.map(content, space, row.address + page * PAGE, writable=writes)

    async def _bring(self, content: Content, keep: int = -1) -> None:
        """See to it that a content is in a frame."""
        if content.frame >= 0:
            return
        pool = self.table.pools[content.pool]
        data = bytes(PAGE)
        if content.slot >= 0:
            data = await self.swap.read(content.slot)
            pool.page_ins += 1
        elif content.file >= 0:
            data = await self._from_file(pool, content.file * PAGE)
            pool.page_ins += 1
        await self._place(content, data.ljust(PAGE, b"\0"), keep)

    async def _place(self, content: Content, data: bytes, keep: int) -> None:
        """Put a content into a frame that is free, or becomes free."""
        frame = self.table.free_frame(content.pool)
        if frame is None:
            frame = await self._evict(content.pool, keep)
        _, place = await self.frames.window(content.pool, frame)
        await write(place, data)
        content.frame = frame
        # The last that came is the last to go.
        self.table.contents[content.id] = self.table.contents.pop(content.id)

    async def _evict(self, pool: int, keep: int) -> int:
        """Free a frame: that of the content which came first; it is written if it was changed."""
        victim = next(row for row in self.table.resident(pool) if row.id != keep)
        await self.frames.unmap(victim.id)
        if victim.is_dirty:
            if victim.slot < 0:
                victim.slot = await self._place_for_a_page()
            _, place = await self.frames.window(pool, victim.frame)
            data = await read(place, PAGE)
            await self.swap.write(victim.slot, data)
            victim.is_dirty = False
            self.table.pools[pool].page_outs += 1
        else:
            self.table.pools[pool].dropped += 1
        frame, victim.frame = victim.frame, -1
        await self.save()
        return frame

    async def _place_for_a_page(self) -> int:
        """A place that nothing is in. Raises NoSpace."""
        if not self.table.free_slots and not await self.swap.has(self.table.slots):
            raise NoSpace("there is no room for another page on the disk")
        return self.table.slot()

    async def _copy(self, content: Content) -> Content:
        """A content of its own for one of several who share one; the others keep the old one, without this process."""
        _, place = await self.frames.window(content.pool, content.frame)
        data = await read(place, PAGE)
        await self.frames.unmap(content.id)
        copy = self.table.content(content.pool)
        await self._place(copy, data, content.id)
        return copy

    async def _from_file(self, pool: Pool, offset: int) -> bytes:
        return await connect(File, self.bulk, KEPT | pool.file).read(offset, PAGE)


class SegmentServant(Segment):
    """A segment, as its holder has it."""

    def __init__(self, paging: Paging, id: int) -> None:
        self.paging = paging
        self.id = id

    async def info(self) -> PagingInfo:
        """How it stands."""
        found = self.paging.table
        row = found.segments[self.id]
        pool = found.pools[row.pool]
        return PagingInfo(
            len(row.pages) * PAGE, pool.frames, len(found.resident(pool.id)), pool.faults, pool.page_ins,
            pool.page_outs, pool.dropped, pool.copies,
        )  # fmt: skip

    async def snapshot(self) -> Segment:
        """The same content, for somebody else."""
        return SegmentServant(self.paging, await self.paging.snapshot(self.id))

    async def closed(self) -> None:
        """Nobody has a cap to it."""
        await self.paging.released(self.id)


class PagerServant(Pager):
    """Where a client gets segments."""

    def __init__(self, paging: Paging, client: int) -> None:
        self.paging = paging
        self.client = client

    async def zeros(self, size: int, frames: int) -> Segment:
        """Of zeros."""
        return SegmentServant(self.paging, await self.paging.create(self.client, size, frames))

    async def file(self, file: File, size: int, frames: int) -> Segment:
        """Of a file's content."""
        try:
            own: Any = await self.paging.root.ask(lambda root: root.adopt(file, READ))
        finally:
            if isinstance(file, Stub):
                await file.forget()
        try:
            return SegmentServant(self.paging, await self.paging.create(self.client, size, frames, own))
        except Failure:
            await own.drop()
            raise


class ControlServant(PagingControl):
    """What the process server asks."""

    def __init__(self, paging: Paging) -> None:
        self.paging = paging

    async def attach(self, segment: Segment, vspace: Cap, space: int, address: int) -> Cap:
        """A process has a segment."""
        if not isinstance(segment, SegmentServant) or not 0 <= space < SPACES or address % PAGE:
            await self.paging.inbox.discard(vspace)
            raise Malformed("that is no segment of this pager's, no space, or no page's address")
        return await self.paging.attach(segment.id, vspace, space, address)

    async def size(self, segment: Segment) -> int:
        """A segment's size."""
        if not isinstance(segment, SegmentServant):
            if isinstance(segment, Stub):
                await segment.forget()
            raise Malformed("that is no segment of this pager's")
        return (await segment.info()).size

    async def detach(self, space: int) -> None:
        """A process is over."""
        await self.paging.detach(space)

    async def lost(self) -> list[Lost]:
        """Whose faults are somebody else's business."""
        found, self.paging.lost = self.paging.lost[:4], self.paging.lost[4:]
        return found


CONTROLS, PAGERS, SEGMENTS = range(3)
"""Kinds of objects to which there are caps."""


@frozen
class KeptObject:
    """To what a cap leads; ``number`` is a segment's, or a client's whose pager it is."""

    kind: int
    number: int


@frozen
class KeptSegments:
    """For the next program: what clients have caps to, and whose faults nobody was told of yet."""

    objects: list[KeptObject]
    caps: list[GivenCap]
    lost: list[Lost]


def keep_segments(paging: Paging, service: Service) -> KeptSegments:
    """What was given out."""
    servants, caps = given_caps(service)
    return KeptSegments([_kept(servant) for servant in servants], caps, paging.lost)


def _kept(servant: object) -> KeptObject:
    if isinstance(servant, SegmentServant):
        return KeptObject(SEGMENTS, servant.id)
    return KeptObject(PAGERS, servant.client) if isinstance(servant, PagerServant) else KeptObject(CONTROLS, 0)


def restore_segments(kept: KeptSegments, paging: Paging, service: Service) -> None:
    """Let the caps lead where they led. Raises ValueError if no former life can have written this down."""
    if any(each.kind not in (CONTROLS, PAGERS, SEGMENTS) for each in kept.objects):
        raise ValueError("a pager gives out nothing of the kind")
    segments = {each.number for each in kept.objects if each.kind == SEGMENTS}
    if not segments <= set(paging.table.segments):
        raise ValueError("a cap leads to a segment that is not there")
    restore_given(service, [_restored(each, paging) for each in kept.objects], kept.caps)
    paging.held |= segments
    paging.lost = list(kept.lost)


def _restored(kept: KeptObject, paging: Paging) -> Interface:
    if kept.kind == SEGMENTS:
        return SegmentServant(paging, kept.number)
    return ControlServant(paging) if kept.kind == CONTROLS else PagerServant(paging, kept.number)


class Program:
    """The pager's hooks."""

    uses: ClassVar[Uses] = Uses(
        asks={
            BASE_ENDPOINT_CAP + FILES: Asks(Directory, to_change=True, optional=True),
            BASE_ENDPOINT_CAP + MEMORY: Asks(Account),
            BASE_ENDPOINT_CAP + DISK: Asks(Block, to_change=True, given="swap_transfer"),
        },
        serves={CONTROL: Serves(PagingControl)} | dict.fromkeys(CLIENTS, Serves(Pager)),
        signals={SUPERVISOR: Role.SUPERVISOR, UPDATE: Role.UPDATE},
        needs=frozenset({"table"}), holds=frozenset({ENDPOINT}),
    )

    def __init__(self) -> None:
        self.paging: Any = None
        self.service: Any = None
        self.handover: Any = None

    async def init(self, pd: PD) -> None:
        """Go on from the table."""
        self.paging = Paging(pd)
        control = ControlServant(self.paging)

        def root(session: int) -> Interface | None:
            return control if session == CONTROL else PagerServant(self.paging, session) if session in CLIENTS else None

        self.service = Service(pd, roots=root, endpoint=ENDPOINT, inbox=self.paging.inbox)
        await self.service.open()
        await self.paging.begin()
        if state:
            self.handover = Handover(pd, KeptSegments, SharedRegion(state, state_size), SUPERVISOR, UPDATE)
            await self.handover.go_on(self._take_up)
        await self.paging.release_unreachable()
        if self.paging.table.spaces and pd.values.notifications >> CONTROL & 1:
            # A former life may have heard of faults of which it has not told.
            await pd.notify(CONTROL)

    async def _take_up(self, kept: KeptSegments) -> None:
        restore_segments(kept, self.paging, self.service)

    async def notified(self, pd: PD, ch: int) -> None:
        """The supervisor wants a sign of life, or another program in this one's place."""
        if ch == SUPERVISOR:
            await pd.notify(SUPERVISOR)
        elif ch == UPDATE and self.handover is None:
            await decline(pd, "there is no memory that outlives the caps")
        elif ch == UPDATE:
            await self.handover.give_way(keep_segments(self.paging, self.service))

    async def fault(self, pd: PD, child: int, msg: Message) -> bool:
        """A page is wanted."""
        return bool(await self.paging.fault(child, msg))

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A client asks."""
        return await self.service.protected(msg)
