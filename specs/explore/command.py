"""``capkernel explore``: visit every reachable state of the listed configurations, and say what was found.

Exit status: 0 every configuration is exhausted and nothing is wrong, 1 not so, 2 wrong usage, 130 it was stopped
by ^C; with ``--record``, the same command goes on then.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from capkernel.tools.stopping import goes_on_from
from capkernel.tools.writable import unwritable
from specs.explore.configurations import CONFIGURATIONS
from specs.explore.model import Configuration
from specs.explore.record import Record
from specs.explore.search import Exploration, explore

CLEAN, WRONG, USAGE = 0, 1, 2
_WIDTHS = (22, 9, 12, 6, 8, 6)


def explore_command(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Configurations; none means all.")
    ] = None,
    as_list: Annotated[bool, typer.Option("--list", help="Show the configurations, explore nothing.")] = False,
    max_states: Annotated[int | None, typer.Option(min=1, help="Give a configuration up after so many states.")] = None,
    record: Annotated[Path | None, typer.Option(help="Keep what was done, and go on from there.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All invariants, on the whole kernel; slow.")
    ] = False,
    program: Annotated[bool, typer.Option("--program", help="Print what is wrong as programs to run.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
) -> None:
    """Visit all reachable states of small systems of threads, endpoints and contexts."""
    chosen = _chosen(names or [])
    if as_list:
        _show_list(chosen, as_json)
        return
    console = Console(stderr=as_json or program)
    kept = _record(record, everything)
    results = []
    _line(console, "configuration", "states", "transitions", "depth", "s", "wrong")
    with goes_on_from(record, "explore"):
        for configuration in chosen:
            result = kept.get(configuration)
            if result is None:
                result = _explored(configuration, max_states, everything, console)
                kept.put(configuration, result)
            results.append(result)
            _show(console, result)
    if as_json:
        print(json.dumps([_described(result) for result in results], indent=1))
    if program:
        print("\n".join(violation.script() for result in results for violation in result.violations), end="")
    exhausted = sum(result.exhausted for result in results)
    wrong = sum(len(result.violations) for result in results)
    states, transitions = (sum(getattr(r, name) for r in results) for name in ("states", "transitions"))
    console.print(
        f"configurations: {exhausted} of {len(results)} exhausted, {states:,} states, {transitions:,} transitions, "
        f"{wrong} violations", highlight=False,
    )  # fmt: skip
    raise typer.Exit(CLEAN if exhausted == len(results) and not wrong else WRONG)


def _chosen(names: list[str]) -> list[Configuration]:
    unknown = [name for name in names if name not in CONFIGURATIONS]
    if unknown:
        _refuse(f"there is no configuration {unknown[0]!r}; `capkernel explore --list` shows what there is")
    return [CONFIGURATIONS[name] for name in names] or list(CONFIGURATIONS.values())


def _record(path: Path | None, everything: bool) -> Record:
    try:
        kept = Record(path, everything)
    except (OSError, ValueError) as error:
        _refuse(f"{path}: this is no record of an exploration: {error}")
    if path is not None and (why := unwritable(path, makes_folders=True)):
        _refuse(f"--record {path} cannot be written: {why}")
    return kept


def _refuse(message: str) -> NoReturn:
    typer.echo(f"explore: {message}", err=True)
    raise typer.Exit(USAGE)


def _explored(
    configuration: Configuration, max_states: int | None, everything: bool, console: Console
) -> Exploration:  # fmt: skip
    with console.status(f"{configuration.name}: setting up") as status:
        return explore(
            configuration, max_states=max_states, everything=everything,
            progress=lambda done: status.update(f"{configuration.name}: {done.transitions:,} transitions"),
        )  # fmt: skip


def _show(console: Console, result: Exploration) -> None:
    wrong = str(len(result.violations) or "") if result.exhausted or result.violations else "…"
    _line(
        console, result.name, f"{result.states:,}", f"{result.transitions:,}", str(result.depth),
        f"{result.seconds:.1f}", wrong,
    )  # fmt: skip
    for violation in result.violations:
        console.print(f"  {violation.problem}", highlight=False, markup=False)
        for number, step in enumerate(violation.path, 1):
            console.print(f"    {number}. {step}", highlight=False, markup=False)


def _line(console: Console, *cells: str) -> None:
    table = Table.grid(padding=(0, 1))
    for number, width in enumerate(_WIDTHS):
        table.add_column(width=width, justify="right" if number else "left", no_wrap=True)
    table.add_row(*cells)
    console.print(table)


def _described(result: Exploration) -> dict[str, Any]:
    what = {name: value for name, value in asdict(result).items() if name != "violations"}
    what["violations"] = [{"problem": v.problem, "path": v.path, "program": v.script()} for v in result.violations]
    return what


def _show_list(chosen: list[Configuration], as_json: bool) -> None:
    if as_json:
        print(json.dumps([asdict(configuration) for configuration in chosen], indent=1))
        return
    table = Table("configuration", "what it is", "threads", box=None)
    for configuration in chosen:
        table.add_row(configuration.name, configuration.says, str(len(configuration.threads)))
    Console().print(table)
