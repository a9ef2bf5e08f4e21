"""``capkernel conform``: replay recordings of the real kernel and say where ours differs.

Exit status: 0 everything agrees, 1 something differs (or a process that replays died), 2 wrong usage or a recording
that cannot be read, 130 ^C ended it. The report
goes to standard output and ends with one line of figures; progress and complaints go to standard error.
"""

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from capkernel.tools.conform.campaign import Campaign, run
from capkernel.tools.conform.coverage import Counts
from capkernel.tools.conform.coverage_report import Section, exercised, not_exercised, to_markdown
from capkernel.tools.conform.recordings import InputError, Recorded, read, recordings_in
from capkernel.tools.conform.replay import BEFORE_FIRST, Divergence, place
from capkernel.tools.conform.shrink import script, shrink
from capkernel.tools.workers import WorkerDied

AGREES, DIFFERS, USAGE = 0, 1, 2


def conform(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Recordings, or directories of them.")],
    jobs: Annotated[int, typer.Option(min=0, help="Processes; 0: one for each core.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
    coverage: Annotated[bool, typer.Option("--coverage", help="Show what the recordings exercise.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="With --coverage: as a page of Markdown.")] = False,
    scripts: Annotated[int, typer.Option(min=0, help="Print so many differing programs as scripts.")] = 3,
) -> None:
    """Replay recorded behaviour of the real kernel; exit 0 if ours is the same."""
    if markdown and not coverage:
        raise typer.BadParameter("--markdown is a form of --coverage; give both")
    if markdown and as_json:
        raise typer.BadParameter("--markdown and --json are two forms; give one")
    programs = _read_all(paths)
    try:
        campaign = _run(programs, jobs or os.cpu_count() or 1, with_coverage=coverage)
    except WorkerDied as error:
        typer.echo(f"conform: {error}; with --jobs 1 it would be seen why", err=True)
        raise typer.Exit(DIFFERS) from None
    if as_json:
        _print_json(campaign, scripts, with_coverage=coverage)
    elif markdown:
        typer.echo(to_markdown(campaign.counts), nl=False)
        _print_divergences(campaign, scripts, to_stderr=True)
    else:
        _print_report(campaign, scripts, with_coverage=coverage)
    # JSON and Markdown stay whole; the figures go beside them.
    typer.echo(campaign.summary(), err=as_json or markdown)
    raise typer.Exit(DIFFERS if campaign.divergences() else AGREES)


def _read_all(paths: list[Path]) -> list[Recorded]:
    try:
        programs = [recorded for path in recordings_in(paths) for recorded in read(path)]
    except InputError as error:
        _refuse(str(error))
    if not programs:
        _refuse(f"{', '.join(map(str, paths))}: no programs (expected one JSON object a line)")
    return programs


def _refuse(message: str) -> NoReturn:
    typer.echo(f"conform: {message}", err=True)
    raise typer.Exit(USAGE)


def _run(programs: list[Recorded], jobs: int, *, with_coverage: bool) -> Campaign:
    columns = (TextColumn("replaying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("replaying", total=len(programs))
        return run(programs, jobs=jobs, with_coverage=with_coverage, on_program=lambda: progress.advance(task))


# For people


def _print_report(campaign: Campaign, scripts: int, *, with_coverage: bool) -> None:
    if with_coverage:
        for section in (*exercised(campaign.counts), *not_exercised(campaign.counts)):
            _print_section(section)
    if campaign.assumed():
        rows = tuple((recorded.program["id"], text) for recorded, text in campaign.assumed())
        remark = "Inputs that a record does not give, and with which the program agrees."
        _print_section(Section("Assumed", remark, ("program", "assumption"), rows))
    _print_divergences(campaign, scripts)


def _print_divergences(campaign: Campaign, scripts: int, *, to_stderr: bool = False) -> None:
    for index, (recorded, divergence) in enumerate(campaign.divergences()):
        where = f"{recorded.path}:{recorded.line}: {divergence.program} differs {place(divergence)}"
        typer.echo(where, err=to_stderr)
        rows = tuple((name, repr(want), repr(got)) for name, (want, got) in divergence.differences.items())
        if rows:
            _print_section(Section("", "", ("observed", "expected", "actual"), rows), to_stderr=to_stderr)
        typer.echo(divergence.error, err=to_stderr, nl=False)
        if index < scripts:
            typer.echo(script(shrink(recorded.program, divergence), divergence), err=to_stderr)


def _print_section(section: Section, *, to_stderr: bool = False) -> None:
    table = Table(*section.columns, title=section.title or None, title_justify="left")
    for row in section.rows:
        table.add_row(*(Text(cell) for cell in row))
    console = Console(stderr=to_stderr)
    if not console.is_terminal:
        wide = Console(width=10_000)
        console = Console(stderr=to_stderr, width=max(console.width, wide.measure(table).maximum))
    console.print(table)
    if section.remark:
        console.print(Text(section.remark + "\n"))


# For machines


def _print_json(campaign: Campaign, scripts: int, *, with_coverage: bool) -> None:
    found = campaign.divergences()
    data: dict[str, Any] = {
        "programs": len(campaign.replayed),
        "operations": campaign.operations,
        "divergences": [
            _divergence_data(recorded, divergence, with_script=index < scripts)
            for index, (recorded, divergence) in enumerate(found)
        ],
        "assumed": [{"program": recorded.program["id"], "assumption": text} for recorded, text in campaign.assumed()],
    }
    if with_coverage:
        data["coverage"] = _coverage_data(campaign.counts)
    typer.echo(json.dumps(data, indent=2))


def _divergence_data(recorded: Recorded, divergence: Divergence, *, with_script: bool) -> dict[str, Any]:
    program = recorded.program
    records = program.get("ops", [])
    has_record = BEFORE_FIRST < divergence.operation < len(records)
    return {
        "file": str(recorded.path),
        "line": recorded.line,
        "program": divergence.program,
        "operation": divergence.operation,
        "record": records[divergence.operation] if has_record else None,
        "differences": {
            name: {"expected": want, "actual": got} for name, (want, got) in divergence.differences.items()
        },
        "error": divergence.error,
        "script": script(shrink(program, divergence), divergence) if with_script else None,
    }


def _coverage_data(counts: Counts) -> dict[str, Any]:
    return {
        "exercised": [{"kind": key[0], "what": list(key[1:]), "times": n} for key, n in sorted(counts.items())],
        "not_exercised": [{"kind": row[0], "what": row[1]} for row in not_exercised(counts)[0].rows],
    }
