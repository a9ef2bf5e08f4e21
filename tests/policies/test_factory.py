"""Factories: over any history, what a process holds is what it was sealed with, and what is no hole cannot speak."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capkernel.protocols.confinement import Certificate, Factories, Factory, Workshop
from capkernel.protocols.failures import Failure, Malformed, Refused
from capkernel.protocols.files import READ, READ_WRITE
from capkernel.protocols.interface import Interface
from capkernel.protocols.service import Service
from capkernel.protocols.strategies import hostile_requests
from capkernel.user.loop import ANSWERED, ENDPOINT_BADGE, PD
from capkernel.user.pdimage import PDValues
from capkernel.user.syscalls import Message
from policies.factory import FactoriesServant, FactoryServant, Yard, genuine
from tests.policies.test_desk import World

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
    """A yard without a kernel: a cap to a factory is the factory itself."""

    async def _cap(self, factory: FactoryServant) -> Any:
        return factory


def yard() -> Place:
    files: Any = Cabinet()
    launcher: Any = Nursery()
    return Place(files, launcher)


def speaks(cap: Any) -> bool:
    """Whether something can come out through a cap: all but files to read and tight factories."""
    if isinstance(cap, Sheet):
        return cap.rights != READ
    return not isinstance(cap, FactoryServant) or bool(cap.parts.outward)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["make", "program", "file", "fake", "hole", "factory", "stranger", "seal"]), PICK, PICK, NAMES
    ), max_size=40,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_a_process_holds_what_was_sealed_and_a_certificate_without_holes_means_that_nothing_speaks(
    steps: list[tuple[str, int, int, str]],
) -> None:
    world, place = World(), yard()
    shops: list[Any] = [world.run(FactoriesServant(place).make())]
    sealed: list[tuple[Any, Certificate]] = []
    for what, first, second, name in steps:
        shop = shops[first % len(shops)]
        was_sealed = shop.parts.is_sealed
        names = list(shop.parts.names)
        try:
            if what == "make":
                shops.append(world.run(FactoriesServant(place).make()))
            elif what == "program":
                world.run(shop.program(Sheet(READ)))
            elif what in ("file", "fake"):
                world.run(shop.file(name, Sheet(READ_WRITE, what == "file")))
                assert what == "file"
            elif what == "hole":
                world.run(shop.hole(name, 1000 + second))
            elif what == "stranger":
                world.run(shop.factory(name, Sheet(READ)))
                raise AssertionError("a stranger's factory was taken")
            elif what == "factory" and sealed:
                world.run(shop.factory(name, sealed[second % len(sealed)][0]))
            elif what == "seal":
                factory = world.run(shop.seal())
                if not any(factory is each for each, _ in sealed):
                    sealed.append((factory, world.run(factory.certificate())))
        except Failure:
            assert shop.parts.names == names
        if was_sealed:
            assert shop.parts.names == names
    for factory, certificate in sealed:
        assert world.run(factory.certificate()) == certificate, "what was certified has changed"
        child: Any = world.run(factory.create())
        assert sorted(child.caps) == sorted(factory.parts.names)
        assert len(child.caps) == certificate.components
        speaking = {name for name, cap in child.caps.items() if speaks(cap)}
        assert speaking == {hole.partition("/")[0] for hole in certificate.holes}


def test_nothing_is_put_in_after_the_seal_and_nothing_is_sealed_without_a_program() -> None:
    world = World()
    shop: Any = world.run(FactoriesServant(yard()).make())
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
    shop: Any = world.run(FactoriesServant(place).make())
    world.run(shop.program(Sheet(READ)))
    roots: dict[int, Interface] = {2: FactoriesServant(place), 3: shop, 4: world.run(shop.seal())}
    service = Service(PD(PDValues(name="factory")), roots=roots.get)
    requests = hostile_requests(Factories) | hostile_requests(Workshop) | hostile_requests(Factory)
    for request in data.draw(st.lists(requests, max_size=12)):
        if request.label == Factory.number << 8 | 2:
            continue
        request.badge = ENDPOINT_BADGE | data.draw(st.sampled_from([2, 3, 4]))
        answer = world.run(service.protected(request))
        assert answer is ANSWERED or isinstance(answer, Message)
