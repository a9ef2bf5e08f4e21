"""Sends bytes through TCP for ever and checks every one that comes back; connects anew when its server was."""

from random import Random
from typing import ClassVar

from capkernel.protocols.client import Connection
from capkernel.protocols.network import Dialer, Stream
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from capkernel.user.messages import SharedRegion
from servers.clients.churning import Churning
from servers.neighbours import Asks, Uses, neighbour
from servers.net.closing import let_go
from servers.net.http_client import send_all

region: int = 0
region_size: int = 0x1_0000
report: int = 0

ECHO = 2
"""Channel."""
OWN_CNODE, FIRST_SLOT, END_SLOT = 301, 400, 500
SIZE = 2000
"""Bytes in a round: more than a frame holds."""
LONG = 16
"""Rounds in a connection."""
PATIENCE = 10_000
"""Milliseconds: somebody on the way may lose every frame and seem to be in good health, so nobody waits for ever."""


class Program(Churning):
    """The client."""

    uses: ClassVar[Uses] = Uses(
        asks={BASE_ENDPOINT_CAP + ECHO: Asks(Dialer)}, needs=frozenset({"report"}), shares=frozenset({"region"})
    )

    def __init__(self) -> None:
        super().__init__()
        self.stream: Stream | None = None

    async def init(self, pd: PD) -> None:
        """For ever: send, receive, compare."""
        inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        connection = Connection(pd.sys, inbox, SharedRegion(region, region_size))
        echo: Dialer = neighbour(Dialer, pd, connection, BASE_ENDPOINT_CAP + ECHO)
        await self.forever(pd, report, lambda: self._exchange(echo))

    async def _exchange(self, echo: Dialer) -> None:
        """One round; whatever interrupts it ends the connection."""
        stream, self.stream = self.stream, None
        if stream is None:
            stream = await echo.connect(PATIENCE)
        data, back = Random(self.rounds).randbytes(SIZE), bytearray()
        try:
            await send_all(stream, data)
            while len(back) < SIZE and (piece := await stream.read(SIZE - len(back), PATIENCE)):
                back += piece
        except Exception:
            await let_go(stream)
            raise
        self.lost += back != data
        if back != data or self.rounds % LONG == LONG - 1:
            await let_go(stream)
        else:
            self.stream = stream
