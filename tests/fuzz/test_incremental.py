"""The oracle that looks at what has changed says what the one from scratch says: of programs, and of planted bugs.

That it does on states and steps that are spoilt on purpose is in ``tests/specs/test_oracle_notices.py``.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from capkernel.kernel.objects import Slot
from hwmodel.cpu.trap import Trap
from specs.bugs import records
from specs.check import wander
from specs.comparing import Comparing
from specs.fuzz.driver import Driver
from specs.generate import LAYOUTS, RandomChooser
from specs.invariants.parts import ALL, names_of, parts
from specs.invariants.view import View
from specs.monitor import Monitor
from specs.programs import world_of
from specs.programs.layout import World
from tests.fuzz.test_driver import string

CAMPAIGN = int(os.environ.get("CAPKERNEL_CAMPAIGN", "0"))
PLANTED = Path(__file__).with_name("planted.py")
ROWS = records.load()


@pytest.mark.parametrize("layout", range(len(LAYOUTS)))
def test_both_say_the_same_of_byte_strings(layout: int) -> None:
    world = world_of(LAYOUTS[layout])
    for seed in range(max(1, CAMPAIGN // 20)):
        world.rewind()
        monitor = Comparing(policy=world.policy)
        done = Driver(world, string(layout, 1000 + seed, 50), monitor).go_on()
        assert done.problem is None
        assert monitor.checked > 10


@pytest.mark.parametrize("seed", range(max(6, CAMPAIGN)))
def test_both_say_the_same_of_programs_made_in_sight(seed: int) -> None:
    assert wander(RandomChooser(77_000 + seed), 40, comparing).problem is None


class Following(Monitor):
    """Holds what a view has taken over from the one before against the same of a view that has taken over nothing."""

    followed = 0

    def after(self, trap: Trap) -> None:
        super().after(trap)
        if self._seen is not None and self._seen.view.tree.grown:
            view = self._seen.view
            fresh = View(self.state, self.machine, self._seen.cnodes, self.policy())
            assert _family(view) == _family(fresh)
            assert view.region_of == fresh.region_of
            self.followed += 1


def _family(view: View) -> dict[Slot, tuple[Slot | None, int, frozenset[Slot]]]:
    """Of each slot its parent, how many untypeds are above it, and what was derived from it."""
    tree = view.tree
    places = [(slot, tree.places[slot]) for slot in view.slots]
    return {slot: (place.parent, place.untypeds, frozenset(tree.descendants(slot))) for slot, place in places}


@pytest.mark.parametrize("layout", range(len(LAYOUTS)))
def test_what_is_carried_on_is_as_from_scratch(layout: int) -> None:
    world, followed = world_of(LAYOUTS[layout]), 0
    for seed in range(3):
        world.rewind()
        monitor = Following(policy=world.policy)
        assert Driver(world, string(layout, 2000 + seed, 80), monitor).go_on().problem is None
        followed += monitor.followed
    assert followed


def comparing(world: World) -> Comparing:
    return Comparing(policy=world.policy)


def _planted(rows: list[str]) -> None:
    arguments = [str(word) for row in rows for word in (row, ROWS[row].seed, ROWS[row].number)]
    done = subprocess.run(
        [sys.executable, str(PLANTED), *arguments], capture_output=True, text=True, check=False, cwd=PLANTED.parents[2]
    )
    said = {line["row"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert set(said) == set(rows), done.stderr
    for row in rows:
        assert said[row]["differences"] == [], row
        assert said[row]["violated"], row


def test_both_say_the_same_of_planted_bugs() -> None:
    _planted(list(ROWS)[::8])


@pytest.mark.campaign
def test_both_say_the_same_of_all_planted_bugs() -> None:
    _planted(list(ROWS))


def test_parts_have_names() -> None:
    assert names_of(parts("TCB.priority caps")) == ["caps", "TCB.priority"]
    assert parts("Reply.*") == parts("Reply.tcb Reply.prev Reply.next Reply.paddr")
    assert parts("caps tables translations iommu") & ALL
    with pytest.raises(KeyError):
        parts("TCB.beauty")
