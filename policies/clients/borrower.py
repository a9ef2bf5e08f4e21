"""Uses what it was lent, keeps what it can get of it, and goes on when it was taken back: an attacker of membranes."""

from collections.abc import Awaitable, Callable
from typing import Any

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import Failure, Gone, ServerDied
from capkernel.protocols.files import READ, READ_WRITE, Directory
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import PD
from policies.clients.trying import works

report: int = 0

OWN_CNODE, HOME, FIRST_SLOT, END_SLOT = 301, 310, 330, 500
DONE, BEFORE, LAST, TRIES, AFTER = range(5)
"""Words of the report: the end; what it did while it might; when the last thing that worked was begun, at the object
that it was lent; tries after that; those that worked.
"""
PAUSE, TICKS_PER_US, ROUNDS = 2_000, 10, 3


class Program:
    """The attacker."""

    async def init(self, pd: PD) -> None:
        """Get and keep, until it is over; then use what was kept."""
        connection = Connection(pd.sys, Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT)))
        self.home: Any = connect(Directory, connection, HOME)
        self.kept: list[Any] = []
        words = [0] * 5
        while True:
            began = await pd.clock() // TICKS_PER_US
            try:
                await self.home.list(0)
            except ServerDied:
                continue
            except Gone:
                break
            words[LAST] = began
            if len(self.kept) < 10:
                words[BEFORE] += await self._collect()
            await pd.compute(PAUSE)
        for _ in range(ROUNDS):
            for way in self._ways():
                words[TRIES] += 1
                words[AFTER] += await works(way())
            await pd.compute(PAUSE)
        words[DONE] = 1
        for place, word in enumerate(words):
            await pd.store(report + 8 * place, word)

    async def _collect(self) -> int:
        """Open, derive and move things, so that caps pass in both directions; how much of it worked."""
        count, name = 0, f"d{len(self.kept)}"
        try:
            directory = await self.home.make_directory(name)
            self.kept.append(directory)
            file = await directory.create("f")
            self.kept.append(file)
            await file.write(0, b"mine")
            # A cap that came from the other side, and goes back there.
            await directory.rename("f", directory, "g")
            await self.home.rename(name, self.home, name + "x")
            ways = (file.derive, lambda: directory.open("g", READ), lambda: file.restrict(READ_WRITE), directory.derive)
            for way in ways:
                self.kept.append(await way())
                count += 1
            count += await self.kept[-4].read(0, 4) == b"mine"
        except Failure:
            pass
        return count

    def _ways(self) -> list[Callable[[], Awaitable[Any]]]:
        """To use what was kept, to get more through it, to begin anew."""
        home, ways = self.home, []
        for each in self.kept:
            ways += [each.derive, each.revoke, lambda each=each: each.restrict(READ)]
            if isinstance(each, Directory):
                ways += [
                    lambda each=each: each.list(0), lambda each=each: each.create("new"),
                    lambda each=each: each.open("g", READ), lambda each=each: each.rename("g", each, "h"),
                    lambda each=each: each.rename("g", home, "h"), lambda each=each: home.rename("d0x", each, "h"),
                ]  # fmt: skip
            else:
                ways += [lambda each=each: each.read(0, 4), lambda each=each: each.write(0, b"still mine")]
                ways += [lambda each=each: home.adopt(each, READ)]
        return [*ways, home.derive, home.drop, lambda: home.list(0), home.revoke, home.derive]

    async def notified(self, pd: PD, ch: int) -> None:
        """Nobody does."""
