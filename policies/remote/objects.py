"""What a gateway keeps: objects of this machine that others may use, and references to objects of other machines."""

from typing import Any, Final

from attrs import define, frozen

from capkernel.protocols.failures import Gone, NotPermitted
from capkernel.protocols.interface import Interface, interfaces
from policies.remote.sessions import Machine
from policies.remote.tokens import Token

LIFETIME: Final = 3600
"""Seconds that a token is good for which is made when an object is handed over."""
LONGEST: Final = 30 * 24 * 3600
"""Seconds that any token is good for; a revocation is remembered so long."""
SKEW: Final = 5
"""Seconds by which a machine's clock may be ahead of another's: who holds a token goes on trying so long after its end.
The clock of the machine whose object it is decides.
"""
OBJECTS: Final = 256
"""That one other machine may be using at a time."""


@frozen
class Offer:
    """An object that another machine gets by asking: ``operations`` as ``"File.read"``, or None for all."""

    name: str
    machine: str
    operations: list[str] | None
    seconds: int


@define(eq=False)
class Thing:
    """An object of this machine's that tokens name. ``proxy`` is how others reach it.

    ``under`` is the grant through which it was reached: nobody can do through this what that does not allow. A thing
    ``of`` a machine was handed to it; one without was named by the description.
    """

    name: str
    proxy: Any
    interface: type[Interface]
    of: str = ""
    under: "Grant | None" = None
    until: int = 0


@frozen(eq=False)
class Grant:
    """A token that another machine has shown here, and what it leads to."""

    token: Token
    thing: Thing
    machine: Machine

    def chain(self) -> "list[Grant]":
        """This, and the grants through which its object was reached."""
        found: list[Grant] = []
        grant: Grant | None = self
        while grant is not None:
            found.append(grant)
            grant = grant.thing.under
        return found

    def check(self, operation: str, now: int) -> None:
        """Whether all of them allow it. Raises NotPermitted."""
        for grant in self.chain():
            grant.token.check(operation, now)


@define(eq=False)
class Reference:
    """An object of another machine's, as this one knows it. ``grant`` is its name between the two."""

    machine: Machine
    token: Token
    interface: type[Interface]
    is_cut: bool = False

    @property
    def grant(self) -> bytes:
        """The name under which the two gateways speak of it."""
        return self.token.grant


class Revocations:
    """What was revoked: blocks of tokens, until which second that must be known; offers, for ever."""

    def __init__(self) -> None:
        self.blocks: dict[bytes, int] = {}
        self.offers: set[tuple[str, bytes]] = set()
        """Name, and the key of the machine to which it was offered."""

    def check(self, token: Token) -> None:
        """Raises Gone for a token that was revoked."""
        if (token.object, token.holder) in self.offers or any(each in self.blocks for each in token.ids):
            raise Gone("the token was revoked")

    def forget_old(self, now: int) -> None:
        """Forget what nobody could use any more anyway."""
        self.blocks = {block: until for block, until in self.blocks.items() if until > now}


def interface_numbered(number: int) -> type[Interface]:
    """The interface. Raises NotPermitted if it is not known here."""
    for interface in interfaces():
        if interface.number == number:
            return interface
    raise NotPermitted(f"interface {number} is not known on this machine")
