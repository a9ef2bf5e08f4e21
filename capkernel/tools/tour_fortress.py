"""The fortress under attack: run it, read what the attacker wrote down, and judge for oneself what she achieved."""

import json
import struct
from collections import Counter
from pathlib import Path

from attrs import frozen

from capkernel.runtime.described import DescribedSystem
from capkernel.tools.tour_audit import Finding, audit, take_inventory
from capkernel.tools.tour_systems import Booted, Run

ATTACKER = "mallory"
SUCCEEDED = "succeeded"
OUTCOMES = (
    "refused by kernel", "refused by server", "faulted", "waited in vain", "no effect", "allowed", SUCCEEDED,
)  # fmt: skip
_LENGTH, _TEXT = 16, 64
"""Where in the region `ledger` the length of the attacker's account stands, and where it begins."""
_REPORT = struct.Struct("<4Q")
"""The region `report`: periods, deadlines missed, wrong entries, the worst delay in ticks."""


@frozen(kw_only=True)
class Siege:
    """What happened: the run; the attempts by (family, outcome, detail); what succeeded; what was found afterwards."""

    run: Run
    system: DescribedSystem
    attempts: Counter[tuple[str, str, str]]
    successes: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def total(self) -> int:
        """How many attempts were made."""
        return sum(self.attempts.values())

    @property
    def held(self) -> bool:
        """Whether nothing succeeded, by her account and by the audit."""
        return bool(self.total) and not self.successes and all(finding.holds for finding in self.findings)

    def table(self) -> dict[str, Counter[str]]:
        """Attempts by family and outcome, in the order in which the families were tried."""
        rows: dict[str, Counter[str]] = {}
        for (family, outcome, _), count in self.attempts.items():
            rows.setdefault(family, Counter())[outcome] += count
        return rows


def besiege(path: Path, *, programs: Path | None = None, seed: int = 0) -> Siege:
    """Run a fortress with its attacker, and once more with the one that does nothing (in `quiet`).

    ``programs`` is where the programs are, if not beside the description. Raises DescriptionError.
    """
    place = programs or path.parent
    quiet = Booted(path, search_path=[place / "quiet", place], seed=seed)
    quiet.run()
    booted = Booted(path, search_path=[place], seed=seed)
    booted.boot()
    before = take_inventory(booted.system, ATTACKER)
    run = booted.run()
    attempts, successes = _read_ledger(booted.system)
    findings = audit(booted.system, quiet.system, ATTACKER, before, ["store"])
    findings.append(_undisturbed(booted.system))
    return Siege(run=run, system=booted.system, attempts=attempts, successes=successes, findings=tuple(findings))


def _read_ledger(system: DescribedSystem) -> tuple[Counter[tuple[str, str, str]], tuple[str, ...]]:
    """What she wrote into her own memory; nothing if she did not get to the end."""
    ledger = system.read_region("ledger")
    length = int.from_bytes(ledger[_LENGTH : _LENGTH + 8], "little")
    if not length:
        return Counter(), ()
    account = json.loads(ledger[_TEXT : _TEXT + length])
    attempts: Counter[tuple[str, str, str]] = Counter()
    for family, outcome, detail, count in account["outcomes"]:
        attempts[family, outcome, detail] = count
    return attempts, tuple(account["successes"])


def _undisturbed(system: DescribedSystem) -> Finding:
    """What her victim measured, in its own memory."""
    periods, missed, wrong, worst = _REPORT.unpack_from(system.read_region("report"))
    claim = f"alice met her deadline in each of {periods} periods, and read what she had written"
    detail = f"{missed} deadlines missed (at worst after {worst // 10} us), {wrong} times something else was read"
    return Finding(claim, bool(periods) and not missed and not wrong, detail)
