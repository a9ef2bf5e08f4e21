"""Factories: over any history of requests and deaths of their server, what a process holds is what it was sealed with,
and what is no hole cannot speak.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capkernel.protocols.confinement import Certificate, Factories, Factory, Workshop
from capkernel.protocols.failures import Failure, Gone, Malformed, QuotaExceeded, Refused, ServerDied
from capkernel.protocols.files import READ, READ_WRITE
from capkernel.protocols.interface import Interface
from capkernel.protocols.processes import ProcessInfo, State
from capkernel.protocols.service import Entry, Service
from capkernel.protocols.strategies import hostile_requests
from capkernel.tools.demo.policies.factory import LONGEST_US, Requester
from capkernel.tools.demo.stage import Stage
from capkernel.user.loop import ANSWERED, ENDPOINT_BADGE, PD
from capkernel.user.messages import SharedRegion
from capkernel.user.pdimage import PDValues
from capkernel.user.syscalls import Message
from policies.factory import MAX_HOLES, OBJECTS, SHARE, FactoriesServant, FactoryServant, Premises, genuine
from policies.yard import Parts, Yard
from tests.policies.lives import Server, Shelf
from tests.policies.test_desk import SIZE, World

NAMES = st.sampled_from(["a", "b", "c", "d", "", "a/b"])
PICK = st.integers(0, 20)


class Sheet:
    """A file of the trusted server's, or something that is none."""

    def __init__(self, rights: int, is_real: bool = True) -> None:
        self.rights = rights
        self.is_real = is_real

    async def derive(self) -> "Sheet":
        return self


class Cabinet:
    """The trusted file server."""

    async def adopt(self, file: Sheet, rights: int) -> Sheet:
        if not file.is_real:
            raise Malformed("this is no file")
        return Sheet(file.rights & rights)


class Child:
    """A process that is made; ``caps`` is what it was given."""

    def __init__(self, number: int, is_refused: bool) -> None:
        self.number = number
        self.is_refused = is_refused
        self.caps: dict[str, Any] = {}

    async def info(self) -> ProcessInfo:
        return ProcessInfo(self.number, "", State.RUNNING, 0, 0, 0)

    async def drop(self) -> None:
        pass

    async def load(self, program: Any) -> None:
        pass

    async def give(self, name: str, cap: Any) -> None:
        self.caps[name] = cap

    async def start(self, arguments: list[str], heap: int) -> None:
        if self.is_refused:
            raise QuotaExceeded("no more")


class Nursery:
    """The launcher; ``running`` are the numbers of those that have not ended."""

    def __init__(self) -> None:
        self.running: list[int] = []
        self.last = 0
        self.is_full = False

    async def create(self, name: str) -> Child:
        self.last += 1
        if not self.is_full:
            self.running.append(self.last)
        return Child(self.last, self.is_full)

    async def processes(self, after: int) -> list[ProcessInfo]:
        later = [number for number in self.running if number > after]
        return [ProcessInfo(number, "", State.RUNNING, 0, 0, 0) for number in later[:8]]


class Place(Yard):
    """A yard without a kernel: a cap is what it leads to, and one to a factory is what the server knows of it."""

    def __init__(self, shelf: Shelf, nursery: Nursery) -> None:
        files: Any = Cabinet()
        launcher: Any = nursery
        super().__init__(files, launcher, shelf, SHARE)
        self.shelf = shelf

    async def opened(self, file: Any) -> int:
        opened: Any = await self.files.adopt(file, READ)
        return await self.lockers.put(opened)

    def _file(self, slot: int) -> Any:
        return self.shelf.contents[slot]

    async def _minted(self, entry: Entry) -> Any:
        return entry

    async def run(self, parts: Parts) -> Any:
        """What the process was given, with the caps in slots in place of the slots."""
        child: Any = await super().run(parts)
        child.caps = {name: self.shelf.contents.get(cap, cap) if isinstance(cap, int) else cap
                      for name, cap in child.caps.items()}  # fmt: skip
        return child


def yard() -> Yard:
    return premises()[1]().yard


def premises(nursery: Nursery | None = None) -> tuple[Server, Callable[[], Premises]]:
    """The server of factories, and what it is in its present life."""
    lives: list[Premises] = []
    outlives = nursery or Nursery()

    def live(pd: PD, shelf: Shelf) -> tuple[Service, Any]:
        lives.append(Premises(pd, Place(shelf, outlives), SharedRegion(0, SIZE)))
        return lives[-1].service, lives[-1].open()

    return Server(live), lambda: lives[-1]


def speaks(cap: Any) -> bool:
    """Whether something can come out through a cap: all but files to read and tight factories."""
    if isinstance(cap, Sheet):
        return cap.rights != READ
    return not (isinstance(cap, Entry) and isinstance(cap.servant, FactoryServant)) or bool(cap.servant.parts.outward)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["make", "program", "file", "fake", "hole", "factory", "stranger", "seal"]), PICK, PICK, NAMES,
        st.none() | st.none() | st.integers(0, 6),
    ), max_size=30,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_a_process_holds_what_was_sealed_and_a_certificate_without_holes_means_that_nothing_speaks_in_whatever_life(
    steps: list[tuple[str, int, int, str, int | None]],
) -> None:
    server, now = premises()
    shops = [server.ask(server.root(2), "make")[0]]
    sealed: dict[int, Certificate] = {}

    def servant(badge: int) -> Any:
        return now().service.servant(badge)

    for what, first, second, name, dies in steps:
        shop = shops[first % len(shops)]
        was_sealed = servant(shop).parts.factory is not None
        names = list(servant(shop).parts.names)
        try:
            if what == "make":
                shops.append(server.ask(server.root(2 + first % 2), "make", dies=dies)[0])
            elif what == "program":
                server.ask(shop, "program", Sheet(READ), dies=dies)
            elif what in ("file", "fake"):
                server.ask(shop, "file", name, Sheet(READ_WRITE, what == "file"), dies=dies)
                assert what == "file"
            elif what == "hole":
                server.ask(shop, "hole", name, 10_000 + second, dies=dies)
            elif what == "stranger":
                server.ask(shop, "factory", name, Sheet(READ))
                raise AssertionError("a stranger's factory was taken")
            elif what == "factory" and sealed:
                server.ask(shop, "factory", name, servant(list(sealed)[second % len(sealed)]), dies=dies)
            elif what == "seal":
                factory = server.ask(shop, "seal", dies=dies)[0]
                sealed[factory] = server.ask(factory, "certificate")[1]
        except ServerDied:
            assert set(names) <= set(servant(shop).parts.names) <= {*names, name}
        except Failure:
            assert servant(shop).parts.names == names
        if was_sealed:
            assert servant(shop).parts.names == names
    for _ in range(2):
        for factory, certificate in sealed.items():
            assert server.ask(factory, "certificate")[1] == certificate, "what was certified has changed"
            child: Any = server.ask(factory, "create")[1]
            assert sorted(child.caps) == sorted(servant(factory).parts.names)
            assert len(child.caps) == certificate.components
            speaking = {name for name, cap in child.caps.items() if speaks(cap)}
            assert speaking == {hole.partition("/")[0] for hole in certificate.holes}
        in_use = {slot for parts in now().yard.alive for slot in parts.slots}
        assert in_use == set(server.contents), "what nobody has any more takes no slot"
        server.restart()


def test_no_client_can_take_all_the_room_with_factories() -> None:
    server, _ = premises()
    shops = [server.ask(server.root(2), "make")[0] for _ in range(SHARE // 10)]
    requests = [(shop, name) for shop in shops for name in "abcdefghi"]
    for shop, name in requests:
        server.ask(shop, "hole", name, 10_000)
    with pytest.raises(QuotaExceeded):
        server.ask(shops[0], "hole", "k", 10_000)
    other = server.ask(server.root(3), "make")[0]
    server.ask(other, "hole", "a", 10_000)
    server.ask(shops[0], "drop")
    server.ask(shops[1], "hole", "k", 10_000)
    assert len(server.contents) == len(requests) - 9 + 2


def with_tools(server: Server, count: int) -> int:
    """A factory with so many factories in it, of which each has a hole."""
    made = [server.ask(server.root(2), "make")[0] for _ in range(count + 1)]
    for place, shop in enumerate(made):
        server.ask(shop, "program", Sheet(READ))
        if place:
            server.ask(shop, "hole", "out", 10_000)
            sealed = server.ask(shop, "seal")[0]
            server.ask(made[0], "factory", f"tool{place}", server.service.servant(sealed))
            server.ask(sealed, "drop")
            server.ask(shop, "drop")
    factory: int = server.ask(made[0], "seal")[0]
    server.ask(made[0], "drop")
    return factory


def test_processes_that_have_ended_leave_nothing_whatever_they_did_with_their_factories() -> None:
    """More of them than a session has objects; each of them does what it can to have many."""
    nursery = Nursery()
    server, now = premises(nursery)
    factory = with_tools(server, 4)
    before = len(list(server.service.entries()))
    for number in range(OBJECTS):
        child = server.ask(factory, "create")[1]
        tools = [child.caps[f"tool{place}"] for place in range(1, 5)]
        for _ in range(OBJECTS - len(tools)):
            server.service._add(tools[0].servant, tools[0], is_derived=True)
        with pytest.raises(QuotaExceeded):
            server.service._add(tools[0].servant, tools[0])
        server.ask(tools[number % 4].badge, "drop")
        assert server.ask(tools[(number + 1) % 4].badge, "certificate")[1].components == 1
        if number % 3 == 2:
            server.restart()
            assert server.ask(factory, "certificate")[1].components == 4
        nursery.running.remove(child.number)
        if number % 5 == 0:
            nursery.running.clear()
    server.ask(factory, "create")
    assert len(now().yard.confined) == 1
    assert len([entry for entry in server.service.entries() if entry.number]) <= before + 4


def test_what_a_process_has_is_its_own_until_it_ends_also_when_nobody_has_the_factory_any_more() -> None:
    nursery = Nursery()
    server, now = premises(nursery)
    factory = with_tools(server, 1)
    first, second = (server.ask(factory, "create")[1].caps["tool1"].badge for _ in range(2))
    server.ask(factory, "drop")
    server.ask(first, "drop")
    for _ in range(2):
        with pytest.raises(Gone):
            server.ask(first, "certificate")
        assert server.ask(second, "certificate")[1] == Certificate(["out"], 1)
        server.restart()
    nursery.running.clear()
    server.ask(with_tools(server, 1), "create")
    with pytest.raises(Gone):
        server.ask(second, "certificate")
    assert len(now().yard.confined) == 1


def test_a_process_that_was_not_started_has_nothing() -> None:
    nursery = Nursery()
    server, now = premises(nursery)
    factory = with_tools(server, 4)
    before = len(list(server.service.entries()))
    nursery.is_full = True
    for _ in range(OBJECTS):
        with pytest.raises(QuotaExceeded):
            server.ask(factory, "create")
    assert len(list(server.service.entries())) == before
    assert not now().yard.confined


def test_a_process_of_a_launcher_that_began_anew_is_none_of_those_before() -> None:
    nursery = Nursery()
    server, now = premises(nursery)
    factory = with_tools(server, 1)
    former = server.ask(factory, "create")[1].caps["tool1"].badge
    nursery.last = 0
    server.ask(factory, "create")
    with pytest.raises(Gone):
        server.ask(former, "certificate")
    assert len(now().yard.confined) == 1


def test_factories_in_factories_cost_no_more_than_their_number_and_a_certificate_has_an_end() -> None:
    server, now = premises()
    below: Any = None
    for depth in range(4):
        shop = server.ask(server.root(2 + depth % 2), "make")[0]
        server.ask(shop, "program", Sheet(READ))
        for place in range(14):
            if below is not None:
                server.ask(shop, "factory", f"part{place}", below)
        sealed = server.ask(shop, "seal")[0]
        below = server.service.servant(sealed)
    looks = 0

    class Counting(dict[str, Parts]):
        """Factories in a factory, of which each look counts."""

        def values(self) -> Any:
            nonlocal looks
            looks += 1
            return super().values()

    for parts in now().yard.alive:
        parts.factories = Counting(parts.factories)
    assert len(now().yard.alive) == 4
    assert looks == 4
    shops = [server.ask(server.root(4), "make")[0] for _ in range(2)]
    server.ask(shops[0], "program", Sheet(READ))
    for name in "abcdefghi":
        server.ask(shops[0], "hole", name, 10_000)
    inner = server.service.servant(server.ask(shops[0], "seal")[0])
    for place in range(MAX_HOLES // 9):
        server.ask(shops[1], "factory", f"inner{place}", inner)
    with pytest.raises(QuotaExceeded):
        server.ask(shops[1], "factory", "more", inner)


@pytest.mark.slow
def test_on_the_machine_a_factory_with_a_factory_in_it_is_used_more_often_than_a_session_has_objects() -> None:
    place = str(Path(__file__).parent / "nodes")
    stage = Stage("factory", variant=place, programs={"requester": "insatiable_requester.elf"})
    assert stage.run_until(lambda: stage.have_reported("report_requester"), 20 * LONGEST_US)
    seen = stage.report(Requester, "report_requester")
    assert (seen.runs, seen.useful, seen.leaks) == (1, 1, 0)
    stage.close()


def test_nothing_is_put_in_after_the_seal_and_nothing_is_sealed_without_a_program() -> None:
    world = World()
    shop: Any = world.run(FactoriesServant(yard(), 2).make())
    with pytest.raises(Refused):
        world.run(shop.seal())
    world.run(shop.program(Sheet(READ)))
    factory = world.run(shop.seal())
    assert world.run(shop.seal()) is factory
    for late in (shop.program(Sheet(READ)), shop.file("a", Sheet(READ)), shop.hole("b", 1), shop.factory("c", factory)):
        with pytest.raises(Refused):
            world.run(late)


def test_somebody_elses_factory_is_not_even_asked() -> None:
    class Fake(Factory):
        async def certificate(self) -> Certificate:
            raise AssertionError("a stranger was asked")

        async def create(self) -> Any:
            raise AssertionError("a stranger was asked")

    with pytest.raises(Malformed):
        genuine(Fake())


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_no_request_kills_the_server_of_factories(data: st.DataObject) -> None:
    world, place = World(), yard()
    shop: Any = world.run(FactoriesServant(place, 2).make())
    world.run(shop.program(Sheet(READ)))
    roots: dict[int, Interface] = {2: FactoriesServant(place, 2), 3: shop, 4: world.run(shop.seal())}
    service = Service(PD(PDValues(name="factory")), roots=roots.get)
    requests = hostile_requests(Factories) | hostile_requests(Workshop) | hostile_requests(Factory)
    for request in data.draw(st.lists(requests, max_size=12)):
        if request.label == Factory.number << 8 | 2:
            continue
        request.badge = ENDPOINT_BADGE | data.draw(st.sampled_from([2, 3, 4]))
        answer = world.run(service.protected(request))
        assert answer is ANSWERED or isinstance(answer, Message)
