"""Uses what other machines lend: files of one, and a copier of another, which it hands a file of its own.

It makes a file at each step, with a name of its own, and counts what came of it; when it was taken back it tries all
that it ever held.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import Failure, Gone, NotFound
from capkernel.protocols.files import READ, READ_WRITE, Directory
from capkernel.protocols.remote import Remote, Uncertain, Unreachable
from capkernel.protocols.remote_copying import Copier
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import PD
from policies.clients.trying import works

report: int = 0
orders: int = 0

OWN_CNODE, GATEWAY, HOME, FIRST_SLOT, END_SLOT = 301, 310, 311, 330, 500
DONE, SEEN, COPIED, MADE, UNREACHABLE, UNCERTAIN, OTHER, LAST, TRIES, AFTER, CALL_US = range(11)
"""Words of the report: the end; whether a file read back as it was written; bytes that were copied between two others;
files made; attempts of which nothing was done, and of which nobody knows; other failures; when the last that worked was
begun, in microseconds; tries after the end, and those that worked; how long the first call took.
"""
TEXT: Final = b"from the traveller" * 50
PAUSE_TICKS: Final = 30_000
TICKS_PER_US: Final = 10


class Program:
    """The client."""

    def __init__(self) -> None:
        self.pd: Any = None
        self.words = [0] * 11
        self.kept: list[Any] = []

    async def init(self, pd: PD) -> None:
        """Use, until it is over; then try everything."""
        self.pd = pd
        connection = Connection(pd.sys, Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT)))
        gateway: Any = connect(Remote, connection, GATEWAY)
        home: Any = connect(Directory, connection, HOME)
        library: Any = connect(Directory, connection, await self._sought(gateway, "c", "library"), is_owned=True)
        copier: Any = connect(Copier, connection, await self._sought(gateway, "b", "copier"), is_owned=True)
        self.kept = [library, await self._use(library)]
        await self._copy(home, library, copier)
        while await self._make(library):
            await pd.compute(PAUSE_TICKS)
        for way in self._ways(gateway):
            self.words[TRIES] += 1
            self.words[AFTER] += await works(way())
        self.words[DONE] = 1
        await self._tell()

    async def _sought(self, gateway: Any, machine: str, name: str) -> int:
        """What is offered, when the other machine is there."""
        while True:
            try:
                found: int = await gateway.lookup(machine, name)
                return found
            except (Unreachable, Uncertain, NotFound):
                await self.pd.compute(PAUSE_TICKS)

    async def _use(self, library: Any) -> Any:
        began = await self.pd.clock()
        file = await library.create("hello")
        self.words[CALL_US] = (await self.pd.clock() - began) // TICKS_PER_US
        await file.write(0, b"hello from afar")
        self.words[SEEN] = (await (await library.open("hello", READ)).read(6, 100)) == b"from afar"
        return file

    async def _copy(self, home: Any, library: Any, copier: Any) -> None:
        """Three machines: this one's file, another's copier, a third one's directory."""
        mine = await home.create("mine")
        for at in range(0, len(TEXT), 500):
            await mine.write(at, TEXT[at : at + 500])
        there = await copier.into(library)
        count = await there.copy(mine, "copied")
        copied = await library.open("copied", READ_WRITE)
        is_same = b"".join([await copied.read(at, 500) for at in range(0, count, 500)]) == TEXT
        self.words[COPIED] = count if is_same else 0
        self.kept += [there, copied]
        await self._tell()

    async def _make(self, library: Any) -> bool:
        """Make one more file, and count; false when it is over."""
        began = await self.pd.clock()
        number = sum(self.words[MADE : OTHER + 1])
        try:
            file = await library.create(f"n{number}")
            self.words[MADE] += 1
            self.words[LAST] = began // TICKS_PER_US
            await file.drop()
        except Gone:
            return False
        except Unreachable:
            self.words[UNREACHABLE] += 1
        except Uncertain:
            self.words[UNCERTAIN] += 1
        except Failure:
            self.words[OTHER] += 1
        await self._tell()
        return True

    def _ways(self, gateway: Any) -> list[Callable[[], Awaitable[Any]]]:
        library, file, there, copied = self.kept
        return [
            lambda: library.list(0), lambda: library.create("late"), lambda: library.open("hello", READ),
            lambda: file.read(0, 5), lambda: file.write(0, b"still mine"), lambda: copied.write(0, b"still mine"),
            lambda: there.copy(file, "late"), lambda: gateway.lookup("c", "library"),
        ]  # fmt: skip

    async def _tell(self) -> None:
        for place, word in enumerate(self.words[1:], 1):
            await self.pd.store(report + 8 * place, word)
        await self.pd.store(report, self.words[DONE])

    async def notified(self, pd: PD, ch: int) -> None:
        """Time passes; nothing to be done."""
