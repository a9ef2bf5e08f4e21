"""Hypothesis strategies for steps and whole programs: the grammar of ``generate``, shrinkable."""

from collections.abc import Sequence
from typing import TypeVar

from hypothesis import strategies as st

from specs import generate
from specs.programs.model import Layout, Program, Step

T = TypeVar("T")


class DrawChooser:
    """Decides by what Hypothesis draws; earlier options and smaller numbers are simpler."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw

    def of(self, options: Sequence[T]) -> T:
        """One of the options."""
        return options[self.number(0, len(options) - 1)]

    def number(self, low: int, high: int) -> int:
        """A number from ``low`` to ``high``."""
        return self._draw(st.integers(low, high))


@st.composite
def programs(draw: st.DrawFn, most_steps: int = 30) -> Program:
    """Whole programs: a layout, and steps of every kind that meet on few objects."""
    choose = DrawChooser(draw)
    layout = choose.of(generate.LAYOUTS)
    focus = generate.Focus(choose, layout)
    count = draw(st.integers(1, most_steps))
    return Program(layout, tuple(generate.step(choose, focus) for _ in range(count)))


@st.composite
def steps(draw: st.DrawFn, layout: Layout) -> Step:
    """One step of any kind."""
    choose = DrawChooser(draw)
    return generate.step(choose, generate.Focus(choose, layout, narrow=False))


@st.composite
def noise(draw: st.DrawFn, most_steps: int = 20) -> Program:
    """Programs of system calls with random words everywhere."""
    choose = DrawChooser(draw)
    count = draw(st.integers(1, most_steps))
    return Program(Layout(), tuple(generate.noise(choose) for _ in range(count)))
