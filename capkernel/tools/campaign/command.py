"""``capkernel campaign``: faults without end, one after the other, while a client works; what was not survived is said.

It goes on where it was stopped. Exit status: 0 everything was survived, 1 something was not, 2 wrong usage.
"""

import json
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from capkernel.tools.campaign.batch import Batch
from capkernel.tools.campaign.record import Record, Sums
from capkernel.tools.campaign.schedule import BATCH, CORRUPTING, SURVIVABLE, Kinds

FAILED = 1


def campaign(
    faults: Annotated[int, typer.Option(min=1, help="Faults in all, those of earlier calls included.")] = 10 * BATCH,
    record: Annotated[Path, typer.Option(help="Where the results are kept.")] = Path("build/campaign.jsonl"),
    workers: Annotated[int, typer.Option(min=1, help="Processes that work side by side.")] = 1,
    replay: Annotated[int | None, typer.Option(min=0, help="Play this batch again, and tell each fault.")] = None,
    corruption: Annotated[
        bool, typer.Option("--corruption", help="Damage the driver's memory too, which may cost data.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
) -> None:
    """Inject faults into the storage servers, their supervisor and the disk; count what was survived."""
    if replay is not None:
        result = Batch(replay, _kinds(corruption), print).play()
        print(json.dumps(result.data(), indent=2) if as_json else f"trace {result.trace_hash}")
        raise typer.Exit(FAILED if result.failed else 0)
    kept = Record(record)
    missing = [number for number in range(-(-faults // BATCH)) if number not in kept.batches]
    console = Console(stderr=True, highlight=False)
    for batch in _played(missing, workers, corruption, console):
        kept.add(batch)
    sums = kept.sums()
    if as_json:
        print(json.dumps(sums.data(), indent=2))
    else:
        show(Console(highlight=False), sums)
    raise typer.Exit(FAILED if sums.failed else 0)


def play(number: int, corruption: bool) -> dict[str, Any]:
    """Play a batch; what came of it, as plain data."""
    return Batch(number, _kinds(corruption)).play().data()


def _kinds(corruption: bool) -> Kinds:
    return CORRUPTING if corruption else SURVIVABLE


def _played(numbers: list[int], workers: int, corruption: bool, console: Console) -> Iterator[dict[str, Any]]:
    """Each batch as it ends."""
    columns = TextColumn("faults"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console) as progress, ProcessPoolExecutor(workers) as pool:
        task = progress.add_task("", total=len(numbers) * BATCH)
        running: set[Future[dict[str, Any]]] = set()
        left = iter(numbers)
        for _ in count():
            while len(running) < workers and (number := next(left, None)) is not None:
                running.add(pool.submit(play, number, corruption))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for each in done:
                progress.advance(task, BATCH)
                yield each.result()


def show(console: Console, sums: Sums) -> None:
    """The sums, for people."""
    table = Table(box=None, pad_edge=False)
    table.add_column("fault")
    for column in ("planned", "activated"):
        table.add_column(column, justify="right")
    for kind in sorted(sums.planned):
        table.add_row(kind, str(sums.planned[kind]), str(sums.activated[kind]))
    table.add_row("all", str(sums.planned.total()), str(sums.activated.total()), style="bold")
    console.print(table)
    median = "–" if sums.median_us is None else f"{sums.median_us:.1f} µs"
    console.print(
        f"{sums.batches} boots, {sums.rounds} rounds of the client, {sums.retries} requests made again\n"
        f"{sums.recoveries} recoveries, median {median} of virtual time; "
        f"{sums.states_checked} states checked for the kernel's invariants\n"
        f"not survived: {len(sums.failed)}"
    )
    for failure in sums.failed:
        console.print(f"  {failure}", style="red", markup=False)
