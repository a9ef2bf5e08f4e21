"""Identities: ids are given up and joined as sets; a claim counts once; what is left is collected by its owner."""

from typing import Any

from hypothesis import given

from capkernel.protocols.hurd_auth import Ids
from servers.hurd.identities import Identity, Landed, meetings_of
from tests.hurd.running import done, failure
from tests.hurd.test_records import identities


class Slots:
    """An inbox that only notes what it gives up."""

    def __init__(self) -> None:
        self.discarded: list[int] = []

    async def discard(self, slot: int) -> None:
        self.discarded.append(slot)


@given(identities, identities)
def test_an_identity_is_made_of_ids_that_one_has(mine: Ids, wanted: Ids) -> None:
    inbox: Any = Slots()
    may = mine.is_root or wanted.within(mine)
    assert failure(Identity(Landed(inbox), mine).make(wanted)) == ("" if may else "NotPermitted")


@given(identities, identities)
def test_what_two_have_in_common_both_have(one: Ids, other: Ids) -> None:
    common = one.common(other)
    assert common.within(one)
    assert common.within(other)
    assert one.within(one.together(other))
    assert other.within(one.together(other))


def test_a_claim_counts_once_and_what_is_left_goes_with_its_rendezvous() -> None:
    inbox: Any = Slots()
    places = Landed(inbox)
    client, server = Identity(places, Ids((1,), ())), Identity(places, Ids())
    meeting: Any = done(client.rendezvous())
    claim = done(meeting.claim())
    assert failure(meeting.collect()) == "NotFound"
    acceptance: Any = done(server.accept(claim))
    assert done(acceptance.ids()) == Ids((1,), ())
    assert failure(server.accept(claim)) == "Refused"
    assert failure(meeting.claim()) == "Refused"
    done(acceptance.leave(7))
    assert failure(acceptance.leave(8)) == "AlreadyExists"
    assert done(meeting.collect()) == 7
    done(places.settle(each.left for each in meetings_of([acceptance, claim])))
    assert inbox.discarded == [8]
    done(meeting.closed())
    assert failure(acceptance.leave(9)) == "Gone"
    done(places.settle(each.left for each in meetings_of([acceptance, claim])))
    assert inbox.discarded == [8, 9, 7]


def test_a_claim_whose_client_has_given_it_up_is_worth_nothing() -> None:
    inbox: Any = Slots()
    meeting: Any = done(Identity(Landed(inbox), Ids((1,), ())).rendezvous())
    claim = done(meeting.claim())
    done(meeting.closed())
    assert failure(Identity(Landed(inbox), Ids()).accept(claim)) == "Gone"
