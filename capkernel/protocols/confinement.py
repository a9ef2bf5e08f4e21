"""Confinement: a factory makes processes of which it is known what they hold to speak to the outside (KeyKOS, EROS).

A builder puts a program and its caps together, and seals that. A requester is told which of the caps are *holes*, ways
by which something can come out, and has processes made that hold these caps and nothing else. So he may trust a program
with a secret of which he knows nothing, and its builder need not show it to him.
"""

from abc import abstractmethod

from attrs import frozen

from capkernel.protocols.files import File
from capkernel.protocols.interface import Cap, Interface, operation
from capkernel.protocols.processes import Process


@frozen
class Certificate:
    """The names of the holes; none if what is made is confined. ``components`` counts all caps that it is given."""

    holes: list[str]
    components: int


class Factory(Interface, number=72):
    """A sealed factory. Who has the cap from a stranger asks ``Factories.adopt`` first, not whoever is behind it."""

    @operation(1)
    @abstractmethod
    async def certificate(self) -> Certificate:
        """What its processes can speak through. It never changes."""

    @operation(2)
    @abstractmethod
    async def create(self) -> Process:
        """A process, which runs. What it is to work on it is given by whoever asked. QuotaExceeded, ServerDied."""


class Workshop(Interface, number=61):
    """A factory that is being built. Refused once it is sealed. Names are 1 to 32 characters; AlreadyExists."""

    @operation(1)
    @abstractmethod
    async def program(self, file: File) -> None:
        """The program. Malformed if the file is not one of the file server's that this server trusts."""

    @operation(2)
    @abstractmethod
    async def file(self, name: str, file: File) -> None:
        """A file to read: no hole, whatever the cap that is handed over could do. Malformed, as ``program``."""

    @operation(3)
    @abstractmethod
    async def hole(self, name: str, cap: Cap) -> None:
        """Anything else, of which this server cannot know what it leads to."""

    @operation(4)
    @abstractmethod
    async def factory(self, name: str, factory: Factory) -> None:
        """A sealed factory of this server's: its holes are holes here, too, as ``name/hole``. Malformed for another."""

    @operation(5)
    @abstractmethod
    async def seal(self) -> Factory:
        """The factory. Nothing can be put in any more. Refused without a program; again, it is the same factory."""


class Factories(Interface, number=60):
    """Where factories are built, and known."""

    @operation(1)
    @abstractmethod
    async def make(self) -> Workshop:
        """A new one, with nothing in it."""

    @operation(2)
    @abstractmethod
    async def adopt(self, factory: Factory) -> Factory:
        """Another cap to a factory of this server's. Malformed if it is none: then nobody knows what it is."""
