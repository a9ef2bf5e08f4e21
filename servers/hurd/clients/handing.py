"""How one client hands another a cap, in the demonstrations."""

from abc import abstractmethod

from capkernel.protocols.interface import Cap, Interface, operation


class Hands(Interface, number=118):
    """Somebody who takes what he is given, and does with it what he likes."""

    @operation(1)
    @abstractmethod
    async def take(self, cap: Cap) -> None:
        """Here is a cap."""
