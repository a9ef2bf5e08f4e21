"""Checking invariants while a system runs, by whatever package offers that: found by entry point, never imported."""

import re
from importlib.metadata import entry_points
from typing import Protocol

import typer

from capkernel.runtime.loop import Loop
from hwmodel.machine import Machine

GROUP, NAME = "capkernel.checks", "invariants"
_SAMPLE = re.compile(r"sample:(\d+)")


class Checker(Protocol):
    """Looks at the states of a run."""

    checked: int
    violations: list[str]


def check_interval(word: str) -> int | None:
    """After how many kernel entries ``--check`` wants a look; None for never. Raises BadParameter."""
    if word in ("none", "all"):
        return None if word == "none" else 1
    found = _SAMPLE.fullmatch(word)
    if found is None or not int(found[1]):
        raise typer.BadParameter(f"--check is none, all or sample:N with N from 1 on, not {word!r}")
    return int(found[1])


def attach_checker(loop: Loop, machine: Machine, every: int | None) -> Checker | None:
    """Have every so many entries of a loop looked at. Raises BadParameter if nobody offers to."""
    if every is None:
        return None
    for point in entry_points(group=GROUP, name=NAME):
        checker: Checker = point.load()(loop, machine, every)
        return checker
    raise typer.BadParameter(f"no installed package offers the entry point {GROUP}: {NAME}")
