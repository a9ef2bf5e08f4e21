"""The auth server over all its lives: who has which ids stays as it was, a rendezvous is refused or finished, and a
death gives nobody more, over any history of requests and at each point at which the server can die.
"""

from contextlib import suppress
from typing import Any

import pytest
from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st

from capkernel.protocols.failures import (
    AlreadyExists,
    Failure,
    Gone,
    Malformed,
    NotFound,
    NotPermitted,
    QuotaExceeded,
    Refused,
    ServerDied,
)
from capkernel.protocols.given import GivenCap
from capkernel.protocols.hurd_auth import Acceptance, Auth, Ids, Rendezvous
from capkernel.protocols.service import Service
from capkernel.protocols.strategies import hostile_requests
from capkernel.user.loop import ANSWERED, ENDPOINT_BADGE, PD
from capkernel.user.messages import SharedRegion, to_words
from capkernel.user.syscalls import Message
from servers.hurd.auth_record import Kept, KeptMeeting, KeptObject, What
from servers.hurd.auth_server import KEPT_SLOTS, MAX_CLIENTS, MAX_OBJECTS, Program, Registry
from tests.policies.lives import Server, Shelf
from tests.policies.test_desk import SIZE

ALICE, MALLORY, FILES = 2, 3, 4
KNOWN = {ALICE: Ids((1000, 7), (100,)), MALLORY: Ids((1001,), (100,)), FILES: Ids()}
PICK = st.integers(0, 20)
IDS = st.sampled_from([Ids(), Ids((1000,)), Ids((1001,)), Ids((7,), (100,)), Ids((0,)), Ids((), (100,))])
CAP, OTHER_CAP = 500, 501


EXPECTED: dict[str, tuple[type[Failure], ...]] = {
    "make": (NotPermitted, QuotaExceeded), "join": (Malformed, QuotaExceeded), "begin": (QuotaExceeded,),
    "claim": (Refused, QuotaExceeded), "accept": (Refused, QuotaExceeded), "leave": (AlreadyExists,),
    "drop": (), "give up": (), "collect": (NotFound,),
}  # fmt: skip
"""As what a request may be refused."""


def auth_server() -> Server:
    """It, with three clients."""

    def live(pd: PD, shelf: Shelf) -> tuple[Service, Any]:
        registry = Registry(pd, shelf, SharedRegion(0, SIZE), KNOWN)
        return registry.service, registry.open()

    return Server(live)


@define
class Proof:
    """A rendezvous as its client, and whoever was shown a claim, were told of it."""

    badge: int
    ids: Ids
    claims: list[int] = field(factory=list)
    acceptances: list[int] = field(factory=list)
    may_be_left: set[int] = field(factory=set)
    is_left: bool = False


class Party:
    """What clients were told."""

    def __init__(self) -> None:
        self.server = auth_server()
        self.held = {self.server.root(session): ids for session, ids in KNOWN.items()}
        self.proofs: list[Proof] = []

    def ask(self, badge: int, name: str, *arguments: Any, dies: int | None = None) -> Any:
        return self.server.ask(badge, name, *arguments, dies=dies)

    def servant(self, badge: int) -> Any:
        return self.server.service.servant(badge)

    def begin(self, identity: int, dies: int | None = None) -> Proof:
        proof = Proof(self.ask(identity, "rendezvous", dies=dies)[0], self.held[identity])
        self.proofs.append(proof)
        return proof

    def claim(self, proof: Proof, dies: int | None = None) -> None:
        proof.claims.append(self.ask(proof.badge, "claim", dies=dies)[0])

    def accept(self, proof: Proof, dies: int | None = None) -> None:
        shown = self.servant(proof.claims[-1])
        proof.acceptances.append(self.ask(self.server.root(FILES), "accept", shown, dies=dies)[0])

    def leave(self, proof: Proof, cap: int, dies: int | None = None) -> None:
        if not proof.is_left:
            proof.may_be_left.add(cap)
        try:
            self.ask(proof.acceptances[-1], "leave", cap, dies=dies)
        except AlreadyExists:
            if not proof.is_left:
                proof.may_be_left.discard(cap)
            raise
        assert not proof.is_left, "a second cap was left"
        proof.is_left, proof.may_be_left = True, {cap}

    def collected(self, proof: Proof, dies: int | None = None) -> int:
        slot = self.ask(proof.badge, "collect", dies=dies)[1]
        return self.server.contents[slot]

    def look(self) -> None:
        """Every cap that anybody has leads to what it led to; nothing is kept that nobody will collect."""
        for badge, ids in self.held.items():
            assert self.ask(badge, "ids")[1] == ids
        found = set()
        for proof in self.proofs:
            assert len(proof.acceptances) <= 1, "a claim counted twice"
            for acceptance in proof.acceptances:
                assert self.ask(acceptance, "ids")[1] == proof.ids
                with pytest.raises(Refused):
                    self.ask(self.server.root(FILES), "accept", self.servant(proof.claims[0]))
            try:
                found.add(self.collected(proof))
                assert self.collected(proof) in proof.may_be_left
            except NotFound:
                assert not proof.is_left
        assert set(self.server.contents.values()) == found


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["make", "join", "begin", "claim", "accept", "leave", "drop", "give up", "collect"]),
            PICK, PICK, IDS, st.none() | st.integers(0, 8),
        ), max_size=40,
    )
)  # fmt: skip
def test_ids_stay_what_they_were_and_a_claim_counts_once_in_whatever_life(
    steps: list[tuple[str, int, int, Ids, int | None]],
) -> None:
    party = Party()
    for number, (what, first, second, ids, dies) in enumerate(steps, 100):
        identities = list(party.held)
        mine, other = identities[first % len(identities)], identities[second % len(identities)]
        proof = party.proofs[first % len(party.proofs)] if party.proofs else None
        try:
            if what == "make":
                party.held[party.ask(mine, "make", ids, dies=dies)[0]] = ids
                assert ids.within(party.held[mine])
            elif what == "join":
                made = party.ask(mine, "join", party.servant(other), dies=dies)[0]
                party.held[made] = party.held[mine].together(party.held[other])
            elif what == "begin":
                party.begin(mine, dies)
            elif what == "drop" and mine & 0xFF != mine ^ ENDPOINT_BADGE:
                del party.held[mine]
                party.ask(mine, "drop", dies=dies)
            elif proof is None:
                continue
            elif what == "claim":
                party.claim(proof, dies)
            elif what == "accept" and proof.claims:
                party.accept(proof, dies)
            elif what == "leave" and proof.acceptances:
                party.leave(proof, number, dies)
            elif what == "collect":
                party.collected(proof, dies)
            elif what == "give up":
                party.proofs.remove(proof)
                party.ask(proof.badge, "drop", dies=dies)
        except ServerDied:
            if what in ("drop", "give up"):
                # Whoever gives something up and is not answered does it again.
                with suppress(Gone):
                    party.ask(mine if what == "drop" else _badge(proof), "drop")
        except EXPECTED[what]:
            continue
    party.look()
    party.server.restart()
    party.look()


def _badge(proof: Proof | None) -> int:
    assert proof is not None
    return proof.badge


REQUESTS: dict[str, Any] = {
    "begin": lambda party, dies: party.begin(party.server.root(ALICE), dies),
    "claim": lambda party, dies: party.claim(party.proofs[-1], dies),
    "accept": lambda party, dies: party.accept(party.proofs[-1], dies),
    "leave": lambda party, dies: party.leave(party.proofs[-1], CAP, dies),
    "collect": lambda party, dies: party.collected(party.proofs[-1], dies),
    "give up": lambda party, dies: party.ask(party.proofs[-1].badge, "drop", dies=dies),
}


@pytest.mark.parametrize("what", REQUESTS)
def test_at_each_step_at_which_the_server_can_die_a_rendezvous_is_refused_or_finished(what: str) -> None:
    """Not a sample: each request of a rendezvous, with a death after each thing that the server does to the world."""
    requests = list(REQUESTS)
    for step in range(20):
        party = Party()
        for each in requests[: requests.index(what)]:
            REQUESTS[each](party, None)
        try:
            REQUESTS[what](party, step)
        except ServerDied:
            _went_on(party, what)
            continue
        # It writes a record in two steps, and its answer; to look up what was left it writes nothing.
        assert step == (1 if what == "collect" else 3) + (what in ("leave", "give up"))
        return
    raise AssertionError("the server always died")


def _went_on(party: Party, what: str) -> None:
    """What a client, and a server that it shows its claim to, find in the next life."""
    files = party.server.root(FILES)
    if what == "begin":
        party.look()
        return
    proof = party.proofs[-1]
    if what == "claim":
        party.claim(proof)
    elif what == "accept":
        # Either it has not counted, and does now; or it has, and nothing will ever be left.
        try:
            party.accept(proof)
        except Refused:
            with pytest.raises(NotFound):
                party.collected(proof)
            with pytest.raises(Refused):
                party.claim(proof)
    elif what == "leave":
        with suppress(AlreadyExists):
            party.leave(proof, OTHER_CAP)
        assert party.collected(proof) in (CAP, OTHER_CAP)
        return
    elif what == "collect":
        assert party.collected(proof) == CAP
    else:
        with suppress(Gone):
            party.ask(proof.badge, "drop")
        assert not party.server.contents
        with pytest.raises(Gone):
            party.ask(proof.acceptances[0], "leave", OTHER_CAP)
        return
    party.look()
    # Who closes what it has opened has no object more than before.
    party.server.service._close(party.server.service._find(files))
    assert not [entry for entry in party.server.service.entries() if entry.number and entry.session == FILES]


def test_a_death_gives_mallory_nothing_of_what_alice_has() -> None:
    """With deaths all the while mallory asks for what it may not have, shows her claim again, and collects with it."""
    party = Party()
    proof = party.begin(party.server.root(ALICE))
    party.claim(proof)
    mallory, claim = party.server.root(MALLORY), proof.claims[0]
    for step in range(12):
        for name, argument in (
            ("make", Ids((1000,))), ("make", Ids((0,))), ("make", Ids((1000, 1001), (100,))),
        ):  # fmt: skip
            with pytest.raises((NotPermitted, ServerDied)):
                party.ask(mallory, name, argument, dies=step)
        for name in ("ids", "make", "collect", "leave"):
            with pytest.raises((NotFound, ServerDied)):
                party.ask(claim, name, dies=step)
        for badge in (MALLORY, ALICE, FILES):
            others = [entry for entry in party.server.service.entries() if entry.session == badge and entry.number]
            assert all(entry.badge in (proof.badge, claim) for entry in others)
        party.server.restart()
        with pytest.raises(Gone):
            # A number of alice's in mallory's session is nothing; the kernel would not let it make one up at all.
            party.ask(proof.badge ^ ALICE ^ MALLORY, "collect")
    party.look()
    assert party.ask(mallory, "ids")[1] == KNOWN[MALLORY]


def test_what_all_clients_may_have_finds_room() -> None:
    full = Ids(tuple(range(1, 9)), tuple(range(1, 9)))
    count = MAX_CLIENTS * MAX_OBJECTS
    caps = [GivenCap(number, 2, number, True, number) for number in range(count)]
    meetings = [KeptMeeting(full, True, False, number) for number in range(count)]
    objects = [KeptObject(What.RENDEZVOUS, number) for number in range(count)]
    for kept in (Kept([], meetings, objects, caps), Kept([full] * count, [], objects, caps)):
        assert 8 * len(to_words(kept)) + 16 <= Program.record_size // 2
    assert count < KEPT_SLOTS.count


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_no_request_kills_the_auth_server_nor_its_next_life(data: st.DataObject) -> None:
    party = Party()
    proof = party.begin(party.server.root(ALICE))
    party.claim(proof)
    requests = hostile_requests(Auth) | hostile_requests(Rendezvous) | hostile_requests(Acceptance)
    # There is no kernel here from which caps of others come.
    party.server.service._inbox = None
    for request in data.draw(st.lists(requests, max_size=15)):
        request.badge = data.draw(st.sampled_from([*party.held, proof.badge, proof.claims[0]]))
        answer = party.server.world.run(party.server.service.protected(request))
        assert answer is ANSWERED or isinstance(answer, Message)
    party.server.restart()
