"""``capkernel campaign``: faults without end, one after the other, while clients work; what was not survived is said.

It goes on where it was stopped. Exit status: 0 everything was survived, 1 something was not, 2 wrong usage, 3 NOT RUN,
for something is not here (what, and how to get it, is said), 130 it was stopped by ^C. With ``--corruption``, data may
be lost (not in the system that has a mirror), but nothing else may happen. A monolith promises nothing: what happens in
it is counted and told, and is no failure, unless it is the kernel's. It is no part of ``all``.
"""

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from itertools import cycle
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from attrs import frozen
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from capkernel.tools.campaign.batch import Batch, Harm
from capkernel.tools.campaign.copies import play
from capkernel.tools.campaign.record import Record, Sums
from capkernel.tools.campaign.report import show
from capkernel.tools.campaign.subjects import COMPILED, PROMISING, SUBJECTS
from capkernel.tools.stopping import goes_on_from
from capkernel.tools.workers import working
from capkernel.tools.writable import unwritable

FAILED, NOT_RUN = 1, 3
ALL: Final = "all"
TOLERATED: Final = frozenset((Harm.ERROR, Harm.LOST))
"""What programs may do that are spoilt and go on."""
UNPROMISED: Final = TOLERATED | {Harm.DIED, Harm.HANG, Harm.STOPPED}
"""What may happen to a client who shares a domain with everybody else; nothing of it is the kernel's fault."""


@frozen
class Campaign:
    """The campaign against one system."""

    system: str
    corruption: bool

    @property
    def name(self) -> str:
        """In the record."""
        return f"{self.system}, corruption" if self.corruption else self.system

    @property
    def tolerated(self) -> frozenset[Harm]:
        """What may happen."""
        subject = SUBJECTS[self.system]
        if not subject.promises:
            return UNPROMISED
        return TOLERATED if self.corruption and not subject.keeps_data else frozenset()

    def survived(self, sums: Sums) -> bool:
        """Whether nothing happened that must not."""
        return not any(sums.harms[harm] for harm in Harm if harm not in self.tolerated)


def campaign(
    system: Annotated[
        str, typer.Option(help=f"Against which system: {', '.join(SUBJECTS)}, or {ALL} that promise something.")
    ] = ALL,
    faults: Annotated[
        int, typer.Option(min=1, help="Faults that happened, in each system, those of earlier calls included.")
    ] = 1000,
    record: Annotated[Path, typer.Option(help="Where the results are kept.")] = Path("build/campaign.json"),
    workers: Annotated[int, typer.Option(min=1, help="Processes that work side by side.")] = 1,
    replay: Annotated[int | None, typer.Option(min=0, help="Play this batch again, and tell each fault.")] = None,
    corruption: Annotated[
        bool, typer.Option("--corruption", help="Spoil the drivers' code and memory instead, which may cost data.")
    ] = False,
    compiled: Annotated[
        Path, typer.Option(help="Where the drivers of machine code are that were compiled.")
    ] = COMPILED,
    as_json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
) -> None:
    """Inject faults into drivers, servers, their supervisors and devices; count what was survived."""
    if system not in (*SUBJECTS, ALL):
        raise typer.BadParameter(f"{system!r} is none of {', '.join(SUBJECTS)}, {ALL}", param_hint="--system")
    if replay is not None and system == ALL:
        raise typer.BadParameter("a batch is played again in one --system", param_hint="--replay")
    names = _playable(PROMISING if system == ALL else (system,), compiled)
    if not names:
        raise typer.Exit(NOT_RUN)
    if replay is not None:
        raise typer.Exit(_replay(system, replay, corruption, compiled, as_json))
    campaigns = [Campaign(name, corruption) for name in names]
    try:
        kept = Record(record)
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise typer.BadParameter(f"{record}: this is no record of a campaign: {error}", param_hint="--record") from None
    if why := unwritable(record, makes_folders=True):
        raise typer.BadParameter(f"{record}: {why}", param_hint="--record")
    with goes_on_from(record, "campaign"):
        for each, number, batch in _played(campaigns, faults, kept, workers, compiled):
            kept.add(each.name, number, batch)
    found = {each.name: kept.of(each.name) for each in campaigns}
    if as_json:
        print(json.dumps({name: sums.data() for name, sums in found.items()}, indent=2))
    else:
        show(Console(highlight=False), found)
        for each in campaigns:
            if not SUBJECTS[each.system].promises:
                print(f"{each.name} promises its client nothing: what was not survived is told, and is no failure")
    raise typer.Exit(0 if all(each.survived(found[each.name]) for each in campaigns) else FAILED)


def _playable(names: Iterable[str], compiled: Path) -> list[str]:
    """Those systems of which all is here; of the others it is said what is not."""
    missing = {name: SUBJECTS[name].missing(compiled) for name in names}
    for name, what in missing.items():
        if what:
            typer.echo(f"{name}: NOT RUN: {what}", err=True)
    return [name for name, what in missing.items() if not what]


def _replay(system: str, number: int, corruption: bool, compiled: Path, as_json: bool) -> int:
    batch = Batch(SUBJECTS[system], compiled)
    batch.warm_up()
    result = batch.play(number, spoilt=corruption, tell=print)
    print(json.dumps(result.data(), indent=2) if as_json else f"trace {result.trace_hash}")
    may = frozenset() if SUBJECTS[system].promises else UNPROMISED
    return FAILED if any(failed.harm not in may for failed in result.failed) else 0


def _played(
    campaigns: list[Campaign], faults: int, kept: Record, workers: int, compiled: Path
) -> Iterator[tuple[Campaign, int, dict[str, Any]]]:
    """Each batch as it ends, of one campaign after the other in turn, until each has so many faults that happened."""
    columns = TextColumn("faults"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    numbers = {each: kept.of(each.name).missing() for each in campaigns}
    with Progress(*columns, console=Console(stderr=True)) as progress, working(workers) as pool:
        task = progress.add_task("", total=faults * len(campaigns))
        running: dict[Future[dict[str, Any]], tuple[Campaign, int]] = {}
        for each in cycle(campaigns):
            left = [one for one in campaigns if kept.of(one.name).activated.total() < faults]
            progress.update(task, completed=sum(min(faults, kept.of(one.name).activated.total()) for one in campaigns))
            if each in left and len(running) < workers:
                number = next(numbers[each])
                running[pool.submit(play, each.system, number, each.corruption, compiled)] = each, number
            if not running and not left:
                return
            if len(running) == workers or not left:
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield *running.pop(future), future.result()
