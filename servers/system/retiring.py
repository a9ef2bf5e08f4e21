"""How a program gives way to another that goes on with what it has written down (``Supervision.update``).

The supervisor signals the service's update channel. The program finishes what it has begun, writes down its state in
memory that outlives it, and retires: it signals back, and serves nothing more. (If it cannot, it goes on as before, and
gives signs of life.) Who calls from then on waits at the endpoint, which outlives it too, until the next program
answers. That one reads the state, gives a sign of life before it serves anybody, and forgets the state. If it comes to
grief before the sign, the former program starts again from the same state: nobody was served meanwhile.

A program that has no update channel is destroyed in whatever it does; who waited for its answer gets ``ServerDied``.
"""

from collections.abc import Awaitable, Callable
from typing import Final, Generic, NoReturn, TypeVar

from capkernel.protocols.failures import Failure
from capkernel.user.kept import KeptValue
from capkernel.user.loop import PD
from capkernel.user.messages import SharedRegion

T = TypeVar("T")
NOTHING: Final = 0
LEFT: Final = int.from_bytes(b"is left", "little")
REFUSED: Final = int.from_bytes(b"refused", "little")
"""What the first word of the memory says: there is nothing; a state; one of which a program could make nothing. No
damage to a single byte makes nothing of something.
"""
_WORD: Final = 8


class UnusableState(Exception):
    """What the program before has left is damaged, or means nothing to this one."""


async def retire(pd: PD, channel: int) -> NoReturn:
    """Say that everything is written down, and serve nothing more."""
    await pd.notify(channel)
    while True:
        await pd.sys.yield_()


async def decline(pd: PD, reason: object) -> None:
    """Say why this program goes on. The supervisor understands it by the signs of life."""
    await pd.print(f"{pd.name}: cannot give way: {reason}\n")


class Handover(Generic[T]):
    """A value of an attrs class that a program leaves to the next one, in a ``region`` as this program maps it.

    A program that cannot use what it finds ends before its sign of life, so nobody goes on from half a state. What it
    found is left for the former program. If that one cannot use it either it is forgotten, and the next start begins
    with nothing, as after a crash. ``supervisor`` and ``update`` are channels.
    """

    def __init__(self, pd: PD, kind: type[T], region: SharedRegion, supervisor: int, update: int) -> None:
        self.pd = pd
        self.mark = region.vaddr
        self.supervisor = supervisor
        self.update = update
        self._kept = KeptValue(kind, SharedRegion(region.vaddr + _WORD, region.size - _WORD))

    async def go_on(self, take_up: Callable[[T], Awaitable[None]]) -> bool:
        """Take up what was left, once, and give the sign of life; false if there was nothing. To be awaited before
        anybody is served: from here on there is no way back to the program before. Raises UnusableState.
        """
        found, value = await self.pd.load(self.mark), await self._kept.load()
        if found == NOTHING:
            return False
        try:
            if value is None:
                raise ValueError("it cannot be read")
            await take_up(value)
        except (ValueError, Failure) as problem:
            await self.pd.store(self.mark, REFUSED if found == LEFT else NOTHING)
            await self.pd.print(f"{self.pd.name}: what was left is of no use: {problem}\n")
            raise UnusableState(str(problem)) from problem
        await self.pd.notify(self.supervisor)
        await self.pd.store(self.mark, NOTHING)
        return True

    async def give_way(self, value: T) -> None:
        """Leave a value, and retire. Returns only if the value does not fit: then this program goes on."""
        try:
            # Should the value be damaged, nothing older is to be taken for it.
            await self._kept.forget()
            await self._kept.save(value)
        except ValueError as problem:
            await decline(self.pd, problem)
            return
        await self.pd.store(self.mark, LEFT)
        await retire(self.pd, self.update)
