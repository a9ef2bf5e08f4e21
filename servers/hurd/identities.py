"""Identities and rendezvous as objects: what an auth server gives out."""

from capkernel.protocols.failures import AlreadyExists, Gone, Malformed, NotFound, NotPermitted, Refused
from capkernel.protocols.hurd_auth import Acceptance, Auth, Claim, Ids, Rendezvous, checked_ids
from capkernel.protocols.interface import Cap
from capkernel.user.inbox import Inbox


class Identity(Auth):
    """An identity. ``inbox`` is where caps land that servers leave."""

    def __init__(self, inbox: Inbox, ids: Ids) -> None:
        self.inbox = inbox
        self.held = ids

    async def ids(self) -> Ids:
        """Which."""
        return self.held

    async def make(self, ids: Ids) -> Auth:
        """A part of it, or any."""
        if not self.held.is_root and not checked_ids(ids).within(self.held):
            raise NotPermitted("an identity can be made of ids that one has")
        return Identity(self.inbox, checked_ids(ids))

    async def join(self, other: Auth) -> Auth:
        """Both."""
        if not isinstance(other, Identity):
            raise Malformed("that is no identity of this server's")
        return Identity(self.inbox, checked_ids(self.held.together(other.held)))

    async def rendezvous(self) -> Rendezvous:
        """Begin."""
        return Meeting(self.inbox, self.held)

    async def accept(self, claim: Claim) -> Acceptance:
        """Whose it is."""
        if not isinstance(claim, Presented):
            raise Malformed("that is no claim of this auth server's")
        return claim.meeting.accepted()


class Meeting(Rendezvous):
    """One proof of an identity. It is over when its client has dropped it."""

    def __init__(self, inbox: Inbox, ids: Ids) -> None:
        self.inbox = inbox
        self.ids = ids
        self.is_used = False
        self.is_over = False
        self.left: int | None = None

    async def claim(self) -> Claim:
        """To be handed over."""
        if self.is_used:
            raise Refused("this rendezvous was used; begin another")
        return Presented(self)

    def accepted(self) -> Acceptance:
        """A server knows now."""
        if self.is_over:
            raise Gone("whose claim this was has given it up")
        if self.is_used:
            raise Refused("this claim was accepted already; it counts once")
        self.is_used = True
        return Accepted(self)

    async def leave(self, cap: int) -> None:
        """Here is what the ids are worth. Raises Gone, AlreadyExists."""
        if self.is_over or self.left is not None:
            await self.inbox.discard(cap)
            raise Gone("nobody will collect it") if self.is_over else AlreadyExists("a cap was left already")
        self.left = cap

    async def collect(self) -> Cap:
        """The cap, which stays here until the rendezvous is dropped."""
        if self.left is None:
            raise NotFound("no server has left anything for these ids")
        return Cap(self.left)

    async def closed(self) -> None:
        """Its client has given it up."""
        self.is_over = True
        if self.left is not None:
            await self.inbox.discard(self.left)
            self.left = None


class Presented(Claim):
    """A claim."""

    def __init__(self, meeting: Meeting) -> None:
        self.meeting = meeting


class Accepted(Acceptance):
    """What the server has of it."""

    def __init__(self, meeting: Meeting) -> None:
        self.meeting = meeting

    async def ids(self) -> Ids:
        """Whose."""
        return self.meeting.ids

    async def leave(self, given: Cap) -> None:
        """For them."""
        await self.meeting.leave(given)
