"""Who used how much processor time."""

from abc import abstractmethod

from attrs import frozen

from capkernel.protocols.interface import Interface, operation


@frozen
class Consumed:
    """A domain, and for how many microseconds it ran since the usage server was started."""

    label: str
    us: int


class Usage(Interface, number=56):
    """Processor time, for whoever may look."""

    @operation(1)
    @abstractmethod
    async def consumed(self) -> list[Consumed]:
        """All domains that are counted."""
