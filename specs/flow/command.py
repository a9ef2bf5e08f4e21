"""``capkernel flow``: the two-run test of information flow, as a campaign of random pairs, and the planted leaks."""

import json
import sys
from collections.abc import Iterable
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from specs.flow.twin import planted_pair, random_pair
from specs.flow.worlds import PARTIES, PLANTED, WIRINGS, Plant, Wiring

LEAK_SEEDS = 400
"""So many pairs are tried for a planted leak."""


def flow(
    pairs: Annotated[int, typer.Option("--pairs", min=1, help="Pairs of runs for each wiring and label.")] = 20,
    seed: Annotated[int, typer.Option("--seed", help="The first seed.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print data instead of a table.")] = False,
) -> None:
    """Compare pairs of runs: does anybody see what they must not?"""
    rows = [_clean(name, wiring, label, pairs, seed) for name, wiring in WIRINGS.items() for label in PARTIES]
    planted = [_planted(name, plant, seed) for name, plant in PLANTED.items()]
    good = not any(row["leak"] for row in rows) and all(row["leak"] for row in planted)
    if as_json:
        print(json.dumps({"pairs": rows, "planted": planted, "good": good}, indent=2))
    else:
        _show(rows, planted)
    raise typer.Exit(0 if good else 1)


def _shown(seeds: range, what: str) -> Iterable[int]:
    """The seeds, with a bar that shows how far it is, if anybody sees it."""
    return track(seeds, what, transient=True, console=Console(stderr=True), disable=not sys.stderr.isatty())


def _clean(name: str, wiring: Wiring, label: str, pairs: int, seed: int) -> dict[str, object]:
    entries = 0
    for number in _shown(range(seed, seed + pairs), f"{name}, {label}"):
        pair = random_pair(wiring, label, number)
        entries += pair.entries
        if pair.leak is not None:
            return {"wiring": name, "label": label, "pairs": number - seed + 1, "entries": entries,
                    "seed": number, "leak": str(pair.leak)}  # fmt: skip
    return {"wiring": name, "label": label, "pairs": pairs, "entries": entries, "seed": None, "leak": None}


def _planted(name: str, plant: Plant, seed: int) -> dict[str, object]:
    entries = 0
    for number in _shown(range(seed, seed + LEAK_SEEDS), f"planted: {name}"):
        pair = planted_pair(plant, number)
        entries += pair.entries
        if pair.leak is not None:
            return {"wiring": name, "pairs": number - seed + 1, "entries": entries, "leak": str(pair.leak)}
    return {"wiring": name, "pairs": LEAK_SEEDS, "entries": entries, "leak": None}


def _show(rows: list[dict[str, object]], planted: list[dict[str, object]]) -> None:
    console = Console()
    table = Table("wiring", "who looks", "pairs", "kernel entries", "what is seen that must not be")
    for row in rows:
        table.add_row(
            *(str(row[key]) for key in ("wiring", "label", "pairs", "entries")), str(row["leak"] or "nothing")
        )
    console.print(table)
    table = Table("planted leak", "found after pairs", "kernel entries", "as")
    for row in planted:
        table.add_row(*(str(row[key]) for key in ("wiring", "pairs", "entries")), str(row["leak"] or "NOT FOUND"))
    console.print(table)
