"""Membranes, for whoever put one up: to cut it, and to ask how it stands."""

from abc import abstractmethod

from attrs import frozen

from capkernel.protocols.interface import Interface, operation


@frozen
class MembraneInfo:
    """Whether a membrane is cut, and through how many objects on both sides it leads."""

    is_cut: bool
    objects: int


class MembraneControl(Interface, number=74):
    """All membranes of a server, by the names of those for whom they were put up. NotFound for another name."""

    @operation(1)
    @abstractmethod
    async def cut(self, name: str) -> int:
        """End a membrane: when this is answered nothing that was reached through it works, on either side, and it never
        will. Returns through how many objects it led.
        """

    @operation(2)
    @abstractmethod
    async def info(self, name: str) -> MembraneInfo:
        """How it stands."""
