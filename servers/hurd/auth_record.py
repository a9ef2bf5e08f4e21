"""Identities, rendezvous and the caps to them as they are written down, and as the next life makes them again."""

from enum import IntEnum
from typing import Any

from attrs import frozen

from capkernel.protocols.given import GivenCap, given_caps, restore_given
from capkernel.protocols.hurd_auth import Ids
from capkernel.protocols.interface import Interface
from capkernel.protocols.lasting import NOWHERE
from capkernel.protocols.service import Service
from servers.hurd.identities import Accepted, Identity, Meeting, Places, Presented, meetings_of


class What(IntEnum):
    """What an object is."""

    IDENTITY, RENDEZVOUS, CLAIM, ACCEPTANCE = range(4)


@frozen
class KeptMeeting:
    """A rendezvous: whose, how far it has come, the place of the cap that was left."""

    ids: Ids
    is_used: bool
    is_over: bool
    left: int


@frozen
class KeptObject:
    """An object: the place of its ids, or of its rendezvous, in the record."""

    what: What
    of: int


@frozen
class Kept:
    """All of it."""

    ids: list[Ids]
    meetings: list[KeptMeeting]
    objects: list[KeptObject]
    caps: list[GivenCap]

    @property
    def left(self) -> list[int]:
        """Where caps are that were left."""
        return [each.left for each in self.meetings if each.left != NOWHERE]


def written(service: Service) -> Kept:
    """What a service of identities has given out."""
    servants, caps = given_caps(service)
    meetings = meetings_of(servants)
    at = {id(each): place for place, each in enumerate(meetings)}
    ids: list[Ids] = []
    objects: list[KeptObject] = []
    for each in servants:
        if isinstance(each, Identity):
            objects.append(KeptObject(What.IDENTITY, len(ids)))
            ids.append(each.held)
        else:
            objects.append(KeptObject(_KINDS[type(each)], at[id(_meeting(each))]))
    kept = [KeptMeeting(each.ids, each.is_used, each.is_over, each.left) for each in meetings]
    return Kept(ids, kept, objects, caps)


def restored(kept: Kept, service: Service, places: Places) -> None:
    """Let the caps lead where they led. Raises ValueError if no former life can have written this down."""
    meetings = [
        Meeting(places, each.ids, is_used=each.is_used, is_over=each.is_over, left=each.left) for each in kept.meetings
    ]
    made: dict[What, Any] = {
        What.IDENTITY: lambda of: Identity(places, kept.ids[of]), What.RENDEZVOUS: meetings.__getitem__,
        What.CLAIM: lambda of: Presented(meetings[of]), What.ACCEPTANCE: lambda of: Accepted(meetings[of]),
    }  # fmt: skip
    servants: list[Interface] = [made[each.what](each.of) for each in kept.objects]
    restore_given(service, servants, kept.caps)


_KINDS: dict[type[Interface], What] = {
    Meeting: What.RENDEZVOUS, Presented: What.CLAIM, Accepted: What.ACCEPTANCE,
}  # fmt: skip


def _meeting(servant: Any) -> Meeting:
    found: Meeting = servant.meeting
    return found
