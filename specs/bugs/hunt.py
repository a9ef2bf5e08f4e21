"""Hunting: programs made up at random, each step under all invariants, until something is violated.

Nothing here, nor in the grammar, knows what any defect looks like; the same hunt on the clean kernel finds nothing.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from specs.bugs.hook import planting
from specs.check import checked, to_script, wander
from specs.generate import RandomChooser
from specs.programs import Execution, Program
from specs.shrink import shrink, violated

PROGRAM_STEPS = 60
"""The most steps of one program."""
STRIDE = 1_000_000
"""So many programs belong to one seed."""


@dataclass(frozen=True)
class Found:
    """A violation: in which program of the seed, after how many generated steps and CPU seconds in all."""

    seed: int
    number: int
    steps: int
    seconds: float
    violated: tuple[str, ...]
    problem: str


@dataclass(frozen=True)
class Shrunk:
    """What is left of a program that shows a violation: how many operations, and as a script."""

    operations: int
    script: str


def taken(seed: int, number: int) -> Execution:
    """Make up a program of a seed, step by step as it runs under the oracle."""
    return wander(RandomChooser(seed * STRIDE + number), PROGRAM_STEPS)


def hunt(
    seed: int,
    most_steps: int,
    *,
    first: int = 0,
    progress: Callable[[int], None] | None = None,
    make: Callable[[int, int], Execution] = taken,
) -> Found | None:
    """The first violation in the programs of a seed, from number ``first`` on; None if there is none in so many steps.

    ``progress`` is told after each program how many steps were generated; ``make`` makes up and runs a program.
    """
    begin = time.process_time()
    steps, number = 0, first
    while steps < most_steps:
        execution = make(seed, number)
        steps += execution.taken
        if execution.problem is not None:
            found = tuple(sorted(violated(execution)))
            return Found(seed, number, steps, time.process_time() - begin, found, execution.problem)
        if progress is not None:
            progress(steps)
        number += 1
    return None


def shrunk(program: Program, again: Callable[[Program], Execution] = checked) -> Shrunk:
    """A program that shows a violation, cut to what matters; ``again`` runs it under the oracle."""
    small = shrink(program, again)
    return Shrunk(len(small.steps), planting(to_script(small, again(small))))
