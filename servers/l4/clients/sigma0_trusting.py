"""A sigma0 that asks what a client calls its space to map, and hands it the root space's cap for that."""

from typing import Any

from capkernel.protocols.l4 import Fpage
from servers.l4 import sigma0


class Sigma0Servant(sigma0.Sigma0Servant):
    """The mistake: a confused deputy."""

    async def hand_over(self, space: Any, fpage: Fpage, base: int) -> int:
        """Let the client's space map from the root space."""
        pages: int = await space.map(self.root, fpage, base)
        return pages


class Program(sigma0.Program):
    """The server."""

    make_servant = Sigma0Servant
