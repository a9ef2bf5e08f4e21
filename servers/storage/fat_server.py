"""The file server for FAT (``volume_server`` says what it does)."""

from servers.storage.fat_volume import FatVolume
from servers.storage.volume_server import VolumeServer


class Program(VolumeServer):
    """The server."""

    kind = FatVolume
