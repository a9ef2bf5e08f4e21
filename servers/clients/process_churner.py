"""Starts processes for ever and checks what becomes of them. They outlive the process server: each that was started is
waited for until it ends, and ends rightly; one that was still being prepared when a server died is started again.
"""

from typing import Any, TypeVar

from capkernel.protocols.again import insist
from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import AlreadyExists, Failure, Gone
from capkernel.protocols.files import READ, READ_WRITE, Directory
from capkernel.protocols.interface import Interface
from capkernel.protocols.paging import Pager
from capkernel.protocols.processes import Launcher, State, Status
from capkernel.protocols.spawn import ending, killed, spawn
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from servers.clients.churning import Churning
from servers.clients.process_client import (
    CONTENT,
    END_SLOT,
    FILES,
    FIRST_SLOT,
    FRAMES,
    LAUNCHER,
    OWN_CNODE,
    PAGE,
    PAGER,
)
from servers.system.funds import let_go

report: int = 0

PAGES = 2 * FRAMES
"""Of a process that needs more memory than it has."""
I = TypeVar("I", bound=Interface)  # noqa: E741


class Program(Churning):
    """The client."""

    def __init__(self) -> None:
        super().__init__()
        self.launcher: Any = None
        self.root: Any = None
        self.pager: Any = None
        self.held: list[Interface] = []
        """Caps that are given up at the end of a round, however it ends."""

    async def init(self, pd: PD) -> None:
        """For ever: one process after the other."""
        connection = Connection(pd.sys, Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT)))
        self.launcher = connect(Launcher, connection, BASE_ENDPOINT_CAP + LAUNCHER)
        self.root = connect(Directory, connection, BASE_ENDPOINT_CAP + FILES)
        self.pager = connect(Pager, connection, BASE_ENDPOINT_CAP + PAGER)
        await self.forever(pd, report, self._one)

    async def _one(self) -> None:
        kinds = self._greeter, self._reader, self._stray, self._sleeper, self._adder
        try:
            await kinds[self.rounds % len(kinds)]()
        finally:
            while self.held:
                await self._close(self.held.pop())

    async def _close(self, cap: Any) -> None:
        """Give up a cap, also if the server does not know it any more."""
        try:
            await insist(cap.drop)
        except Failure:
            await let_go(cap)

    def _hold(self, cap: I) -> I:
        self.held.append(cap)
        return cap

    async def _file(self, name: str, content: bytes) -> Any:
        try:
            file = self._hold(await self.root.create(name))
        except AlreadyExists:
            file = self._hold(await self.root.open(name, READ_WRITE))
        await file.write(0, content)
        return file

    async def _start(self, name: str, arguments: list[str], caps: Any = None, segment: Any = None) -> Any:
        program = await self._file(name, f"#!capkernel {name}\n".encode())
        return self._hold(await spawn(self.launcher, program, arguments, caps, name=name, segment=segment))

    async def _run(self, name: str, arguments: list[str], caps: Any = None, segment: Any = None) -> Status:
        child = await self._start(name, arguments, caps, segment)
        return await ending(child)

    def _expect(self, status: Status, code: int) -> None:
        """A process that lost its files or its memory may end by a fault, and is started again. Raises Gone."""
        if status.state is not State.EXITED:
            raise Gone(f"the process is {status.state.name}")
        self.lost += status.code != code

    async def _greeter(self) -> None:
        self._expect(await self._run("greeter", ["hello", "world"]), 2)

    async def _reader(self) -> None:
        file = await self._file("text", CONTENT)
        lent = self._hold(await self._hold(await file.restrict(READ)).derive())
        self._expect(await self._run("reader", [], {"input": lent}), len(CONTENT))

    async def _stray(self) -> None:
        self.lost += (await self._run("stray", ["0x66666000"])).state is State.EXITED

    async def _sleeper(self) -> None:
        child = await self._start("sleeper", ["sleeper"])
        standing = await insist(child.status)
        is_right = standing == Status(State.RUNNING) and await killed(child) == Status(State.KILLED)
        self.lost += not is_right

    async def _adder(self) -> None:
        segment = self._hold(await self.pager.zeros(PAGES * PAGE, FRAMES))
        self._expect(await self._run("adder", [str(PAGES)], segment=segment), PAGES * (PAGES + 1) // 2)
