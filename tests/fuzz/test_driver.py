"""The driver's short cut gives the same run as the whole way; going back goes all the way back."""

import random

import pytest

from specs.fuzz.coverage import Coverage
from specs.fuzz.decoder import HEADER, decode
from specs.fuzz.driver import Driver
from specs.fuzz.records import RECORD
from specs.fuzz.rewind import Rewinder
from specs.generate import LAYOUTS
from specs.programs import run, world_of
from specs.structure import structure


def string(layout: int, seed: int, steps: int = 60) -> bytes:
    return bytes([layout]) + bytes(HEADER - 1) + random.Random(seed).randbytes(RECORD * steps)


@pytest.mark.parametrize("layout", range(len(LAYOUTS)))
def test_the_short_cut_gives_the_same_run(layout: int, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    short_cut = Driver._short_cut

    def counted(driver: Driver) -> bool:
        taken.append(short_cut(driver))
        return taken[-1]

    monkeypatch.setattr(Driver, "_short_cut", counted)
    for seed in range(4):
        data = string(layout, seed)
        wanted = run(decode(data))
        world = world_of(LAYOUTS[layout])
        world.rewind()
        driver = Driver(world, data, trace=True)
        found = driver.go_on()
        found.final = structure(driver.state)
        assert (found.taken, found.entries, found.reason, found.ran) == (
            wanted.taken, wanted.entries, wanted.reason, wanted.ran
        )  # fmt: skip
        assert found.digest == wanted.digest
    assert sum(taken) > len(taken) / 3


@pytest.mark.parametrize("layout", range(len(LAYOUTS)))
def test_going_back_leaves_nothing(layout: int) -> None:
    world = world_of(LAYOUTS[layout])
    world.rewind()
    rewinder, machine, start = Rewinder(world), world.machine.digest(), structure(world.state)
    for seed in range(3):
        Driver(world, string(layout, 100 + seed)).go_on()
        assert structure(world.state) != start
        rewinder.rewind()
        assert structure(world.state) == start
        assert world.machine.digest() == machine


def test_kinds_of_entries_are_counted() -> None:
    world = world_of(LAYOUTS[0])
    world.rewind()
    coverage = Coverage()
    done = Driver(world, string(0, 7), coverage=coverage).go_on()
    assert sum(coverage.kinds.values()) == done.entries
    assert ("TCB_Suspend", "done") in coverage.kinds
