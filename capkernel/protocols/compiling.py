"""A compiler as a service, twice: told by name where to put its output, or given a cap to it (``confused-deputy``)."""

from abc import abstractmethod

from capkernel.protocols.files import File
from capkernel.protocols.interface import Interface, operation


class AclFiles(Interface, number=68):
    """Files by name, each with a list of who may use it. Who asks follows from the cap.

    NotPermitted for whoever is not on the list; NotFound. A file has at most 512 bytes, else TooLarge.
    """

    @operation(1)
    @abstractmethod
    async def read(self, name: str) -> bytes:
        """All of a file."""

    @operation(2)
    @abstractmethod
    async def write(self, name: str, data: bytes) -> None:
        """Let this be all of a file."""


class NamingCompiler(Interface, number=69):
    """A compiler that is told the names of files, and opens them with its own authority."""

    @operation(1)
    @abstractmethod
    async def compile(self, source: str, output: str) -> None:
        """Compile, put the result into a file of this name, and charge for it. Fails as ``AclFiles.write`` does."""

    @operation(2)
    @abstractmethod
    async def charges(self) -> int:
        """How many charges are on the bill."""


class Compiler(Interface, number=70):
    """A compiler that is given a cap to the file for its output, and has no other way to it."""

    @operation(1)
    @abstractmethod
    async def compile(self, source: str, output: File) -> None:
        """Compile, put the result into this file, and charge for it. Fails as ``File.write`` does."""

    @operation(2)
    @abstractmethod
    async def charges(self) -> int:
        """How many charges are on the bill."""
