"""Pigeonholes: somebody puts caps in, somebody else takes them out, and neither can call the other."""

from abc import abstractmethod

from capkernel.protocols.interface import Cap, Interface, operation


class Slot(Interface, number=62):
    """Where caps are put in."""

    @operation(1)
    @abstractmethod
    async def put(self, cap: Cap) -> None:
        """Behind those that are there. QuotaExceeded if there are too many."""


class Pigeonhole(Interface, number=63):
    """Where they are taken out."""

    @operation(1)
    @abstractmethod
    async def take(self) -> Cap:
        """The first. NotFound if there is none."""
