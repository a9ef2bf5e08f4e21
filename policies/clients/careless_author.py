"""An author who does not seal: what leaves the house is the cap itself."""

from capkernel.user.loop import PD as PD
from policies.clients import seal_author


class Program(seal_author.Program):
    """The client."""

    is_sealing = False
