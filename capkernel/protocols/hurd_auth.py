"""Identities, and how a server learns its client's: the auth server's rendezvous.

A cap to ``Auth`` is an identity. Who has it proves it to a server without showing the cap:

1. The client asks its auth server for a ``Rendezvous``, which has the client's ids, and asks that for a ``Claim``.
2. It gives the claim to the server. A claim can do nothing but be handed on.
3. The server gives the claim to *its* auth server, is told the ids in an ``Acceptance``, and leaves there a cap to what
   whoever has these ids is to have. A claim of another auth server is no object of this one, and the kernel says so: it
   arrives as a stranger's cap. A claim counts once.
4. The client collects that cap from its rendezvous. So who hands a claim on gains nothing by it: what the claim
   is worth goes to the client, not to whoever presents it.

Source: the Hurd's ``auth.defs`` (``auth_user_authenticate``, ``auth_server_authenticate``, ``auth_makeauth``).
"""

from abc import abstractmethod
from typing import Final

from attrs import frozen

from capkernel.protocols.failures import Malformed
from capkernel.protocols.interface import Cap, Interface, operation

MAX_IDS: Final = 8
"""Of each kind in an identity."""
MAX_ID: Final = (1 << 31) - 1
ROOT: Final = 0
"""The uid that may do what is another's."""


@frozen
class Ids:
    """An identity: user ids and group ids. With none it is nobody's, and has what everybody has."""

    uids: tuple[int, ...] = ()
    gids: tuple[int, ...] = ()

    @property
    def is_root(self) -> bool:
        """Whether it may do what is another's."""
        return ROOT in self.uids

    def within(self, other: "Ids") -> bool:
        """Whether the other has each id of this one."""
        return set(self.uids) <= set(other.uids) and set(self.gids) <= set(other.gids)

    def common(self, other: "Ids") -> "Ids":
        """The ids that both have."""
        uids = tuple(uid for uid in self.uids if uid in other.uids)
        return Ids(uids, tuple(gid for gid in self.gids if gid in other.gids))

    def together(self, other: "Ids") -> "Ids":
        """The ids of either, in order."""
        return Ids(tuple(sorted({*self.uids, *other.uids})), tuple(sorted({*self.gids, *other.gids})))


def checked_ids(ids: Ids) -> Ids:
    """An identity that can be one. Raises Malformed."""
    for kind in (ids.uids, ids.gids):
        if len(kind) > MAX_IDS or len(set(kind)) < len(kind) or any(not 0 <= each <= MAX_ID for each in kind):
            raise Malformed(f"an identity has at most {MAX_IDS} different ids of each kind, from 0 to {MAX_ID}")
    return ids


class Claim(Interface, number=114):
    """That its holder's client has an identity. It can do nothing but be handed on."""


class Rendezvous(Interface, number=113):
    """The client's side of proving its identity to one server, once."""

    @operation(1)
    @abstractmethod
    async def claim(self) -> Claim:
        """What the server is to be given. Refused if it was used."""

    @operation(2)
    @abstractmethod
    async def collect(self) -> Cap:
        """The cap that the server left for these ids, once. NotFound if none has."""


class Acceptance(Interface, number=116):
    """The server's side of a rendezvous. Once it is dropped nothing can be left any more."""

    @operation(1)
    @abstractmethod
    async def ids(self) -> Ids:
        """Whose claim it was."""

    @operation(2)
    @abstractmethod
    async def leave(self, given: Cap) -> None:
        """Leave a cap for them. AlreadyExists if there is one, Gone if nobody will collect it."""


class Auth(Interface, number=112):
    """An identity."""

    @operation(1)
    @abstractmethod
    async def ids(self) -> Ids:
        """Which."""

    @operation(2)
    @abstractmethod
    async def make(self, ids: Ids) -> "Auth":
        """One with these ids: a part of one's own, or with uid 0 whichever. NotPermitted, Malformed."""

    @operation(3)
    @abstractmethod
    async def join(self, other: "Auth") -> "Auth":
        """One with the ids of both. Malformed if the other is not this server's."""

    @operation(4)
    @abstractmethod
    async def rendezvous(self) -> Rendezvous:
        """Begin to prove this identity to a server."""

    @operation(5)
    @abstractmethod
    async def accept(self, claim: Claim) -> Acceptance:
        """As a server: see whose claim it is. Malformed if it is no claim of this auth server's, Gone if its client has
        given it up, Refused if it was accepted already.
        """
