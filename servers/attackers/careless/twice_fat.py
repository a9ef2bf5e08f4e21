"""The one for FAT that reads requests twice (``twice`` says how)."""

from servers.attackers.careless.twice import TwiceReading
from servers.storage.fat_volume import FatVolume


class Program(TwiceReading):
    """The server."""

    kind = FatVolume
