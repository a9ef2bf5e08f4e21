"""The file server for littlefs (``volume_server`` says what it does)."""

from capkernel.user.messages import SharedRegion
from servers.storage import volume_server
from servers.storage.littlefs_volume import LittlefsVolume

transfer: int = 0
transfer_size: int = 0x1_0000
client_region: int = 0
client_region_size: int = 0x1_0000
reader_region: int = 0
reader_region_size: int = 0x1_0000
names: int = 0
names_size: int = 0x1000
second_transfer: int = 0
second_transfer_size: int = 0x1_0000
state: int = 0
state_size: int = 0x1_0000


class Program(volume_server.VolumeServer):
    """The server."""

    kind = LittlefsVolume

    def places(self) -> volume_server.Places:
        """The memory that the description gives it."""
        return volume_server.Places(
            SharedRegion(transfer, transfer_size), SharedRegion(client_region, client_region_size),
            SharedRegion(reader_region, reader_region_size), SharedRegion(names, names_size),
            SharedRegion(second_transfer, second_transfer_size), SharedRegion(state, state_size),
        )  # fmt: skip
