"""Starts processes, waits for them, and reports what came of it.

A server that dies meanwhile is asked again in its next life. Processes outlive their server: who waited for one waits
again, and it is started anew only if it was still being prepared.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from capkernel.protocols.again import insist
from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import AlreadyExists, Gone, ServerDied
from capkernel.protocols.files import READ, READ_WRITE, Directory
from capkernel.protocols.paging import Pager
from capkernel.protocols.processes import Launcher, State, Status
from capkernel.protocols.spawn import Share, ending, killed, spawn
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from servers.system.funds import let_go

report: int = 0

LAUNCHER, FILES, PAGER = 0, 1, 3
OWN_CNODE, FIRST_SLOT, END_SLOT = 301, 400, 500
DONE, GREETED, READER, FAULTED, KILLED, SIBLING, FORKED = range(0, 56, 8)
SUM, FAULTS, PAGE_INS, PAGE_OUTS, LEFT, AGAIN = range(56, 104, 8)
"""Offsets of the words in the report: 1 at the end; exit codes of the greeter and the reader; 1 if the stray process
ended by a fault; 1 if the sleeper was killed; the exit code of a sibling of the forker; how many processes the forker
had; the adder's sum; what the pager counted; bytes that are still taken at the end; how often something was done again.
"""
PAGES: Final = 64
FRAMES: Final = 8
PAGE: Final = 4096
CONTENT: Final = b"what there is to read\n"
TRIES: Final = 20


class Program:
    """The client."""

    def __init__(self) -> None:
        self.root: Any = None
        self.launcher: Any = None
        self.again = 0

    async def init(self, pd: PD) -> None:
        """One after the other."""
        connection = Connection(pd.sys, Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT)))
        self.launcher = connect(Launcher, connection, BASE_ENDPOINT_CAP + LAUNCHER)
        self.root = connect(Directory, connection, BASE_ENDPOINT_CAP + FILES)
        pager = connect(Pager, connection, BASE_ENDPOINT_CAP + PAGER)
        greeted = await self.surely(lambda: self.run("greeter", ["hello", "world"]))
        read = await self.surely(self.reader)
        lost = await self.surely(lambda: self.run("stray", ["0x66666000"]))
        killed = await self.surely(self.sleeper)
        sibling, forked = await self.surely(self.forker)
        added, counted = await self.surely(lambda: self.adder(pager))
        left = (await self.surely(self.launcher.quota)).memory_taken
        for where, word in (
            (GREETED, greeted.code), (READER, read.code), (FAULTED, int(lost.state is State.FAULTED)),
            (KILLED, int(killed.state is State.KILLED)), (SIBLING, sibling.code), (FORKED, forked),
            (SUM, added.code), (FAULTS, counted.faults), (PAGE_INS, counted.page_ins),
            (PAGE_OUTS, counted.page_outs), (LEFT, left), (AGAIN, self.again), (DONE, 1),
        ):  # fmt: skip
            await pd.store(report + where, word)

    async def surely(self, do: Callable[[], Awaitable[Any]]) -> Any:
        """Do something, and again if a server died."""
        for left in reversed(range(TRIES)):
            try:
                return await do()
            except (ServerDied, Gone):
                self.again += 1
                if not left:
                    raise
        raise AssertionError("the last try returns, or raises")

    async def file(self, name: str, content: bytes) -> Any:
        """A file with this content."""
        try:
            file = await self.root.create(name)
        except AlreadyExists:
            file = await self.root.open(name, READ_WRITE)
        await file.write(0, content)
        return file

    async def program(self, name: str) -> Any:
        """A file that names an installed program."""
        return await self.file(name, f"#!capkernel {name}\n".encode())

    async def run(self, name: str, arguments: list[str], caps: Any = None, segment: Any = None) -> Status:
        """Start a program, and wait for it."""
        file = await self.program(name)
        child: Any = await spawn(self.launcher, file, arguments, caps, name=name, segment=segment)
        try:
            return await ending(child)
        finally:
            await let_go(file)
            await insist(child.drop)

    async def reader(self) -> Status:
        """With one file, to read."""
        file = await self.file("text", CONTENT)
        lent = await (await file.restrict(READ)).derive()
        return await self.run("reader", [], {"input": lent})

    async def sleeper(self) -> Status:
        """Killed while it computes."""
        child: Any = await spawn(self.launcher, await self.program("sleeper"), ["sleeper"])
        await self.run("greeter", [])
        status = await killed(child)
        await insist(child.drop)
        return status

    async def forker(self) -> tuple[Status, int]:
        """It uses up what it has; a sibling of it notices nothing; then all that it started ends with it."""
        program = await self.program("forker")
        part: Any = await self.launcher.split(0x8_0000, 6)
        caps = {"launcher": Share(0x6_0000, 5), "program": await program.derive()}
        child: Any = await spawn(part, program, ["forker"], caps, slots=True)
        status = Status(State.PREPARED)
        for _ in range(12):
            status = await self.run("greeter", ["from", "a", "sibling"])
        taken = (await part.quota()).processes_taken
        await insist(child.drop)
        await insist(part.drop)
        return status, taken

    async def adder(self, pager: Pager) -> tuple[Status, Any]:
        """More memory than there is."""
        segment: Any = await pager.zeros(PAGES * PAGE, FRAMES)
        status = await self.run("adder", [str(PAGES)], segment=segment)
        counted = await segment.info()
        await segment.drop()
        return status, counted
