"""Hostile requests to the mapper and to a factory: each is answered, and none takes what is another's."""

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from capkernel.protocols.interface import Interface
from capkernel.protocols.l4 import Fpage, ObjectFactory, Space
from capkernel.protocols.service import Service
from capkernel.protocols.strategies import hostile_requests
from capkernel.user.loop import ANSWERED, ENDPOINT_BADGE, PD
from capkernel.user.pdimage import PDValues
from capkernel.user.syscalls import Message
from servers.l4.factory import FactoryServant
from servers.l4.gates import GATES, gate_address, gate_of
from servers.l4.mapper import ROOT, SpaceServant
from tests.l4.fake_kernel import FakeKernel, run
from tests.l4.test_mapper import mapper_with
from tests.l4.test_memory import memory_with

HOSTILE, OTHER = 2, 3


def serve(servants: dict[int, Interface]) -> Any:
    """A function that asks as the client of a session, and returns the answer."""
    service = Service(PD(PDValues(name="server")), roots=servants.get)

    def ask(request: Message, session: int) -> Any:
        request.badge = ENDPOINT_BADGE | session
        answer = run(service.protected(request))
        assert isinstance(answer, Message) or answer is ANSWERED
        return answer

    return ask


@settings(deadline=None, max_examples=40)
@given(st.lists(hostile_requests(Space), max_size=6))
def test_the_mapper_answers_everything_and_a_session_reaches_its_own_space_only(requests: list[Message]) -> None:
    mapper = mapper_with(FakeKernel(), 4)
    run(mapper.map(ROOT, Fpage(0), OTHER, 0))
    ask = serve({space: SpaceServant(mapper, space) for space in (ROOT, HOSTILE, OTHER)})
    for request in requests:
        request.unwrapped = (ENDPOINT_BADGE | HOSTILE,)
        ask(request, HOSTILE)
    assert not mapper.tree.pages(HOSTILE)
    assert len(mapper.tree.pages(OTHER)) == 1
    assert len(mapper.tree.pages(ROOT)) == 4


@settings(deadline=None, max_examples=40)
@given(st.lists(hostile_requests(ObjectFactory), max_size=6))
@example([Message(0x6601, [0, 4, int.from_bytes(b"gate", "little"), 0])])
def test_a_factory_answers_everything_and_keeps_its_books(requests: list[Message]) -> None:
    factory = FactoryServant(memory_with(FakeKernel()))
    ask = serve({HOSTILE: factory})
    for request in requests:
        ask(request, HOSTILE)
    used = sum(1 << made.block.bits for made in (*factory.objects.values(), *factory.factories.values()))
    assert run(factory.info()).used == used


@given(st.integers(0, 10), st.lists(st.integers(0, 2**64 - 1), min_size=4, max_size=7))
def test_only_a_call_through_a_gate_is_taken_for_one(label: int, words: list[int]) -> None:
    number = gate_of(Message(label, words))
    if number is not None:
        assert (label, words[1], words[2]) == (1, gate_address(number), 0)


@given(st.integers(0, GATES - 1))
def test_a_gate_is_known_by_its_address(number: int) -> None:
    assert gate_of(Message(1, (0x1000, gate_address(number), 0, 4, 58, 0, 57))) == number
    assert gate_of(Message(1, (0x1000, gate_address(number), 1, 4))) is None
