"""``capkernel check --policy``: can authority rise above a declared ceiling?"""

import json
from pathlib import Path

import typer

from capkernel.system.authority import AuthorityGraph
from capkernel.system.ceiling import Ceiling, CeilingError, Excess, read_ceiling
from capkernel.system.render import place_data

HOLDS, BROKEN = 0, 1
MOST_SHOWN = 5


def ceiling_of(path: Path, graph: AuthorityGraph) -> Ceiling:
    """The ceiling in a file. Raises typer.BadParameter, saying what is wrong with it."""
    try:
        return read_ceiling(path.read_text(encoding="utf-8"), graph)
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be read: {error.strerror}") from None
    except (CeilingError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{path}: {error}") from None


def judge(graph: AuthorityGraph, path: Path, *, as_json: bool) -> int:
    """Print whether the ceiling holds, or the ways that lead above it; returns the exit status."""
    ceiling = ceiling_of(path, graph)
    excesses = ceiling.excesses(graph)
    if as_json:
        found = [_data(excess) for excess in excesses]
        typer.echo(json.dumps({"holds": not excesses, "trusted": _trusted(ceiling), "excesses": found}, indent=2))
    elif excesses:
        for excess in excesses[:MOST_SHOWN]:
            typer.echo(f"above the ceiling: {excess.fact}")
            for step in excess.steps:
                typer.echo(f"    {step}")
        rest = len(excesses) - MOST_SHOWN
        typer.echo(f"{path} does not hold: {len(excesses)} rights" + (f", {rest} more than shown" if rest > 0 else ""))
    else:
        count = len(ceiling.closure(graph).facts)
        typer.echo(f"{path} holds: {count} rights may come about, and it allows them all")
        for name, rights in _trusted(ceiling).items():
            typer.echo(f"    if {name} passes on {'no cap but ' + ', '.join(rights) if rights else 'no cap'}")
    return BROKEN if excesses else HOLDS


def _trusted(ceiling: Ceiling) -> dict[str, list[str]]:
    return {
        str(node): sorted(f"{right.value} {name}" for right, name in passed) for node, passed in ceiling.passes.items()
    }


def _data(excess: Excess) -> dict[str, object]:
    fact = excess.fact
    return {
        "subject": fact.subject.full_name, "right": fact.right.value, "object": fact.object.full_name,
        "path": [
            {"rule": step.rule, "text": step.text, **(place_data(step.edge.where) if step.edge else {})}
            for step in excess.steps
        ],
    }  # fmt: skip
