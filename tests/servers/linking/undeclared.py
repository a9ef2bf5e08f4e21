"""A client that asks for a directory and declares nothing of it."""

from capkernel.protocols.client import Connection
from capkernel.protocols.files import Directory
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from servers.neighbours import neighbour

report: int = 0

FILES, TOLD = 0, 7


class Program:
    """The client."""

    async def init(self, pd: PD) -> None:
        """Look whether there is anything, and tell it."""
        await neighbour(Directory, pd, Connection(pd.sys), BASE_ENDPOINT_CAP + FILES).list(0)
        await pd.notify(TOLD)
