"""Mistakes in programs: they are there for one domain alone, while it runs, and count when they are executed."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from capkernel.tools.mutation import PATIENCE, Text
from capkernel.user.pdimage import load_module

SOURCE = '''
LIMIT = 10


class Counter:
    def __init__(self, first):
        self.total = first

    @property
    def half(self):
        return self.total // 2

    def up(self, amount, times=1):
        if amount > 0 and times < LIMIT:
            for _ in range(times):
                self.total += amount
        return self.total


def spin(count):
    while count > 0:
        count = count - 1
    return count


def never(x):
    return x + 1


def work():
    counter = Counter(4)
    return counter.up(2, 3), counter.half, spin(5), [n * 2 for n in range(4) if n != 2]
'''
RIGHT = 10, 5, 0, [0, 2, 6]
WORKER = "capkernel_pd_worker"


@pytest.fixture(name="text", scope="module")
def _text(tmp_path_factory: pytest.TempPathFactory) -> Text:
    path: Path = tmp_path_factory.mktemp("programs") / "worker.py"
    path.write_text(SOURCE)
    return Text(load_module(path, WORKER))


def outcome(work: Callable[[], object]) -> object:
    """What comes of it, also if that is an exception."""
    try:
        return comparable(work())
    except BaseException as error:
        return type(error)


def comparable(value: object) -> object:
    """The same, but for objects of the program's own, which a mistake may hand out: their kind, and what they hold."""
    if type(value).__module__ == WORKER:
        return type(value).__name__, {name: comparable(each) for name, each in vars(value).items()}
    match value:
        case tuple():
            return tuple(comparable(each) for each in value)
        case list():
            return [comparable(each) for each in value]
    return value


def work_of(text: Text) -> Callable[[], object]:
    module: ModuleType = text.module
    work: Callable[[], object] = module.work
    return work


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 20))
@example(seed=2684272, count=5)  # a method hands out its own object
def test_mistakes_are_there_only_while_the_mutant_runs_and_the_same_each_time(
    text: Text, seed: int, count: int
) -> None:
    work = work_of(text)
    assert work() == RIGHT
    found = []
    for _ in range(2):
        mutant = text.mutant(seed, count)
        found.append((mutant.run(lambda: outcome(work)), frozenset(mutant.made)))
        assert work() == RIGHT
    assert found[0] == found[1]
    assert len(mutant.made) <= count
    # A mistake that was not executed changes nothing.
    assert mutant.made or found[0][0] == (RIGHT, False)


def test_every_function_has_places_and_a_mistake_in_what_is_not_called_does_not_count(text: Text) -> None:
    names = {function.__qualname__: code.places for function, code in text.functions.items()}
    assert set(names) == {"Counter.__init__", "Counter.half", "Counter.up", "spin", "never", "work"}
    assert all(names.values())
    mutant = text.mutant(0, 10**6)
    assert {function.__qualname__ for function in mutant.codes} == set(names)
    results = [text.mutant(seed, 1) for seed in range(200)]
    seen = {(bool(each.run(lambda: outcome(work_of(text)))), bool(each.made)) for each in results}
    assert {made for _, made in seen} == {True, False}


def test_a_loop_without_end_is_given_up_and_said_to_be_one(text: Text) -> None:
    work = work_of(text)
    ends = [text.mutant(seed, 1).run(lambda: outcome(work))[1] for seed in range(400)]
    assert any(ends)
    assert work() == RIGHT
    assert outcome(lambda: text.module.spin(PATIENCE * 2)) == 0


def test_a_domain_runs_its_own_program_and_no_mistake_reaches_another(text: Text) -> None:
    assert sys.modules[WORKER] is text.module
    mutant = text.mutant(1, 30)
    before = {function: function.__code__ for function in mutant.codes}
    mutant.run(lambda: outcome(lambda: None))
    assert {function: function.__code__ for function in before} == before
