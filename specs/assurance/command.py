"""``capkernel assure``: run the checks behind the claims of ``docs/assurance.md``.

Exit status: 0 every claim held, 1 one did not, 2 wrong usage, 3 none spoke against its claim, but some could not run.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from capkernel.tools.sources import ROOT
from specs.assurance import records
from specs.assurance.claims import find
from specs.assurance.model import Claim, Run, shown
from specs.assurance.page import page
from specs.assurance.running import NOT_RUN, run

BROKEN, USAGE = 1, 2
PAGE = ROOT / "docs" / "assurance.md"


def assure(
    names: Annotated[list[str] | None, typer.Argument(metavar="[CLAIM]...", help="Claims; none means all.")] = None,
    full: Annotated[bool, typer.Option("--full", help="As the page says, for hours perhaps; keep the result.")] = False,
    as_list: Annotated[bool, typer.Option("--list", help="Show the claims, run nothing.")] = False,
    write: Annotated[bool, typer.Option("--page", help="Write docs/assurance.md from the runs that are kept.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
) -> None:
    """Run the checks behind what is claimed of the kernel: a little of each, or all of some."""
    try:
        claims = find(names or [])
        kept = records.kept()
    except (KeyError, ValueError) as error:
        _refuse(str(error.args[0]))
    if write:
        PAGE.write_text(page(kept))
        return
    if as_list:
        _show_claims(claims, as_json)
        return
    runs = _run_all(claims, Console(stderr=True), full)
    if as_json:
        print(json.dumps([asdict(each) for each in runs], indent=2))
    else:
        _show_runs(runs)
    if any(each.held is False for each in runs):
        raise typer.Exit(BROKEN)
    raise typer.Exit(NOT_RUN if any(each.held is None for each in runs) else 0)


def _run_all(claims: Sequence[Claim], console: Console, full: bool) -> list[Run]:
    runs = []
    for claim in claims:
        console.print(f"{claim.id}: {claim.statement} …", highlight=False)
        try:
            runs.append(run(claim, full=full))
        except (ValueError, subprocess.TimeoutExpired) as error:
            _refuse(str(error))
        if full:
            records.keep(runs[-1:])
    return runs


def _show_claims(claims: Sequence[Claim], as_json: bool) -> None:
    if as_json:
        wanted = ("id", "statement", "how", "assumes", "command", "quick")
        print(json.dumps([{name: getattr(claim, name) for name in wanted} for claim in claims], indent=2))
        return
    table = Table("claim", "statement", "repeated by")
    for claim in claims:
        table.add_row(claim.id, claim.statement, shown(claim.command))
    Console().print(table)


def _show_runs(runs: Sequence[Run]) -> None:
    table = Table("claim", "looked at", "against it", "s")
    for each in runs:
        if each.held is None:
            table.add_row(each.claim, f"NOT RUN: {each.why}", "", str(each.seconds))
        else:
            table.add_row(each.claim, each.amount, each.against, str(each.seconds))
    Console().print(table)


def _refuse(message: str) -> NoReturn:
    print(f"assure: {message}", file=sys.stderr)
    raise typer.Exit(USAGE)
