"""The powerbox: a program that may open no file asks, and the user chooses one, which is all that the program gets."""

from abc import abstractmethod
from typing import Final

from capkernel.protocols.files import File
from capkernel.protocols.interface import Interface, operation

MAX_PURPOSE: Final = 64
"""Bytes of what a program may say for itself."""


class Powerbox(Interface, number=71):
    """The way to the user's files, for one program, by the user's own choice (Yee 2004; Seaborn's Plash 2007)."""

    @operation(1)
    @abstractmethod
    async def ask(self, purpose: str, rights: int) -> File:
        """Ask for a file, to be used with these rights of ``files``, or fewer if the user says so (``File.info``).

        A purpose is up to 64 bytes of ASCII that can be printed; else Malformed. NotPermitted if the user will not
        have it; QuotaExceeded if the program asks too often; ServerDied if there is nobody to read files or answers.
        """
