"""The virtual memory server: faults of its children become requests to pagers (``protocols.mach_memory``).

Nothing here waits for a pager. A thread that faulted is stopped until its page is there; all others go on. Who is
silent for longer than ``PATIENCE_US`` is not asked for this page any more: the default pager has it from then on.
"""

from typing import Any, Final

from capkernel.abi import faults as flt
from capkernel.abi import objects as obj
from capkernel.abi import rights as rt
from capkernel.abi.flags import EXECUTE_NEVER
from capkernel.abi.words import WORD_BITS
from capkernel.protocols.client import Connection, connect
from capkernel.protocols.clocks import Timer
from capkernel.protocols.failures import Failure, Malformed, NotFound, TimedOut
from capkernel.protocols.interface import Interface
from capkernel.protocols.mach_memory import (
    DATA_REQUEST,
    DATA_RETURN,
    DATA_SUPPLY,
    DATA_UNAVAILABLE,
    DEFAULT_PAGER,
    INIT,
    MAX_MESSAGE,
    PAGE,
    AddressSpace,
    ObjectInfo,
    PageMessage,
)
from capkernel.protocols.mach_msg import Mail, adopt, make_send, receive, release, send
from capkernel.protocols.mach_ports import SendRight, Task
from capkernel.protocols.service import Service
from capkernel.user import stubs
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from capkernel.user.messages import SharedRegion
from capkernel.user.operations import read, write
from capkernel.user.syscalls import Message
from servers.mach.memory_objects import Mapping, MemoryTable, Page
from servers.mach.task_server import FIRST_TASK, TaskHost

NEWS, TIMER = 1, 2
"""Channels: of this server's own task, and of the timer."""
OWN_TASK, OWN_CNODE, ENDPOINT, OWN_VSPACE, MEMORY = 300, 301, 302, 303, 304
FIRST_FRAME, FRAMES, FIRST_COPY, END_COPY, FIRST_SLOT, END_SLOT = 350, 4, 360, 420, 420, 510
VSPACES: Final = 5
"""Slot of the root CNode with the cap to child 0's address space; the others' follow."""
PATIENCE_US: Final = 5_000
LIMIT: Final = 8
MAX_PAGES: Final = 64


class Frames:
    """Frames: where this server sees their content, and copies of their caps by which children do."""

    def __init__(self, pd: PD, window: int) -> None:
        self.sys = pd.sys
        self.window = window
        self.copies = SlotAllocator(OWN_CNODE, FIRST_COPY, END_COPY)
        self.mapped: dict[tuple[int, int], tuple[int, int]] = {}
        """By child and address: the copy, and its frame."""

    async def make(self) -> None:
        """Make them, and map them here."""
        await stubs.untyped_retype(
            self.sys, MEMORY, object_type=obj.PAGE, size_bits=0, root=OWN_CNODE, node_index=0, node_depth=0,
            node_offset=FIRST_FRAME, num_objects=FRAMES,
        )  # fmt: skip
        for frame in range(FRAMES):
            await stubs.page_map(
                self.sys, FIRST_FRAME + frame, vaddr=self.window + frame * PAGE, rights=rt.READ_WRITE,
                attr=EXECUTE_NEVER, vspace=OWN_VSPACE,
            )  # fmt: skip

    async def fill(self, frame: int, content: bytes) -> None:
        """Put a page's content into a frame."""
        await write(self.window + frame * PAGE, content.ljust(PAGE, b"\0"))

    async def content(self, frame: int) -> bytes:
        """What is in a frame."""
        return await read(self.window + frame * PAGE, PAGE)

    async def show(self, frame: int, child: int, address: int, *, writable: bool) -> None:
        """Map a frame in a child."""
        await self.hide(child, address)
        copy = self.copies.alloc()
        rights = rt.READ_WRITE if writable else rt.READ
        await stubs.cnode_copy(
            self.sys, OWN_CNODE, dest_index=copy, dest_depth=WORD_BITS, src_root=OWN_CNODE,
            src_index=FIRST_FRAME + frame, src_depth=WORD_BITS, rights=rights,
        )  # fmt: skip
        await stubs.page_map(
            self.sys, copy, vaddr=address, rights=rights, attr=EXECUTE_NEVER, vspace=VSPACES + child << 58
        )  # fmt: skip
        self.mapped[child, address] = copy, frame

    async def hide(self, child: int, address: int) -> None:
        """Take what is at an address of a child away."""
        found = self.mapped.pop((child, address), None)
        if found is not None:
            await stubs.cnode_delete(self.sys, OWN_CNODE, index=found[0], depth=WORD_BITS)
            self.copies.free(found[0])

    async def hide_all(self, *, frame: int | None = None, child: int | None = None) -> None:
        """Take a frame away from all children, or all frames from a child."""
        for (who, address), (_, which) in list(self.mapped.items()):
            if frame in (None, which) and child in (None, who):
                await self.hide(who, address)


class Memory:
    """The deeds: asking, placing, evicting."""

    def __init__(self, pd: PD, window: int, connection: Connection) -> None:
        self.pd = pd
        self.task = connect(Task, connection, OWN_TASK)
        self.timer = connect(Timer, connection, BASE_ENDPOINT_CAP + TIMER)
        self.frames = Frames(pd, window)
        self.table = MemoryTable(FRAMES)
        self.answers: Any = None
        self.adoption: Any = None
        self.default: Any = None
        self.default_control = 0

    async def open(self) -> None:
        """Make the frames, and a set of ports for answers."""
        await self.frames.make()
        self.answers = await self.task.allocate_set()
        self.adoption = await self.task.allocate(1)

    async def control(self) -> tuple[Any, int]:
        """A new port for answers, and its name."""
        port: Any = await self.task.allocate(LIMIT)
        await port.watch()
        await self.answers.insert(port)
        return port, (await port.info()).name

    async def map(self, child: int, right: Any, address: int, pages: int) -> int:
        """Show an object to a child."""
        if address % PAGE or not 1 <= pages <= MAX_PAGES:
            raise Malformed(f"an object is mapped at a page's address, with 1 to {MAX_PAGES} pages")
        for place in range(address, address + pages * PAGE, PAGE):
            if self.table.find(child, place, PAGE) is not None:
                raise Malformed("something is mapped there already")
        own = await adopt(self.task, self.adoption, right)
        number = (await own.info()).port
        known = next((each for each in self.table.objects.values() if each.port == number), None)
        if known is not None:
            await release(own)
        else:
            port, control = await self.control()
            known = self.table.add(own, number, control)
            await send(own, INIT, PageMessage(known.number).encode(), rights=[make_send(port)], timeout_us=0)
        self.table.mappings.append(Mapping(child, address, pages, known))
        return known.number

    # Faults

    async def fault(self, child: int, msg: Message) -> bool | None:
        """Whether a child goes on at once; None if this was no fault of a page that it has."""
        if msg.label != flt.VM_FAULT or msg.words[2]:
            return None
        page = self.table.find(child, msg.words[1], PAGE)
        if page is None:
            return None
        writes = msg.words[3] == flt.CAUSE_STORE_ACCESS
        if page.frame is not None:
            await self._show(page, child, writes)
            return True
        page.waiting.append(child)
        await self.ask(page)
        return False

    async def _show(self, page: Page, child: int, writes: bool) -> None:
        """Map a page that is here wherever the child has it; it is changed from the first write on."""
        page.is_dirty |= writes
        for mapping in self.table.mappings:
            if mapping.child == child and mapping.object is page.of and page.number < mapping.pages:
                place = mapping.address + page.number * PAGE
                await self.frames.show(page.frame or 0, child, place, writable=page.is_dirty)

    async def ask(self, page: Page) -> None:
        """Ask for a page, once. A pager that cannot be asked is one that is silent."""
        if page.is_asked:
            return
        page.until_us = await self.timer.now() + PATIENCE_US
        right = self.default if page.is_default else page.of.right
        page.is_asked = right is not None and await self._tell(right, DATA_REQUEST, page)
        if page.is_asked and page.is_default:
            page.of.default_requests += 1
        elif page.is_asked:
            page.of.requests += 1
        await self.set_alarm()

    async def _tell(self, right: Any, id: int, page: Page, content: bytes = b"") -> bool:
        """Whether a message about a page could be sent without waiting."""
        message = PageMessage(page.of.number, page.number, content)
        try:
            await send(right, id, message.encode(), timeout_us=0)
        except Failure:
            return False
        return True

    async def set_alarm(self) -> None:
        """Be told when somebody's patience ends."""
        moments = [page.until_us for page in self.table.waiting()]
        if moments:
            await self.timer.alarm(max(0, min(moments) - await self.timer.now()), 0)

    async def tick(self) -> None:
        """Pages whose pager was silent for too long are the default pager's."""
        now = await self.timer.now()
        for page in self.table.waiting():
            if page.until_us <= now:
                await self._find_default()
                # The default pager is waited for as long as it takes, and asked until it could be.
                page.is_asked = page.is_asked and page.is_default
                page.is_default = page.is_default or self.default is not None
                await self.ask(page)
                page.until_us = now + PATIENCE_US
        await self.set_alarm()

    async def _find_default(self) -> None:
        """The default pager, as soon as there is one."""
        if self.default is None:
            try:
                self.default = await self.task.look_up(DEFAULT_PAGER, 0)
            except TimedOut:
                return
            port, self.default_control = await self.control()
            await send(self.default, INIT, PageMessage(0).encode(), rights=[make_send(port)], timeout_us=0)

    # Answers

    async def look(self) -> None:
        """See what pagers sent."""
        while True:
            try:
                mail = await receive(self.task, self.answers, max_bytes=MAX_MESSAGE, timeout_us=0)
            except TimedOut:
                return
            await mail.release()
            await self.answered(mail)

    async def answered(self, mail: Mail) -> None:
        """A pager says what is in a page. It can do so for its own object only, and only if it was asked."""
        try:
            message = PageMessage.decode(mail.data)
        except Malformed:
            return
        found = self.table.objects.get(message.object)
        if found is None or mail.id not in (DATA_SUPPLY, DATA_UNAVAILABLE):
            return
        page = found.pages.get(message.page)
        is_asked = page is not None and page.is_asked and page.frame is None
        if page is None or not is_asked or mail.local != (self.default_control if page.is_default else found.control):
            found.unasked += 1
            return
        found.supplies += 1
        await self.place(page, message.content)

    async def place(self, page: Page, content: bytes) -> None:
        """Put a page into memory, and let those go on who wait for it. Without a frame it is asked for again later."""
        frame = self.table.free_frame()
        if frame is None:
            frame = await self.evict()
        if frame is None:
            page.is_asked = False
            return
        await self.frames.fill(frame, content)
        page.frame, page.is_dirty, page.is_asked = frame, False, False
        self.table.resident.append(page)
        waiting, page.waiting = page.waiting, []
        for child in waiting:
            await self._show(page, child, writes=False)
            await self.pd.pd_resume(child)

    async def evict(self) -> int | None:
        """Free the frame of the page that came first, and return it to its pager if it was changed. None if no page can
        be returned to anybody: then all stay.
        """
        for page in list(self.table.resident):
            frame = page.frame or 0
            await self.frames.hide_all(frame=frame)
            if page.is_dirty and not await self._return(page, await self.frames.content(frame)):
                continue
            self.table.resident.remove(page)
            page.frame = None
            return frame
        return None

    async def _return(self, page: Page, content: bytes) -> bool:
        """Return a page to its pager; what that cannot be given at once is the default pager's from now on."""
        if not page.is_default and await self._tell(page.of.right, DATA_RETURN, page, content):
            page.of.returns += 1
            return True
        await self._find_default()
        if self.default is None or not await self._tell(self.default, DATA_RETURN, page, content):
            return False
        page.is_default = True
        page.of.default_returns += 1
        return True

    async def forget(self, child: int) -> None:
        """A child has ended."""
        await self.frames.hide_all(child=child)
        self.table.forget_child(child)


class SpaceServant(AddressSpace):
    """A child's memory."""

    def __init__(self, memory: Memory, child: int) -> None:
        self.memory = memory
        self.child = child

    async def map(self, memory_object: SendRight, address: int, pages: int) -> int:
        """Show an object."""
        try:
            return await self.memory.map(self.child, memory_object, address, pages)
        finally:
            await release(memory_object)

    async def info(self, memory_object: int) -> ObjectInfo:
        """How it stands."""
        for mapping in self.memory.table.mappings:
            if mapping.child == self.child and mapping.object.number == memory_object:
                return mapping.object.info
        raise NotFound(f"this task has mapped no object {memory_object}")


class Program(TaskHost):
    """The hooks. ``shared`` is memory that is shared with the port server; behind it are the windows on the frames."""

    shared: int = 0
    shared_size: int = 0x2000

    def __init__(self) -> None:
        super().__init__()
        self.memory: Any = None
        self.service: Any = None

    async def init(self, pd: PD) -> None:
        """Serve."""
        await super().init(pd)
        inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        connection = Connection(pd.sys, inbox, SharedRegion(self.shared, self.shared_size))
        self.memory = Memory(pd, self.shared + self.shared_size, connection)
        await self.memory.open()
        spaces = {task: SpaceServant(self.memory, task - FIRST_TASK) for task in self.children}

        def root(session: int) -> Interface | None:
            return spaces.get(session)

        self.service = Service(pd, roots=root, endpoint=ENDPOINT, inbox=inbox)
        await self.service.open()

    async def notified(self, pd: PD, ch: int) -> None:
        """A pager answered, or somebody's patience ends."""
        if ch == NEWS:
            await self.memory.look()
        elif ch == TIMER:
            await self.memory.tick()

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A task asks."""
        return await self.service.protected(msg)

    async def fault(self, pd: PD, child: int, msg: Message) -> bool:
        """A page is wanted, or a task is at its end."""
        goes_on = await self.memory.fault(child, msg)
        if goes_on is None:
            await self.terminate(pd, child)
        return bool(goes_on)

    async def terminate(self, pd: PD, child: int) -> None:
        """End a task."""
        await self.memory.forget(child)
        await super().terminate(pd, child)
