"""Carries a sealed box to the editor, and would like to change what is in it: an attacker of seals."""

from typing import Any

from capkernel.protocols.again import insist
from capkernel.protocols.files import READ, READ_WRITE, File
from capkernel.protocols.interface import Cap
from capkernel.protocols.sealing import Box, Brands
from capkernel.user.loop import PD
from policies.clients.exchange import Party
from policies.clients.trying import works

report: int = 0

SEALS, FROM_AUTHOR, TO_EDITOR = 311, 312, 313
DONE, READINGS, TRIES, OPENED, WRITTEN = range(5)
"""Words of the report: the end; whether it could read, as it may; tries; boxes that it opened; changes that it made."""
FORGERIES = 3


class Program:
    """The attacker."""

    async def init(self, pd: PD) -> None:
        """Try everything, then hand over forged boxes before the real one."""
        me, words = Party(pd, report), [0] * 5
        reader = await me.take(FROM_AUTHOR, File)
        box = await me.take(FROM_AUTHOR, Box)
        words[READINGS] = await reader.read(0, 5) == b"draft"
        brand: Any = await insist(me.at(Brands, SEALS).make)
        sealer: Any = await insist(brand.sealer)
        unsealer: Any = await insist(brand.unsealer)
        for opened in (box, sealer, unsealer, brand, reader, await insist(sealer.seal, Cap(reader.cap))):
            words[TRIES] += 1
            if await works(_opened_and_used(me, unsealer, opened)):
                words[OPENED] += 1
        # The box as if it were what is in it, the reading cap as if it were more, and each other's operations.
        for stub in (box, reader, unsealer, sealer):
            file: Any = me.at(File, stub.cap)
            words[TRIES] += 2
            words[WRITTEN] += await works(file.write(0, b"forged"))
            words[WRITTEN] += await works(_widened(file))
        for _ in range(FORGERIES):
            await me.put(TO_EDITOR, await insist(sealer.seal, Cap(reader.cap)))
        await me.put(TO_EDITOR, reader)
        await works(me.put(TO_EDITOR, box))
        words[DONE] = 1
        await me.tell(*words)

    async def notified(self, pd: PD, ch: int) -> None:
        """Nobody does."""


async def _widened(file: Any) -> None:
    """Make more of a cap, and change something through it."""
    await (await file.restrict(READ_WRITE)).write(0, b"forged")


async def _opened_and_used(me: Party, unsealer: Any, box: Any) -> None:
    """Open a box, and change what is in it."""
    file: Any = me.at(File, await unsealer.open(box), is_owned=True)
    await file.write(0, b"forged")
    await file.restrict(READ)
