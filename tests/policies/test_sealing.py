"""Sealing: a box is opened by its brand's unsealer alone, and what is in it is what was put in, over any history of
requests and deaths of the server.
"""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capkernel.protocols.failures import Gone, NotPermitted, QuotaExceeded, ServerDied
from capkernel.protocols.interface import Interface
from capkernel.protocols.sealing import Box, Brands, Sealer, Unsealer
from capkernel.protocols.service import Service
from capkernel.protocols.strategies import hostile_requests
from capkernel.user.loop import ANSWERED, ENDPOINT_BADGE, PD
from capkernel.user.messages import SharedRegion
from capkernel.user.pdimage import PDValues
from capkernel.user.syscalls import Message
from policies.seal_server import BrandsServant, Shop, UnsealerServant
from tests.policies.lives import Server, Shelf
from tests.policies.test_desk import SIZE, World

HANDS = st.integers(0, 20)
DEATHS = st.none() | st.integers(0, 8)


def seals() -> Server:
    """The server of brands."""

    def live(pd: PD, shelf: Shelf) -> tuple[Service, Any]:
        shop = Shop(pd, shelf, SharedRegion(0, SIZE))
        return shop.service, shop.open()

    return Server(live)


class Party:
    """What clients were told: brands, their sealers and unsealers, and boxes with what is in them, by badge."""

    def __init__(self) -> None:
        self.server = seals()
        self.sealers: list[int] = []
        self.unsealers: list[int] = []
        self.boxes: dict[int, tuple[int, int]] = {}

    def make(self) -> None:
        brand = self.new(self.server.root(2), "make")
        self.sealers.append(self.new(brand, "sealer"))
        self.unsealers.append(self.new(brand, "unsealer"))
        self.server.ask(brand, "drop")

    def new(self, badge: int, name: str, *arguments: Any, dies: int | None = None) -> int:
        made: int = self.server.ask(badge, name, *arguments, dies=dies)[0]
        return made

    def opened(self, brand: int, box: int, dies: int | None = None) -> int:
        inside = self.server.service._find(box).servant
        slot: int = self.server.ask(self.unsealers[brand], "open", inside, dies=dies)[1]
        return self.server.contents[slot]

    def look(self) -> None:
        """Every box is opened by its brand's unsealer, and by no other; no slot is taken by anything else."""
        for box, (sealed_with, inside) in self.boxes.items():
            for brand in range(len(self.unsealers)):
                if brand == sealed_with:
                    assert self.opened(brand, box) == inside
                else:
                    with pytest.raises(NotPermitted):
                        self.opened(brand, box)
        known = {inside for _, inside in self.boxes.values()}
        assert known <= set(self.server.contents.values())


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["make", "seal", "open", "drop"]), HANDS, HANDS, DEATHS), max_size=30))
def test_a_box_is_opened_by_the_unsealer_of_its_brand_and_by_no_other_in_whatever_life(
    steps: list[tuple[str, int, int, int | None]],
) -> None:
    party = Party()
    party.make()
    party.make()
    for cap, (what, first, second, dies) in enumerate(steps, 100):
        brand = first % len(party.sealers)
        boxes = list(party.boxes)
        box = boxes[second % len(boxes)] if boxes else 0
        try:
            if what == "make":
                party.make()
            elif what == "seal":
                party.boxes[party.new(party.sealers[brand], "seal", cap, dies=dies)] = brand, cap
            elif what == "open" and boxes:
                party.opened(brand, box, dies)
            elif what == "drop" and boxes:
                party.boxes.pop(box)
                party.server.ask(box, "drop", dies=dies)
        except (ServerDied, NotPermitted, QuotaExceeded):
            continue
    party.look()
    party.server.restart()
    party.look()


def test_at_each_step_at_which_the_server_can_die_a_box_is_whole_or_was_never_given() -> None:
    """Not a sample: sealing and dropping, with a death after each write."""
    for what in ("seal", "drop"):
        for step in range(20):
            party = Party()
            party.make()
            before = party.new(party.sealers[0], "seal", 100)
            party.boxes[before] = 0, 100
            try:
                if what == "seal":
                    party.boxes[party.new(party.sealers[0], "seal", 101, dies=step)] = 0, 101
                else:
                    party.boxes.clear()
                    party.server.ask(before, "drop", dies=step)
            except ServerDied:
                party.look()
                with suppress(Gone):
                    party.server.ask(before, "drop")
                party.boxes.clear()
                left = 1 if what == "seal" and len(party.server.contents) else 0
                assert len(party.server.contents) <= left
                continue
            party.look()
            break
        assert 2 < step < 19, "every point was tried"


def test_a_box_that_somebody_else_made_is_not_even_asked() -> None:
    class Fake(Box):
        def __getattribute__(self, name: str) -> Any:
            if name in ("brand", "cap"):
                raise AssertionError("a stranger was asked")
            return super().__getattribute__(name)

    world = World()
    unsealer = world.run(world.run(BrandsServant(Shelf(world, {})).make()).unsealer())
    assert isinstance(unsealer, UnsealerServant)
    with pytest.raises(NotPermitted):
        world.run(unsealer.open(Fake()))


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_no_request_kills_the_server_of_seals(data: st.DataObject) -> None:
    world = World()
    brands = BrandsServant(Shelf(world, {}))
    brand = world.run(brands.make())
    roots: dict[int, Interface] = {
        2: brands, 3: world.run(brand.sealer()), 4: world.run(brand.unsealer()), 5: brand,
    }  # fmt: skip
    service = Service(PD(PDValues(name="seals")), roots=roots.get)
    requests = hostile_requests(Brands) | hostile_requests(Sealer) | hostile_requests(Unsealer)
    for request in data.draw(st.lists(requests, max_size=15)):
        request.badge = ENDPOINT_BADGE | data.draw(st.sampled_from([2, 3, 4, 5]))
        answer = world.run(service.protected(request))
        assert answer is ANSWERED or isinstance(answer, Message)
