"""Owns memory and an interrupt that somebody else would like to have; nothing happens to it."""

from capkernel.user.loop import PD

memory: int = 0

HEARD = 0x1000
"""Offset of the word that counts what reached it."""
PATTERN = bytes(range(256)) * 16


async def init(pd: PD) -> None:
    """Fill the first page."""
    await pd.write(memory, PATTERN)


async def notified(pd: PD, ch: int) -> None:
    """Something reached it."""
    await pd.store(memory + HEARD, await pd.load(memory + HEARD) + 1)
