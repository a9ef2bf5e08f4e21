"""Identities and rendezvous as objects: what an auth server gives out."""

from collections.abc import Iterable
from typing import Protocol

from capkernel.protocols.failures import AlreadyExists, Gone, Malformed, NotFound, NotPermitted, Refused
from capkernel.protocols.hurd_auth import Acceptance, Auth, Claim, Ids, Rendezvous, checked_ids
from capkernel.protocols.interface import Cap, Interface
from capkernel.protocols.lasting import NOWHERE
from capkernel.user.inbox import Inbox


class Places(Protocol):
    """Where the caps are that servers leave; whoever serves the identities says which of them are still wanted."""

    @property
    def inbox(self) -> Inbox:
        """Where caps arrive."""
        ...

    async def put(self, cap: int) -> int:
        """The place to which a received cap was moved. Raises QuotaExceeded, and then the cap is deleted."""
        ...

    def address(self, slot: int) -> Cap:
        """The cap in a place."""
        ...


class Landed:
    """Caps stay in the inbox in which they landed, and end with the server."""

    def __init__(self, inbox: Inbox) -> None:
        self.inbox = inbox
        self.kept: set[int] = set()

    async def put(self, cap: int) -> int:
        """Here."""
        self.kept.add(cap)
        return cap

    def address(self, slot: int) -> Cap:
        """The same."""
        return Cap(slot)

    async def settle(self, wanted: Iterable[int]) -> None:
        """Delete all others."""
        for slot in sorted(self.kept - set(wanted)):
            self.kept.remove(slot)
            await self.inbox.discard(slot)


class Identity(Auth):
    """An identity. ``places`` is where caps are that servers leave."""

    def __init__(self, places: Places, ids: Ids) -> None:
        self.places = places
        self.held = ids

    async def ids(self) -> Ids:
        """Which."""
        return self.held

    async def make(self, ids: Ids) -> Auth:
        """A part of it, or any."""
        if not self.held.is_root and not checked_ids(ids).within(self.held):
            raise NotPermitted("an identity can be made of ids that one has")
        return Identity(self.places, checked_ids(ids))

    async def join(self, other: Auth) -> Auth:
        """Both."""
        if not isinstance(other, Identity):
            raise Malformed("that is no identity of this server's")
        return Identity(self.places, checked_ids(self.held.together(other.held)))

    async def rendezvous(self) -> Rendezvous:
        """Begin."""
        return Meeting(self.places, self.held)

    async def accept(self, claim: Claim) -> Acceptance:
        """Whose it is."""
        if not isinstance(claim, Presented):
            raise Malformed("that is no claim of this auth server's")
        return claim.meeting.accepted()


class Meeting(Rendezvous):
    """One proof of an identity. It is over when its client has dropped it: what was left is not wanted any more."""

    def __init__(
        self, places: Places, ids: Ids, *, is_used: bool = False, is_over: bool = False, left: int = NOWHERE
    ) -> None:
        self.places = places
        self.ids = ids
        self.is_used = is_used
        self.is_over = is_over
        self.left = left

    @property
    def meeting(self) -> "Meeting":
        """Itself: rendezvous, claim and acceptance have the same."""
        return self

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
        if self.is_over or self.left != NOWHERE:
            await self.places.inbox.discard(cap)
            raise Gone("nobody will collect it") if self.is_over else AlreadyExists("a cap was left already")
        self.left = await self.places.put(cap)

    async def collect(self) -> Cap:
        """The cap, which stays here until the rendezvous is dropped."""
        if self.left == NOWHERE:
            raise NotFound("no server has left anything for these ids")
        return self.places.address(self.left)

    async def closed(self) -> None:
        """Its client has given it up."""
        self.is_over = True
        self.left = NOWHERE


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


def meetings_of(servants: Iterable[Interface]) -> list[Meeting]:
    """What rendezvous, claims and acceptances among some objects are about, each once."""
    found = [each.meeting for each in servants if isinstance(each, Meeting | Presented | Accepted)]
    return list({id(each): each for each in found}.values())
