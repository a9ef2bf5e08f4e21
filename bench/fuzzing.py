"""The fuzzing driver: a step is one step of a program, drawn by Hypothesis as bytes, decoded and run on the kernel.

The floor is the drawing alone: the same bytes, cut into records that nobody reads. ``most`` is the design's target for
both cores together, as the time of one step on one core of two.
"""

from collections.abc import Callable
from functools import partial

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from bench.timing import Figure, least
from specs.fuzz.decoder import HEADER
from specs.fuzz.drawing import BACKEND
from specs.fuzz.records import RECORD
from specs.fuzz.running import Checking, Runner

EXAMPLES = 40
STEPS = 400
"""Of each example."""
OFF, ON = 20.0, 100.0
"""Microseconds: 100,000 and 20,000 steps a second on two cores."""


def drawn(use: Callable[[bytes], object]) -> None:
    """Let Hypothesis draw the examples."""
    size = HEADER + RECORD * STEPS

    @seed(1)
    @settings(
        max_examples=EXAMPLES, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck), backend=BACKEND,
    )  # fmt: skip
    @given(st.binary(min_size=size, max_size=size))
    def one(data: bytes) -> None:
        use(data)

    one()


def _cut(data: bytes) -> list[bytes]:
    return [data[start : start + RECORD] for start in range(HEADER, len(data), RECORD)]


def figures() -> list[Figure]:
    """Without checking, and with all invariants after each kernel entry."""
    count = EXAMPLES * STEPS
    floor = least(lambda: drawn(_cut), count)
    found = []
    for name, every, most in (("a fuzzed step", 0, OFF), ("a fuzzed step, all invariants", 1, ON)):
        runner = Runner(Checking(every))
        drawn(runner.run)  # Worlds are built once.
        before = runner.steps
        drawn(runner.run)
        taken = runner.steps - before
        microseconds = least(partial(drawn, runner.run), taken)
        found.append(Figure(name, "step", microseconds, floor, "bytes drawn by Hypothesis", most=most))
    return found
