"""What campaigns have found so far: a file of sums, whose size does not grow with the number of faults.

A campaign goes on when the sources change, so it is told apart which of its trials were of the sources that are here.
"""

import json
import os
from bisect import insort
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, Final

from attrs import asdict, define, field

from capkernel.tools.campaign.harms import Harm
from capkernel.tools.sources import digest

KEPT: Final = 100
"""Failures of a campaign that are kept word for word, of each harm; the others are only counted."""
_DIGITS: Final = 2
"""Significant digits of the times of recoveries."""
_SHORT: Final = 12
"""Digits by which sources are told apart."""
_PLAYED: Final = ("capkernel", "hwmodel", "servers")
"""Where the sources are of what is played, and of who plays it."""


@cache
def sources() -> str:
    """What the sources that are here are known by in a record."""
    return digest(_PLAYED)[:_SHORT]


@define
class Sums:
    """Over the batches of a campaign: of a system, with programs that are spoilt or not.

    ``done`` are the batches' numbers, as ranges. ``planned``, ``activated`` and ``failures`` count by target and kind
    (a failure of several faults, by the first), ``harms`` failures by what came of them, ``recoveries`` by time in µs,
    ``trials_of`` trials by the sources that they were of.
    """

    done: list[list[int]] = field(factory=list)
    trials: int = 0
    planned: Counter[str] = field(factory=Counter, converter=Counter)
    activated: Counter[str] = field(factory=Counter, converter=Counter)
    failures: Counter[str] = field(factory=Counter, converter=Counter)
    harms: Counter[str] = field(factory=Counter, converter=Counter)
    failed: list[str] = field(factory=list)
    rounds: int = 0
    retries: int = 0
    states_checked: int = 0
    recoveries: Counter[str] = field(factory=Counter, converter=Counter)
    trials_of: Counter[str] = field(factory=Counter, converter=Counter)

    def add(self, number: int, batch: Mapping[str, Any]) -> None:
        """Count a batch, which was played with the sources that are here."""
        insort(self.done, [number, number + 1])
        joined = [self.done[0]]
        for first, end in self.done[1:]:
            if first == joined[-1][1]:
                joined[-1] = [joined[-1][0], end]
            else:
                joined.append([first, end])
        self.done = joined
        for name in ("planned", "activated"):
            getattr(self, name).update(batch[name])
        for name in ("trials", "rounds", "retries", "states_checked"):
            setattr(self, name, getattr(self, name) + batch[name])
        self.trials_of[sources()] += batch["trials"]
        for failure in batch["failed"]:
            self._note(number, failure)
        self.recoveries.update(f"{gap:.{_DIGITS}g}" for gap in batch["recoveries_us"])

    def _note(self, number: int, failure: Mapping[str, Any]) -> None:
        self.harms[failure["harm"]] += 1
        self.failures[failure["kind"]] += 1
        if self.harms[failure["harm"]] <= KEPT:
            detail = f": {failure['detail']}" if failure["detail"] else ""
            self.failed.append(
                f"batch {number}, trial {failure['trial']} ({failure['planned']}): {failure['harm']}{detail}"
            )

    def merge(self, other: "Sums") -> None:
        """Count another campaign's in."""
        for name in ("planned", "activated", "failures", "harms", "recoveries", "trials_of"):
            getattr(self, name).update(getattr(other, name))
        for name in ("trials", "rounds", "retries", "states_checked"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.failed += other.failed

    def missing(self) -> Iterator[int]:
        """The numbers of batches that were not played, from the first on, without end."""
        number = 0
        for first, end in list(self.done):
            yield from range(number, first)
            number = end
        yield from count(number)

    @property
    def earlier(self) -> int:
        """Trials of other sources than those that are here."""
        return self.trials - self.trials_of[sources()]

    @property
    def median_us(self) -> float | None:
        """Of the time from a death to the next life, of all domains that died."""
        times = sorted((float(time), number) for time, number in self.recoveries.items())
        left = (self.recoveries.total() + 1) // 2
        for time, number in times:
            left -= number
            if left <= 0:
                return time
        return None

    def data(self) -> dict[str, Any]:
        """For JSON, for people: without what only a record needs."""
        return {
            "trials": self.trials, "planned": self.planned.total(), "activated": self.activated.total(),
            "planned_by_kind": dict(sorted(self.planned.items())),
            "activated_by_kind": dict(sorted(self.activated.items())),
            "failures_by_kind": dict(sorted(self.failures.items())),
            "harms": {harm: self.harms[harm] for harm in Harm}, "failed": self.failed, "rounds": self.rounds,
            "retries": self.retries, "recoveries": self.recoveries.total(), "median_recovery_us": self.median_us,
            "states_checked": self.states_checked, "trials_of": dict(self.trials_of), "sources": sources(),
        }  # fmt: skip


class Record:
    """The file. It is replaced as a whole after each batch, so a campaign may be killed at any time.

    Raises OSError, ValueError, AttributeError or TypeError for a file that is no record.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        sources()  # before anybody changes them
        self.campaigns: dict[str, Sums] = {}
        if path.exists():
            data = json.loads(path.read_text(encoding="utf-8"))
            self.campaigns = {name: Sums(**sums) for name, sums in data.items()}

    def of(self, name: str) -> Sums:
        """A campaign's sums."""
        return self.campaigns.setdefault(name, Sums())

    def add(self, name: str, number: int, batch: Mapping[str, Any]) -> None:
        """Count a batch of a campaign, and write it down."""
        self.of(name).add(number, batch)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_name(self.path.name + ".new")
        fresh.write_text(json.dumps({name: asdict(sums) for name, sums in self.campaigns.items()}), encoding="utf-8")
        os.replace(fresh, self.path)
