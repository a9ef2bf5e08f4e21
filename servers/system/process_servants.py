"""Processes and launchers as clients have them: who may start what, how it stands, how it ended."""

from collections.abc import Iterator
from typing import Any, Final, Protocol

from capkernel.protocols.client import Stub
from capkernel.protocols.failures import Failure, Gone, Malformed, QuotaExceeded, Refused
from capkernel.protocols.files import File
from capkernel.protocols.interface import Cap
from capkernel.protocols.memory import PAGE
from capkernel.protocols.processes import MAX_NAME, HeldCap, Launcher, Process, ProcessInfo, Quota, State, Status
from capkernel.user import process as user
from capkernel.user.allocators import OutOfSlots
from capkernel.user.inbox import Inbox
from capkernel.user.syscalls import Message, Syscalls
from capkernel.user.tasks import Condition
from servers.system.funds import Fund
from servers.system.process_child import Child
from servers.system.process_objects import PLACE, Purse, Workshop
from servers.system.process_table import KeptLauncher, KeptProcess
from servers.system.program_file import read_program_file

LISTED: Final = 8
"""Processes, or caps, in one answer."""


class Office(Protocol):
    """What processes and launchers need of the server. ``installed`` are the programs that have names."""

    sys: Syscalls
    inbox: Inbox
    workshop: Workshop
    installed: dict[str, bytes]

    async def content(self, file: File) -> bytes:
        """What is in a client's file."""
        ...

    def child(self, fund: Fund) -> Child:
        """Something to build a process with. Raises QuotaExceeded."""
        ...

    def began(self, process: "ProcessServant", child: Child) -> None:
        """A process is being made of it."""
        ...

    def next_number(self) -> int:
        """The number of the next process."""
        ...

    def returned(self, child: Child) -> None:
        """A process is no more."""
        ...

    async def save(self) -> None:
        """Write down what there is."""
        ...

    def launcher(self, parent: "LauncherServant", memory: int, processes: int) -> "LauncherServant":
        """A new launcher below another, of which nothing has been made yet."""
        ...

    def open_session(self, launcher: "LauncherServant") -> int:
        """A session for a process that is a client. Raises QuotaExceeded."""
        ...

    def close_sessions(self, launcher: "LauncherServant") -> None:
        """Nobody can use a launcher any more."""
        ...

    def closed(self, launcher: "LauncherServant") -> None:
        """A launcher is no more."""
        ...


class ProcessServant(Process):
    """A process, as its holder has it; it stays to say how it ended.

    ``is_broken`` while it is being prepared: if that fails, or the server dies meanwhile, it is good for nothing more.
    """

    def __init__(self, office: Office, number: int, name: str, parent: int) -> None:
        self.office = office
        self.launcher: LauncherServant | None = None
        """Where it comes from, until it has been taken apart."""
        self.parent = parent
        self.id = number
        self.name = name
        self.child: Child | None = None
        self.state = Status(State.PREPARED)
        self.ended = Condition()
        self.is_broken = False
        self.cpu_us = 0
        self.watcher = 0
        """The cap to what is signalled when it has ended, or 0."""

    def made_of(self, child: Child, launcher: "LauncherServant") -> None:
        """Its objects, and where it comes from."""
        self.child, self.launcher = child, launcher
        launcher.running[self.id] = self

    def kept(self) -> KeptProcess:
        """All of it, to be written down."""
        launcher = 0 if self.launcher is None else self.launcher.id
        child, cpu_us = (None, self.cpu_us) if self.child is None else (self.child.kept(), self.child.cpu_us)
        return KeptProcess(
            self.id, self.parent, launcher, self.name, self.state, self.is_broken, cpu_us, self.watcher, child
        )

    def _alive(self) -> Child:
        """Its objects, if it has not ended. Raises Refused."""
        if self.child is None or self.is_broken or self.state.is_over:
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
            if child.entry:
                raise Refused("it has a program already")
            content = await self.office.content(program)
        finally:
            if isinstance(program, Stub):
                await program.forget()
        found = read_program_file(content, self.office.installed)
        await self.carefully(child.load(found))

    async def carefully(self, work: Any) -> None:
        """Do a part of the preparation; if it fails half-way the process is good for nothing more."""
        self.is_broken = True
        await self.office.save()
        await work
        self.is_broken = False

    async def give(self, name: str, cap: Cap) -> None:
        """A cap."""
        try:
            child = self._alive()
            child.name_for(name)
        except Exception:
            await self.office.inbox.discard(cap)
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
        places = self.office.workshop.places
        try:
            self.watcher = PLACE | places.alloc()
        except OutOfSlots:
            await self.office.inbox.discard(notification)
            raise QuotaExceeded("this server can keep no more caps") from None
        await self.office.save()
        await places.move(self.office.inbox, notification, self.watcher)
        if self.child is None:
            await self.tell_watcher()

    async def tell_watcher(self) -> None:
        """Whatever the cap is that was given, this cannot wait, and does no more than a signal."""
        if self.watcher:
            await self.office.sys.nbsend(self.watcher, Message())
            await self._unwatch()

    async def _unwatch(self) -> None:
        watcher, self.watcher = self.watcher, 0
        if watcher:
            await self.office.workshop.places.discard(watcher)
            await self.office.save()

    async def give_slots(self) -> None:
        """Its own CSpace."""
        await self._prepared().give_slots()

    async def give_launcher(self, name: str, memory: int, processes: int) -> None:
        """A launcher of its own."""
        child = self._alive()
        child.name_for(name)
        if self.launcher is None:
            raise Refused(f"{self.name} has no launcher")
        launcher = await self.launcher.part(memory, processes)
        launcher.owner = self.id
        try:
            await child.give_launcher(name, launcher, self.office.open_session(launcher))
        except Failure:
            await launcher.end()
            raise

    async def start(self, arguments: list[str], heap: int) -> None:
        """Run."""
        child = self._prepared()
        if heap < 0 or heap % PAGE or heap > user.MAX_HEAP:
            raise Malformed(f"a heap has whole pages, at most {user.MAX_HEAP} bytes, not {heap}")
        if not child.entry:
            raise Refused("it has no program")
        if heap and child.is_paged:
            raise Refused("its heap is the pager's")
        told = child.told(self.name, arguments, heap)
        await self.carefully(child.prepare(told, heap))
        self.state = Status(State.RUNNING)
        await child.run()

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
        return ProcessInfo(self.id, self.name, self.state.state, pages * PAGE, self.parent, cpu_us)

    async def page(self, segment: Cap) -> None:
        """Its heap, from the pager."""
        try:
            child = self._prepared()
            if child.is_paged:
                raise Refused("it has a segment already")
            await self.carefully(child.page(segment))
        finally:
            await self.office.inbox.discard(segment)

    async def closed(self) -> None:
        """Nobody has a cap to it."""
        await self.end(Status(State.KILLED))
        await self._unwatch()

    async def end(self, status: Status) -> None:
        """It is over, in this way, unless it was over already; what it started is over, too."""
        if self.state.is_over:
            return
        self.state = status
        # The first thing after a process was heard: that it is over is known to a later life, too.
        await self.office.save()
        await self.finish()

    async def finish(self) -> None:
        """Take apart what is left of it, and say that it is over."""
        child = self.child
        if child is not None:
            await child.end()
            for launcher in list(child.launchers.values()):
                await launcher.end()
            self.child, self.cpu_us = None, child.cpu_us
            if self.launcher is not None:
                self.launcher.running.pop(self.id, None)
                self.launcher = None
            self.office.returned(child)
            await self.office.save()
        self.ended.notify()
        await self.tell_watcher()


class LauncherServant(Launcher):
    """A quota, and the processes that it pays for. ``parent`` is the launcher of which it is a part, if it is one."""

    def __init__(
        self, office: Office, id: int, fund: Purse, memory: int, processes: int,
        parent: "LauncherServant | None" = None, channel: int = 0,
    ) -> None:  # fmt: skip
        self.office = office
        self.id = id
        self.fund = fund
        self.memory = memory
        self.limit = processes
        self.parent = parent
        self.channel = channel
        self.running: dict[int, ProcessServant] = {}
        self.parts: list[LauncherServant] = []
        self.owner: int = parent.owner if parent else 0
        """The process to which it was given, or from whose launcher it was split off; 0 if it is none's."""
        self.sessions: list[int] = []
        """Those of processes to which it was given."""
        self.is_over = False

    def kept(self) -> KeptLauncher:
        """All of it, to be written down."""
        parent = self.parent.id if self.parent else 0
        return KeptLauncher(
            self.id, parent, self.channel, self.fund.number, self.fund.next_number, self.fund.cap, self.memory,
            self.limit, self.owner, list(self.sessions),
        )  # fmt: skip

    @property
    def taken(self) -> int:
        """Of the number of processes, what is taken."""
        return len(self.running) + sum(part.limit for part in self.parts)

    async def create(self, name: str) -> Process:
        """A new process."""
        if not 1 <= len(name) <= MAX_NAME:
            raise Malformed(f"a process's name has 1 to {MAX_NAME} characters, not {len(name)}")
        self._need(1)
        self.office.workshop.need_room(0)
        child = self.office.child(self.fund)
        process = ProcessServant(self.office, self.office.next_number(), name, self.owner)
        process.made_of(child, self)
        self.office.began(process, child)
        try:
            await process.carefully(child.build())
        except Exception:
            await process.end(Status(State.KILLED))
            raise
        return process

    async def split(self, memory: int, processes: int) -> Launcher:
        """A part of it."""
        return await self.part(memory, processes)

    async def part(self, memory: int, processes: int) -> "LauncherServant":
        """The same. Raises QuotaExceeded, Malformed."""
        if processes <= 0:
            raise Malformed(f"a launcher is for at least one process, not {processes}")
        self._need(processes)
        self.office.workshop.need_room(0)
        part = self.office.launcher(self, memory, processes)
        self.parts.append(part)
        await self.office.save()
        try:
            await part.fund.begin(memory)
        except Exception:
            self.parts.remove(part)
            self.office.closed(part)
            raise
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

    def _all(self) -> Iterator[ProcessServant]:
        """What it has started, and what parts of it have."""
        yield from self.running.values()
        for part in self.parts:
            yield from part._all()

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
            self.office.close_sessions(self)
            await self.fund.close()
            self.parent.parts.remove(self)
            self.office.closed(self)
