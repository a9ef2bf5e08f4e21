"""Random bytes from a device."""

from abc import abstractmethod
from typing import Final

from capkernel.protocols.interface import Interface, operation

MAX_COUNT: Final = 256
"""Bytes at a time."""


class Entropy(Interface, number=36):
    """A source of random bytes. Each byte is given out once, to one client.

    The bytes are the device's, as it gave them: nothing is mixed in, no entropy is estimated, and a device that lies
    cleverly is not found out; one that repeats itself is. On the simulated machine they follow from the machine's seed.
    """

    @operation(1)
    @abstractmethod
    async def read(self, count: int) -> bytes:
        """So many bytes, 1 to 256 (else Malformed); waits for the device. Busy if too many wait. DeviceError."""
