"""``capkernel refine``: the kernel against its specification, in generated programs, and both against reality.

It goes on where it was stopped. Exit status: 0 no divergence, 1 a divergence, 2 wrong usage or unreadable recordings.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from capkernel.abi import syscalls as sc
from capkernel.abi.labels import BY_NAME
from capkernel.tools.conform.recordings import InputError
from capkernel.tools.stopping import goes_on_from
from specs.refinement.campaign import Record, Sums, played
from specs.refinement.golden import Group, by_group, programs_in, replay_all

DIVERGED, USAGE = 1, 2
WIDTH: Final = 100
"""Columns of a report that goes to a file."""
KINDS: Final = (*BY_NAME, *sc.NAMES.values(), "unknown system call", "exception", "vm fault", "interrupt")
"""All that a kernel entry can be."""


def refine(
    steps: Annotated[
        int, typer.Option(min=0, help="Generated operations in all, those of earlier calls with this record included.")
    ] = 20_000,
    seed: Annotated[int, typer.Option(min=0, help="Which programs are made up.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes that work side by side.")] = 1,
    record: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where the results are kept, to go on from.")
    ] = None,
    golden: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Replay recordings of the real kernel as well.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
) -> None:
    """Let the abstract kernel take every step beside the kernel; exit 0 if they always agree."""
    kept = _record(record, seed)
    with goes_on_from(record, "refine"):
        groups = {} if golden is None else _golden(golden, workers)
        for _ in _shown(kept, steps, workers):
            pass
    good = not kept.sums.diverged and not any(g.against_reality or g.against_kernel for g in groups.values())
    if as_json:
        print(json.dumps(_data(kept.sums, groups, good), indent=2))
    else:
        _print(kept.sums, groups)
    raise typer.Exit(0 if good else DIVERGED)


def _record(path: Path | None, seed: int) -> Record:
    try:
        kept = Record(path, seed)
    except (OSError, ValueError, KeyError, TypeError) as error:
        _refuse(f"{path}: this is no record of a campaign: {error}")
    if kept.outdated:
        typer.echo(f"refine: {path} is of other sources or another seed; starting afresh", err=True)
    return kept


def _refuse(message: str) -> Any:
    typer.echo(f"refine: {message}", err=True)
    raise typer.Exit(USAGE)


def _progress(what: str) -> Progress:
    columns = TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    return Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())


def _shown(kept: Record, steps: int, workers: int) -> Iterator[None]:
    with _progress("operations") as progress:
        task = progress.add_task("", total=steps, completed=kept.sums.operations)
        for _ in played(kept, steps, workers):
            progress.update(task, completed=min(steps, kept.sums.operations))
            yield


def _golden(path: Path, workers: int) -> dict[str, Group]:
    try:
        programs = programs_in(path)
    except InputError as error:
        _refuse(str(error))
    with _progress("recordings") as progress:
        results = progress.track(replay_all(programs, workers), total=len(programs))
        return by_group(iter(results))


# For people


def _print(sums: Sums, groups: dict[str, Group]) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH)
    if groups:
        _print_groups(console, groups)
    if sums.programs:
        _print_sums(console, sums)
    for number, what, script in sums.divergences:
        typer.echo(f"program {number} diverges, {what}\n\n{script}")
    for group in groups.values():
        for text in group.against_reality + group.against_kernel:
            typer.echo(text)
    total = sums.diverged + sum(len(g.against_reality) + len(g.against_kernel) for g in groups.values())
    recorded = sum(group.programs for group in groups.values())
    typer.echo(
        f"refine: {sums.programs} programs, {sums.operations} operations, {sums.entries} kernel entries, "
        f"{recorded} recorded programs, {total} divergences"
    )


def _print_groups(console: Console, groups: dict[str, Group]) -> None:
    table = Table("recordings", title="The specification against reality, and against the kernel", title_justify="left")
    for name in ("programs", "operations", "assumed", "≠ reality", "entries", "≠ kernel"):
        table.add_column(name, justify="right")
    for group in groups.values():
        numbers = (group.programs, group.operations, group.assumed, len(group.against_reality), group.entries,
                   len(group.against_kernel))  # fmt: skip
        table.add_row(group.name, *(f"{number:,}" for number in numbers))
    console.print(table)


def _print_sums(console: Console, sums: Sums) -> None:
    table = Table("kernel entry", title="Generated programs, on both kernels", title_justify="left")
    for name in ("times", "refused or a fault"):
        table.add_column(name, justify="right")
    for kind in KINDS:
        if sums.kinds[kind]:
            table.add_row(kind, f"{sums.kinds[kind]:,}", f"{sums.refused[kind]:,}")
    console.print(table)
    never = [kind for kind in KINDS if not sums.kinds[kind]]
    if never:
        console.print(Text("never: " + ", ".join(never)))


# For machines


def _data(sums: Sums, groups: dict[str, Group], good: bool) -> dict[str, Any]:
    data = dict(vars(sums))
    data["never"] = [kind for kind in KINDS if not sums.kinds[kind]]
    data["golden"] = {name: asdict(group) for name, group in groups.items()}
    data["good"] = good
    return data
