"""A server whose objects outlive it, without a kernel: clients' requests are made by hand, and it dies anywhere.

What outlives it is the memory of its record and the caps in slots that last. What a client was told is what counts: a
cap that came to him leads to the same object in every life.
"""

from collections.abc import Callable
from typing import Any

from capkernel.protocols.failures import Failure, NotFound, ServerDied
from capkernel.protocols.interface import Interface
from capkernel.protocols.lasting import Lockers, Slots
from capkernel.protocols.service import Service
from capkernel.user.loop import ENDPOINT_BADGE, PD
from capkernel.user.pdimage import PDValues
from tests.policies.test_desk import Crash, World


class Inbox:
    """Where caps arrive: those that were given up are noted."""

    sys: Any = None

    def __init__(self) -> None:
        self.discarded: list[int] = []

    async def open(self) -> None:
        pass

    async def discard(self, slot: int) -> None:
        self.discarded.append(slot)


class Shelf(Lockers):
    """Slots that last: what is in them is in a dictionary that outlives the server."""

    def __init__(self, world: World, contents: dict[int, int], count: int = 1000) -> None:
        inbox: Any = Inbox()
        super().__init__(inbox, Slots(0, 0, count))
        self.world = world
        self.contents = contents

    async def move(self, cap: int, slot: int) -> None:
        self.world.act()
        assert slot not in self.contents
        self.contents[slot] = cap

    async def empty(self, slot: int) -> None:
        if slot in self.contents:
            self.world.act()
            del self.contents[slot]


Life = Callable[[PD, Shelf], tuple[Service, Any]]
"""A life of the server: its service, and what is awaited first."""


class Server:
    """It, over all its lives."""

    def __init__(self, live: Life) -> None:
        self.world = World()
        self.contents: dict[int, int] = {}
        self.live = live
        self.lives = 0
        self.restart()

    def restart(self) -> None:
        """Begin a new life, which comes to be served."""
        self.lives += 1
        self.shelf = Shelf(self.world, self.contents)
        self.service, begun = self.live(PD(PDValues(name="server"), life=self.lives), self.shelf)
        self.world.run(begun)

    def root(self, session: int) -> int:
        """The badge of a client's own cap."""
        return ENDPOINT_BADGE | session

    def ask(self, badge: int, name: str, *arguments: Any, dies: int | None = None) -> Any:
        """A request through a cap, as (badge of the new cap, None) or (None, result).

        Raises failures. The server dies after so many things that it does to the world, which is ServerDied.
        """
        self.world.left = dies
        try:
            return self.world.run(self._ask(badge, name, arguments))
        except Crash:
            self.world.left = None
            self.restart()
            raise ServerDied("it died over it") from None
        finally:
            self.world.left = None

    async def _ask(self, badge: int, name: str, arguments: tuple[Any, ...]) -> Any:
        settle: Any = self.service._settle
        try:
            entry = self.service._find(badge)
            if name == "drop":
                self.service._lift(entry)
                await self.service._tell_closed(self.service._close(entry))
                given = None, None
            elif not hasattr(entry.servant, name):
                raise NotFound(f"it has no operation {name}")
            else:
                result = await getattr(entry.servant, name)(*arguments)
                is_object = isinstance(result, Interface)
                given = (self.service._add(result, entry).badge, None) if is_object else (None, result)
        except Failure:
            await settle()
            raise
        await settle()
        # The answer goes out.
        self.world.act()
        return given
