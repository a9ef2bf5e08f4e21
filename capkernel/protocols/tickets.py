"""Numbers, each given out once: the smallest server whose mistakes everybody would see."""

from abc import abstractmethod

from capkernel.protocols.interface import Interface, operation


class Tickets(Interface, number=5):
    """Consecutive numbers from 1 on, for whoever asks."""

    @operation(1)
    @abstractmethod
    async def take(self) -> int:
        """The next number; nobody else gets it."""

    @operation(2)
    @abstractmethod
    async def version(self) -> int:
        """The version of the program that answers."""
