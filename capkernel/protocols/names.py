"""Names for caps. There is no global name: each client has a name space of his own, and what is in it he put there, or
was given with it.
"""

from abc import abstractmethod
from enum import Enum
from typing import Final

from attrs import frozen

from capkernel.protocols.failures import Malformed
from capkernel.protocols.interface import Cap, Interface, operation

MAX_NAME: Final = 64
"""Bytes of a name in UTF-8."""
MAX_CHOSEN: Final = 16
"""Names that are chosen at a time."""


class NameKind(Enum):
    """What a name leads to."""

    CAP = "cap"
    SPACE = "name space"


@frozen
class Name:
    """A name, and what it leads to."""

    name: str
    kind: NameKind


class NameSpace(Interface, number=37):
    """Names and what they lead to. A name is 1 to 64 bytes of UTF-8 that can be printed, without "/"; else Malformed.

    A cap that is bound is held by the name server, and whoever looks the name up gets a copy with the same rights. It
    is the binder's: when it is revoked where it came from, the name is still there, and leads to nothing (Gone).
    A read-only name space refuses changes of its names, NotPermitted; what the names lead to is as writable as it is.
    """

    @operation(1)
    @abstractmethod
    async def bind(self, name: str, cap: Cap) -> None:
        """Give a name to any cap but one to a name space of this server. AlreadyExists; QuotaExceeded."""

    @operation(2)
    @abstractmethod
    async def attach(self, name: str, space: "NameSpace") -> None:
        """Give a name to a name space of this server, as it is seen through that cap. AlreadyExists, QuotaExceeded;
        Malformed if this one would be reached through it.
        """

    @operation(3)
    @abstractmethod
    async def lookup(self, name: str) -> Cap:
        """A copy of the cap of that name. NotFound; WrongKind for a name space; Gone if it was revoked meanwhile."""

    @operation(4)
    @abstractmethod
    async def enter(self, name: str) -> "NameSpace":
        """The name space of that name. NotFound, WrongKind."""

    @operation(5)
    @abstractmethod
    async def names(self, start: int) -> list[Name]:
        """The names from number ``start`` on, in order, as many as fit into a message; none when there are no more."""

    @operation(6)
    @abstractmethod
    async def unbind(self, name: str) -> None:
        """Forget a name. NotFound. Copies that were looked up before are their holders'."""

    @operation(7)
    @abstractmethod
    async def fork(self, names: list[str]) -> "NameSpace":
        """A new name space with these names of this one, at most 16, to give to somebody else; it may be changed, and
        changes here are not seen there. It is no more than what can be looked up here. NotFound; QuotaExceeded.
        """

    @operation(8)
    @abstractmethod
    async def restrict(self, names: list[str], is_writable: bool) -> "NameSpace":
        """This name space as far as these names go, at most 16: what is bound to them here is seen there, and the other
        way round if it is writable. NotPermitted if this one is not writable, or has not got the names.
        """


def checked_name(name: str) -> str:
    """A name that can be one. Raises Malformed."""
    if not name.isprintable() or not name or "/" in name:
        raise Malformed(f"{name!r} is no name: one is not empty, can be printed, and has no '/'")
    if len(name.encode()) > MAX_NAME:
        raise Malformed(f"a name has at most {MAX_NAME} bytes, not {len(name.encode())}")
    return name


class Endowed(Interface, number=42):
    """A program that waits until somebody gives it what it may use."""

    @operation(1)
    @abstractmethod
    async def endow(self, space: NameSpace) -> str:
        """Give it a name space, in which it finds all that it may use; what it did with it, in words."""
