"""An honest client of every server that is attacked. It asks each of them again and again, and looks at each answer.

For each server it writes down how many requests were answered as they should be, how many were not, and how long the
slowest one took. It lets the attackers begin when it has seen each server once.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

from capkernel.protocols.attacks import MOST_TOLD, ROW, SERVERS, TEXT, place_of, text_of
from capkernel.protocols.audit import Audit, AuditReader
from capkernel.protocols.block import SECTOR, Block
from capkernel.protocols.client import Connection, connect
from capkernel.protocols.clocks import RealTimeClock, Timer
from capkernel.protocols.console import Console
from capkernel.protocols.entropy import Entropy
from capkernel.protocols.failures import AlreadyExists, Failure, Unsupported
from capkernel.protocols.files import READ, Directory
from capkernel.protocols.interface import Cap
from capkernel.protocols.log import Level, Log, LogReader
from capkernel.protocols.memory import PAGE, Account, Use
from capkernel.protocols.mounts import Mounts
from capkernel.protocols.names import Endowed, NameSpace
from capkernel.protocols.network import Dialer
from capkernel.protocols.paging import Pager
from capkernel.protocols.processes import Launcher, State
from capkernel.protocols.spawn import spawn
from capkernel.protocols.supervision import State as ServiceState
from capkernel.protocols.supervision import Supervision
from capkernel.protocols.usage import Usage
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import PD
from capkernel.user.messages import SharedRegion

report: int = 0
transfer: int = 0
transfer_size: int = 0x1_0000
"""The mirror's memory for transfers."""
services: int = 0
services_size: int = 0x1000
"""Memory shared with the supervisor."""

OWN_CNODE, FIRST_SERVER, FIRST_READER, GUEST, FIRST_SLOT, END_SLOT = 301, 310, 340, 342, 400, 500
"""Caps: to our own CNode; to the servers, in the order of ``SERVERS``; to read log and trail; to somebody to whom our
names are shown; slots.
"""
KEPT: Final = "kept"
CONTENT: Final = b"what is here is to stay\n" * 8
PLACE: Final = 100
"""A sector of the mirror."""
PAUSE_US: Final = 2_000
LOOK: Final = 2_000
"""Ticks that it takes to look at a sector."""
SELDOM: Final = 8
"""Of so many rounds, in one: what a client may do only so often, and what takes long."""
TICKS_PER_US: Final = 10


class Wrong(Exception):
    """An answer is not what it should be."""


def _need(is_right: bool, what: object) -> None:
    if not is_right:
        raise Wrong(str(what))


class Program:
    """The client."""

    def __init__(self) -> None:
        self.pd: Any = None
        self.connection: Any = None
        self.rows = {name: [0, 0, 0] for name in SERVERS}
        self.told: list[str] = []
        self.round = 0
        self.latest = 0
        self.clock = 0

    async def init(self, pd: PD) -> None:
        """Round after round."""
        self.pd = pd
        self.connection = Connection(pd.sys, Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT)))
        await self._prepare()
        asks = {name: getattr(self, f"_{name}") for name in SERVERS}
        while True:
            for name, ask in asks.items():
                await self._asked(name, ask)
            self.round += 1
            await pd.store(report, self.round)
            if self.round == 1:
                for channel in range(pd.values.notifications.bit_length()):
                    if pd.values.notifications >> channel & 1:
                        await pd.notify(channel)
            await self._asked("timer", self._pause, PAUSE_US)

    def _server(self, interface: Any, name: str) -> Any:
        return connect(interface, self.connection, FIRST_SERVER + SERVERS.index(name))

    async def _prepare(self) -> None:
        """What is found later."""
        for name in ("files", "fat", "scratch"):
            root = self._server(Directory, name)
            try:
                file = await root.create(KEPT)
            except AlreadyExists:
                continue
            await file.write(0, CONTENT)
            await file.sync()
            await file.drop()
        names = self._server(NameSpace, "names")
        await names.bind(KEPT, Cap(FIRST_SERVER))
        shown = await names.restrict([KEPT], False)
        with suppress(Failure):
            await connect(Endowed, self.connection, GUEST).endow(shown)
        await shown.forget()
        block = self._server(Block, "mirror")
        await block.info()
        await self.pd.write(transfer, CONTENT.ljust(SECTOR, b"\0"))
        await block.write(PLACE, 1, 0)

    async def _asked(self, name: str, ask: Callable[[], Awaitable[None]], meant_us: int = 0) -> None:
        """Ask a server, and write down what came of it; ``meant_us`` of the time are not its fault."""
        row = self.rows[name]
        before = await self.pd.clock()
        try:
            await ask()
        except Unsupported:
            # In the place of one that cannot run on this machine stands one that says so.
            return
        except (Failure, Wrong) as problem:
            row[1] += 1
            if len(self.told) < MOST_TOLD:
                self.told.append(f"{name}, round {self.round}: {type(problem).__name__}: {problem}")
                await self.pd.write(report + TEXT, text_of(self.told))
        else:
            row[0] += 1
        row[2] = max(row[2], (await self.pd.clock() - before) // TICKS_PER_US - meant_us)
        await self.pd.write(report + place_of(SERVERS.index(name)), ROW.pack(*row))

    @property
    def _is_seldom(self) -> bool:
        return self.round % SELDOM == 0

    async def _console(self) -> None:
        await self._server(Console, "console").write(f"neighbour {self.round}")

    async def _timer(self) -> None:
        timer = self._server(Timer, "timer")
        before = await timer.now()
        await timer.sleep(100)
        _need(await timer.now() >= before + 100, "it was too short")

    async def _pause(self) -> None:
        await self._server(Timer, "timer").sleep(PAUSE_US)

    async def _rtc(self) -> None:
        now = await self._server(RealTimeClock, "rtc").now()
        if not self.latest:
            self.latest = now
        _need(self.latest <= now <= self.latest + 10**10, f"the clock shows {now}, after {self.latest}")
        self.latest = now

    async def _entropy(self) -> None:
        data = await self._server(Entropy, "entropy").read(16)
        _need(len(data) == 16 and any(data), data)

    async def _ramdisk(self) -> None:
        info = await self._server(Block, "ramdisk").info()
        _need(info.sectors > 0, info)

    async def _mirror(self) -> None:
        block = self._server(Block, "mirror")
        await self.pd.write(transfer, bytes(SECTOR))
        await block.read(PLACE, 1, 0)
        # Whoever can change it has time to do so.
        await self.pd.compute(LOOK)
        _need(await self.pd.read(transfer, len(CONTENT)) == CONTENT, "the sector is another one")

    async def _log(self) -> None:
        reader = connect(LogReader, self.connection, FIRST_READER)
        if self._is_seldom:
            number = await self._server(Log, "log").append(Level.INFO, f"round {self.round}")
            mine = [entry for entry in await reader.after(number - 1) if entry.number == number]
            _need([entry.author for entry in mine] == ["neighbour"], mine)
        else:
            await reader.tail(1)

    async def _audit(self) -> None:
        reader = connect(AuditReader, self.connection, FIRST_READER + 1)
        before = (await reader.info()).number
        if self._is_seldom:
            _need(await self._server(Audit, "audit").record([f"round {self.round}"]) > before, "no record")

    async def _names(self) -> None:
        space = self._server(NameSpace, "names")
        cap = await space.lookup(KEPT)
        await self.connection.inbox.discard(cap)
        found = [name.name for name in await space.names(0)]
        _need(found == [KEPT], found)

    async def _supervisor(self) -> None:
        connection = Connection(self.pd.sys, None, SharedRegion(services, services_size))
        found = await connect(Supervision, connection, FIRST_SERVER + SERVERS.index("supervisor")).services()
        ill = [each.label for each in found if each.state is not ServiceState.RUNNING or each.crashes]
        _need(len(found) > 0 and not ill, ill)

    async def _usage(self) -> None:
        labels = [each.label for each in await self._server(Usage, "usage").consumed()]
        _need("usage" in labels, labels)

    async def _files(self) -> None:
        root = self._server(Directory, "files")
        await self._read(root)
        if self._is_seldom:
            file = await root.create("own")
            await file.write(0, CONTENT)
            await file.sync()
            _need(await file.read(0, len(CONTENT)) == CONTENT, "what was written is another thing")
            await file.drop()
            await root.remove("own")
        _need([entry.name for entry in await root.list(0)] == [KEPT], "there are other names")

    async def _fat(self) -> None:
        await self._read(self._server(Directory, "fat"))

    async def _scratch(self) -> None:
        await self._read(self._server(Directory, "scratch"))

    async def _mounts(self) -> None:
        await self._read(self._server(Mounts, "mounts"))

    async def _bin(self) -> None:
        root = self._server(Directory, "bin")
        await self._read(root, "hello", b"#!capkernel hello\n")

    async def _read(self, root: Any, name: str = KEPT, content: bytes = CONTENT) -> None:
        file = await root.open(name, READ)
        _need(await file.read(0, 2 * len(content)) == content, f"{name} is another one")
        await file.drop()

    async def _memory(self) -> None:
        account = self._server(Account, "memory")
        memory = await account.allocate(1, 4 * PAGE, Use.FRAMES)
        await self.connection.inbox.discard(await memory.frame(3))
        await memory.drop()
        info = await account.info()
        _need(info.left == info.quota, info)

    async def _processes(self) -> None:
        launcher = self._server(Launcher, "processes")
        if self._is_seldom:
            program = await self._server(Directory, "bin").open("hello", READ)
            process: Any = await spawn(launcher, program, [], name="hello")
            status = await process.wait()
            await process.drop()
            await program.drop()
            _need((status.state, status.code) == (State.EXITED, 0), status)
        quota = await launcher.quota()
        _need(not quota.processes_taken and not quota.memory_taken, quota)

    async def _pager(self) -> None:
        segment: Any = await self._server(Pager, "pager").zeros(8 * PAGE, 2)
        info = await segment.info()
        await segment.drop()
        _need((info.size, info.frames) == (8 * PAGE, 2), info)

    async def _network(self) -> None:
        stream: Any = await self._server(Dialer, "network").connect(30_000)
        await stream.write(CONTENT, 30_000)
        found = b""
        while len(found) < len(CONTENT) and (part := await stream.read(len(CONTENT), 30_000)):
            found += part
        await stream.drop()
        _need(found == CONTENT, "what came back is another thing")
