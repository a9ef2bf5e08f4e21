"""``capkernel bugs``: plant each defect of the catalogue, hunt it, and say what caught it.

Exit status: 0 every row that can be planted was caught by an invariant that it names, 1 not so, 2 wrong usage.
"""

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.status import Status
from rich.table import Table

from specs.bugs import records
from specs.bugs.catalogue import BUGS, ROWS
from specs.bugs.model import Bug, Elsewhere, Faithful, Impossible, Row
from specs.bugs.run import Outcome, WorkerError, demonstrated, hunted

CAUGHT, MISSED, USAGE = 0, 1, 2
DEMONSTRATION = 5_000
"""The most steps for showing a row that is as in real seL4, and for showing that its option mends it."""
_WIDTHS = (4, 0, 13, 7, 5, 3)
"""Columns of the report; the story takes what is left."""


def bugs(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Rows, such as S6; none means all.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="The most generated steps for one row.")] = 100_000,
    seed: Annotated[int, typer.Option(min=0, help="Which programs are made up.")] = 1,
    as_list: Annotated[bool, typer.Option("--list", help="Show the catalogue, run nothing.")] = False,
    program: Annotated[bool, typer.Option("--program", help="Print each shrunk program as a script.")] = False,
    record: Annotated[bool, typer.Option("--record", help="Keep what was found, for the tests.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
) -> None:
    """Plant real kernels' defects in this one, and see each caught by an invariant."""
    rows = _rows(ids or [])
    if as_list:
        _show_catalogue(rows, as_json)
        return
    console = Console(stderr=as_json or program)
    outcomes = _hunt_all([row for row in rows if issubclass(row, Bug)], seed, steps, console)
    if record:
        records.keep([outcome for outcome in outcomes if is_caught(outcome)])
    if as_json:
        print(json.dumps({"outcomes": [asdict(o) for o in outcomes], "rest": [_described(r) for r in _rest(rows)]}))
    shown = _demonstrate_all(rows, seed, min(steps, DEMONSTRATION), console)
    if program:
        print("\n".join(outcome.script for outcome in [*outcomes, *shown.values()] if outcome.script), end="")
    caught = sum(is_caught(outcome) for outcome in outcomes)
    _show_rest(_rest(rows), shown, min(steps, DEMONSTRATION), console)
    console.print(_summary(caught, len(outcomes), len(_rest(rows))), highlight=False)
    raise typer.Exit(CAUGHT if caught == len(outcomes) else MISSED)


def is_caught(outcome: Outcome) -> bool:
    """Whether an invariant that the row names was violated."""
    return bool(set(outcome.violated) & set(BUGS[outcome.row].caught_by))


def _summary(caught: int, planted: int, rest: int) -> str:
    """The last line: rows that cannot be planted are no failures to catch."""
    if not planted:
        return f"bugs: nothing to plant; {rest} of {rest} explained"
    return f"bugs: {caught} of {planted} caught" + (f", {rest} not planted" if rest else "")


def _rows(ids: list[str]) -> list[type[Row]]:
    unknown = [name for name in ids if name.upper() not in ROWS]
    if unknown:
        _refuse(f"there is no row {', '.join(unknown)}; `capkernel bugs --list` shows what there is")
    return [ROWS[name.upper()] for name in ids] or list(ROWS.values())


def _refuse(message: str) -> NoReturn:
    typer.echo(f"bugs: {message}", err=True)
    raise typer.Exit(USAGE)


def _rest(rows: Iterable[type[Row]]) -> list[type[Row]]:
    return [row for row in rows if not issubclass(row, Bug)]


def _hunt_all(rows: list[type[Bug]], seed: int, steps: int, console: Console) -> list[Outcome]:
    _line(console, "id", "story", "caught by", "steps", "s", "ops")
    outcomes = []
    for row in rows:
        with console.status(f"{row.id()}: planting") as status:
            try:
                outcome = hunted(row.id(), seed, steps, progress=_Teller(status, row))
            except WorkerError as error:
                _refuse(f"{row.id()}: {error}")
        outcomes.append(outcome)
        by = " ".join(outcome.violated) or "nothing"
        named = by if is_caught(outcome) or not outcome.violated else f"{by} (!)"
        numbers = f"{outcome.steps:,}", f"{outcome.seconds:.1f}", str(outcome.operations or "")
        _line(console, row.id(), row.title(), named, *numbers)
    return outcomes


class _Teller:
    """Shows how far a hunt is."""

    def __init__(self, status: Status, row: type[Bug]) -> None:
        self._status, self._row = status, row

    def __call__(self, steps: int) -> None:
        self._status.update(f"{self._row.id()}: {steps:,} steps")


def _line(console: Console, *cells: str) -> None:
    """One line of a table whose rows come one at a time."""
    left = max(20, console.width - sum(_WIDTHS) - len(_WIDTHS))
    table = Table.grid(padding=(0, 1))
    for number, width in enumerate(_WIDTHS):
        table.add_column(width=width or left, justify="right" if number > 2 else "left", no_wrap=number > 2)
    table.add_row(*cells)
    console.print(table)


def _reason(row: type[Row]) -> str:
    if issubclass(row, Impossible):
        return f"impossible here: {row.reason} ({row.shown_by})"
    if issubclass(row, Faithful):
        return f"as real seL4; mended by {row.mended_by}"
    return f"not this kernel: {row.reason}" if issubclass(row, Elsewhere) else ""


def _demonstrate_all(rows: list[type[Row]], seed: int, steps: int, console: Console) -> dict[str, Outcome]:
    """What came of showing the rows that are as in real seL4, by row."""
    found = {}
    for row in rows:
        if issubclass(row, Faithful):
            with console.status(f"{row.id()}: showing it"):
                found[row.id()] = demonstrated(row.id(), seed, steps)
    return found


def _shown(outcome: Outcome, steps: int) -> str:
    if not outcome.violated:
        return f"not shown in {steps:,} steps"
    return f"shown after {outcome.steps:,} steps ({outcome.operations} operations)"


def _helped(row: type[Faithful], outcome: Outcome, steps: int) -> str:
    if not outcome.violated:
        return f"; {row.mended_by} is said to mend it"
    return f", not in {steps:,} with {row.mended_by}" if outcome.mended else f", nor mended by {row.mended_by}"


def _show_rest(rows: list[type[Row]], shown: dict[str, Outcome], steps: int, console: Console) -> None:
    if not rows:
        return
    table = Table("id", "story", "why it cannot be planted", box=None, title="Not planted", title_justify="left")
    for row in rows:
        outcome, reason = shown.get(row.id()), _reason(row)
        if outcome is not None and issubclass(row, Faithful):
            reason = f"as real seL4; {_shown(outcome, steps)}{_helped(row, outcome, steps)}"
        table.add_row(row.id(), row.title(), reason)
    console.print(table)


def _described(row: type[Row]) -> dict[str, object]:
    what: dict[str, object] = {"id": row.id(), "title": row.title(), "origin": row.origin}
    if issubclass(row, Bug):
        return what | {"caught_by": list(row.caught_by), "note": row.note, "edits": [e._asdict() for e in row.edits]}
    return what | {"reason": _reason(row)}


def _show_catalogue(rows: list[type[Row]], as_json: bool) -> None:
    if as_json:
        json.dump([_described(row) for row in rows], sys.stdout)
        print()
        return
    table = Table("id", "where it was", "story", "caught by", box=None)
    for row in rows:
        table.add_row(row.id(), row.origin, row.title(), " ".join(row.caught_by) or _reason(row))
    Console().print(table)
