"""Checking invariants while a system runs, by whatever package offers that: found by entry point, never imported."""

import re
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from typing import Protocol

import typer

from capkernel.runtime.described import DescribedSystem
from capkernel.runtime.loop import Loop
from capkernel.system.authority import AuthorityGraph
from capkernel.system.ceiling import Ceiling
from hwmodel.machine import Machine

GROUP, NAME, CEILING = "capkernel.checks", "invariants", "ceiling"
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


def attach_checker(loop: Loop, machine: Machine, every: int = 1) -> Checker:
    """Have every so many entries of a loop looked at. Raises BadParameter if nobody offers to."""
    return _offered(NAME)(loop, machine, every)


def attach_ceiling(system: DescribedSystem, graph: AuthorityGraph, ceiling: Ceiling, every: int) -> Checker:
    """The same for a described system, which is held against a ceiling, too."""
    return _offered(CEILING)(system, graph, ceiling, every)


def _offered(name: str) -> Callable[..., Checker]:
    for point in entry_points(group=GROUP, name=name):
        found: Callable[..., Checker] = point.load()
        return found
    raise typer.BadParameter(f"no installed package offers the entry point {GROUP}: {name}")


def told(checker: Checker) -> Iterator[str]:
    """What was found, for people."""
    yield from checker.violations
    yield f"invariants: {checker.checked:,} states checked, {len(checker.violations)} violations"


def told_data(checker: Checker | None) -> dict[str, object] | None:
    """The same for programs."""
    return None if checker is None else {"checked": checker.checked, "violations": checker.violations}
