"""What campaigns have found so far: a file with a line for each batch, and the sums over it."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from attrs import define, field


@define
class Sums:
    """Over all batches."""

    batches: int = 0
    planned: Counter[str] = field(factory=Counter)
    activated: Counter[str] = field(factory=Counter)
    failed: list[str] = field(factory=list)
    rounds: int = 0
    retries: int = 0
    recoveries: int = 0
    states_checked: int = 0
    medians: list[float] = field(factory=list)

    def add(self, batch: dict[str, Any]) -> None:
        """Count a batch."""
        self.batches += 1
        self.planned.update(batch["planned"])
        self.activated.update(batch["activated"])
        for failure in batch["failed"]:
            self.failed.append(
                f"batch {batch['number']}, fault {failure['index']} ({failure['planned']}): {failure['what']}"
            )
        self.rounds += batch["rounds"]
        self.retries += batch["retries"]
        self.states_checked += batch["states_checked"]
        gaps = sorted(batch["recoveries_us"])
        self.recoveries += len(gaps)
        if gaps:
            self.medians.append(gaps[len(gaps) // 2])

    @property
    def median_us(self) -> float | None:
        """Of the batches' medians of the time from a death to the next life."""
        return sorted(self.medians)[len(self.medians) // 2] if self.medians else None

    def data(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "batches": self.batches, "planned": self.planned.total(), "activated": self.activated.total(),
            "activated_by_kind": dict(sorted(self.activated.items())), "failed": self.failed, "rounds": self.rounds,
            "retries": self.retries, "recoveries": self.recoveries, "median_recovery_us": self.median_us,
            "states_checked": self.states_checked,
        }  # fmt: skip


class Record:
    """The file. A line that was cut off (the campaign was killed while it wrote) is left out and written anew."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.batches: dict[int, dict[str, Any]] = {}
        if path.exists():
            self._read(path.read_text(encoding="utf-8").splitlines())

    def _read(self, lines: Iterable[str]) -> None:
        for line in lines:
            try:
                batch = json.loads(line)
            except json.JSONDecodeError:
                continue
            self.batches[batch["number"]] = batch

    def add(self, batch: dict[str, Any]) -> None:
        """Write a batch down."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.batches[batch["number"]] = batch
        cut_off = self.path.exists() and self.path.read_bytes()[-1:] not in (b"", b"\n")
        with self.path.open("a", encoding="utf-8") as file:
            file.write(("\n" if cut_off else "") + json.dumps(batch) + "\n")

    def sums(self) -> Sums:
        """Over everything in the file."""
        sums = Sums()
        for number in sorted(self.batches):
            sums.add(self.batches[number])
        return sums
