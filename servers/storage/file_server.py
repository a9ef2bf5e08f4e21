"""The file server for littlefs (``volume_server`` says what it does)."""

from servers.storage.littlefs_volume import LittlefsVolume
from servers.storage.volume_server import VolumeServer


class Program(VolumeServer):
    """The server."""

    kind = LittlefsVolume
