"""Names for caps: nothing is global, nobody uses up another's places, what is revoked is gone under every name."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import (
    AlreadyExists,
    Failure,
    Gone,
    Malformed,
    NotFound,
    NotPermitted,
    QuotaExceeded,
    TooLarge,
    WrongKind,
)
from capkernel.protocols.interface import Cap, operations_of
from capkernel.protocols.names import MAX_CHOSEN, Name, NameKind, NameSpace
from capkernel.protocols.strategies import hostile_requests
from capkernel.user import stubs
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, BASE_OUTPUT_NOTIFICATION_CAP, ENDPOINT_BADGE, PD, PD_CNODE_BITS
from capkernel.user.syscalls import Message
from servers.system import name_server, name_table
from servers.system.name_server import ENDPOINT, OWN_CNODE

SERVER, TARGET = 0, 3
FIRST_CHANNEL = 2

Story = Callable[[PD, Connection, NameSpace], Awaitable[None]]


@pytest.fixture(autouse=True)
def _slots(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The domains of these tests have one CNode."""
    monkeypatch.setattr(name_server, "HELD_CNODE", OWN_CNODE)
    monkeypatch.setattr(name_server, "HELD_SLOTS", range(310, 400))
    monkeypatch.setattr(name_server, "HELD_ADDRESS", 0)
    return


class Client:
    """A program that does what a test says; ``TARGET`` is a channel that it may signal."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.is_done = False

    async def init(self, pd: PD) -> None:
        connection = Connection(pd.sys, Inbox(pd.sys, SlotAllocator(OWN_CNODE, 320, 420)))
        await self.story(pd, connection, connect(NameSpace, connection, BASE_ENDPOINT_CAP + SERVER))
        self.is_done = True

    async def notified(self, pd: PD, ch: int) -> None:
        pass


class Target:
    """Counts how often it was signalled, by channel."""

    def __init__(self) -> None:
        self.heard: list[int] = []

    async def init(self, pd: PD) -> None:
        pass

    async def notified(self, pd: PD, ch: int) -> None:
        self.heard.append(ch)


def play(domain: Any, domains: Any, *stories: Story) -> tuple[Any, Target]:
    """Run the server, something to signal, and a client for each story, the first with the highest priority."""
    program, target = name_server.Program(), Target()
    names, far = domain(program, 200), domain(target, 250)
    clients = [domain(Client(story), 150 - n, pps=1 << SERVER) for n, story in enumerate(stories)]

    async def wire(builder: Any) -> None:
        for each in (names, *clients):
            await builder.put(each, OWN_CNODE, each.cnode, 64 - PD_CNODE_BITS)
        await builder.put(names, ENDPOINT, names.endpoint)
        for number, each in enumerate(clients):
            await builder.put(each, BASE_ENDPOINT_CAP + SERVER, names.endpoint, ENDPOINT_BADGE | FIRST_CHANNEL + number)
            await builder.put(each, BASE_OUTPUT_NOTIFICATION_CAP + TARGET, far.notification, 1 << number)

    system = domains([names, far, *clients], wire)
    assert not system.crashes, system.crashes[0].report
    assert all(each.hooks.is_done for each in clients)
    return program, target


NOTIFICATION = Cap(BASE_OUTPUT_NOTIFICATION_CAP + TARGET)


def test_a_cap_of_any_kind_is_bound_looked_up_and_works(domain: Any, domains: Any) -> None:
    async def story(pd: PD, connection: Connection, mine: NameSpace) -> None:
        await mine.bind("bell", NOTIFICATION)
        await mine.bind("cspace", Cap(OWN_CNODE))
        assert await mine.names(0) == [Name("bell", NameKind.CAP), Name("cspace", NameKind.CAP)]
        assert await mine.names(1) == [Name("cspace", NameKind.CAP)]
        bell = await mine.lookup("bell")
        await pd.sys.signal(bell)
        with pytest.raises(AlreadyExists):
            await mine.bind("bell", NOTIFICATION)
        with pytest.raises(WrongKind):
            await mine.enter("bell")
        await mine.unbind("bell")
        with pytest.raises(NotFound):
            await mine.lookup("bell")
        await pd.sys.signal(bell)

    program, target = play(domain, domains, story)
    assert target.heard == [0, 0]
    assert [space.account.names for space in program.holder.grounds.values()] == [1]


def test_nobody_sees_anothers_names(domain: Any, domains: Any) -> None:
    async def one(pd: PD, connection: Connection, mine: NameSpace) -> None:
        await mine.bind("bell", NOTIFICATION)

    async def other(pd: PD, connection: Connection, mine: NameSpace) -> None:
        assert await mine.names(0) == []
        with pytest.raises(NotFound):
            await mine.lookup("bell")
        await mine.bind("bell", NOTIFICATION)

    play(domain, domains, one, other)


def test_a_fork_is_a_copy_of_what_was_chosen(domain: Any, domains: Any) -> None:
    async def story(pd: PD, connection: Connection, mine: NameSpace) -> None:
        for name in ("a", "b", "c"):
            await mine.bind(name, NOTIFICATION)
        copy = await mine.fork(["a", "b"])
        await mine.unbind("a")
        await copy.unbind("b")
        await copy.bind("d", NOTIFICATION)
        assert [each.name for each in await copy.names(0)] == ["a", "d"]
        assert [each.name for each in await mine.names(0)] == ["b", "c"]
        await pd.sys.signal(await copy.lookup("a"))
        with pytest.raises(NotFound):
            await mine.fork(["c", "a"])
        await copy.drop()

    program, target = play(domain, domains, story)
    assert target.heard == [0]
    assert program.holder.grounds[FIRST_CHANNEL].account.names == 2
    assert len(program.holder.taken) == 2, "the caps of a and d are not held any more"


def test_a_restricted_space_shows_some_names_and_changes_none(domain: Any, domains: Any) -> None:
    async def story(pd: PD, connection: Connection, mine: NameSpace) -> None:
        await mine.bind("a", NOTIFICATION)
        reader = await mine.restrict(["a", "later"], False)
        writer = await mine.restrict(["a", "later"], True)
        for refused in (
            reader.bind("later", NOTIFICATION), reader.unbind("a"), reader.restrict(["a"], True),
            reader.restrict(["other"], False), writer.bind("other", NOTIFICATION), writer.restrict(["other"], True),
            reader.attach("later", mine),
        ):  # fmt: skip
            with pytest.raises(NotPermitted):
                await refused
        await mine.bind("other", NOTIFICATION)
        with pytest.raises(NotFound):
            await reader.lookup("other")
        await writer.bind("later", NOTIFICATION)
        assert [each.name for each in await reader.names(0)] == ["a", "later"]
        narrower = await writer.restrict(["a"], True)
        await narrower.unbind("a")
        with pytest.raises(NotFound):
            await reader.lookup("a")
        await mine.revoke()
        with pytest.raises(Gone):
            await reader.names(0)
        assert [each.name for each in await mine.names(0)] == ["later", "other"]

    play(domain, domains, story)


def test_name_spaces_in_name_spaces_and_none_in_itself(domain: Any, domains: Any) -> None:
    async def story(pd: PD, connection: Connection, mine: NameSpace) -> None:
        await mine.bind("bell", NOTIFICATION)
        inner = await mine.fork([])
        await inner.attach("outside", await mine.restrict(["bell"], False))
        with pytest.raises(Malformed, match="through itself"):
            await mine.attach("inner", inner)
        outside = await inner.enter("outside")
        await pd.sys.signal(await outside.lookup("bell"))
        with pytest.raises(NotPermitted):
            await outside.unbind("bell")
        with pytest.raises(WrongKind):
            await inner.lookup("outside")
        assert await inner.names(0) == [Name("outside", NameKind.SPACE)]
        with pytest.raises(Malformed, match="not to something else"):
            await mine.bind("x", mine.cap)

    assert play(domain, domains, story)[1].heard == [0]


def test_what_is_revoked_where_it_came_from_is_gone_under_every_name(domain: Any, domains: Any) -> None:
    async def story(pd: PD, connection: Connection, mine: NameSpace) -> None:
        await mine.bind("bell", NOTIFICATION)
        forked = await mine.fork(["bell"])
        await pd.sys.signal(await mine.lookup("bell"))
        await stubs.cnode_revoke(pd.sys, OWN_CNODE, index=NOTIFICATION, depth=64)
        for space in (mine, forked):
            with pytest.raises(Gone):
                await space.lookup("bell")
            await space.unbind("bell")

    assert play(domain, domains, story)[1].heard == [0]


def test_a_flood_of_caps_and_names_ends_at_ones_own_quota(domain: Any, domains: Any) -> None:
    async def greedy(pd: PD, connection: Connection, mine: NameSpace) -> None:
        spaces = [mine]
        for number in range(80):
            await spaces[number % len(spaces)].bind(f"{number}", NOTIFICATION)
            if number % 8 == 7:
                spaces.append(await mine.fork([]))
        for space in spaces:
            with pytest.raises(QuotaExceeded):
                await space.bind("one more", NOTIFICATION)
        with pytest.raises(QuotaExceeded):
            await mine.fork(["0"])
        listing = operations_of(NameSpace)[5]
        for _ in range(200):
            answer = await pd.sys.call(BASE_ENDPOINT_CAP, Message(listing.label, (0,), (OWN_CNODE,)))
            assert answer.label == 0

    async def modest(pd: PD, connection: Connection, mine: NameSpace) -> None:
        for number in range(5):
            await mine.bind(f"{number}", NOTIFICATION)
            await pd.sys.signal(await mine.lookup(f"{number}"))

    monkey = pytest.MonkeyPatch()
    monkey.setattr(name_table, "MAX_NAMES", 80)
    try:
        assert play(domain, domains, greedy, modest)[1].heard == [1] * 5
    finally:
        monkey.undo()


def test_so_many_caps_to_name_spaces_and_no_more(domain: Any, domains: Any) -> None:
    async def story(pd: PD, connection: Connection, mine: NameSpace) -> None:
        for _ in range(name_server.MAX_SPACES):
            await mine.fork([])
        with pytest.raises(QuotaExceeded):
            await mine.fork([])
        await mine.revoke()
        await mine.fork([])

    play(domain, domains, story)


@pytest.mark.parametrize("name", ["", "a/b", "x" * 65, "ä" * 33, "a\nb", "\x1b[2J", "\u202e"])
def test_wrong_names_are_refused_and_their_caps_deleted(domain: Any, domains: Any, name: str) -> None:
    async def story(pd: PD, connection: Connection, mine: NameSpace) -> None:
        for refused in (mine.bind(name, NOTIFICATION), mine.lookup(name), mine.fork([name]), mine.unbind(name)):
            with pytest.raises(Malformed):
                await refused
        with pytest.raises(TooLarge):
            await mine.fork([f"{n}" for n in range(MAX_CHOSEN + 1)])

    program, _ = play(domain, domains, story)
    near = program.holder.inbox.slots
    assert len(near._free) == near._next - near.first - 1, "all but the landing are free"


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(hostile_requests(NameSpace), min_size=10, max_size=30))
def test_no_request_kills_the_server(domain: Any, domains: Any, requests: list[Message]) -> None:
    async def fuzz(pd: PD, connection: Connection, mine: Any) -> None:
        inner = await mine.fork([])
        for request in requests:
            for cap in (BASE_ENDPOINT_CAP + SERVER, inner.cap):
                await pd.sys.call(cap, Message(request.label, request.words))
                await pd.sys.call(cap, Message(request.label, request.words, (OWN_CNODE, inner.cap)))
        with pytest.raises(Failure):
            await mine.lookup("nothing of this name")

    play(domain, domains, fuzz)


Shape = list[tuple[int, str, int | None]]
"""Names that are bound in turn: in which space (by number), the name, and to a cap, or to the space of that number."""


@given(st.lists(st.tuples(st.integers(0, 5), st.text("abc", min_size=1, max_size=2), st.none() | st.integers(0, 5))))
def test_what_was_written_down_is_read_back(shape: Shape) -> None:
    accounts = {channel: name_table.Account(channel) for channel in (2, 3)}
    grounds = {channel: name_table.Space(account, users=1) for channel, account in accounts.items()}
    spaces = [*grounds.values(), *(name_table.Space(accounts[2 + number % 2]) for number in range(4))]
    for slot, (place, name, other) in enumerate(shape, 1):
        space = spaces[place]
        target = None if other is None else spaces[other]
        if name in space.entries or (target and name_table.View(target).reaches(space)):
            continue
        space.put(name, name_table.View(target, frozenset("ab"), False) if target else name_table.Held(slot))
    found = name_table.read_back(name_table.written(grounds))
    assert name_table.written(found) == name_table.written(grounds)
    assert name_table.slots_of(found) == name_table.slots_of(grounds)
    for channel, space in found.items():
        assert space.account.channel == channel
        assert space.users >= 1
        for entry in space.entries.values():
            target = entry.space if isinstance(entry, name_table.View) else entry
            assert target.users >= 1
