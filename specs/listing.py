"""``capkernel invariants``: every statement that is checked, its name in the proofs, and what it has caught."""

import ast
import inspect
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from specs.bugs.catalogue import BUGS
from specs.invariants import INVARIANTS, STEP_INVARIANTS
from specs.trials import TRIALS

GROUPS = "GTLH"
NOT_YET = {
    "G30": "what the host's kernel shows equals the model (process CPU)",
    "L7": "revoked or dead within the deadline (process CPU)",
    "H5": "one program on two CPU models gives the same kernel trace (process CPU)",
}
"""Statements about a CPU model that does not exist yet."""
_ORDER = re.compile(r"([GTLH])(\d+)([a-z]*)")


@dataclass(frozen=True)
class Statement:
    """One row: ``how`` it is checked, ``catches`` the rows of the bug catalogue that it is to notice."""

    id: str
    name: str
    statement: str
    how: str
    catches: tuple[str, ...]
    story: str


def statements() -> list[Statement]:
    """All that is checked, in the order of the table."""
    rows = [
        *((item, "each state") for item in INVARIANTS.values()),
        *((item, "each step") for item in STEP_INVARIANTS.values()),
        *((item, "whole runs") for item in TRIALS.values()),
    ]
    return sorted((_statement(item, how) for item, how in rows), key=lambda row: _place(row.id))


def _place(name: str) -> tuple[int, int, str]:
    found = _ORDER.fullmatch(name)
    if found is None:
        raise ValueError(f"no statement is called {name!r}; names are a letter of {', '.join(GROUPS)} and a number")
    return GROUPS.index(found[1]), int(found[2]), found[3]


def _statement(item: Any, how: str) -> Statement:
    catches = tuple(name for name, bug in BUGS.items() if item.id in bug.caught_by)
    return Statement(item.id, item.name, item.statement, how, catches, _story(item.check))


def _story(check: Callable[..., Any]) -> str:
    """What its docstring says. A compiled function has none, but its source stands beside it."""
    said = inspect.getdoc(check)
    if said:
        return said
    package, _, module = check.__module__.rpartition(".")
    source = ast.parse((files(package) / f"{module}.py").read_text())
    functions = (node for node in source.body if isinstance(node, ast.FunctionDef) and node.name == check.__name__)
    return next((ast.get_docstring(function) or "" for function in functions), "")


def invariants(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Such as G22; none: all.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print data instead of a table.")] = False,
) -> None:
    """List what is checked of every state, step and run, with the name in seL4's proofs where there is one."""
    rows = statements()
    by_lower = {row.id.lower(): row.id for row in rows} | {name.lower(): name for name in NOT_YET}
    names = [by_lower.get(name.lower(), name) for name in names or ()]
    unknown = [name for name in names if name not in {row.id for row in rows}]
    if unknown:
        raise typer.BadParameter(
            f"there is no {', '.join(unknown)}" + (f": {NOT_YET[unknown[0]]}" if unknown[0] in NOT_YET else "")
        )
    rows = [row for row in rows if not names or row.id in names]
    if as_json:
        print(json.dumps({"statements": [asdict(row) for row in rows], "not_yet": NOT_YET}, indent=2))
        return
    for line in _told(rows) if names else ():
        print(line)
    if not names:
        _show(rows)


def _told(rows: list[Statement]) -> Iterator[str]:
    for row in rows:
        yield f"{row.id} {row.name} ({row.how}): {row.statement}"
        yield f"  {row.story}".replace("\n", "\n  ")
        yield f"  catches of the catalogue: {', '.join(row.catches) or 'no row names it'}\n"


BEGIN, END = "<!-- statements: written by python -m specs.listing -->\n", "<!-- end of statements -->\n"


def page(text: str) -> str:
    """The text of ``docs/invariants.md`` with its tables as they should be."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + "\n".join(_tables()) + END + rest.split(END)[1]


def _tables() -> Iterator[str]:
    for how, title in (("each state", "Of every state"), ("each step", "Of every kernel entry"),
                       ("whole runs", "Of whole runs")):  # fmt: skip
        yield f"\n## {title}\n\n| id | name | what must hold |\n|---|---|---|"
        yield from (f"| {row.id} | {row.name} | {row.statement} |" for row in statements() if row.how == how)
    yield "\n"


def _show(rows: list[Statement]) -> None:
    table = Table("", "name", "statement", "checked of", "catches", show_lines=False)
    for row in rows:
        table.add_row(row.id, row.name, row.statement, row.how, " ".join(row.catches))
    console = Console()
    console.print(table)
    console.print(f"{len(rows)} statements; not yet: {', '.join(NOT_YET)} (they are about the process CPU).")
    console.print("`capkernel invariants NAME` tells one; `capkernel run SYSTEM --check all|sample:N` checks a run.")


if __name__ == "__main__":
    DOC = Path(__file__).parent.parent / "docs" / "invariants.md"
    DOC.write_text(page(DOC.read_text()))
