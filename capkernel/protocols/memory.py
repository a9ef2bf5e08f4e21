"""Memory by exact quotas: who has an account allocates from it, and gives others a part of it as an account below.

All sizes are bytes, in whole pages of 4 KiB. What is in use, what was given to accounts below and what is left add up
to the quota, always. Numbers are the client's own names for what it made in an account: asking again under the same
number gives another cap to the same thing, so that a client whose question was not answered may ask again, and one
whose caps died with the server finds everything again.
"""

from abc import abstractmethod
from enum import Enum
from typing import Final

from attrs import frozen

from capkernel.abi.objects import PAGE_BYTES
from capkernel.protocols.interface import Cap, Interface, operation

PAGE: Final = PAGE_BYTES


class Use(Enum):
    """What memory is for."""

    FRAMES = "frames"
    """To be mapped."""
    OBJECTS = "objects"
    """To make kernel objects of, none larger than a page."""


@frozen
class AccountInfo:
    """The quota, and of it what is in memory objects and what in accounts below; the rest is left."""

    quota: int
    used: int
    given: int

    @property
    def left(self) -> int:
        """What can be allocated or given."""
        return self.quota - self.used - self.given


class Memory(Interface, number=48):
    """Some pages. When the last cap to it is dropped, or its account is closed, nobody has any of them any more: they
    are unmapped everywhere, and what was made of them is destroyed.
    """

    @operation(1)
    @abstractmethod
    async def size(self) -> int:
        """In bytes."""

    @operation(2)
    @abstractmethod
    async def frame(self, page: int) -> Cap:
        """A cap to the frame of a page, zeroed when it is first asked for. WrongKind if it is memory for objects."""

    @operation(3)
    @abstractmethod
    async def untyped(self, page: int) -> Cap:
        """A cap to a page of raw memory; to be asked for once. WrongKind if it is memory of frames."""


class Account(Interface, number=49):
    """A quota of memory. When its last cap is dropped it is closed."""

    @operation(1)
    @abstractmethod
    async def info(self) -> AccountInfo:
        """How it stands."""

    @operation(2)
    @abstractmethod
    async def allocate(self, number: int, size: int, use: Use) -> Memory:
        """Memory, or that of this number. QuotaExceeded; AlreadyExists if there it is of another size or use."""

    @operation(3)
    @abstractmethod
    async def split(self, number: int, quota: int) -> "Account":
        """An account with a part of this one's quota. QuotaExceeded; AlreadyExists if it has another quota."""

    @operation(4)
    @abstractmethod
    async def memory(self, number: int) -> Memory:
        """Memory that was allocated under this number. NotFound."""

    @operation(5)
    @abstractmethod
    async def account(self, number: int) -> "Account":
        """The account below of this number. NotFound."""

    @operation(6)
    @abstractmethod
    async def clear(self) -> None:
        """Take back all that was allocated from it and given below."""

    @operation(7)
    @abstractmethod
    async def close(self) -> None:
        """Take everything back and return the quota to the account above. Refused for one that is the system's."""

    @operation(8)
    @abstractmethod
    async def release(self, number: int) -> None:
        """Take back the memory of this number, whoever has caps to it. NotFound."""

    @operation(9)
    @abstractmethod
    async def dissolve(self) -> list[int]:
        """End the account, and leave what was allocated from it, and the accounts below it, to the account above, with
        the quota. Returns the numbers that the memory has there. TooLarge if it is more than 64 memory objects;
        Refused for an account that is the system's.
        """
