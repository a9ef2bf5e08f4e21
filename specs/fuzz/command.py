"""``capkernel fuzz``: programs made of random bytes, run as fast as possible, with as much checking as is wanted.

Exit status: 0 nothing was found, 1 something is wrong (a script that shows it was written), 2 wrong usage, 130 it was
stopped by ^C; with ``--record``, the same command goes on then.
"""

import json
import sys
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from capkernel.abi import syscalls as sc
from capkernel.abi.labels import BY_NAME
from capkernel.tools.checking import check_interval
from capkernel.tools.stopping import goes_on_from
from capkernel.tools.writable import unwritable
from specs.bugs.catalogue import BUGS
from specs.fuzz.campaign import Plan, Record, Sums, WorkerError, fuzzed
from specs.fuzz.corpus import load, minimised
from specs.fuzz.running import kinds_of

WRONG, USAGE = 1, 2
WIDTH: Final = 100
"""Columns of a report that goes to a file."""


class Engine(StrEnum):
    """Where the bytes come from."""

    RANDOM = "random"
    HYPOTHESIS = "hypothesis"
    ATHERIS = "atheris"


def fuzz(
    steps: Annotated[int, typer.Option(min=1, help="Steps to take, by all workers together.")] = 20_000,
    seed: Annotated[int, typer.Option(min=0, help="Which bytes are made up.")] = 1,
    check: Annotated[str, typer.Option(metavar="none|all|sample:N", help="Which kernel entries are checked.")] = "all",
    engine: Annotated[Engine, typer.Option(help="Who makes up the bytes.")] = Engine.RANDOM,
    corpus: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Strings to begin with; new ones are added.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that work side by side.")] = 1,
    plant: Annotated[str | None, typer.Option(metavar="ID", help="Plant a defect of the catalogue first.")] = None,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where a program that shows something is written.")] = Path(
        "found.py"
    ),
    record: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where rounds that are done are kept, to go on from.")
    ] = None,
    minimise: Annotated[
        bool, typer.Option("--minimise", help="Only reduce the corpus, to as few strings as reach all that it does.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
) -> None:
    """Run programs made of random bytes on the kernel, and stop at the first that shows something wrong."""
    if minimise:
        _minimise(corpus)
        return
    every = check_interval(check) or 0
    if plant is not None and plant.upper() not in BUGS:
        _refuse(f"there is no row {plant} that can be planted; `capkernel bugs --list` shows what there is")
    bug = None if plant is None else plant.upper()
    plan = Plan(engine.value, seed, steps, every, None if corpus is None else str(corpus), bug, workers)
    kept = _record(record, plan)
    if why := unwritable(out):
        _refuse(f"--out {out} cannot be written: {why}")
    with _progress(steps) as progress, goes_on_from(record, "fuzz"):
        task = progress.add_task("", total=steps)
        try:
            sums = fuzzed(plan, kept, lambda done: progress.update(task, completed=min(done, steps)))
        except WorkerError as error:
            _refuse(str(error))
    if sums.found is not None:
        out.write_text(sums.found["script"])
    if as_json:
        print(json.dumps(_data(sums, None if sums.found is None else out), indent=2))
    else:
        _print(sums, out)
    raise typer.Exit(0 if sums.found is None else WRONG)


def _refuse(message: str) -> NoReturn:
    typer.echo(f"fuzz: {message}", err=True)
    raise typer.Exit(USAGE)


def _minimise(folder: Path | None) -> None:
    if folder is None or not folder.is_dir():
        _refuse("which corpus? --minimise goes with --corpus DIR")
    before = load(folder)
    kept = set(minimised(before, kinds_of))
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.read_bytes() not in kept:
            path.unlink()
    typer.echo(f"fuzz: {len(kept)} of {len(before)} strings are left")


def _record(path: Path | None, plan: Plan) -> Record:
    try:
        kept = Record(path, plan)
    except (OSError, ValueError, KeyError, TypeError) as error:
        _refuse(f"{path}: this is no record of a campaign: {error}")
    if path is not None and (why := unwritable(path, makes_folders=True)):
        _refuse(f"--record {path} cannot be written: {why}")
    if kept.outdated:
        typer.echo(f"fuzz: {path} is of other sources, or of another campaign; starting afresh", err=True)
    return kept


def _progress(steps: int) -> Progress:
    columns = TextColumn("steps"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    return Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())


def _print(sums: Sums, out: Path) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH)
    answers: dict[str, Counter[str]] = {}
    for (asked, answer), count in sums.kinds.items():
        answers.setdefault(asked, Counter())[answer] += count
    table = Table("kernel entry", "answers", title="What the kernel was asked, and answered", title_justify="left")
    for asked in sorted(answers, key=lambda name: (name in BY_NAME, -answers[name].total(), name)):
        table.add_row(asked, ", ".join(f"{answer} {count:,}" for answer, count in answers[asked].most_common()))
    console.print(table)
    never = [name for name in BY_NAME if name not in answers]
    never += [name for name in sc.NAMES.values() if not any(asked.split(" ")[0] == name for asked in answers)]
    if never:
        console.print("never: " + ", ".join(name for name in never if name != sc.NAMES[sc.CALL]))
    if sums.found is not None:
        typer.echo(f"\n{sums.found['script']}")
        typer.echo(f"{sums.found['operations']} operations are left; python {out} shows them")
    typer.echo(
        f"fuzz: {sums.programs:,} programs, {sums.steps:,} steps, {sums.entries:,} kernel entries, "
        f"{len(sums.kinds):,} kinds, {sums.steps / sums.seconds:,.0f} steps/s by each worker; "
        + ("something is wrong" if sums.found else "nothing found")
    )


def _data(sums: Sums, out: Path | None) -> dict[str, object]:
    kinds = [{"asked": kind[0], "answer": kind[1], "count": count} for kind, count in sorted(sums.kinds.items())]
    found = None if sums.found is None else sums.found | {"file": str(out)}
    return {
        "programs": sums.programs, "steps": sums.steps, "entries": sums.entries, "seconds": sums.seconds,
        "steps_per_second_and_worker": sums.steps / sums.seconds, "kinds": kinds, "found": found,
    }  # fmt: skip
