"""Open and closed wait, without a kernel: who sends when, and who is waited for, in any order."""

from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capkernel.user.loop import ENDPOINT_BADGE, REPLY_CAP
from capkernel.user.syscalls import Message
from servers.l4.ipc import MAX_WORDS, Failure, Ipc, IpcError, Received
from tests.l4.fake_kernel import run

PARTNERS = (2, 3, 4)
STRANGER = 9
_SEND = 1 << 16


class Endpoint:
    """What a thread sees of its endpoint: a queue of messages, and the answers that it gave, by reply object."""

    def __init__(self) -> None:
        self.queue: deque[Message] = deque()
        self.held: dict[int, int] = {}
        self.answers: list[tuple[int, Message]] = []

    async def recv(self, source: int, reply: int) -> Message:
        """The first in the queue."""
        assert reply not in self.held
        message = self.queue.popleft()
        self.held[reply] = message.badge & 63
        return message

    async def call(self, dest: int, message: Message) -> Message:
        """Nobody is there."""
        raise AssertionError("it is sent")

    async def nbrecv(self, source: int, reply: int) -> Message:
        """The same if there is one."""
        return await self.recv(source, reply) if self.queue else Message()

    async def send(self, dest: int, message: Message) -> None:
        """An answer."""
        self.answers.append((self.held.pop(dest), message))

    async def reply_recv(self, source: int, reply: int, message: Message) -> Message:
        """An answer, and the next."""
        await self.send(reply, message)
        return await self.recv(source, reply)


class Bench:
    """A thread with three partners."""

    def __init__(self) -> None:
        self.endpoint = Endpoint()
        pd: Any = type("Domain", (), {"sys": self.endpoint})()
        self.ipc = Ipc(pd, PARTNERS, (10, 11, 12))

    def arrive(self, sender: int, number: int, *, calls: bool = True) -> None:
        """Somebody sends."""
        message = Message(1 if calls else 1 | _SEND, (number,))
        message.badge = ENDPOINT_BADGE | sender
        self.endpoint.queue.append(message)


@given(st.lists(st.tuples(st.sampled_from((*PARTNERS, STRANGER)), st.booleans())), st.data())
def test_each_message_is_delivered_once_to_who_waits_for_it_and_to_nobody_else(
    sent: list[tuple[int, bool]], data: st.DataObject
) -> None:
    bench = Bench()
    blocked: set[int] = set()
    delivered: list[int] = []
    numbers: dict[int, int] = {}
    for number, (sender, calls) in enumerate(sent):
        if sender in blocked:
            # A partner has one thread: it sends nothing while it waits.
            continue
        bench.arrive(sender, number, calls=calls)
        if sender != STRANGER:
            blocked.add(sender)
            numbers[sender] = number
        partner = data.draw(st.sampled_from((None, *PARTNERS)))
        try:
            received = run(bench.ipc.wait(0) if partner is None else bench.ipc.receive(partner, 0))
        except IpcError:
            assert not blocked if partner is None else partner not in blocked
            continue
        assert received.partner == partner or (partner is None and received.partner in blocked)
        assert received.words == (numbers[received.partner],)
        delivered.append(received.words[0])
        if received.is_call:
            run(bench.ipc.reply(received, 7))
        blocked.remove(received.partner)
    assert len(set(delivered)) == len(delivered)
    answered = [sender for sender, answer in bench.endpoint.answers if sender != STRANGER]
    assert len(answered) == len(delivered)
    assert all(answer.label & 1 << 17 for sender, answer in bench.endpoint.answers if sender == STRANGER)


def test_a_third_party_is_kept_back_and_heard_afterwards() -> None:
    bench = Bench()
    bench.arrive(2, 0)
    first = run(bench.ipc.wait())
    bench.arrive(4, 1)
    bench.arrive(2, 2)
    second = run(bench.ipc.reply_and_wait(first, 0, partner=2))
    assert (second.partner, second.words) == (2, (2,))
    third = run(bench.ipc.reply_and_wait(second, 0))
    assert (third.partner, third.words) == (4, (1,))


def test_who_sends_twice_through_one_cap_takes_no_place_of_others() -> None:
    bench = Bench()
    for number in range(5):
        bench.arrive(4, number)
    bench.arrive(2, 9)
    assert run(bench.ipc.receive(2)).words == (9,)
    assert [answer.label & 0xFFFF for _, answer in bench.endpoint.answers] == [Failure.CANCELLED] * 4
    assert run(bench.ipc.wait()).words == (0,)


def test_a_reply_is_good_once() -> None:
    bench = Bench()
    bench.arrive(2, 0)
    received = run(bench.ipc.wait())
    run(bench.ipc.reply(received, 0))
    bench.arrive(2, 1)
    run(bench.ipc.wait())
    with pytest.raises(IpcError, match="NO_PARTNER"):
        run(bench.ipc.reply(received, 0))


def test_what_is_no_message_is_not_sent() -> None:
    bench = Bench()
    for label, words in ((1 << 16, ()), (-1, ()), (0, range(MAX_WORDS + 1))):
        with pytest.raises(IpcError, match="OVERFLOW"):
            run(bench.ipc.call(0, label, tuple(words)))


def test_a_thread_needs_a_reply_object_for_each_partner() -> None:
    pd: Any = None
    with pytest.raises(ValueError, match="reply objects"):
        Ipc(pd, PARTNERS, (REPLY_CAP,))
    with pytest.raises(IpcError, match="NO_PARTNER"):
        run(Bench().ipc.receive(STRANGER))
    assert not Received(2, 0, (), None).is_call
