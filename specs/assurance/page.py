"""``docs/assurance.md``, made from the claims and the runs that are kept."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from capkernel.tools.sources import digest
from specs.assurance.claims import CLAIMS
from specs.assurance.model import Claim, Run, shown

SEL4 = Path(__file__).parent / "sel4.toml"
_HEAD = """# Assurance: what is claimed, and how it is checked

Made by `capkernel assure --page` from `specs/assurance`; do not edit. What is written here about a run is what the
command printed; `capkernel assure` repeats each on a scale of seconds, `capkernel assure --full NAME` in full, and
keeps what came of it.

**Nothing here is a proof about this kernel.** Tests show that something was not found wrong in the cases that were run.
What is proved is said to be proved, and of what: of models. How the parts hang together is in
[assurance-map.md](assurance-map.md).
"""


def page(runs: Mapping[str, Run]) -> str:
    """The text."""
    return "".join(f"{line}\n" for line in _lines(runs))


def _lines(runs: Mapping[str, Run]) -> Iterator[str]:
    yield _HEAD
    yield "## The claims\n"
    yield from _table(
        ("", "Claim", "Checked by", "Looked at", "Against it"),
        [(f"`{c.id}`", c.statement, c.how, *_result(runs.get(c.id))) for c in CLAIMS],
    )
    yield "\n## What they assume, and how to repeat them\n"
    yield from _table(
        ("", "Assumes", "Command", "Run"),
        [(f"`{c.id}`", c.assumes, f"`{shown(c.command)}`", _when(c, runs)) for c in CLAIMS],
    )
    now = digest()
    if any(run.kernel != now for run in runs.values()):
        yield "\n*An earlier kernel*: its sources have changed since that run, in whatever way."
    yield "\n## The same of seL4\n"
    yield "seL4's proofs are about all inputs and any number of steps. No number of tests is that.\n"
    sel4 = tomllib.loads(SEL4.read_text())
    yield from _table(
        ("Property", "seL4", "For which configurations", "Here"),
        [(row["what"], row["sel4"], row["where"], row["ours"]) for row in sel4["property"]],
    )
    yield "\n## What both rest on\n"
    yield from _table(
        ("", "seL4's proofs", "Here"), [(row["what"], row["sel4"], row["ours"]) for row in sel4["assumed"]]
    )


def _result(run: Run | None) -> tuple[str, str]:
    if run is None:
        return "not run yet", ""
    if run.held is None:
        return f"**not run**: {run.why}", ""
    return run.amount, run.against if run.held else f"**{run.against}**"


def _when(claim: Claim, runs: Mapping[str, Run]) -> str:
    run = runs.get(claim.id)
    if run is None:
        return "never"
    part = "" if run.command == shown(claim.command) else f"`{run.command}`, "
    earlier = ", *an earlier kernel*" if run.kernel != digest() else ""
    return f"{part}at {run.commit}, Python {run.python}, {_duration(run.seconds)}{earlier}"


def _duration(seconds: int) -> str:
    """How long it took; of what was read from the record of a campaign that had ended nobody knows."""
    if not seconds:
        return "from its record"
    if seconds < 120:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|---" * len(head) + "|"
    yield from (f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows)
