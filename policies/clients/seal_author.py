"""Writes a document that anybody may read, and only who has the unsealer may change: rights amplification."""

from typing import Any

from capkernel.protocols.again import insist
from capkernel.protocols.files import READ, Directory
from capkernel.protocols.interface import Cap
from capkernel.protocols.sealing import Brands
from capkernel.user.loop import PD
from policies.clients.exchange import Party

FILES, SEALS, TO_EDITOR, TO_CARRIER = 310, 311, 312, 313
"""Slots: the directory; the server of brands; pigeonholes, the second of which anybody may look into."""


class Program:
    """The client."""

    is_sealing = True
    """Whether the cap to change the document is sealed when it leaves the house."""

    async def init(self, pd: PD) -> None:
        """Hand the unsealer to the editor, and the box with the document to whoever carries it."""
        me = Party(pd, 0)
        document = await me.at(Directory, FILES).create("document")
        await document.write(0, b"draft ")
        brand: Any = await insist(me.at(Brands, SEALS).make)
        sealer: Any = await insist(brand.sealer)
        await me.put(TO_EDITOR, await insist(brand.unsealer))
        await me.put(TO_CARRIER, await document.restrict(READ))
        inside = await document.derive()
        await me.put(TO_CARRIER, await insist(sealer.seal, Cap(inside.cap)) if self.is_sealing else inside)

    async def notified(self, pd: PD, ch: int) -> None:
        """Nobody does."""
