"""Every invariant, of states and of steps, holds at each kernel entry of generated programs.

Several threads make all system calls and invocations, access memory, and are interrupted; time passes. A failure prints
a program that runs.
"""

import os
from collections.abc import Sequence
from typing import TypeVar

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from specs.generate import program
from specs.monitor import Monitor
from specs.programs.execute import run
from specs.programs.model import Program, literal

T = TypeVar("T")
CAMPAIGN = bool(os.environ.get("CAPKERNEL_CAMPAIGN"))
STEPS = 40


class Drawn:
    """Lets Hypothesis decide, so that a failing program shrinks."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw

    def of(self, options: Sequence[T]) -> T:
        return self.draw(st.sampled_from(options))

    def number(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))


@st.composite
def programs(draw: st.DrawFn) -> Program:
    return program(Drawn(draw), STEPS)


def script(failed: Program) -> str:
    """The program as a Python script that shows the failure."""
    return (
        "from specs.monitor import Monitor\n"
        "from specs.programs.execute import run\n"
        "from specs.programs.layout import *\n"
        "from specs.programs.model import *\n"
        "from specs.generate import Worker\n"
        f"monitor = Monitor()\nrun({literal(failed)}, watcher=monitor)\nprint(monitor.problem)\n"
    )


@settings(
    max_examples=5000 if CAMPAIGN else 120, deadline=None, derandomize=not CAMPAIGN, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
@given(programs())
def test_the_invariants_hold_at_each_kernel_entry(generated: Program) -> None:
    monitor = Monitor()
    run(generated, watcher=monitor)
    assert monitor.problem is None, f"{monitor.problem}\n\n{script(generated)}"
