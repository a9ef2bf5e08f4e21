"""``capkernel demo``: play an acceptance scenario and tell what happens; every claim is checked while it is told.

Exit status: 0 every claim held; 1 one did not; 2 there is no such demonstration; 3 it was NOT RUN, as something that it
needs is not here: what, and how to get it, is said.
"""

import importlib
import json
from importlib.metadata import entry_points
from types import ModuleType
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from capkernel.system.diagnostics import DescriptionError
from capkernel.tools.demo.stage import UnknownSystemError
from capkernel.tools.demo.story import Story

DEMOS = "capkernel.demos"
"""The entry point group: the name of a demonstration → its module, with ``TITLE`` and ``story``."""
FAILED, USAGE, NOT_RUN = 1, 2, 3


def demo(
    name: Annotated[str | None, typer.Argument(help="Which; without it they are listed.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same runs.")] = 0,
    everywhere: Annotated[
        bool, typer.Option("--everywhere", help="Every point at which something can be made to fail, not a sample.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="List them all.")] = False,
) -> None:
    """Play an acceptance scenario: what is claimed, whether it held, what was measured."""
    found = {point.name: point.value for point in entry_points(group=DEMOS)}
    if name is None or listed:
        _list(found, as_json)
        raise typer.Exit(0)
    if name not in found:
        typer.echo(f"capkernel demo: there is no {name!r}; there are {', '.join(sorted(found)) or 'none'}", err=True)
        raise typer.Exit(USAGE)
    console = Console(quiet=as_json, highlight=False)
    try:
        told = play(name, importlib.import_module(found[name]), console, seed, everywhere)
    except (DescriptionError, UnknownSystemError) as error:
        typer.echo(f"capkernel demo: {error}", err=True)
        raise typer.Exit(USAGE) from None
    if as_json:
        print(json.dumps(told.data(), indent=2))
    raise typer.Exit(NOT_RUN if told.skipped else 0 if told.holds else FAILED)


def play(
    name: str, module: ModuleType, console: Console, seed: int = 0, everywhere: bool = False, is_brief: bool = False
) -> Story:
    """Play one, and show it."""
    console.print(f"[bold]{name}[/bold]: {module.TITLE} (seed {seed})")
    told = Story(name, module.TITLE, seed, lambda line: console.print(f"  {line}", markup=False))
    told.is_brief = is_brief
    module.story(told, everywhere=everywhere)
    show(console, told)
    return told


def show(console: Console, told: Story) -> None:
    """The claims, and the figures."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for claim in told.claims:
        mark = "[green]held[/green]" if claim.holds else "[red bold]FAILED[/red bold]"
        table.add_row(f"  {mark}", claim.text, f"[dim]{claim.seen}[/dim]")
    console.print(table)
    _show_beside(console, {figure: value for figure, value in told.figures.items() if isinstance(value, dict)})
    for figure, value in told.figures.items():
        if not isinstance(value, dict):
            console.print(f"  {figure}: {value}", markup=False)
    if told.trace_hash:
        console.print(f"  trace of one run: {told.trace_hash[:16]}", markup=False)


def _show_beside(console: Console, figures: dict[str, dict[str, Any]]) -> None:
    """Figures of several things side by side, a column for each."""
    if figures:
        table = Table(box=None, pad_edge=False)
        headings = list(dict.fromkeys(heading for values in figures.values() for heading in values))
        table.add_column("")
        for heading in headings:
            table.add_column(heading, justify="right")
        for figure, values in figures.items():
            table.add_row(f"  {figure}", *(str(values.get(heading, "")) for heading in headings))
        console.print(table)


def _list(found: dict[str, str], as_json: bool) -> None:
    titles: dict[str, Any] = {name: importlib.import_module(found[name]).TITLE for name in sorted(found)}
    if as_json:
        print(json.dumps(titles, indent=2))
        return
    for name, title in titles.items():
        print(f"{name:{max(map(len, titles))}}  {title}")
