"""The file server of nodes on a disk, with littlefs: nodes, their owners and their passive translators last."""

from capkernel.protocols.block import Block
from capkernel.protocols.client import Connection, connect
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from capkernel.user.messages import SharedRegion
from servers.hurd.node_server import NodeServer
from servers.storage.cache import CachedDisk
from servers.storage.disk import Disk
from servers.storage.littlefs_volume import LittlefsVolume
from servers.storage.tree import Volume

DISK = 0


class Program(NodeServer):
    """The server. ``transfer`` is shared with the disk's driver."""

    transfer: int = 0
    transfer_size: int = 0x1_0000

    async def volume(self, pd: PD) -> Volume:
        """On the disk; a blank one gets a file system."""
        block = connect(Block, Connection(pd.sys), BASE_ENDPOINT_CAP + DISK)
        volume = LittlefsVolume(CachedDisk(Disk(block, SharedRegion(self.transfer, self.transfer_size))))
        await volume.open()
        return volume
