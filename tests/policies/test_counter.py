"""Requests that nobody should send, to a broker, a grant and the operator's side: each is answered, none does harm."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capkernel.protocols.brokering import ALL_RIGHTS, READ, Broker, Grant, PolicyControl
from capkernel.protocols.interface import Interface
from capkernel.protocols.service import Service
from capkernel.protocols.strategies import hostile_requests
from capkernel.user.loop import ANSWERED, ENDPOINT_BADGE, PD
from capkernel.user.pdimage import PDValues
from capkernel.user.syscalls import Message
from policies.broker import BrokerServant, ControlServant, Counter
from tests.policies.test_desk import World, begin

ALICE, BOB, HOLDER, OPERATOR = 2, 3, 4, 41
CHANNELS: dict[type[Interface], int] = {Broker: ALICE, Grant: HOLDER, PolicyControl: OPERATOR}
OPEN_RULES = "[[policy]]\nkind = 'depth'\nmost = { '*' = 9 }"


class Office:
    """A broker with its clients' caps, and bob, who has a grant of his own."""

    def __init__(self) -> None:
        self.world = World()
        self.desk = begin(self.world, OPEN_RULES)
        self.counter = Counter(self.desk)
        self.bobs = self.world.run(self.desk.request("bob", "news", ALL_RIGHTS, "", 0)).number
        held = self.world.run(self.desk.request("alice", "news", READ, "", 0))
        roots: dict[int, Interface] = {
            ALICE: BrokerServant(self.counter, "alice"), BOB: BrokerServant(self.counter, "bob"),
            HOLDER: self.counter.grant(held), OPERATOR: ControlServant(self.counter),
        }  # fmt: skip
        self.counter.service = Service(PD(PDValues(name="broker")), roots=roots.get)

    def ask(self, request: Message, channel: int) -> Any:
        request.badge = ENDPOINT_BADGE | channel
        answer = self.world.run(self.counter.service.protected(request))
        self.counter.close()
        return answer


@pytest.mark.parametrize("interface", [Broker, Grant], ids=lambda each: each.__name__)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_whatever_alice_sends_is_answered_and_bob_keeps_what_he_has(
    interface: type[Interface], data: st.DataObject
) -> None:
    office = Office()
    rules = office.desk.ledger.rules
    for request in data.draw(st.lists(hostile_requests(interface) | hostile_requests(PolicyControl), max_size=15)):
        answer = office.ask(request, CHANNELS[interface])
        assert answer is ANSWERED or isinstance(answer, Message)
    assert office.bobs in office.desk.ledger.office.entries
    assert office.desk.ledger.rules == rules


@settings(max_examples=25, deadline=None)
@given(st.lists(hostile_requests(PolicyControl), max_size=15))
def test_whatever_the_operator_sends_is_answered_and_caps_and_book_agree(requests: list[Message]) -> None:
    office = Office()
    for request in requests:
        office.ask(request, OPERATOR)
    assert set(office.world.caps) == set(office.desk.ledger.places)
    assert {place.grant for place in office.desk.ledger.places.values()} == set(office.desk.ledger.office.entries)
