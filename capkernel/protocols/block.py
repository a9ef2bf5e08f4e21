"""Block devices: sectors between a device and memory that client and device share."""

from abc import abstractmethod
from typing import Final

from attrs import frozen

from capkernel.protocols.interface import Interface, operation

SECTOR: Final = 512
"""Bytes."""


@frozen
class BlockInfo:
    """What a disk is: its sectors of 512 bytes, whether it can be written, the bytes of memory for transfers."""

    sectors: int
    is_read_only: bool
    transfer_size: int
    name: str


class Block(Interface, number=1):
    """A disk, or a part of one. Data goes to and from a *transfer region*, which client and device share.

    A client first asks for ``info``. A driver that was started anew answers everything else with ``ServerDied`` until
    then: so nobody goes on with another disk than he believes.

    A write that was answered may be lost when the power goes, until a later ``flush`` has been answered. Requests that
    wait at the same time are done in any order. All raise ``DeviceError`` when the device fails.
    """

    @operation(1)
    @abstractmethod
    async def info(self) -> BlockInfo:
        """What the disk is."""

    @operation(2)
    @abstractmethod
    async def read(self, sector: int, count: int, offset: int) -> None:
        """Read ``count`` sectors into the transfer region at ``offset`` bytes. Malformed beyond the end of either."""

    @operation(3)
    @abstractmethod
    async def write(self, sector: int, count: int, offset: int) -> None:
        """Write ``count`` sectors from the transfer region at ``offset`` bytes. NotPermitted if it is read-only."""

    @operation(4)
    @abstractmethod
    async def flush(self) -> None:
        """Make durable all writes that were answered before."""
