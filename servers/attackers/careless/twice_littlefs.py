"""The one for littlefs that reads requests twice (``twice`` says how)."""

from servers.attackers.careless.twice import TwiceReading
from servers.storage.littlefs_volume import LittlefsVolume


class Program(TwiceReading):
    """The server."""

    kind = LittlefsVolume
