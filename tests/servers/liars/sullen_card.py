"""A card's driver that lives, gives signs of life, and fails every exchange but the first ones, in its first life."""

from capkernel.protocols.failures import DeviceError
from capkernel.protocols.link import Exchanged, Frame
from capkernel.user.loop import PD
from servers.drivers import virtio_net
from servers.drivers.virtio_net import LinkServant

registers: int = 0
rings: int = 0
EXCHANGES = 12
"""That it makes rightly in its first life."""


class SullenLink(LinkServant):
    """The card, as long as it is asked."""

    left = 1 << 30

    async def exchange(self, transmit: list[Frame], provide: list[int]) -> Exchanged:
        """Do it, or not."""
        if self.left <= 0:
            raise DeviceError("no")
        self.left -= 1
        return await super().exchange(transmit, provide)


class Program(virtio_net.Program):
    """The driver."""

    async def init(self, pd: PD) -> None:
        """Note which life this is."""
        virtio_net.registers, virtio_net.rings = registers, rings
        await super().init(pd)
        self.link = SullenLink(self.card)
        if pd.life == 1:
            self.link.left = EXCHANGES
