"""Sending and receiving with others who wait: order, ends, refusals. Messages here have no data: nothing is written."""

from collections.abc import Callable
from typing import Any

import pytest

from capkernel.protocols.failures import Gone, Malformed, NotFound, TimedOut, WrongKind
from capkernel.protocols.mach_ports import FOREVER, Disposition, Kind, Outgoing, Received
from capkernel.user.tasks import Tasks
from servers.mach.desk import Desk
from servers.mach.port_server import ReceiveServant, SendOnceServant, SendServant, SetServant, TaskServant
from servers.mach.rights import Held, Space
from servers.mach.store import Purse, Store


class Bench:
    """A desk without a kernel, and what came of each request."""

    def __init__(self) -> None:
        nobody: Any = None
        self.desk = Desk(nobody, Store(0, 1000), {}, None)
        self.tasks = Tasks()
        self.outcomes: dict[str, Any] = {}

    def space(self, number: int) -> Space:
        return Space(number, Purse(50))

    def ask(self, name: str, work: Any) -> None:
        """Begin a request, and let whoever can go on."""

        async def done(result: Any, error: BaseException | None) -> None:
            self.outcomes[name] = error if error is not None else result

        run(self.tasks.start(work, done))
        run(self.tasks.run_ready())

    def send(self, name: str, right: Held, timeout_us: int = FOREVER, **how: Any) -> None:
        servant = (SendOnceServant if right.kind is Kind.SEND_ONCE else SendServant)(self.desk, right)
        self.ask(name, servant.send(Outgoing(int(name), **how), timeout_us, servant, servant, servant))

    def receive(self, name: str, right: Held, timeout_us: int = 0) -> None:
        kind = SetServant if right.kind is Kind.PORT_SET else ReceiveServant
        self.ask(name, kind(self.desk, right).receive(100, timeout_us))


def run(work: Any) -> Any:
    """Run what needs no CPU."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("this was to need no system call")


@pytest.fixture
def bench() -> Bench:
    return Bench()


def numbers(bench: Bench, right: Held, count: int) -> list[Any]:
    """The ids of the next messages, or the failures."""
    found: list[Any] = []
    for _ in range(count):
        bench.receive("it", right)
        came = bench.outcomes["it"]
        found.append(came.id if isinstance(came, Received) else type(came))
    return found


def test_those_who_wait_at_the_limit_go_on_in_the_order_in_which_they_came(bench: Bench) -> None:
    port = bench.desk.ports.allocate(bench.space(1), 1)
    rights = [bench.desk.ports.make(port, Kind.SEND) for _ in range(4)]
    for number, right in enumerate(rights):
        bench.send(str(number), right)
    assert list(bench.outcomes) == ["0"]
    assert numbers(bench, port, 5) == [0, 1, 2, 3, TimedOut]


def test_a_message_of_a_task_that_ended_while_it_waited_is_not_sent(bench: Bench) -> None:
    ports, owner, sender = bench.desk.ports, bench.space(1), bench.space(2)
    port = ports.allocate(owner, 1)
    own = ports.make(port, Kind.SEND)
    other = sender.add(Kind.SEND, port.port)
    port.port.senders += 1
    for number, right in enumerate((own, other, own)):
        bench.send(str(number), right)
    bench.desk.end(sender)
    assert numbers(bench, port, 3) == [0, 2, TimedOut]
    assert isinstance(bench.outcomes["1"], Gone)


def test_a_send_once_message_does_not_wait_for_room_in_the_queue(bench: Bench) -> None:
    ports = bench.desk.ports
    port = ports.allocate(bench.space(1), 1)
    send, once = ports.make(port, Kind.SEND), ports.make(port, Kind.SEND_ONCE)
    for number, right in enumerate((send, send, once)):
        bench.send(str(number), right)
    assert numbers(bench, port, 3) == [0, 2, 1]


@pytest.mark.parametrize("timeout_us", [-2, 1 << 60])
def test_a_refused_time_out_keeps_nobody_waiting(bench: Bench, timeout_us: int) -> None:
    port = bench.desk.ports.allocate(bench.space(1), 5)
    right = bench.desk.ports.make(port, Kind.SEND)
    bench.send("1", right, timeout_us)
    bench.receive("2", port, timeout_us)
    assert [type(bench.outcomes[name]) for name in "12"] == [Malformed, Malformed]
    bench.send("3", right)
    assert numbers(bench, port, 1) == [3]


def test_a_port_set_gives_the_message_that_waits_longest_and_its_members_none(bench: Bench) -> None:
    ports, task = bench.desk.ports, bench.space(1)
    members = [ports.allocate(task, 5) for _ in range(2)]
    rights = [ports.make(member, Kind.SEND) for member in members]
    port_set = ports.allocate_set(task)
    for member in members:
        ports.join_set(port_set, member)
    for number, right in ((1, rights[1]), (2, rights[0]), (3, rights[1])):
        bench.send(str(number), right)
    bench.receive("member", members[0])
    assert isinstance(bench.outcomes["member"], WrongKind)
    assert numbers(bench, port_set, 4) == [1, 2, 3, TimedOut]
    ports.release(members[0])
    assert port_set.members == [members[1]]


def test_who_waits_to_receive_is_told_when_the_right_is_sent_away(bench: Bench) -> None:
    ports, task = bench.desk.ports, bench.space(1)
    port, other = ports.allocate(task, 5), ports.allocate(task, 5)
    way = ports.make(other, Kind.SEND)
    bench.receive("waits", port, FOREVER)
    servant, moved = SendServant(bench.desk, way), ReceiveServant(bench.desk, port)
    message = Outgoing(1, parts=[Disposition.MOVE_RECEIVE])
    bench.ask("sent", servant.send(message, FOREVER, moved, servant, servant))
    assert isinstance(bench.outcomes["waits"], Gone)
    assert bench.outcomes["sent"] is None


def test_a_second_deallocation_is_not_found_and_hits_nobody(bench: Bench) -> None:
    server: Callable[..., Any] = type("Server", (), {"desk": bench.desk})
    space = bench.space(1)
    task = TaskServant(server(), space)
    first = bench.desk.ports.allocate(space, 5)
    bench.ask("1", task.deallocate(first.name))
    second = bench.desk.ports.allocate(space, 5)
    bench.ask("2", task.deallocate(first.name))
    assert isinstance(bench.outcomes["2"], NotFound)
    assert second.is_held
