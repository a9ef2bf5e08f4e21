"""Programs linked into one domain: what a table may say, who goes on when, and that objects close as caps do."""

from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capkernel.protocols.client import Connection
from capkernel.protocols.failures import Failure, Gone, Malformed, NotFound
from capkernel.protocols.files import Directory
from capkernel.protocols.interface import Cap, Interface, operation
from capkernel.protocols.service import Service
from capkernel.tools.demo.stage import Stage
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD, ChannelError
from capkernel.user.pdimage import PDValues
from capkernel.user.syscalls import Message
from capkernel.user.tasks import Condition
from servers.linked.domain import Domain, Member
from servers.linked.table import Misconnected, TableError, read_table
from servers.neighbours import Asks, Serves, Uses, neighbour
from tests.servers.bench import Bench
from tests.servers.stepping import run_steps

LONGEST_US = 3_000_000
NOTIFICATION, OWN_CNODE = 300, 301


class Box(Interface, number=9_001):
    """Something in which there may be more of its kind."""

    @operation(1)
    @abstractmethod
    async def open(self) -> "Box":
        """One that is inside."""

    @operation(2)
    @abstractmethod
    async def which(self) -> int:
        """Which it is. Waits until the server allows it."""

    @operation(3)
    @abstractmethod
    async def watch(self, signal: Cap) -> None:
        """Have something signalled from now on."""


Box.open.__annotations__["return"] = Box


class Servant(Box):
    """A box of a server."""

    def __init__(self, server: "Boxes", place: int) -> None:
        self.server = server
        self.place = place

    async def open(self) -> Box:
        return self.server.made()

    async def which(self) -> int:
        await self.server.allowed(self.place)
        return self.place

    async def watch(self, signal: Cap) -> None:
        await self.server.pd.sys.nbsend(signal)
        await self.server.inbox.discard(signal)

    async def closed(self) -> None:
        self.server.told.append(self.place)


class Boxes:
    """A server of boxes; number 0 is a session's own."""

    def __init__(self) -> None:
        self.service: Any = None
        self.inbox: Any = None
        self.pd: Any = None
        self.count = 0
        self.told: list[int] = []

    async def init(self, pd: PD) -> None:
        self.pd = pd
        self.inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, 400, 500))
        self.service = Service(pd, roots=self.root)

    def root(self, session: int) -> Interface | None:
        return Servant(self, 0) if session == 2 else None

    def made(self) -> Servant:
        self.count += 1
        return Servant(self, self.count)

    async def allowed(self, place: int) -> None:
        """At once."""

    async def notified(self, pd: PD, ch: int) -> None:
        """Nothing notifies it."""


class Program:
    """A client whose work is set from outside."""

    work: Any = None

    async def init(self, pd: PD) -> None:
        root = neighbour(Box, pd, Connection(pd.sys), BASE_ENDPOINT_CAP)
        self.root: Any = root
        await type(self).work(self, pd, root)

    async def notified(self, pd: PD, ch: int) -> None:
        self.heard = [*getattr(self, "heard", []), ch]


def module(program: type) -> ModuleType:
    made = ModuleType("program")
    made.__dict__["Program"] = program
    return made


def client(work: Any) -> type:
    return type("Client", (Program,), {"work": staticmethod(work)})


def no_system_call(*operation: Any) -> Any:
    raise AssertionError(f"nothing here goes through the kernel, but {operation} would")


def no_news(*operation: Any) -> Any:
    """Nobody outside wants anything."""
    return 0, 0, 0, 0, 0, 0


def linked(text: str, *programs: type, answer: Callable[..., Any] = no_system_call) -> Domain:
    """A domain of programs that are not installed; it has gone on as far as it can."""
    parts = read_table(text)
    domain = Domain(PD(PDValues(name="it")), [Member(*each) for each in zip(parts, map(module, programs), strict=True)])
    run_steps(domain.go_on(), answer)
    return domain


BOTH = '[boxes]\nprogram = "x"\n[client]\nprogram = "x"\nchannels = { 0 = "boxes 2" }\n'
CHAIN = '[boxes]\nprogram = "x"\n[middle]\nprogram = "x"\nchannels = { 0 = "boxes 2" }\n'
CLIENTS = "".join(f'[client{n}]\nprogram = "x"\nchannels = {{ 0 = "middle {n + 2}" }}\n' for n in range(2))


@pytest.mark.parametrize(("text", "says"), [
    ("disk = 3", "no table"), ("[Disk]\nprogram = 'x'", "small letters"), ("[disk]", "its program"),
    ("[disk]\nprogram = 3", "makes no sense"), ("[disk]\nprogram = 'x'\ncolour = 'red'", "makes no sense"),
    ("[disk]\nprogram = 'x'\noutside = { 0 = 99 }", "no channel 99"),
    ("[disk]\nprogram = 'x'\noutside = { a = 1 }", "no number from 0 to 61"),
    ("[disk]\nprogram = 'x'\nchannels = { 0 = 'files 2' }", "not above it"),
    ("[disk]\nprogram = 'x'\nchannels = { 0 = 'disk 2' }", "not above it"),
    ("[disk]\nprogram = 'x'\nchannels = { 0 = 2 }", "no part and a channel"),
    ("[disk]\nprogram = 'x'\n[files]\nprogram = 'x'\noutside = { 0 = 0 }\nchannels = { 0 = 'disk 2' }", "both outside"),
    (BOTH + "[other]\nprogram = 'x'\nchannels = { 0 = 'boxes 2' }", "two other ends"),
    ("[disk]\nprogram = 'x'\noutside = { 2 = 2 }\n[files]\nprogram = 'x'\nchannels = { 0 = 'disk 2' }", "two other"),
    ("[disk\n", "no TOML"),
])  # fmt: skip
def test_a_table_that_cannot_be_is_refused_with_its_place(text: str, says: str) -> None:
    with pytest.raises(TableError, match=says):
        read_table(text)


def test_a_part_has_channels_slots_and_what_is_outside() -> None:
    second = '[b]\nprogram = "y"\nchannels = { 1 = "a 2" }\nslots = { 310 = "a 3" }\n'
    text = '[a]\nprogram = "x"\noutside = { 0 = 5 }\n' + second
    first, last = read_table(text)
    assert (first.outside, last.program) == ({0: 5}, "y")
    assert {cap: (end.part, end.channel) for cap, end in last.asks.items()} == {
        BASE_ENDPOINT_CAP + 1: ("a", 2), 310: ("a", 3),
    }  # fmt: skip


def test_a_request_is_a_call_and_a_failure_is_raised() -> None:
    found: list[Any] = []

    async def work(self: Any, pd: PD, root: Any) -> None:
        opened = await root.open()
        found.append(await opened.which())
        with pytest.raises(Failure):
            await root.which()

    class Refusing(Boxes):
        async def allowed(self, place: int) -> None:
            if not place:
                raise NotFound("nothing is there")

    linked(BOTH, Refusing, client(work))
    assert found == [1]


def test_where_nobody_is_connected_the_program_is_told_so() -> None:
    async def work(self: Any, pd: PD, root: Any) -> None:
        with pytest.raises(ChannelError, match="nobody is behind"):
            neighbour(Box, pd, Connection(pd.sys), BASE_ENDPOINT_CAP + 7)
        with pytest.raises(ChannelError, match="leads nowhere"):
            await pd.notify(7)

    linked(BOTH, Boxes, client(work))


def test_a_program_that_serves_nobody_cannot_be_asked() -> None:
    with pytest.raises(TableError, match="client cannot ask boxes"):
        linked(BOTH, client(ask), client(ask))


def test_a_session_that_its_server_does_not_know_ends_the_domain_and_is_gone_if_the_server_declares_it() -> None:
    async def work(self: Any, pd: PD, root: Any) -> None:
        with pytest.raises(Gone):
            await root.open()

    class Declaring(Boxes):
        uses = Uses(serves={3: Serves(Box)})

    text = BOTH.replace("boxes 2", "boxes 3")
    linked(text, Declaring, client(work))
    with pytest.raises(Misconnected, match=r"it\.client: channel 0 leads to boxes's channel 3, which gives nothing"):
        linked(text, Boxes, client(work))


def test_a_program_asks_nothing_but_what_it_declares() -> None:
    async def work(self: Any, pd: PD, root: Any) -> None:
        raise AssertionError("it was given something to ask")

    for uses in (Uses(), Uses(asks={BASE_ENDPOINT_CAP: Asks(Directory)})):
        asking = type("Asking", (client(work),), {"uses": uses})
        with pytest.raises(Misconnected, match="asks a Box through channel 0, which is not what it declares"):
            linked(BOTH, Boxes, asking)


def test_a_signal_reaches_the_channel_that_its_cap_says_and_only_real_caps_can_be_handed_over() -> None:
    async def work(self: Any, pd: PD, root: Any) -> None:
        inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, 310, 320))
        async with inbox.lent_signal(NOTIFICATION, 13) as signal:
            await root.watch(signal)
        with pytest.raises(Malformed):
            await root.watch(signal)

    domain = linked(BOTH, Boxes, client(work))
    assert domain.parts["client"].program.heard == [13]
    assert not domain.parts["boxes"].sys.signals
    assert not domain.parts["client"].sys.signals


class Middle(Boxes):
    """Asks another server for each number, and notes who is inside."""

    async def init(self, pd: PD) -> None:
        await super().init(pd)
        self.below: Any = neighbour(Box, pd, Connection(pd.sys), BASE_ENDPOINT_CAP)
        self.inside: list[tuple[str, int]] = []

    def root(self, session: int) -> Interface | None:
        return Servant(self, session)

    async def allowed(self, place: int) -> None:
        self.inside.append(("in", place))
        await self.below.which()
        self.inside.append(("out", place))


class Slow(Boxes):
    """Answers when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = Condition()

    async def allowed(self, place: int) -> None:
        await self.answer.wait()

    async def notified(self, pd: PD, ch: int) -> None:
        self.answer.notify(1)


async def ask(self: Any, pd: PD, root: Any) -> None:
    self.found = await root.which()


def test_who_waits_for_another_server_serves_nobody_else_meanwhile() -> None:
    text = (CHAIN + CLIENTS).replace('program = "x"\n', 'program = "x"\noutside = { 9 = 9 }\n', 1)
    domain = linked(text, Slow, Middle, client(ask), client(ask))
    middle = domain.parts["middle"].program
    assert middle.inside == [("in", 2)]
    for _ in range(2):
        domain.hear(1 << 9)
        run_steps(domain.go_on(), no_system_call)
    assert middle.inside == [("in", 2), ("out", 2), ("in", 3), ("out", 3)]
    assert [domain.parts[f"client{n}"].program.found for n in range(2)] == [2, 3]


def test_who_waits_for_something_of_its_own_goes_on_with_others() -> None:
    class SlowForSome(Slow):
        async def allowed(self, place: int) -> None:
            if not place:
                await super().allowed(place)

        def root(self, session: int) -> Interface | None:
            return Servant(self, session - 2)

    text = '[boxes]\nprogram = "x"\noutside = { 9 = 9 }\n' + CLIENTS.replace("middle", "boxes")
    domain = linked(text, SlowForSome, client(ask), client(ask))
    assert not hasattr(domain.parts["client0"].program, "found")
    assert domain.parts["client1"].program.found == 1


def test_clients_that_never_wait_have_their_turns_and_somebody_outside_is_heard() -> None:
    looks: list[int] = []

    async def work(self: Any, pd: PD, root: Any) -> None:
        self.rounds = 0
        while not (len(looks) > 2 and self.rounds > 50):
            await root.which()
            self.rounds += 1

    text = '[boxes]\nprogram = "x"\noutside = { 9 = 9 }\n' + CLIENTS.replace("middle", "boxes")
    parts = read_table(text)

    class Open(Boxes):
        def root(self, session: int) -> Interface | None:
            return Servant(self, session)

        async def notified(self, pd: PD, ch: int) -> None:
            looks.append(ch)

    programs = [module(each) for each in (Open, client(work), client(work))]
    domain = Domain(PD(PDValues(name="it")), [Member(*each) for each in zip(parts, programs, strict=True)])
    run_steps(domain.go_on(), lambda *call: (1 << 9, 0, 0, 0, 0, 0))
    assert looks[:3] == [9, 9, 9]
    rounds = [domain.parts[f"client{n}"].program.rounds for n in range(2)]
    assert min(rounds) > 50
    assert abs(rounds[0] - rounds[1]) <= 32


async def is_gone(it: Any) -> bool:
    try:
        await it.which()
    except Gone:
        return True
    return False


STEPS = st.lists(st.tuples(st.sampled_from(("open", "derive", "drop", "revoke")), st.integers(0, 30)), max_size=30)


class Served(Boxes):
    """The same server in a domain of its own, asked by messages."""

    async def init(self, pd: PD) -> None:
        await super().init(pd)
        self.service = Service(pd, roots=self.root, endpoint=300, inbox=self.inbox)
        await self.service.open()

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        return await self.service.protected(msg)


async def outcomes(root: Any, steps: list[tuple[str, int]]) -> list[int | None]:
    """What comes of steps: which box it is in the end, of each object that was opened; None where nothing is."""
    objects = [root]
    for what, index in steps:
        try:
            answer = await getattr(objects[index % len(objects)], what)()
        except Gone:
            continue
        if what in ("open", "derive"):
            objects.append(answer)
    return [None if await is_gone(each) else await each.which() for each in objects]


@given(STEPS)
def test_objects_in_a_linked_domain_close_as_the_caps_of_the_same_server_do(steps: list[tuple[str, int]]) -> None:
    found: list[Any] = []

    async def work(self: Any, pd: PD, root: Any) -> None:
        found.append(await outcomes(root, steps))

    domain = linked(BOTH, Boxes, client(work), answer=no_news)
    program = module(Served)
    program.__dict__["registers"] = 0
    bench = Bench(program, "virtio0", board="virt_iommu")
    assert bench.call(outcomes(bench.client(Box, 2), steps)) == found[0]
    assert sorted(bench.program.told) == sorted(domain.parts["boxes"].program.told)


def test_isolated_or_linked_the_same_client_leaves_the_same_disk() -> None:
    digests = set()
    for name, variant in (("storage", "unasked"), ("monolith", "")):
        stage = Stage(name, variant=variant)
        assert stage.run_until(lambda stage=stage: bool(stage.words("report", 1)[0]), LONGEST_US)
        assert stage.words("report", 3) == (1, 0, 0)
        digests.add(stage.disk_digest())
        stage.close()
    assert len(digests) == 1


def test_two_file_systems_and_their_tree_are_linked_by_a_table_alone() -> None:
    stage = Stage("monolith", variant=str(Path(__file__).parent / "linking"))
    assert stage.run_until(lambda: bool(stage.words("report", 1)[0]), LONGEST_US)
    assert stage.words("report", 2) == (1, 0)
    assert not stage.system.crashes
    stage.close()
