"""In the network server's place: sends what a test has prepared to the card's driver."""

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import FIRST_LABEL
from capkernel.protocols.link import Link
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from capkernel.user.messages import SPILLED
from capkernel.user.syscalls import Message
from tests.servers.net.hostile import MESSAGES

packets: int = 0
policy: int = 0
regions: int = 0

LINK = 0
SENT, DONE, ODD = 0, 8, 16


class Program:
    """The attacker; what it finds is at the start of the packet memory."""

    async def init(self, pd: PD) -> None:
        """Open the card, and send everything."""
        odd = 0
        link = connect(Link, Connection(pd.sys), BASE_ENDPOINT_CAP + LINK)
        await link.open()
        for number, (_, message) in enumerate(MESSAGES):
            reply = await pd.sys.call(BASE_ENDPOINT_CAP + LINK, message)
            label = reply.label & ~SPILLED
            odd += bool(label) and not FIRST_LABEL < label < FIRST_LABEL + 64
            await pd.store(packets + SENT, number + 1)
        await pd.store(packets + ODD, odd)
        await pd.store(packets + DONE, 1)

    async def notified(self, pd: PD, ch: int) -> None:
        """Nothing is done about it."""

    async def protected(self, pd: PD, ch: int, msg: Message) -> Message:
        """Nobody is served."""
        return Message()
