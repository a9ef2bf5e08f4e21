"""Changes memory all the time that an attacker shares with a server: under the server's feet."""

from random import Random
from typing import Final

from capkernel.user.loop import PD

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
        """Change a word, and another one, and so on, for as long as an attack may take."""
        chance = Random(pd.name)
        for _ in range(CHANGES):
            word = chance.choice((0, 1, 8, 1 << 16, 1 << 63, chance.getrandbits(64)))
            await pd.store(region + 8 * chance.randrange(WORDS), word)
            await pd.compute(PAUSE)
