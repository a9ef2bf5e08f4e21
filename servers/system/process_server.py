"""The process server: programs from the file system, started with just the caps that they are given.

Of its own it has no memory for processes, and no time: memory comes from an account of the memory server, time is a few
scheduling contexts whose budgets the system's description has fixed. It calls nobody but the memory server, the pager
and file servers that it knows; a file that a client hands over is opened through these, so that no stranger can keep it
waiting.

A process is a TCB, a CNode, an address space and a scheduling context, all of its launcher's quota. Faults and exits
come as messages to this server's endpoint with the number of the process in the badge. The caps for that are revoked,
and messages through them withdrawn, before the number is used again.

If the description gives the server memory that outlives it (``table``, and ``lasts`` for its slots), processes outlive
it, too: all that is needed to go on with them is written down (``process_table``), and ``process_recovery`` goes on.
Otherwise they end with it, and all is taken back.
"""

from typing import Any, ClassVar, Final

from attrs import frozen

from capkernel.abi.words import WORD_MASK, signed
from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import Gone, Malformed, QuotaExceeded, ServerDied, TooLarge
from capkernel.protocols.files import INLINE, READ, Directory, File
from capkernel.protocols.given import given_caps
from capkernel.protocols.interface import Interface
from capkernel.protocols.memory import PAGE, Account
from capkernel.protocols.paging import Lost, PagingControl
from capkernel.protocols.processes import MAX_PROGRAM, Launcher, State, Status
from capkernel.protocols.service import FIRST_OPENED, OBJECT_LIMIT, Service
from capkernel.user import process as user
from capkernel.user import stubs
from capkernel.user.allocators import SlotAllocator
from capkernel.user.faults import decode_fault
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from capkernel.user.messages import SharedRegion
from capkernel.user.operations import read
from capkernel.user.syscalls import Message
from servers.neighbours import Asks, ByTable, Role, Serves, Uses
from servers.system.funds import Fund, Refound, let_go
from servers.system.process_child import ENDPOINT, Child
from servers.system.process_objects import OWN_CNODE, Purse, Workshop
from servers.system.process_recovery import OWN_NUMBER, after_the_pager, go_on, restore
from servers.system.process_servants import LauncherServant, ProcessServant
from servers.system.process_table import MAX_NUMBERS, KeptObject, KeptProcesses, Record
from servers.system.quotas import read_quotas
from servers.system.retiring import Handover, decline

quotas: int = 0
quotas_size: int = 0x1000
programs: int = 0
programs_size: int = 0x2000
files_region: int = 0
files_region_size: int = 0x1_0000
table: int = 0
table_size: int = 0x2_0000
state: int = 0
state_size: int = 0x1000
"""Memory for the server after this one: a word about the table, so that there must be one, too."""

SUPERVISOR, CLIENTS, FILES, MEMORY, PAGER, MORE_FILES, UPDATE = 1, range(2, 10), 20, 21, 22, range(23, 28), 28
"""Channels. Programs may be files of any of the servers at ``FILES`` (with which memory may be shared) and
``MORE_FILES``.
"""
FIRST_TIME = 320
FIRST_REPLY, REPLIES = 340, 16
FIRST_SLOT, END_SLOT = 380, 510
CHUNK: Final = 0x8000
_LIFE_SHIFT: Final = 14
_PC: Final = (1 << 63) - 1
"""An address that a status can say."""


class Server:
    """The processes, and what they are made with."""

    def __init__(self, pd: PD, text: str, installed: dict[str, bytes]) -> None:
        self.sys = pd.sys
        self.life = pd.life
        self.quotas = read_quotas(text)
        self.installed = installed
        self.inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        connection = Connection(pd.sys, self.inbox)
        self.root = Fund(lambda: self._root_account(connection), next_number=OWN_NUMBER + 1)
        region = SharedRegion(files_region, files_region_size) if files_region else None
        self.files = [self._file_server(FILES, Connection(pd.sys, self.inbox, region), CHUNK if region else INLINE)]
        self.files += [
            self._file_server(channel, connection, INLINE) for channel in MORE_FILES if pd.values.pps >> channel & 1
        ]
        control: Any = connect(PagingControl, Connection(pd.sys, self.inbox), BASE_ENDPOINT_CAP + PAGER)
        pager = Refound(lambda: _only(control, control.derive))
        self.workshop = Workshop(pd.sys, self.inbox, pager, self.save, self.need_room)
        self.record = Record(SharedRegion(table, table_size)) if table else None
        self.times = [FIRST_TIME + number for number in reversed(range(self.quotas.times))]
        self.free_numbers = list(reversed(range(MAX_NUMBERS)))
        self.processes: dict[int, ProcessServant] = {}
        """All that have not ended, or to which there are caps, by their numbers."""
        self.by_child: dict[int, ProcessServant] = {}
        self.next_process = self.next_launcher = 1
        self.launchers: dict[int, LauncherServant] = {}
        self.sessions: dict[int, LauncherServant] = {}
        self.late: list[Child] = []
        """Processes whose time was taken away, and that could not be given it again yet."""
        self.service = Service(pd, roots=self.sessions.get, endpoint=ENDPOINT, inbox=self.inbox, settle=self.settle)
        self.has_begun = False
        """Until each client has its share there is nothing to be written down: the next life begins anew."""
        self._newest = 0
        """The number of the cap that was given out last."""
        self._next_session = FIRST_OPENED + (pd.life - 1 << _LIFE_SHIFT)
        self._end_session = min(FIRST_OPENED + (pd.life << _LIFE_SHIFT), 1 << 22)

    def _file_server(self, channel: int, connection: Connection, chunk: int) -> tuple[Refound, int]:
        """A file server, and how many bytes it is asked for at a time.

        The channel's own cap cannot hand over caps; one that the server gives out can.
        """
        files: Any = connect(Directory, connection, BASE_ENDPOINT_CAP + channel)
        return Refound(lambda: _only(files, lambda: files.restrict(READ))), chunk

    async def _root_account(self, connection: Connection) -> Account:
        return connect(Account, connection, BASE_ENDPOINT_CAP + MEMORY)

    async def begin(self) -> None:
        """Without a former life, or with one that left nothing: each client gets its share."""
        for time in self.times:
            await stubs.sched_context_unbind(self.sys, time)
        await self.root.ask(lambda account: account.clear())
        if self.life > 1:
            await self.workshop.places.clear()
        for channel, quota in self.quotas.launchers.items():
            launcher = self._launcher(self.root, quota.pages * PAGE, quota.processes, channel=channel)
            await launcher.fund.begin(launcher.memory)
            self.sessions[channel] = launcher
        self.has_begun = True
        await self.save()

    # What is written down

    def kept(self) -> KeptProcesses:
        """All of it. Processes that have ended, and to which there are no caps, are forgotten."""
        servants, caps = given_caps(self.service)
        reached = {id(servant) for servant in servants}
        self.processes = {
            number: process
            for number, process in self.processes.items()
            if process.child is not None or id(process) in reached
        }
        return KeptProcesses(
            self.next_process, self.next_launcher, self.root.next_number,
            [launcher.kept() for launcher in self.launchers.values()],
            [process.kept() for process in self.processes.values()],
            [_object(servant) for servant in servants], caps,
        )  # fmt: skip

    async def save(self) -> None:
        """Write down what there is."""
        if self.record is not None and self.has_begun:
            await self.record.save(self.kept())

    async def settle(self) -> None:
        """The same at the end of a request; a new cap is on its way from now on."""
        if self.record is None:
            return
        now = self.kept()
        newest = now.caps[-1].number if now.caps else 0
        if newest > self._newest:
            self._newest = newest
            await self.record.offer(newest)
        await self.record.save(now)

    async def arrived(self) -> None:
        """What was answered last has arrived."""
        if self.record is not None:
            await self.record.offer(0)

    def need_room(self, size: int) -> None:
        """Raise QuotaExceeded if so many bytes more could not be written down."""
        if self.record is not None and not self.record.has_room(size):
            raise QuotaExceeded("there is no room to write down more processes")

    @property
    def limit(self) -> int:
        """How many caps a client may have: one more has to be written down, too."""
        return OBJECT_LIMIT if self.record is None or self.record.has_room() else 0

    # Program files

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

    # Processes and launchers

    async def lost(self) -> None:
        """Processes whose faults the pager does not answer are over. If it knows of none it was started anew."""
        found = await self._untold()
        if not found:
            await after_the_pager(self)
        while found:
            ended = [self.by_child[each.space] for each in found if each.space in self.by_child]
            for each in found:
                process = self.by_child.get(each.space)
                if process is not None and not process.state.is_over:
                    process.state = _ending(Message(each.label, each.words))
            # The pager tells of each once.
            await self.save()
            for process in ended:
                await process.finish()
            found = await self._untold()

    async def _untold(self) -> list[Lost]:
        found: list[Lost] = await self.workshop.pager.ask(lambda pager: pager.lost())
        return found

    async def ended(self, number: int, msg: Message) -> None:
        """A process says that it is over, or did what it must not."""
        process = self.by_child.get(number)
        if process is not None:
            await process.end(_ending(msg))

    def child(self, fund: Fund) -> Child:
        """Something to build a process with: a number, and time. Raises QuotaExceeded."""
        if not self.times or not self.free_numbers:
            raise QuotaExceeded("this server has no time left for another process")
        return Child(self.workshop, self.free_numbers.pop(), fund, self.times.pop())

    def next_number(self) -> int:
        """The number of the next process."""
        self.next_process += 1
        return self.next_process - 1

    def began(self, process: ProcessServant, child: Child) -> None:
        """A process is being made of it."""
        self.processes[process.id] = process
        self.by_child[child.number] = process

    def children(self) -> list[Child]:
        """The processes that have not ended."""
        return [process.child for process in self.by_child.values() if process.child is not None]

    def returned(self, child: Child) -> None:
        """A process is no more: its number and its time serve again."""
        self.by_child.pop(child.number, None)
        self.free_numbers.append(child.number)
        self.times.append(child.time)
        self.late = [each for each in self.late if each is not child]

    async def give_time(self) -> None:
        """Give those their time that have none, as far as that can be."""
        for child in list(self.late):
            if await child.get_time():
                self.late.remove(child)

    def launcher(self, parent: LauncherServant, memory: int, processes: int) -> LauncherServant:
        """A new launcher below another, of which nothing has been made yet."""
        return self._launcher(parent.fund, memory, processes, parent)

    def _launcher(
        self, above: Fund, memory: int, processes: int, parent: LauncherServant | None = None, channel: int = 0
    ) -> LauncherServant:
        fund = Purse(self.workshop, above, above.new_number())
        launcher = LauncherServant(self, self.next_launcher, fund, memory, processes, parent, channel)
        self.next_launcher += 1
        self.launchers[launcher.id] = launcher
        return launcher

    def open_session(self, launcher: LauncherServant) -> int:
        """A session for a process that is a client. Raises QuotaExceeded."""
        if self._next_session >= self._end_session:
            raise QuotaExceeded("this server has had as many clients as it can tell apart in one life")
        session = self._next_session
        self._next_session += 1
        self.sessions[session] = launcher
        launcher.sessions.append(session)
        return session

    def close_sessions(self, launcher: LauncherServant) -> None:
        """Nobody can use a launcher any more."""
        for session in launcher.sessions:
            self.sessions.pop(session, None)
        self.service.revoke(launcher)

    def closed(self, launcher: LauncherServant) -> None:
        """A launcher is no more."""
        del self.launchers[launcher.id]


async def _only(root: Any, get: Any) -> Any:
    """A cap from a server of which a former life may have had others: these are closed."""
    await root.revoke()
    return await get()


def _object(servant: Interface) -> KeptObject:
    if not isinstance(servant, ProcessServant | LauncherServant):
        raise TypeError(f"a process server gives out processes and launchers, no {type(servant).__name__}")
    return KeptObject(isinstance(servant, LauncherServant), servant.id)


def _ending(msg: Message) -> Status:
    """How a process ended, from its last message, which may say anything."""
    if msg.label == user.EXIT_LABEL and len(msg.words) == 1:
        return Status(State.EXITED, signed(msg.words[0] & WORD_MASK))
    try:
        fault = decode_fault(msg.label, tuple(msg.words))
    except ValueError:
        return Status(State.FAULTED, fault="Unknown", text="it said what means nothing")
    return Status(State.FAULTED, fault=fault.name, pc=fault.words.get("ip", 0) & _PC, text=str(fault))


@frozen
class Left:
    """For the next program: which version of the table is the last one."""

    version: int


def served(text: str) -> dict[int, Serves]:
    """Whom it serves, by channel, with these quotas. Raises QuotaError."""
    return dict.fromkeys(read_quotas(text).launchers, Serves(Launcher))


class Program:
    """The server's hooks."""

    uses: ClassVar[Uses] = Uses(
        asks={
            BASE_ENDPOINT_CAP + FILES: Asks(Directory), BASE_ENDPOINT_CAP + MEMORY: Asks(Account),
            BASE_ENDPOINT_CAP + PAGER: Asks(PagingControl, optional=True),
            **{BASE_ENDPOINT_CAP + channel: Asks(Directory, optional=True) for channel in MORE_FILES},
        },
        serves=ByTable("quotas", served),
        signals={SUPERVISOR: Role.SUPERVISOR, UPDATE: Role.UPDATE},
        needs=frozenset({"quotas", "programs"}), holds=frozenset({ENDPOINT}),
    )

    def __init__(self) -> None:
        self.server: Any = None
        self.handover: Any = None

    async def init(self, pd: PD) -> None:
        """Go on from the table, or begin one."""
        pd.spare_replies.extend(range(FIRST_REPLY, FIRST_REPLY + REPLIES))
        text = (await read(quotas, quotas_size)).rstrip(b"\0").decode()
        installed = user.decode_table(await read(programs, programs_size))
        self.server = Server(pd, text, installed)
        await self.server.service.open()
        if table and state:
            self.handover = Handover(pd, Left, SharedRegion(state, state_size), SUPERVISOR, UPDATE)
        try:
            if self.handover is None or not await self.handover.go_on(self._take_up):
                await self._restore()
        except ValueError as problem:
            await pd.print(f"{pd.name}: what a former life has written down is of no use: {problem}\n")
            self.server = Server(pd, text, installed)
            await self.server.record.forget()
        await (go_on(self.server) if self.server.launchers else self.server.begin())

    async def _restore(self) -> None:
        """Be what a former life was, if it wrote anything down. Raises ValueError."""
        record = self.server.record
        found = None if record is None else await record.load()
        if found is not None:
            restore(self.server, found, await record.offered())

    async def _take_up(self, left: Left) -> None:
        await self._restore()
        if self.server.record.version != left.version:
            raise ValueError("this is not the table that was left")

    async def notified(self, pd: PD, ch: int) -> None:
        """The supervisor wants a sign of life, or another program in this one's place."""
        await self.server.give_time()
        if ch == SUPERVISOR:
            await pd.notify(SUPERVISOR)
        elif ch == PAGER:
            await self.server.lost()
            await self.server.service.run_ready()
        elif ch == UPDATE and self.handover is None:
            await decline(pd, "there is no memory that outlives the processes")
        elif ch == UPDATE:
            await self.server.save()
            await self.handover.give_way(Left(self.server.record.version))

    async def fault(self, pd: PD, child: int, msg: Message) -> bool:
        """A process ended."""
        await self.server.ended(child, msg)
        await self.server.service.run_ready()
        return False

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A client asks."""
        self.server.service.limit = self.server.limit
        answer = await self.server.service.protected(msg)
        await self.server.arrived()
        return answer
