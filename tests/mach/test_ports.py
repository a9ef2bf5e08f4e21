"""The rules of ports, without a kernel: what is true after any operations of any tasks, in any order."""

from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from capkernel.protocols.failures import Failure, Gone, Malformed, QuotaExceeded, WrongKind
from capkernel.protocols.mach_ports import DEAD_NAME, PORT_DELETED, Disposition, Kind
from servers.mach.ports import Ports
from servers.mach.rights import Carried, Held, Letter, Port, Space
from servers.mach.store import Purse, blocks_for

choices = st.integers(0, 10**6)


class Tasks(RuleBasedStateMachine):
    """Three tasks that make, copy, send, receive and give up rights, also such as they have not any more, and end."""

    def __init__(self) -> None:
        super().__init__()
        self.ports = Ports()
        self.purses = [Purse(40) for _ in range(3)]
        self.spaces = [Space(number, purse) for number, purse in enumerate(self.purses)]
        self.ever: list[Held] = []
        self.all_ports: list[Port] = []

    def pick(self, choice: int, *kinds: Kind) -> Held | None:
        """A right that somebody has, or had."""
        self.ever += [held for space in self.spaces for held in space.rights.values() if held not in self.ever]
        found = [held for held in self.ever if held.kind in kinds]
        return found[choice % len(found)] if found else None

    @rule(task=choices)
    def allocate(self, task: int) -> None:
        space = self.spaces[task % 3]
        self.all_ports.append(self.ports.allocate(space, 3).port)

    @rule(choice=choices, once=st.booleans())
    def make(self, choice: int, once: bool) -> None:
        held = self.pick(choice, Kind.RECEIVE)
        if held is None or not held.is_held:
            return
        try:
            self.ports.make(held, Kind.SEND_ONCE if once else Kind.SEND)
        except QuotaExceeded:
            assert not held.space.purse.has_room(1)

    @rule(choice=choices, others=st.lists(st.tuples(st.sampled_from(Disposition), choices), max_size=3))
    def send(self, choice: int, others: list[tuple[Disposition, int]]) -> None:
        held = self.pick(choice, Kind.SEND, Kind.SEND_ONCE)
        parts = [(how, part) for how, which in others if (part := self.pick(which, *Kind)) is not None]
        if held is None or not held.is_held or held.port.is_dead:
            return
        is_once = held.kind is Kind.SEND_ONCE
        before = self.counts()
        try:
            self.ports.check_parts(held.port, [*parts, *([(Disposition.MOVE_SEND_ONCE, held)] * is_once)])
        except Failure:
            assert self.counts() == before
            return
        if not self.ports.has_room(held.port, 70, parts, is_once=is_once):
            return
        held.port.charge(blocks_for(70) - is_once)
        if is_once:
            self.ports.use_up(self.ports.detach(Disposition.MOVE_SEND_ONCE, held))
        rights = [self.ports.detach(how, part) for how, part in parts]
        self.ports.put(held.port, Letter(1, 70, rights=rights))

    @rule(choice=choices)
    def receive(self, choice: int) -> None:
        held = self.pick(choice, Kind.RECEIVE)
        if held is None or not held.is_held or not held.port.queue:
            return
        try:
            self.ports.check_room(held.space, held.port.queue[0])
        except QuotaExceeded:
            return
        first = held.port.queue[0].sequence
        letter, _, _ = self.ports.take(held.port, held.space)
        assert letter.sequence == first
        assert all(first < later.sequence for later in held.port.queue)

    @rule(choice=choices, times=st.integers(1, 3))
    def release(self, choice: int, times: int) -> None:
        """However often: only the first time counts."""
        held = self.pick(choice, *Kind)
        if held is not None:
            self.ports.release(held)
            after = self.counts()
            for _ in range(times):
                self.ports.release(held)
            assert self.counts() == after

    @rule(task=choices)
    def end(self, task: int) -> None:
        self.ports.end(self.spaces[task % 3])
        self.spaces[task % 3] = Space(task % 3, self.purses[task % 3])

    @rule(choice=choices, notify=choices, empty=st.booleans())
    def ask(self, choice: int, notify: int, empty: bool) -> None:
        held, once = self.pick(choice, Kind.RECEIVE if empty else Kind.SEND), self.pick(notify, Kind.SEND_ONCE)
        if held is None or once is None or not held.is_held:
            return
        try:
            if empty:
                self.ports.notify_no_senders(held, once, 1)
            else:
                self.ports.notify_dead(held, once)
        except Failure:
            pass

    def places(self) -> Iterator[Carried | Held]:
        """Every right, wherever it is."""
        for space in self.spaces:
            yield from space.rights.values()
        yield from self.ports.table.values()
        for port in self.all_ports:
            for letter in port.queue:
                yield from letter.carried
            yield from port.deaths.values()
            if port.no_senders is not None:
                yield port.no_senders[0]

    def counts(self) -> list[tuple[int, int, int, int]]:
        return [(port.senders, port.send_onces, port.charged, len(port.queue)) for port in self.all_ports]

    @invariant()
    def each_right_is_counted_once(self) -> None:
        found = Counter((right.port.number, right.kind) for right in self.places())
        for port in self.all_ports:
            assert port.senders == found[port.number, Kind.SEND]
            assert port.send_onces == found[port.number, Kind.SEND_ONCE]
            assert found[port.number, Kind.RECEIVE] == (not port.is_dead)

    @invariant()
    def owners_pay_for_what_is_queued_and_set_aside(self) -> None:
        for port in self.all_ports:
            queued = sum(blocks_for(letter.size) for letter in port.queue)
            assert port.charged == (0 if port.is_dead else queued + port.send_onces)
        for purse in self.purses:
            assert purse.used == sum(port.charged for port in self.all_ports if port.owner is purse) <= purse.quota

    @invariant()
    def nothing_is_queued_at_a_dead_port_nor_asked_of_it(self) -> None:
        for port in self.all_ports:
            assert not (port.is_dead and (port.queue or port.deaths or port.no_senders))

    @invariant()
    def who_wants_to_know_of_a_death_still_has_the_right(self) -> None:
        for port in self.all_ports:
            assert all(held.is_held for held in port.deaths)


TestTasks = Tasks.TestCase
TestTasks.settings = settings(
    max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)


def space(number: int = 0, blocks: int = 100) -> Space:
    return Space(number, Purse(blocks))


def test_a_receive_right_cannot_be_queued_within_itself() -> None:
    ports, task = Ports(), space()
    first, second = ports.allocate(task, 5), ports.allocate(task, 5)
    ports.put(first.port, Letter(1, rights=[ports.detach(Disposition.MOVE_RECEIVE, second)]))
    for target in (first.port, second.port):
        with pytest.raises(Malformed, match="its own port"):
            ports.check_parts(target, [(Disposition.MOVE_RECEIVE, first)])


def test_a_long_chain_of_ports_within_ports_ends_at_once() -> None:
    ports, task = Ports(), space(blocks=5000)
    outer = ports.allocate(task, 5)
    for _ in range(3000):
        inner = outer
        outer = ports.allocate(task, 5)
        outer.port.charge(1)
        ports.put(outer.port, Letter(1, rights=[ports.detach(Disposition.MOVE_RECEIVE, inner)]))
    ports.release(outer)
    assert task.purse.used == 0
    assert inner.port.is_dead


def test_the_same_right_cannot_move_twice_in_a_message() -> None:
    ports, task = Ports(), space()
    right = ports.make(ports.allocate(task, 5), Kind.SEND)
    with pytest.raises(Gone, match="twice"):
        ports.check_parts(right.port, [(Disposition.MOVE_SEND, right)] * 2)
    with pytest.raises(WrongKind):
        ports.check_parts(right.port, [(Disposition.MAKE_SEND, right)])
    assert right.is_held


@pytest.mark.parametrize("dies_first", [True, False])
def test_a_request_for_news_of_a_death_brings_one_message_whatever_comes_first(dies_first: bool) -> None:
    ports, task = Ports(), space()
    port, news = ports.allocate(task, 5), ports.allocate(task, 5)
    right, once = ports.make(port, Kind.SEND), ports.make(news, Kind.SEND_ONCE)
    ports.notify_dead(right, once)
    for held in (port, right) if dies_first else (right, port):
        ports.release(held)
    assert [(letter.id, letter.subject) for letter in news.port.queue] == [
        (DEAD_NAME if dies_first else PORT_DELETED, right.name)
    ]
    assert not once.is_held
    assert news.port.send_onces == 0
