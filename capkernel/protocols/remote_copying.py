"""Copying from file to directory, by a server that need not be where either is."""

from abc import abstractmethod

from capkernel.protocols.files import Directory, File
from capkernel.protocols.interface import Interface, operation


class Copier(Interface, number=121):
    """Copies files into one directory, with nothing but the caps that it is handed."""

    @operation(1)
    @abstractmethod
    async def into(self, target: Directory) -> "Copier":
        """A copier into another directory."""

    @operation(2)
    @abstractmethod
    async def copy(self, source: File, name: str) -> int:
        """Make a new file with what is in ``source``; how many bytes that was. NotFound without a directory; what the
        file or the directory raises.
        """
