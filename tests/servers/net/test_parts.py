"""The parts of the network servers by themselves: answers of name servers, paths, ranges, policies, a lying driver."""

from collections import deque
from typing import Any, cast

import dns.message
import dns.name
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capkernel.protocols.cable import MAX_OUTGOING, REFUSALS, TRIES, Cable, CableCut
from capkernel.protocols.failures import (
    Busy,
    Corrupt,
    DeviceError,
    Failure,
    Gone,
    Malformed,
    NotFound,
    Refused,
    ServerDied,
)
from capkernel.protocols.files import checked_name
from capkernel.protocols.link import BATCH, SLOT, Exchanged, Frame, Link, LinkInfo
from capkernel.user.messages import SharedRegion
from capkernel.user.operations import READ
from servers.net.http_connection import range_in
from servers.net.pages import names_in, path_in
from servers.net.policy import PolicyError, read_policy
from servers.net.resolver import addresses_in, read_answer
from servers.net.resolver import checked_name as checked_host
from servers.net.stack_server import check
from tests.servers.net.wire import needs_lwip
from tests.servers.stepping import run_steps

NAME = dns.name.from_text("a.test")
QUERY = dns.message.make_query(NAME, "A", id=7)


def answered(*records: tuple[str, str, str], code: int = 0) -> dns.message.Message:
    response = dns.message.make_response(QUERY)
    response.set_rcode(code)
    response.answer = [dns.rrset.from_text(name, 60, "IN", kind, data) for name, kind, data in records]
    return response


def test_aliases_are_followed() -> None:
    message = answered(("a.test.", "CNAME", "b.test."), ("b.test.", "CNAME", "c.test."), ("c.test.", "A", "10.1.2.3"))
    assert addresses_in(message, NAME) == ["10.1.2.3"]


@pytest.mark.parametrize(
    ("message", "failure"),
    [
        (answered(code=3), NotFound), (answered(code=2), Refused), (answered(), NotFound),
        (answered(("b.test.", "A", "10.1.2.3")), NotFound), (answered(("a.test.", "TXT", "hello")), NotFound),
        (answered(("a.test.", "CNAME", "b.test."), ("b.test.", "CNAME", "a.test.")), Corrupt),
    ],
)  # fmt: skip
def test_answers_without_an_address(message: dns.message.Message, failure: type[Failure]) -> None:
    with pytest.raises(failure):
        addresses_in(message, NAME)


@given(st.binary(max_size=200))
def test_noise_is_no_answer(data: bytes) -> None:
    assert read_answer(data, QUERY) is None


@given(st.integers(0, 60), st.integers(0, 7))
def test_a_damaged_answer_is_none_or_says_what_can_be(at: int, bit: int) -> None:
    data = bytearray(answered(("a.test.", "A", "10.1.2.3")).to_wire())
    data[at % len(data)] ^= 1 << bit
    message = read_answer(bytes(data), QUERY)
    if message is not None:
        try:
            assert len(addresses_in(message, NAME)) == 1
        except Failure:
            return


@pytest.mark.parametrize("name", ["", ".", "a..b", "x" * 64, "y." * 200, "\ud800"])
def test_what_is_no_host(name: str) -> None:
    with pytest.raises(Malformed):
        checked_host(name)


@given(st.text(max_size=40).map(lambda text: "/" + text))
def test_a_path_gives_names_that_are_names(target: str) -> None:
    try:
        names = names_in(path_in(target))
    except Malformed:
        return
    for name in names:
        assert checked_name(name) == name


@given(st.text(max_size=30) | st.from_regex(r"bytes=\d{0,6}-\d{0,6}", fullmatch=True), st.integers(0, 1000))
def test_a_range_lies_in_the_page_or_is_empty(wanted: str, size: int) -> None:
    found = range_in(wanted, size)
    if found is not None and found[0] < found[1]:
        assert 0 <= found[0] < found[1] <= size


GOOD = 'address = "10.0.2.15/24"\ngateway = "10.0.2.2"\nnameserver = "10.0.2.3"\n'


@pytest.mark.parametrize(
    "text",
    [
        "[", "", 'address = "10.0.2.15/24"', GOOD.replace("10.0.2.2", "host"), GOOD + "seed = true", GOOD + "x = 1",
        GOOD + "client = 3", GOOD + "client = [1]", GOOD + "[[client]]\nchannel = 2",
        GOOD + '[[client]]\ngives = "network"',
        GOOD + '[[client]]\nchannel = 2\ngives = "dialer"\nport = 1', GOOD + '[[client]]\nchannel = 2\ngives = "all"',
        GOOD + '[[client]]\nchannel = "2"\ngives = "network"',
        GOOD + '[[client]]\nchannel = 2\nx = 1\ngives = "network"',
        GOOD + '[[client]]\nchannel = 2\ngives = "network"\n' * 2, GOOD + '[[client]]\nchannel = 1\ngives = "network"',
        GOOD + '[[client]]\nchannel = 2\ngives = "network"\nstreams = 900',
    ],
)  # fmt: skip
def test_a_policy_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(PolicyError):
        check(read_policy(text))


def test_a_policy() -> None:
    policy = read_policy(GOOD + '[[client]]\nchannel = 2\ngives = "listener"\nport = 80\nshared = true')
    check(policy)
    assert (policy.clients[0].gives, policy.clients[0].port, policy.clients[0].shared) == ("listener", 80, True)


REGION = SharedRegion(0x1000, 64 * SLOT)


class Lying(Link):
    """A driver that says what it is told to say."""

    def __init__(self) -> None:
        self.says: deque[Exchanged | Failure] = deque()
        self.given: list[tuple[list[Frame], list[int]]] = []
        self.opened = 0
        self.deaths = 0

    async def open(self) -> LinkInfo:
        self.opened += 1
        if self.deaths:
            self.deaths -= 1
            raise ServerDied("again")
        return LinkInfo(bytes(6), 1500, True, 64, 32, 31)

    async def exchange(self, transmit: list[Frame], provide: list[int]) -> Exchanged:
        self.given.append((transmit, provide))
        said = self.says.popleft() if self.says else Exchanged([], [], False)
        if isinstance(said, Failure):
            raise said
        return said

    async def info(self) -> LinkInfo:
        return await self.open()


def run(work: Any) -> Any:
    """Run something whose memory is all zeros."""
    return run_steps(work, lambda kind, _, value: bytes(value) if kind == READ else None)


def invariant(cable: Cable) -> None:
    """Each slot is in one place."""
    places = [*cable.free, *cable.to_provide, *cable.with_card]
    assert len(places) == len(set(places)) == 63


FRAMES = st.builds(Frame, st.integers(-2, 70), st.integers(-5, 3000))
SAID = st.builds(Exchanged, st.lists(FRAMES, max_size=20), st.lists(st.integers(-2, 70), max_size=20), st.booleans())
ANSWERS = SAID | st.sampled_from([ServerDied("x"), Gone("x"), Busy("x"), Malformed("x")])


@given(st.lists(st.tuples(ANSWERS, st.integers(0, 30)), max_size=12))
def test_a_driver_that_lies_does_not_confuse_the_cable(story: list[tuple[Exchanged | Failure, int]]) -> None:
    link = Lying()
    cable = Cable(link, REGION)
    run(cable.open())
    invariant(cable)
    for said, count in story:
        for _ in range(count):
            cable.send(bytes(60))
        link.says.append(said)
        frames, _ = run(cable.exchange())
        assert all(0 < len(frame) <= SLOT for frame in frames)
        invariant(cable)
    for transmit, provide in link.given:
        assert max(len(transmit), len(provide)) <= BATCH


def test_a_driver_that_always_dies_is_given_up() -> None:
    link = Lying()
    link.deaths = TRIES - 1
    run(Cable(link, REGION).open())
    link.deaths = TRIES
    with pytest.raises(CableCut):
        run(Cable(link, REGION).open())


@pytest.mark.parametrize("is_heard", [True, False])
def test_a_driver_that_fails_every_exchange_is_complained_of_and_opened_anew(is_heard: bool) -> None:
    link, complaints = Lying(), list[int]()

    async def complain() -> bool:
        complaints.append(len(link.given))
        return is_heard

    cable = Cable(link, REGION, complain=complain)
    run(cable.open())
    link.says.extend(DeviceError("no") for _ in range(2 * REFUSALS - 1))
    for _ in range(REFUSALS):
        run(cable.exchange())
        invariant(cable)
    assert complaints == [REFUSALS]
    assert (link.opened, cable.is_refused) == (2, True) if is_heard else (1, True)
    for _ in range(REFUSALS + 1):
        run(cable.exchange())
    assert complaints == [REFUSALS], "what worked in between begins to count anew"


@pytest.mark.parametrize(
    "said", [DeviceError("no"), LinkInfo(b"", 0, False, 64, 32, 31), LinkInfo(bytes(6), 0, True, 64, 0, 0)]
)
def test_a_driver_that_cannot_be_opened_is_complained_of_once(said: Any) -> None:
    class Closed(Lying):
        async def open(self) -> LinkInfo:
            self.opened += 1
            if isinstance(said, Failure):
                raise said
            return cast(LinkInfo, said)

    async def complain() -> bool:
        complaints.append(link.opened)
        return True

    link, complaints = Closed(), list[int]()
    with pytest.raises(CableCut):
        run(Cable(link, REGION, complain=complain).open())
    assert complaints == [TRIES]
    assert link.opened == 2 * TRIES


def test_what_cannot_be_sent_for_long_is_lost() -> None:
    cable = Cable(Lying(), REGION)
    for _ in range(MAX_OUTGOING + 5):
        cable.send(bytes(60))
    cable.send(bytes(SLOT + 1))
    assert (len(cable.outgoing), cable.lost) == (MAX_OUTGOING, 6)


@needs_lwip
def test_a_stack_that_is_garbage_in_a_circle_is_freed_in_any_order() -> None:
    """What waits for one of its sockets may be closed after it, or before."""
    import gc

    from servers.net.lwip.stack import Stack

    class Waiting:
        def __init__(self) -> None:
            self.stack = Stack(b"\2\0\0\0\0\1", lambda: 0, lambda frame: None, address="10.0.2.15/24")
            self.steps = self.wait()
            next(self.steps)

        def wait(self) -> Any:
            socket = self.stack.udp()
            try:
                yield
            finally:
                socket.close()

    for _ in range(3):
        Waiting()
        gc.collect()
