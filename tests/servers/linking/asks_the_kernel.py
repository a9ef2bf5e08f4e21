"""A client that asks who is behind its channel through the kernel: in a domain of its own that would do."""

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.files import Directory
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD

report: int = 0


class Program:
    """The client."""

    async def init(self, pd: PD) -> None:
        """Ask."""
        await connect(Directory, Connection(pd.sys), BASE_ENDPOINT_CAP).list(0)
