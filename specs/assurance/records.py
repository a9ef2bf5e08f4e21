"""The runs that are kept with the sources: the last one of each claim's check in full."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Final

from specs.assurance.model import Run

FILE: Final = Path(__file__).parent / "runs.json"


def kept(file: Path = FILE) -> dict[str, Run]:
    """By claim. Raises ValueError for a file that is no record, naming it."""
    if not file.exists():
        return {}
    try:
        return {name: Run(**run) for name, run in json.loads(file.read_text()).items()}
    except (TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{file}: not a record of runs: {error}") from None


def keep(runs: Iterable[Run], file: Path = FILE) -> None:
    """Take these in place of earlier ones of the same claims. What could not run leaves an earlier one as it is."""
    before = kept(file)
    now = before | {run.claim: run for run in runs if run.held is not None or run.claim not in before}
    if now == before:
        return
    file.write_text(json.dumps({name: asdict(now[name]) for name in sorted(now)}, indent=1) + "\n")
