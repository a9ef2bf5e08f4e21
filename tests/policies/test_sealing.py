"""Sealing: a box is opened by its brand's unsealer alone, and what is in it is what was put in, over any history."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capkernel.protocols.failures import NotPermitted
from capkernel.protocols.interface import Cap, Interface
from capkernel.protocols.sealing import Box, Brands, Sealer, Unsealer
from capkernel.protocols.service import Service
from capkernel.protocols.strategies import hostile_requests
from capkernel.user.loop import ANSWERED, ENDPOINT_BADGE, PD
from capkernel.user.pdimage import PDValues
from capkernel.user.syscalls import Message
from policies.seal_server import BrandsServant, UnsealerServant
from tests.policies.test_desk import World

HANDS = st.integers(0, 20)


class Slots:
    """Where caps lie: those that were discarded are noted."""

    def __init__(self) -> None:
        self.discarded: list[int] = []

    async def discard(self, slot: int) -> None:
        self.discarded.append(slot)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["make", "seal", "open", "drop"]), HANDS, HANDS), max_size=40))
def test_a_box_is_opened_by_the_unsealer_of_its_brand_and_by_no_other(steps: list[tuple[str, int, int]]) -> None:
    world, slots = World(), Slots()
    inbox: Any = slots
    brands = BrandsServant(inbox)
    made: list[tuple[Any, Any]] = []
    boxes: list[tuple[Any, int, int]] = []
    for cap, (what, first, second) in enumerate([("make", 0, 0), ("make", 0, 0), *steps], 100):
        brand = first % max(1, len(made))
        if what == "make":
            pair = world.run(brands.make())
            made.append((world.run(pair.sealer()), world.run(pair.unsealer())))
        elif what == "seal":
            boxes.append((world.run(made[brand][0].seal(Cap(cap))), brand, cap))
        elif what == "open" and boxes:
            box, sealed_with, inside = boxes[second % len(boxes)]
            if brand == sealed_with:
                assert world.run(made[brand][1].open(box)) == inside
            else:
                with pytest.raises(NotPermitted):
                    world.run(made[brand][1].open(box))
        elif what == "drop" and boxes:
            box, _, inside = boxes.pop(second % len(boxes))
            world.run(box.closed())
            assert slots.discarded[-1] == inside
    assert not set(slots.discarded) & {inside for _, _, inside in boxes}


def test_a_box_that_somebody_else_made_is_not_even_asked() -> None:
    class Fake(Box):
        def __getattribute__(self, name: str) -> Any:
            if name in ("brand", "cap"):
                raise AssertionError("a stranger was asked")
            return super().__getattribute__(name)

    world = World()
    inbox: Any = Slots()
    unsealer = world.run(world.run(BrandsServant(inbox).make()).unsealer())
    assert isinstance(unsealer, UnsealerServant)
    with pytest.raises(NotPermitted):
        world.run(unsealer.open(Fake()))


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_no_request_kills_the_server_of_seals(data: st.DataObject) -> None:
    world = World()
    inbox: Any = Slots()
    brand = world.run(BrandsServant(inbox).make())
    roots: dict[int, Interface] = {
        2: BrandsServant(inbox), 3: world.run(brand.sealer()), 4: world.run(brand.unsealer()), 5: brand,
    }  # fmt: skip
    service = Service(PD(PDValues(name="seals")), roots=roots.get)
    requests = hostile_requests(Brands) | hostile_requests(Sealer) | hostile_requests(Unsealer)
    for request in data.draw(st.lists(requests, max_size=15)):
        request.badge = ENDPOINT_BADGE | data.draw(st.sampled_from([2, 3, 4, 5]))
        answer = world.run(service.protected(request))
        assert answer is ANSWERED or isinstance(answer, Message)
