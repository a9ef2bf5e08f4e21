"""What was found before: for each row the seed, the program and the steps that it took, so that it can be shown again.

A record holds as long as the grammar of programs and the worlds stay as they are; ``capkernel bugs --record`` renews
it.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from specs.bugs.run import Outcome

FILE = Path(__file__).with_name("records.json")


@dataclass(frozen=True)
class Record:
    """A hunt that succeeded. ``steps`` and ``seconds`` (CPU) are what it took, ``operations`` what shrinking left."""

    seed: int
    number: int
    steps: int
    seconds: float
    violated: tuple[str, ...]
    operations: int


def load() -> dict[str, Record]:
    """All records, by row."""
    found = json.loads(FILE.read_text())
    return {row: Record(**{**fields, "violated": tuple(fields["violated"])}) for row, fields in found.items()}


def keep(outcomes: list[Outcome]) -> None:
    """Renew the records of the rows that were caught; the others stay as they are."""
    records = load() if FILE.exists() else {}
    for o in outcomes:
        if o.violated:
            records[o.row] = Record(o.seed, o.number, o.steps, round(o.seconds, 1), o.violated, o.operations)
    ordered = dict(sorted(records.items(), key=lambda item: int(item[0][1:])))
    lines = [f"  {json.dumps(row)}: {json.dumps(asdict(record))}" for row, record in ordered.items()]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")
