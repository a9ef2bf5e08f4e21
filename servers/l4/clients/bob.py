"""A client that only sends, and counts what he has sent."""

from typing import Final

from capkernel.user.loop import PD
from servers.l4.clients.teller import NOTE
from servers.l4.ipc import Ipc

report: int = 0

TELLER: Final = 0
COUNT: Final = 30
PAUSE = 350


async def init(pd: PD) -> None:
    """Send notes; each returns when it was received."""
    ipc = Ipc(pd)
    for number in range(1, COUNT + 1):
        await ipc.send(TELLER, NOTE, (number,))
        await pd.store(report, number)
        await pd.compute(PAUSE)
