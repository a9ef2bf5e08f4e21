"""A sigma0 that does not write down what it has handed out."""

from capkernel.protocols.l4 import Fpage
from servers.l4 import frame_table, sigma0


class FrameTable(frame_table.FrameTable):
    """The mistake."""

    def take(self, fpage: Fpage) -> None:
        """Take pages that will be free again at once."""
        super().take(fpage)
        self.give_back(fpage)


class Program(sigma0.Program):
    """The server."""

    make_table = FrameTable
