"""Measuring: the least CPU time of several runs, and a table of ratios to a floor in the same process."""

import gc
from collections.abc import Callable, Mapping
from time import process_time

from attrs import frozen
from rich.console import Console
from rich.table import Table

REPEATS = 5


@frozen
class Figure:
    """One measurement: ``microseconds`` for each ``unit``, its floor in the same process, and a target.

    ``target`` is a ratio to the floor, ``most`` a time in microseconds for the plain build.
    """

    name: str
    unit: str
    microseconds: float
    floor: float | None = None
    floor_name: str = ""
    target: float | None = None
    most: float | None = None

    @property
    def ratio(self) -> float | None:
        """How many times the floor."""
        return None if not self.floor else self.microseconds / self.floor

    @property
    def aim(self) -> str:
        """The target, in words."""
        if self.target:
            return f"≤ {self.target:g} ×"
        return f"≤ {self.most:g} µs" if self.most else ""


def least(work: Callable[[], object], count: int, prepare: Callable[[], object] | None = None) -> float:
    """The least CPU time of several runs of ``work``, in microseconds for each of ``count`` things that it does."""
    times = []
    for _ in range(REPEATS):
        if prepare is not None:
            prepare()
        gc.collect()
        gc.disable()
        start = process_time()
        work()
        times.append(process_time() - start)
        gc.enable()
    return min(times) / count * 1e6


def show(figures: list[Figure], compiled: Mapping[str, float]) -> None:
    """Print the figures as a table, beside those of the compiled build (by name, microseconds) if there are any."""
    table = Table()
    for heading in ("what", "µs", "compiled", "each", "floor µs", "floor", "ratio", "target"):
        table.add_column(heading, justify="left" if heading in ("what", "each", "floor") else "right")
    for f in figures:
        table.add_row(
            f.name, f"{f.microseconds:.3f}", f"{compiled[f.name]:.3f}" if f.name in compiled else "", f.unit,
            f"{f.floor:.3f}" if f.floor else "", f.floor_name, f"{f.ratio:.1f}" if f.ratio else "", f.aim,
        )  # fmt: skip
    console = Console()
    console.width = max(console.width, 140)
    console.print(table)
