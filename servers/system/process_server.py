"""The process server: programs from the file system, started with just the caps that they are given.

Of its own it has no memory for processes, and no time: memory comes from an account of the memory server, time is a few
scheduling contexts whose budgets the system's description has fixed. It calls nobody but the memory server, the pager
and file servers that it knows; a file that a client hands over is opened through these, so that no stranger can keep it
waiting.

A process is a TCB, a CNode, an address space and a scheduling context, all of its launcher's quota. Faults and exits
come as messages to this server's endpoint with the number of the process in the badge. The caps for that are revoked,
and messages through them withdrawn, before the number is used again.
"""

import struct
from collections.abc import Iterator
from itertools import count
from typing import Any, Final

from capkernel.abi import errors as err
from capkernel.abi import objects as obj
from capkernel.abi import registers as reg
from capkernel.abi import rights as rt
from capkernel.abi.flags import EXECUTE_NEVER, WRITE_RESUME
from capkernel.abi.words import WORD_BITS, WORD_MASK, signed
from capkernel.protocols.client import Connection, Stub, connect
from capkernel.protocols.failures import (
    AlreadyExists,
    Gone,
    Malformed,
    NoSpace,
    NotFound,
    QuotaExceeded,
    Refused,
    ServerDied,
    TooLarge,
)
from capkernel.protocols.files import INLINE, READ, Directory, File
from capkernel.protocols.interface import Cap, Interface
from capkernel.protocols.memory import PAGE, Account, Use
from capkernel.protocols.paging import PagingControl
from capkernel.protocols.processes import (
    MAX_NAME,
    MAX_PROGRAM,
    HeldCap,
    Launcher,
    Process,
    ProcessInfo,
    Quota,
    State,
    Status,
)
from capkernel.protocols.service import CLIENT_RIGHTS, FIRST_OPENED, Service
from capkernel.user import process as user
from capkernel.user import stubs
from capkernel.user.allocators import OutOfSlots, SlotAllocator
from capkernel.user.errors import KernelError
from capkernel.user.faults import decode_fault
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, ENDPOINT_BADGE, FAULT_BADGE, PD
from capkernel.user.messages import SharedRegion
from capkernel.user.operations import read, write
from capkernel.user.syscalls import Message
from capkernel.user.tasks import Condition
from capkernel.user.vspaces import VSpace
from servers.system.funds import Fund, Pages, Refound, let_go
from servers.system.program_file import ProgramFile, read_program_file
from servers.system.quotas import read_quotas

quotas: int = 0
quotas_size: int = 0x1000
programs: int = 0
programs_size: int = 0x2000
files_region: int = 0
files_region_size: int = 0x1_0000

SUPERVISOR, CLIENTS, FILES, MEMORY, PAGER, MORE_FILES = 1, range(2, 10), 20, 21, 22, range(23, 28)
"""Channels. Programs may be files of any of the servers at ``FILES`` (with which memory may be shared) and
``MORE_FILES``.
"""
ENDPOINT, OWN_CNODE, ASIDS, OWN_VSPACE, PLACE_CNODE = 300, 301, 302, 303, 304
FIRST_TIME = 320
FIRST_REPLY, REPLIES = 340, 16
FIRST_SLOT, END_SLOT = 380, 510
OWN_TCB: Final = 7 << 58
"""Slot 7 of the root CNode: whose maximum controlled priority bounds that of processes."""
PLACE: Final = 5 << 58
PLACES: Final = 1 << 10
"""Slots for the objects of processes."""
WINDOW: Final = 0x301_0000
"""Where a page of a process is seen while it is written: beside ``programs``, whose page table serves it, too."""
PRIORITY: Final = 90
LISTED: Final = 8
"""Processes, or caps, in one answer."""
MAX_PROCESSES: Final = 256
CHUNK: Final = 0x8000
CALL_RIGHTS: Final = rt.WRITE | rt.GRANT_REPLY
_LIFE_SHIFT: Final = 14


class Objects:
    """What one process is made of: kernel objects from pages of an account, with caps in this server's slots."""

    def __init__(self, server: "Server", fund: Fund) -> None:
        self.server = server
        self.sys = server.pd.sys
        self.slots = server.places
        self.fund = fund
        self.chunks: list[Pages] = []
        self.taken: list[int] = []

    @property
    def pages(self) -> int:
        """How many pages it takes."""
        return sum(chunk.count for chunk in self.chunks)

    async def reserve(self, pages: int) -> None:
        """Take pages from the account, all or none. Raises QuotaExceeded."""
        if pages:
            self.chunks.append(await self.fund.allocate(pages, Use.OBJECTS))

    async def alloc(self, object_type: int, size_bits: int = 0) -> int:
        """Make an object in a page of its own; returns the address of its cap. Raises QuotaExceeded, NoSpace."""
        chunk = next((chunk for chunk in self.chunks if chunk.used < chunk.count), None)
        if chunk is None:
            await self.reserve(1)
            chunk = self.chunks[-1]
        try:
            slot = self.slots.alloc()
        except OutOfSlots:
            raise NoSpace("this server has no slot left for an object") from None
        self.taken.append(slot)
        untyped = await chunk.untyped(chunk.used)
        chunk.used += 1
        await stubs.untyped_retype(
            self.sys, untyped, object_type=object_type, size_bits=size_bits, root=PLACE_CNODE, node_index=0,
            node_depth=0, node_offset=slot, num_objects=1,
        )  # fmt: skip
        await self.server.inbox.discard(untyped)
        return PLACE | slot

    async def free(self, cap: int) -> None:
        """Destroy an object; its page is given back with all others."""
        await stubs.cnode_delete(self.sys, PLACE_CNODE, index=cap & PLACES - 1, depth=WORD_BITS)

    async def destroy(self) -> None:
        """Give all pages back: whatever was made of them is gone, and so are the caps in our slots."""
        while self.chunks:
            await self.chunks.pop().drop()
        for slot in reversed(self.taken):
            self.slots.free(slot)
        self.taken.clear()


class Child:
    """A process that has not ended: its objects. ``number`` is in the badges of its faults."""

    def __init__(self, server: "Server", number: int, fund: Fund, time: int) -> None:
        self.server = server
        self.sys = server.pd.sys
        self.number = number
        self.time = time
        self.objects = Objects(server, fund)
        self.tcb = self.cnode = self.badged = 0
        self.vspace: Any = None
        self.tables: set[tuple[int, int]] = set()
        self.program: ProgramFile | None = None
        self.caps: list[user.NamedCap] = []
        self.launchers: dict[str, LauncherServant] = {}
        self.is_paged = False
        self.is_running = False
        self.cpu_us = 0
        self.startup: list[int] = []
        """The pages of what it is told; behind its ``granted_at`` bytes there is the list of its caps."""
        self.granted_at = self.version = 0

    async def build(self) -> None:
        """Make everything that every process has. Raises QuotaExceeded."""
        places = [user.IPC_BUFFER]
        await self.objects.reserve(4 + self._new_tables(places))
        self.cnode = await self.objects.alloc(obj.CNODE, user.CSPACE_BITS)
        self.tcb = await self.objects.alloc(obj.TCB)
        self.vspace = await VSpace.create(self.objects, ASIDS)
        self.badged = await self._badged()
        buffer = await self.objects.alloc(obj.PAGE)
        await self.vspace.map(buffer, user.IPC_BUFFER)
        guard = WORD_BITS - user.CSPACE_BITS
        fault_ep = await self._copy(self.badged, CALL_RIGHTS)
        await stubs.tcb_set_space(
            self.sys, self.tcb, cspace_root_data=guard, vspace_root_data=0, fault_ep=fault_ep, cspace_root=self.cnode,
            vspace_root=self.vspace.root,
        )  # fmt: skip
        await self._discard(fault_ep)
        await stubs.tcb_set_ipc_buffer(self.sys, self.tcb, buffer=user.IPC_BUFFER, buffer_frame=buffer)
        await stubs.tcb_set_priority(self.sys, self.tcb, priority=PRIORITY, authority=OWN_TCB)
        await stubs.sched_context_consumed(self.sys, self.time)
        await stubs.sched_context_bind(self.sys, self.time, cap=self.tcb)
        await self._put(user.EXIT, self.badged, PLACE_CNODE, rt.WRITE)

    async def page(self, segment: int) -> None:
        """Let the pager give it its heap. Its faults go there first."""
        size = await self.server.segment_size(segment)
        places = range(user.HEAP, user.HEAP + size, 1 << obj.MEGA_PAGE_BITS)
        missing = [(place, self._new_tables([place])) for place in places]
        await self.objects.reserve(sum(tables for _, tables in missing))
        for place in (place for place, tables in missing for _ in range(tables)):
            table = await self.objects.alloc(obj.PAGE_TABLE)
            await stubs.page_table_map(self.sys, table, vaddr=place, attr=0, vspace=self.vspace.root)
        faults = await self.server.attach(segment, self.vspace.root, self.number, user.HEAP)
        self.is_paged = True
        await stubs.tcb_set_space(
            self.sys, self.tcb, cspace_root_data=WORD_BITS - user.CSPACE_BITS, vspace_root_data=0, fault_ep=faults,
            cspace_root=self.cnode, vspace_root=self.vspace.root,
        )  # fmt: skip
        await self.server.inbox.discard(faults)

    async def _badged(self) -> int:
        """This server's endpoint, by the badge of this process: what its caps for exits and faults are derived from."""
        slot = self.server.places.alloc()
        await stubs.cnode_mint(
            self.sys, PLACE_CNODE, dest_index=slot, dest_depth=WORD_BITS, src_root=OWN_CNODE, src_index=ENDPOINT,
            src_depth=WORD_BITS, rights=rt.ALL, badge=FAULT_BADGE | self.number,
        )  # fmt: skip
        return PLACE | slot

    async def _copy(self, cap: int, rights: int) -> int:
        slot = self.server.places.alloc()
        await stubs.cnode_copy(
            self.sys, PLACE_CNODE, dest_index=slot, dest_depth=WORD_BITS, src_root=PLACE_CNODE,
            src_index=cap & PLACES - 1, src_depth=WORD_BITS, rights=rights,
        )  # fmt: skip
        return PLACE | slot

    async def _discard(self, cap: int) -> None:
        slot = cap & PLACES - 1
        await stubs.cnode_delete(self.sys, PLACE_CNODE, index=slot, depth=WORD_BITS)
        self.server.places.free(slot)

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
        """The same, empty: a process that runs may have put something there itself."""
        slot = self.name_for(name)
        if self.is_running:
            await self._empty(slot)
        return slot

    async def _empty(self, slot: int) -> None:
        await stubs.cnode_delete(self.sys, self.cnode, index=slot, depth=user.CSPACE_BITS)

    async def _named(self, name: str) -> None:
        self.caps.append(user.NamedCap(name, self.name_for(name)))
        await self._tell()

    async def give(self, name: str, cap: int) -> None:
        """Move a cap that came by message into the process."""
        slot = await self._slot_for(name)
        await stubs.cnode_move(
            self.sys, self.cnode, dest_index=slot, dest_depth=user.CSPACE_BITS, src_root=OWN_CNODE, src_index=cap,
            src_depth=WORD_BITS,
        )  # fmt: skip
        self.server.inbox.slots.free(cap)
        await self._named(name)

    async def give_slots(self) -> None:
        """A cap to its CSpace."""
        slot = self.name_for(user.SLOTS)
        await self._put(slot, self.cnode, PLACE_CNODE, rt.ALL, WORD_BITS - user.CSPACE_BITS)
        await self._named(user.SLOTS)

    async def give_launcher(self, name: str, launcher: "LauncherServant", session: int) -> None:
        """A launcher that ends with it."""
        self.launchers[name] = launcher
        slot = await self._slot_for(name)
        await self._put(slot, ENDPOINT, OWN_CNODE, CLIENT_RIGHTS, ENDPOINT_BADGE | session)
        await self._named(name)

    async def withdraw(self, name: str) -> None:
        """Take what it was given under a name. Raises NotFound."""
        found = next((cap for cap in self.caps if cap.name == name), None)
        if found is None:
            raise NotFound(f"it was given no cap {name!r}")
        launcher = self.launchers.pop(name, None)
        if launcher is not None:
            await launcher.end()
        await self._empty(found.address)
        self.caps.remove(found)
        await self._tell()

    async def held(self, slot: int) -> bool:
        """Whether there is a cap in a slot: it can be copied, or the kernel says that it is of a kind that cannot."""
        probe = self.server.places.alloc()
        try:
            await stubs.cnode_copy(
                self.sys, PLACE_CNODE, dest_index=probe, dest_depth=WORD_BITS, src_root=self.cnode, src_index=slot,
                src_depth=user.CSPACE_BITS, rights=rt.ALL,
            )  # fmt: skip
        except KernelError as error:
            self.server.places.free(probe)
            return error.code != err.FAILED_LOOKUP
        await self._discard(PLACE | probe)
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
            await self._discard(copy)
            page, start, data = page + 1, 0, data[PAGE - start :]

    # Memory

    def _new_tables(self, pages: list[int]) -> int:
        """How many page tables are missing for pages; they count as there from now on."""
        wanted = {(bits, page >> bits) for page in pages for bits in (obj.GIGA_PAGE_BITS, obj.MEGA_PAGE_BITS)}
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
        self.program = program

    async def _add(self, address: int, rights: int, attr: int, content: bytes = b"", offset: int = 0) -> int:
        """A page with this content; returns the address of its cap."""
        frame = await self.objects.alloc(obj.PAGE)
        if content:
            await self._write(frame, offset, content)
        await self.vspace.map(frame, address, rights, attr)
        return frame

    async def _write(self, frame: int, offset: int, content: bytes) -> None:
        """Write into a page by a cap that is not mapped."""
        await stubs.page_map(
            self.sys, frame, vaddr=WINDOW, rights=rt.READ_WRITE, attr=EXECUTE_NEVER, vspace=OWN_VSPACE
        )
        await write(WINDOW + offset, content)
        await stubs.page_unmap(self.sys, frame)

    def told(self, name: str, arguments: list[str], heap: int) -> bytes:
        """What it is told when it starts. Raises TooLarge."""
        try:
            return user.encode_startup(user.Startup(name, arguments, self.caps, heap))
        except ValueError as error:
            raise TooLarge(str(error)) from None

    async def start(self, program: ProgramFile, told: bytes, heap: int) -> None:
        """Let it run. Raises QuotaExceeded."""
        parts = [
            (user.STARTUP + at, told[at : at + PAGE]) for at in range(0, len(told) + user.GRANTED_BYTES, PAGE)
        ]
        is_python = program.entry == user.PROGRAM
        stack = [] if is_python else list(range(user.STACK_TOP - user.STACK_SIZE, user.STACK_TOP, PAGE))
        zeros = [*stack, *range(user.HEAP, user.HEAP + heap, PAGE)]
        await self.objects.reserve(len(parts) + len(zeros) + self._new_tables([*zeros, *(at for at, _ in parts)]))
        self.startup = [await self._add(address, rt.READ, EXECUTE_NEVER, content) for address, content in parts]
        self.granted_at = len(told)
        for address in zeros:
            await self._add(address, rt.READ_WRITE, EXECUTE_NEVER)
        values = dict.fromkeys(reg.USER_CONTEXT, 0)
        values |= {
            reg.FAULT_IP: program.entry, reg.SP: user.STACK_TOP, reg.TP: user.IPC_BUFFER, reg.A0: user.STARTUP,
            reg.A0 + 1: len(told) // 8,
        }  # fmt: skip
        registers = [values[register] for register in reg.USER_CONTEXT]
        self.is_running = True
        await stubs.tcb_write_registers(self.sys, self.tcb, flags=WRITE_RESUME, registers=registers)

    async def consumed(self) -> int:
        """For how many microseconds it ran so far."""
        self.cpu_us += await stubs.sched_context_consumed(self.sys, self.time)
        return self.cpu_us

    async def end(self) -> None:
        """Take it apart, and everything that came of it."""
        if self.tcb:
            await stubs.tcb_suspend(self.sys, self.tcb)
            await self.consumed()
        await stubs.sched_context_unbind(self.sys, self.time)
        if self.is_paged:
            await self.server.detach(self.number)
        if self.badged:
            index = self.badged & PLACES - 1
            await stubs.cnode_revoke(self.sys, PLACE_CNODE, index=index, depth=WORD_BITS)
            await stubs.cnode_cancel_badged_sends(self.sys, PLACE_CNODE, index=index, depth=WORD_BITS)
            await self._discard(self.badged)
            self.badged = 0
        await self.objects.destroy()


class ProcessServant(Process):
    """A process, as its holder has it; it stays to say how it ended."""

    def __init__(self, launcher: "LauncherServant", number: int, name: str, child: Child) -> None:
        self.launcher = launcher
        self.server = launcher.server
        self.id = number
        self.name = name
        self.child: Child | None = child
        self.state = Status(State.PREPARED)
        self.ended = Condition()
        self.is_broken = False
        self.cpu_us = 0
        self._watcher: int | None = None

    def _alive(self) -> Child:
        """Its objects, if it has not ended. Raises Refused."""
        if self.child is None or self.is_broken:
            raise Refused(f"{self.name} is {self.state.state.value}, or came to grief while it was prepared")
        return self.child

    def _prepared(self) -> Child:
        """Its objects, if it has not been started. Raises Refused."""
        if self.child is None or self.state.state is not State.PREPARED or self.is_broken:
            raise Refused(f"{self.name} is {self.state.state.value}, or came to grief while it was prepared")
        return self.child

    async def load(self, program: File) -> None:
        """Its program."""
        try:
            child = self._prepared()
            if child.program is not None:
                raise Refused("it has a program already")
            content = await self.server.content(program)
        finally:
            if isinstance(program, Stub):
                await program.forget()
        found = read_program_file(content, self.server.installed)
        await self._carefully(child.load(found))

    async def _carefully(self, work: Any) -> None:
        """Do a part of the preparation; if it fails half-way the process is good for nothing more."""
        self.is_broken = True
        await work
        self.is_broken = False

    async def give(self, name: str, cap: Cap) -> None:
        """A cap."""
        try:
            child = self._alive()
            child.name_for(name)
        except Exception:
            await self.server.inbox.discard(cap)
            raise
        await child.give(name, cap)

    async def withdraw(self, name: str) -> None:
        """A cap less."""
        await self._alive().withdraw(name)

    async def caps(self, start: int) -> list[HeldCap]:
        """What is in its CSpace."""
        if start < 0:
            raise Malformed(f"slots are numbered from 0 on, not from {start}")
        child = self.child
        if child is None:
            return []
        names = {cap.address: cap.name for cap in child.caps}
        found: list[HeldCap] = []
        for slot in range(max(start, user.FIRST_CAP), user.END_SLOT):
            is_there = await child.held(slot)
            if is_there or slot in names:
                found.append(HeldCap(slot, names.get(slot, ""), is_there))
            if len(found) == LISTED:
                break
        return found

    async def watch(self, notification: Cap) -> None:
        """Signal its end."""
        await self._unwatch()
        self._watcher = notification
        if self.child is None:
            await self._tell_watcher()

    async def _tell_watcher(self) -> None:
        """Whatever the cap is that was given, this cannot wait, and does no more than a signal."""
        if self._watcher is not None:
            await self.server.pd.sys.nbsend(self._watcher, Message())
            await self._unwatch()

    async def _unwatch(self) -> None:
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            await self.server.inbox.discard(watcher)

    async def give_slots(self) -> None:
        """Its own CSpace."""
        await self._prepared().give_slots()

    async def give_launcher(self, name: str, memory: int, processes: int) -> None:
        """A launcher of its own."""
        child = self._alive()
        child.name_for(name)
        launcher = await self.launcher.part(memory, processes)
        launcher.owner = self.id
        await child.give_launcher(name, launcher, self.server.open_session(launcher))

    async def start(self, arguments: list[str], heap: int) -> None:
        """Run."""
        child = self._prepared()
        if heap < 0 or heap % PAGE or heap > user.MAX_HEAP:
            raise Malformed(f"a heap has whole pages, at most {user.MAX_HEAP} bytes, not {heap}")
        if child.program is None:
            raise Refused("it has no program")
        if heap and child.is_paged:
            raise Refused("its heap is the pager's")
        told = child.told(self.name, arguments, heap)
        await self._carefully(child.start(child.program, told, heap))
        self.state = Status(State.RUNNING)

    async def wait(self) -> Status:
        """Its end."""
        while not self.state.is_over:
            await self.ended.wait()
        return self.state

    async def status(self) -> Status:
        """How it stands."""
        return self.state

    async def kill(self) -> Status:
        """End it."""
        await self.end(Status(State.KILLED))
        return self.state

    async def info(self) -> ProcessInfo:
        """What is known."""
        child = self.child
        pages = 0 if child is None else child.objects.pages
        cpu_us = self.cpu_us if child is None else await child.consumed()
        return ProcessInfo(self.id, self.name, self.state.state, pages * PAGE, self.launcher.owner, cpu_us)

    async def page(self, segment: Cap) -> None:
        """Its heap, from the pager."""
        try:
            child = self._prepared()
            if child.is_paged:
                raise Refused("it has a segment already")
            await self._carefully(child.page(segment))
        finally:
            await self.server.inbox.discard(segment)

    async def closed(self) -> None:
        """Nobody has a cap to it."""
        await self.end(Status(State.KILLED))
        await self._unwatch()

    async def end(self, status: Status) -> None:
        """It is over, in this way, unless it was over already; what it started is over, too."""
        child, self.child = self.child, None
        if child is None:
            return
        self.state = status
        await child.end()
        self.cpu_us = child.cpu_us
        for launcher in child.launchers.values():
            await launcher.end()
        self.server.returned(child)
        self.launcher.lost(self)
        self.ended.notify()
        await self._tell_watcher()


class LauncherServant(Launcher):
    """A quota, and the processes that it pays for. ``parent`` is the launcher of which it is a part, if it is one."""

    def __init__(
        self, server: "Server", fund: Fund, memory: int, processes: int, parent: "LauncherServant | None" = None
    ) -> None:
        self.server = server
        self.fund = fund
        self.memory = memory
        self.limit = processes
        self.parent = parent
        self.running: dict[int, ProcessServant] = {}
        self.parts: list[LauncherServant] = []
        self.owner: int = parent.owner if parent else 0
        """The process to which it was given, or from whose launcher it was split off; 0 if it is none's."""
        self.is_over = False

    @property
    def taken(self) -> int:
        """Of the number of processes, what is taken."""
        return len(self.running) + sum(part.limit for part in self.parts)

    async def create(self, name: str) -> Process:
        """A new process."""
        if not 1 <= len(name) <= MAX_NAME:
            raise Malformed(f"a process's name has 1 to {MAX_NAME} characters, not {len(name)}")
        self._need(1)
        child = self.server.child(self.fund)
        try:
            await child.build()
        except Exception:
            await child.end()
            self.server.returned(child)
            raise
        process = ProcessServant(self, next(self.server.numbers), name, child)
        self.running[process.id] = process
        self.server.by_child[child.number] = process
        return process

    async def split(self, memory: int, processes: int) -> Launcher:
        """A part of it."""
        return await self.part(memory, processes)

    async def part(self, memory: int, processes: int) -> "LauncherServant":
        """The same. Raises QuotaExceeded, Malformed."""
        if processes <= 0:
            raise Malformed(f"a launcher is for at least one process, not {processes}")
        self._need(processes)
        part = LauncherServant(self.server, await self.fund.split(memory), memory, processes, self)
        self.parts.append(part)
        return part

    def _need(self, processes: int) -> None:
        if self.is_over:
            raise Gone("this launcher was closed")
        if self.taken + processes > self.limit:
            raise QuotaExceeded(f"this launcher has {self.limit} processes at a time, and {self.taken} are taken")

    async def quota(self) -> Quota:
        """How it stands."""
        info = await self.fund.ask(lambda account: account.info())
        return Quota(self.memory, self.limit, info.used + info.given, self.taken)

    async def processes(self, after: int) -> list[ProcessInfo]:
        """What runs."""
        later = sorted((each for each in self._all() if each.id > after), key=lambda process: process.id)
        return [await process.info() for process in later[:LISTED]]

    def _all(self) -> "Iterator[ProcessServant]":
        """What it has started, and what parts of it have."""
        yield from self.running.values()
        for part in self.parts:
            yield from part._all()

    def lost(self, process: ProcessServant) -> None:
        """One has ended."""
        self.running.pop(process.id, None)

    async def closed(self) -> None:
        """Nobody has a cap to it."""
        await self.end()

    async def end(self) -> None:
        """End all that it started, and return the quota to its parent. The system's own launchers stay."""
        for process in list(self.running.values()):
            await process.end(Status(State.KILLED))
        for part in list(self.parts):
            await part.end()
        if self.parent is not None and not self.is_over:
            self.is_over = True
            self.parent.parts.remove(self)
            self.server.close_session(self)
            await self.fund.drop()


class Server:
    """The processes, and what they are made with."""

    def __init__(self, pd: PD, text: str, table: bytes) -> None:
        self.pd = pd
        self.quotas = read_quotas(text)
        self.installed = user.decode_table(table)
        self.places = SlotAllocator(PLACE_CNODE, 1, PLACES)
        self.inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        connection = Connection(pd.sys, self.inbox)
        self.root = Fund(lambda: self._root_account(connection))
        region = SharedRegion(files_region, files_region_size) if files_region else None
        self.files = [self._file_server(FILES, Connection(pd.sys, self.inbox, region), CHUNK if region else INLINE)]
        self.files += [
            self._file_server(channel, connection, INLINE) for channel in MORE_FILES if pd.values.pps >> channel & 1
        ]
        control = connect(PagingControl, Connection(pd.sys, self.inbox), BASE_ENDPOINT_CAP + PAGER)
        self.pager = Refound(control.derive)
        self.times = [FIRST_TIME + number for number in reversed(range(self.quotas.times))]
        self.free_numbers = list(reversed(range(MAX_PROCESSES)))
        self.by_child: dict[int, ProcessServant] = {}
        self.numbers = count(1)
        self.launchers: dict[int, LauncherServant] = {}
        self.service: Any = None
        self._next_session = FIRST_OPENED + (pd.life - 1 << _LIFE_SHIFT)
        self._end_session = min(FIRST_OPENED + (pd.life << _LIFE_SHIFT), 1 << 22)

    def _file_server(self, channel: int, connection: Connection, chunk: int) -> tuple[Refound, int]:
        """A file server, and how many bytes it is asked for at a time.

        The channel's own cap cannot hand over caps; one that the server gives out can.
        """
        files = connect(Directory, connection, BASE_ENDPOINT_CAP + channel)
        return Refound(lambda: files.restrict(READ)), chunk

    async def _root_account(self, connection: Connection) -> Account:
        return connect(Account, connection, BASE_ENDPOINT_CAP + MEMORY)

    async def begin(self) -> None:
        """What a former life has left is taken back; each client gets its share."""
        for time in self.times:
            await stubs.sched_context_unbind(self.pd.sys, time)
        await self.root.ask(lambda account: account.clear())
        for channel, quota in self.quotas.launchers.items():
            memory = quota.pages * PAGE
            fund = await self.root.split(memory)
            self.launchers[channel] = LauncherServant(self, fund, memory, quota.processes)

    async def content(self, file: File) -> bytes:
        """What is in a client's file. Raises Malformed if it is none of our file servers', TooLarge, and others."""
        own, chunk = await self._adopted(file)
        try:
            size = (await own.info()).size
            if size > MAX_PROGRAM:
                raise TooLarge(f"a program has at most {MAX_PROGRAM} bytes, not {size}")
            content = b""
            while len(content) < size:
                part = await own.read(len(content), min(chunk, size - len(content)))
                if not part:
                    break
                content += part
            return content
        finally:
            try:
                await own.drop()
            except (Gone, ServerDied):
                await let_go(own)

    async def _adopted(self, file: File) -> tuple[File, int]:
        """A client's file as the server has it for us whose it is, and how much to ask for at a time. Raises
        Malformed.
        """
        for server, chunk in self.files:
            try:
                return await server.ask(lambda files: files.adopt(file, READ)), chunk
            except Malformed:
                continue
        raise Malformed("the program is in none of the file systems from which this server takes programs")

    async def segment_size(self, segment: int) -> int:
        """The size of a client's segment, if it is the pager's. Raises Malformed."""
        return int(await self.pager.ask(lambda pager: pager.size(Cap(segment))))

    async def attach(self, segment: int, vspace: int, space: int, address: int) -> int:
        """Let the pager give a process a segment; returns the cap for its faults."""
        return int(await self.pager.ask(lambda pager: pager.attach(Cap(segment), Cap(vspace), space, address)))

    async def detach(self, space: int) -> None:
        """A process of the pager's is over."""
        await self.pager.ask(lambda pager: pager.detach(space))

    async def lost(self) -> None:
        """Processes whose faults the pager does not answer are over."""
        while found := await self.pager.ask(lambda pager: pager.lost()):
            for each in found:
                await self.ended(each.space, Message(each.label, each.words))

    def child(self, fund: Fund) -> Child:
        """Something to build a process with: a number, and time. Raises QuotaExceeded."""
        if not self.times or not self.free_numbers:
            raise QuotaExceeded("this server has no time left for another process")
        return Child(self, self.free_numbers.pop(), fund, self.times.pop())

    def returned(self, child: Child) -> None:
        """A process is no more: its number and its time serve again."""
        self.by_child.pop(child.number, None)
        self.free_numbers.append(child.number)
        self.times.append(child.time)

    def open_session(self, launcher: LauncherServant) -> int:
        """A session for a process that is a client. Raises QuotaExceeded."""
        if self._next_session >= self._end_session:
            raise QuotaExceeded("this server has had as many clients as it can tell apart in one life")
        session = self._next_session
        self._next_session += 1
        self.launchers[session] = launcher
        return session

    def close_session(self, launcher: LauncherServant) -> None:
        """A launcher is no more."""
        for session in [session for session, found in self.launchers.items() if found is launcher]:
            del self.launchers[session]
        self.service.revoke(launcher)

    async def ended(self, number: int, msg: Message) -> None:
        """A process says that it is over, or did what it must not."""
        process = self.by_child.get(number)
        if process is not None:
            await process.end(_ending(msg))


def _ending(msg: Message) -> Status:
    """How a process ended, from its last message, which may say anything."""
    if msg.label == user.EXIT_LABEL and len(msg.words) == 1:
        return Status(State.EXITED, signed(msg.words[0] & WORD_MASK))
    try:
        fault = decode_fault(msg.label, tuple(msg.words))
    except ValueError:
        return Status(State.FAULTED, fault="Unknown", text="it said what means nothing")
    return Status(State.FAULTED, fault=fault.name, pc=fault.words.get("ip", 0), text=str(fault))


class Program:
    """The server's hooks."""

    def __init__(self) -> None:
        self.server: Any = None
        self.service: Any = None

    async def init(self, pd: PD) -> None:
        """Begin."""
        pd.spare_replies.extend(range(FIRST_REPLY, FIRST_REPLY + REPLIES))
        text = (await read(quotas, quotas_size)).rstrip(b"\0").decode()
        self.server = Server(pd, text, await read(programs, programs_size))
        self.service = self.server.service = Service(
            pd, roots=self._root, endpoint=ENDPOINT, inbox=self.server.inbox
        )
        await self.service.open()
        await self.server.begin()

    def _root(self, session: int) -> Interface | None:
        launcher: Interface | None = self.server.launchers.get(session)
        return launcher

    async def notified(self, pd: PD, ch: int) -> None:
        """The supervisor wants a sign of life."""
        if ch == SUPERVISOR:
            await pd.notify(SUPERVISOR)
        elif ch == PAGER:
            await self.server.lost()
            await self.service.run_ready()

    async def fault(self, pd: PD, child: int, msg: Message) -> bool:
        """A process ended."""
        await self.server.ended(child, msg)
        await self.service.run_ready()
        return False

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A client asks."""
        return await self.service.protected(msg)
