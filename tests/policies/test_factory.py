"""Factories: over any history of requests and deaths of their server, what a process holds is what it was sealed with,
and what is no hole cannot speak.
"""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capkernel.protocols.confinement import Certificate, Factories, Factory, Workshop
from capkernel.protocols.failures import Failure, Malformed, QuotaExceeded, Refused, ServerDied
from capkernel.protocols.files import READ, READ_WRITE
from capkernel.protocols.interface import Interface
from capkernel.protocols.service import Service
from capkernel.protocols.strategies import hostile_requests
from capkernel.user.loop import ANSWERED, ENDPOINT_BADGE, PD
from capkernel.user.messages import SharedRegion
from capkernel.user.pdimage import PDValues
from capkernel.user.syscalls import Message
from policies.factory import SHARE, FactoriesServant, FactoryServant, Premises, genuine
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

    def __init__(self) -> None:
        self.caps: dict[str, Any] = {}

    async def load(self, program: Any) -> None:
        pass

    async def give(self, name: str, cap: Any) -> None:
        self.caps[name] = cap

    async def start(self, arguments: list[str], heap: int) -> None:
        pass


class Nursery:
    """The launcher."""

    async def create(self, name: str) -> Child:
        return Child()


class Place(Yard):
    """A yard without a kernel: a cap is what it leads to, and a cap to a factory is the factory itself."""

    def __init__(self, shelf: Shelf) -> None:
        files: Any = Cabinet()
        launcher: Any = Nursery()
        super().__init__(files, launcher, shelf, SHARE)
        self.shelf = shelf

    async def opened(self, file: Any) -> int:
        opened: Any = await self.files.adopt(file, READ)
        return await self.lockers.put(opened)

    def _file(self, slot: int) -> Any:
        return self.shelf.contents[slot]

    async def _cap(self, parts: Parts) -> Any:
        return parts.factory

    async def run(self, parts: Parts) -> Any:
        """What the process was given, with the caps in slots in place of the slots."""
        child: Any = await super().run(parts)
        child.caps = {name: self.shelf.contents.get(cap, cap) if isinstance(cap, int) else cap
                      for name, cap in child.caps.items()}  # fmt: skip
        return child


def yard() -> Place:
    return Place(Shelf(World(), {}))


def premises() -> tuple[Server, Callable[[], Premises]]:
    """The server of factories, and what it is in its present life."""
    lives: list[Premises] = []

    def live(pd: PD, shelf: Shelf) -> tuple[Service, Any]:
        lives.append(Premises(pd, Place(shelf), SharedRegion(0, SIZE)))
        return lives[-1].service, lives[-1].open()

    return Server(live), lambda: lives[-1]


def speaks(cap: Any) -> bool:
    """Whether something can come out through a cap: all but files to read and tight factories."""
    if isinstance(cap, Sheet):
        return cap.rights != READ
    return not isinstance(cap, FactoryServant) or bool(cap.parts.outward)


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
