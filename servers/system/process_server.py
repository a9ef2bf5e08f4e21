"""The process server: programs from the file system, started with just the caps that they are given.

Of its own it has no memory for processes, and no time: memory comes from an account of the memory server, time is a few
scheduling contexts whose budgets the system's description has fixed. It calls nobody but the memory server, the pager
and file servers that it knows; a file that a client hands over is opened through these, so that no stranger can keep it
waiting.

A process is a TCB, a CNode, an address space and a scheduling context, all of its launcher's quota. Faults and exits
come as messages to this server's endpoint with the number of the process in the badge. The caps for that are revoked,
and messages through them withdrawn, before the number is used again.
"""

from itertools import count
from typing import Any, Final

from capkernel.abi.words import WORD_MASK, signed
from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import Gone, Malformed, QuotaExceeded, ServerDied, TooLarge
from capkernel.protocols.files import INLINE, READ, Directory, File
from capkernel.protocols.interface import Interface
from capkernel.protocols.memory import PAGE, Account
from capkernel.protocols.paging import PagingControl
from capkernel.protocols.processes import MAX_PROGRAM, State, Status
from capkernel.protocols.service import FIRST_OPENED, Service
from capkernel.user import process as user
from capkernel.user import stubs
from capkernel.user.allocators import SlotAllocator
from capkernel.user.faults import decode_fault
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from capkernel.user.messages import SharedRegion
from capkernel.user.operations import read
from capkernel.user.syscalls import Message
from servers.system.funds import Fund, Refound, let_go
from servers.system.process_child import ENDPOINT, Child
from servers.system.process_objects import OWN_CNODE, Workshop
from servers.system.process_servants import LauncherServant, ProcessServant
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
FIRST_TIME = 320
FIRST_REPLY, REPLIES = 340, 16
FIRST_SLOT, END_SLOT = 380, 510
MAX_PROCESSES: Final = 256
CHUNK: Final = 0x8000
_LIFE_SHIFT: Final = 14


class Server:
    """The processes, and what they are made with."""

    def __init__(self, pd: PD, text: str, table: bytes) -> None:
        self.sys = pd.sys
        self.quotas = read_quotas(text)
        self.installed = user.decode_table(table)
        self.inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        connection = Connection(pd.sys, self.inbox)
        self.root = Fund(lambda: self._root_account(connection))
        region = SharedRegion(files_region, files_region_size) if files_region else None
        self.files = [self._file_server(FILES, Connection(pd.sys, self.inbox, region), CHUNK if region else INLINE)]
        self.files += [
            self._file_server(channel, connection, INLINE) for channel in MORE_FILES if pd.values.pps >> channel & 1
        ]
        control = connect(PagingControl, Connection(pd.sys, self.inbox), BASE_ENDPOINT_CAP + PAGER)
        self.workshop = Workshop(pd.sys, self.inbox, Refound(control.derive))
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
            await stubs.sched_context_unbind(self.sys, time)
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

    async def lost(self) -> None:
        """Processes whose faults the pager does not answer are over."""
        while found := await self.workshop.pager.ask(lambda pager: pager.lost()):
            for each in found:
                await self.ended(each.space, Message(each.label, each.words))

    def child(self, fund: Fund) -> Child:
        """Something to build a process with: a number, and time. Raises QuotaExceeded."""
        if not self.times or not self.free_numbers:
            raise QuotaExceeded("this server has no time left for another process")
        return Child(self.workshop, self.free_numbers.pop(), fund, self.times.pop())

    def next_number(self) -> int:
        """The number of the next process."""
        return next(self.numbers)

    def started(self, process: ProcessServant, child: Child) -> None:
        """A process has been made of it."""
        self.by_child[child.number] = process

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
        self.service = self.server.service = Service(pd, roots=self._root, endpoint=ENDPOINT, inbox=self.server.inbox)
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
