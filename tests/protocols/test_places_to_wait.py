"""Requests that wait, sent by somebody who does not wait for the answer: he takes no more than his share of places."""

from abc import abstractmethod
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from capkernel.protocols.failures import FIRST_LABEL, Busy
from capkernel.protocols.interface import Interface, operation
from capkernel.protocols.service import Service
from capkernel.user.loop import ANSWERED, ENDPOINT_BADGE, PD
from capkernel.user.operations import steps_of
from capkernel.user.pdimage import PDValues
from capkernel.user.syscalls import Message
from capkernel.user.tasks import Condition

PLACES = 8


class Waiting(Interface, number=0x7FF1):
    """Something to wait for."""

    @operation(1)
    @abstractmethod
    async def wait(self) -> None:
        """Wait until it has come."""


class Servant(Waiting):
    """It comes when the test says so."""

    def __init__(self) -> None:
        self.come = Condition()
        self.has_come = False

    async def wait(self) -> None:
        """Wait."""
        while not self.has_come:
            await self.come.wait()


class Server:
    """A server with places, whose clients are told apart by their sessions."""

    def __init__(self) -> None:
        self.servant = Servant()
        self.pd = PD(PDValues(name="server"))
        self.pd.spare_replies = list(range(100, 100 + PLACES))
        self.service = Service(self.pd, roots=lambda session: self.servant)

    def asks(self, session: int) -> bool:
        """A client asks; whether he has a place to wait."""
        message = Message(Waiting.number << 8 | 1)
        message.badge = ENDPOINT_BADGE | session
        answer = _run(self.service.protected(message))
        assert answer is ANSWERED or answer.label == FIRST_LABEL + Busy.code
        return answer is ANSWERED

    def comes(self) -> None:
        """Everybody goes on."""
        self.servant.has_come = True
        self.servant.come.notify()
        _run(self.service.run_ready())
        self.servant.has_come = False


def _run(work: Any) -> Any:
    """Do it; system calls, which only answer here, succeed."""
    steps = steps_of(work)
    try:
        steps.send(None)
        while True:
            steps.send((0,) * 6)
    except StopIteration as end:
        return end.value


def test_one_client_takes_half_of_the_places_and_others_find_some() -> None:
    server = Server()
    assert [server.asks(2) for _ in range(20)] == [True] * (PLACES // 2) + [False] * (20 - PLACES // 2)
    assert server.asks(3)
    assert server.asks(4)


def test_who_went_on_may_wait_again() -> None:
    server = Server()
    for _ in range(3):
        assert sum(server.asks(2) for _ in range(20)) == PLACES // 2
        server.comes()
        assert len(server.pd.spare_replies) == PLACES
    assert not server.service._waiting


@given(st.lists(st.integers(2, 6), max_size=40))
def test_whoever_waits_for_nothing_yet_finds_a_place_as_long_as_there_is_one(sessions: list[int]) -> None:
    server = Server()
    waiting = dict.fromkeys(range(2, 7), 0)
    for session in sessions:
        left = PLACES - sum(waiting.values())
        has_place = server.asks(session)
        assert has_place == (waiting[session] < left)
        waiting[session] += has_place
