"""What every driver of a disk checks before it does what a client asks."""

from capkernel.protocols.block import SECTOR, Block
from capkernel.protocols.failures import Malformed, ServerDied


class CheckedBlock(Block):
    """A disk of so many ``sectors``, with a transfer region of so many bytes; whoever uses it must first have asked."""

    def __init__(self, sectors: int, transfer_size: int) -> None:
        self.sectors = sectors
        self.transfer_size = transfer_size
        self.is_known = False

    def need_known(self) -> None:
        """Raises ServerDied unless somebody has asked what this disk is since the driver was started."""
        if not self.is_known:
            raise ServerDied("the driver was started anew; ask what the disk is")

    def checked(self, sector: int, count: int, offset: int) -> int:
        """The bytes of a transfer. Raises Malformed beyond the end of disk or transfer region, ServerDied."""
        self.need_known()
        if not 0 < count <= self.sectors or not 0 <= sector <= self.sectors - count:
            raise Malformed(f"{count} sectors at {sector}: the disk has {self.sectors}")
        length = count * SECTOR
        if length > self.transfer_size or not 0 <= offset <= self.transfer_size - length:
            raise Malformed(f"{length} bytes at {offset}: the transfer region has {self.transfer_size}")
        return length
