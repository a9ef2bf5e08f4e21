"""The POSIX server: one personality over a directory of a file server and a launcher of a process server.

It holds a cap to one directory, which is ``/`` for its processes, and a part of the process server's quota. What its
processes may do to each other they do through it; to anybody else they can do nothing.

All that it knows of processes ends with it: its next life has none, and kills those that it finds. Files stay. If the
process server dies they go on, and what was being started is started again.
"""

from typing import Any

from capkernel.protocols.again import insist
from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import ServerDied
from capkernel.protocols.files import Directory
from capkernel.protocols.interface import Cap, Interface
from capkernel.protocols.processes import Launcher, Process
from capkernel.protocols.service import Service
from capkernel.protocols.spawn import give_up, prepared, start
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from capkernel.user.syscalls import Message
from servers.posix.calls import Calls
from servers.posix.table import INIT, Entry
from servers.posix.world import World

SUPERVISOR, CLIENT, PROCESSES, ENDED = 1, 2, 3, 20
"""Channels; the last is signalled when a process has ended."""
NOTIFICATION, ENDPOINT, OWN_CNODE, ROOT, FIRST_SLOT, END_SLOT = 299, 300, 301, 310, 400, 500
SPARE_REPLIES = range(302, 310)
"""For processes that wait: for a pipe, or for a child."""
NAME = "posix"
"""The cap by which a process makes its calls."""


class Program:
    """The server."""

    def __init__(self) -> None:
        self.pd: Any = None
        self.service: Any = None
        self.world: Any = None
        self.launcher: Any = None
        self.inbox: Any = None
        self.servants: dict[int, Calls] = {}

    async def init(self, pd: PD) -> None:
        """Find the files; whoever was left behind by a former life is ended."""
        self.pd, self.inbox = pd, Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        pd.spare_replies = list(SPARE_REPLIES)
        connection = Connection(pd.sys, self.inbox)
        self.launcher = connect(Launcher, connection, BASE_ENDPOINT_CAP + PROCESSES)
        await insist(self.launcher.revoke)
        self.service = Service(pd, roots=self._root, endpoint=ENDPOINT, inbox=self.inbox)
        await self.service.open()
        while True:
            self.world = World(connect(Directory, connection, ROOT), self)
            try:
                await self.world.open()
            except ServerDied:
                continue
            break

    def _root(self, session: int) -> Interface | None:
        return self._calls(INIT) if session == CLIENT else None

    def _calls(self, pid: int) -> Calls:
        if pid not in self.servants:
            self.servants[pid] = Calls(self.world, self.world.table.entries[pid])
        return self.servants[pid]

    async def start(self, entry: Entry, program: Any, arguments: list[str]) -> Process:
        """Start a program as a process of ours. Raises failures: then nothing is left of it."""
        given = self.service.give(self._calls(entry.pid), CLIENT)
        slot = self.inbox.slots.alloc()
        name = arguments[0] if arguments else NAME
        try:
            await self.service.mint(given, slot)
            process = await prepared(self.launcher, program, {NAME: slot}, name=name)
        finally:
            await self.inbox.discard(slot)
        try:
            async with self.inbox.lent_signal(NOTIFICATION, ENDED) as signal:
                await process.watch(Cap(signal))
            await start(process, arguments)
        except Exception:
            await give_up(process)
            raise
        return process

    async def notified(self, pd: PD, ch: int) -> None:
        """A process has ended, or the supervisor wants a sign of life."""
        if ch == SUPERVISOR:
            await pd.notify(SUPERVISOR)
        await self.world.look()
        await self._settle()

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A process makes a call."""
        answer = await self.service.protected(msg)
        await self._settle()
        return answer

    async def _settle(self) -> None:
        """Let those go on who waited for what has happened; forget the calls of those who have ended."""
        await self.service.run_ready()
        for pid in [pid for pid in self.servants if pid not in self.world.table.entries or self._is_over(pid)]:
            self.service.revoke(self.servants.pop(pid))

    def _is_over(self, pid: int) -> bool:
        return self.world.table.entries[pid].ending is not None
