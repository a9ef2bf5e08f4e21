"""Caps of other machines: what a program asks its own machine's gateway. What a gateway does is in docs/remote.md.

A cap never leaves its machine. Its gateway writes a *token* instead: signed, bound to the machine that may use it, with
a last second, and with the operations that it allows. The other machine's gateway makes a *proxy* of that, a cap like
any other.
"""

from abc import abstractmethod

from attrs import frozen

from capkernel.protocols.failures import Failure
from capkernel.protocols.interface import Cap, Interface, operation


class Unreachable(Failure, code=120):
    """The other machine does not answer. What was asked was not sent, so it was not done."""


class Uncertain(Failure, code=121):
    """The other machine fell silent after the question was sent. Whether it was done is not known; to ask again may do
    it twice.
    """


@frozen
class Terms:
    """What a token is good for: ``operations`` as ``"File.read"``, or None for all; until which second since 1970."""

    operations: list[str] | None
    until: int


@frozen
class Revoked:
    """Which machines had a proxy that was cut, and say that it is; which did not answer. Nothing works at either."""

    told: list[str]
    silent: list[str]


class Remote(Interface, number=120):
    """The gateway, for one program. NotPermitted for what its description does not allow to this program.

    Through a proxy an operation raises what it raises over there, and besides: ``Unreachable``, ``Uncertain``, Gone if
    it was revoked, NotPermitted if the token does not allow it (any more).
    """

    @operation(1)
    @abstractmethod
    async def lookup(self, machine: str, name: str) -> Cap:
        """What another machine offers to this one by a name. NotFound if it does not; Unreachable, Uncertain."""

    @operation(2)
    @abstractmethod
    async def issue(self, what: Cap, interface: int, machine: str, terms: Terms) -> bytes:
        """A token by which another machine may use an object of this one.

        NotFound for a machine that is not known here; Malformed for terms in the past, or further ahead than a token
        may last; NotPermitted for an interface that is not known, or an object of another machine.
        """

    @operation(3)
    @abstractmethod
    async def accept(self, token: bytes) -> Cap:
        """A proxy for what a token leads to. NotPermitted if it is forged, damaged, bound to another machine, or over;
        Gone if it was revoked; Unreachable, Uncertain.
        """

    @operation(4)
    @abstractmethod
    async def attenuate(self, token: bytes, terms: Terms) -> bytes:
        """A token that allows no more than these terms, and no more than it did. Malformed if it is none."""

    @operation(5)
    @abstractmethod
    async def delegate(self, token: bytes, machine: str) -> bytes:
        """A token that another machine may use, too: signed by this one, which must be a holder, else NotPermitted."""

    @operation(6)
    @abstractmethod
    async def revoke_token(self, token: bytes) -> Revoked:
        """End a token of this machine's, or one held here, with all that was made of it or reached through it.

        When this is answered nothing of it is done any more, anywhere. NotPermitted for a token of others; Unreachable,
        Uncertain if it is another machine's to end.
        """

    @operation(7)
    @abstractmethod
    async def withdraw(self, name: str, machine: str) -> Revoked:
        """End an offer of this machine's to another one, for ever, and what was reached through it. NotFound."""
