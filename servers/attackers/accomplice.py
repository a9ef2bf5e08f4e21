"""Changes memory all the time that an attacker shares with a server: under the server's feet."""

from random import Random
from typing import Final

from capkernel.user.loop import PD
from capkernel.user.messages import SharedRegion
from servers.attackers.aim import BYTES, Aim, Mode, Swap, place_of

region: int = 0
region_size: int = 0x1_0000

WORDS: Final = 32
"""At the start of the region, where requests lie."""
PAUSE: Final = 150
"""Ticks between two changes."""
CHANGES: Final = 20_000


class Program:
    """The accomplice."""

    async def init(self, pd: PD) -> None:
        """Wait."""

    async def notified(self, pd: PD, ch: int) -> None:
        """Change a word, and another one, and so on, until it is over, or for as long as an attack may take."""
        chance = Random(pd.name)
        place = place_of(SharedRegion(region, region_size))
        for _ in range(CHANGES):
            aim = Aim.decode(await pd.read(place, BYTES))
            if aim.mode is Mode.OVER:
                break
            if aim.mode is Mode.NOISE:
                word = chance.choice((0, 1, 8, 1 << 16, 1 << 63, chance.getrandbits(64)))
                await pd.store(region + 8 * chance.randrange(WORDS), word)
            elif aim.swaps:
                await self._swap(pd, chance.choice(aim.swaps))
            await pd.compute(PAUSE)

    async def _swap(self, pd: PD, swap: Swap) -> None:
        """Let the word be the other one."""
        is_one = await pd.load(region + swap.offset) == swap.one
        await pd.store(region + swap.offset, swap.other if is_one else swap.one)
