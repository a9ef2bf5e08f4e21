"""``capkernel campaign``: faults without end, one after the other, while clients work; what was not survived is said.

It goes on where it was stopped. Exit status: 0 all that is promised was kept, 1 something was not, 2 wrong usage,
3 NOT RUN, for something is not here (what, and how to get it, is said) or the host killed what was to run, 130 it was
stopped by ^C.

Of each system it is told what is promised there. With ``--corruption``, data may be lost where there is no second copy;
so that is said to be not promised, and such a system is no part of ``all``, but played as a contrast if it is named. A
monolith promises nothing, only that the kernel's invariants hold; nor is that a part of ``all``.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from capkernel.tools import names
from capkernel.tools.campaign.batch import Batch
from capkernel.tools.campaign.copies import HostKilled
from capkernel.tools.campaign.playing import played
from capkernel.tools.campaign.promises import Campaign, all_that_keep_data, are_kept
from capkernel.tools.campaign.record import Record, Sums
from capkernel.tools.campaign.report import show, verdict
from capkernel.tools.campaign.subjects import COMPILED, SUBJECTS
from capkernel.tools.stopping import goes_on_from
from capkernel.tools.workers import WorkerDied
from capkernel.tools.writable import unwritable

FAILED, NOT_RUN = 1, 3
ALL: Final = "all"


def campaign(
    system: Annotated[
        str,
        typer.Option(help=f"Against which system: {', '.join(SUBJECTS)}, or {ALL} that promise to lose no data."),
    ] = ALL,
    faults: Annotated[
        int, typer.Option(min=1, help="Faults that happened, in each system, those of earlier calls included.")
    ] = 1000,
    record: Annotated[Path, typer.Option(help="Where the results are kept.", parser=names.path)] = Path(
        "build/campaign.json"
    ),
    workers: Annotated[int, typer.Option(min=1, help="Processes that work side by side.")] = 1,
    replay: Annotated[int | None, typer.Option(min=0, help="Play this batch again, and tell each fault.")] = None,
    corruption: Annotated[
        bool,
        typer.Option("--corruption", help="Spoil the drivers' code and memory instead: data is lost without a mirror."),
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
    wanted = all_that_keep_data(corruption=corruption) if system == ALL else [Campaign(system, corruption)]
    campaigns = _playable(wanted, compiled)
    if not campaigns:
        raise typer.Exit(NOT_RUN)
    if replay is not None:
        raise typer.Exit(_replay(campaigns[0], replay, compiled, as_json))
    try:
        kept = Record(record)
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise typer.BadParameter(f"{record}: this is no record of a campaign: {error}", param_hint="--record") from None
    if why := unwritable(record, makes_folders=True):
        raise typer.BadParameter(f"{record}: {why}", param_hint="--record")
    with goes_on_from(record, "campaign"):
        try:
            for each, number, batch in played(campaigns, faults, kept, workers, compiled):
                kept.add(each.name, number, batch)
        except (HostKilled, WorkerDied) as killed:
            typer.echo(f"campaign: NOT RUN to its end: {killed}; the same command goes on from {record}", err=True)
            raise typer.Exit(NOT_RUN) from None
    found = {each: kept.of(each.name) for each in campaigns}
    if as_json:
        print(json.dumps({each.name: each.data(sums) for each, sums in found.items()}, indent=2))
    else:
        show(Console(highlight=False), found)
    raise typer.Exit(0 if are_kept(found) else FAILED)


def _playable(campaigns: Iterable[Campaign], compiled: Path) -> list[Campaign]:
    """Those of whose systems all is here; of the others it is said what is not."""
    missing = {each: SUBJECTS[each.system].missing(compiled) for each in campaigns}
    for each, what in missing.items():
        if what:
            typer.echo(f"{each.system}: NOT RUN: {what}", err=True)
    return [each for each, what in missing.items() if not what]


def _replay(campaign: Campaign, number: int, compiled: Path, as_json: bool) -> int:
    batch = Batch(SUBJECTS[campaign.system], compiled)
    batch.warm_up()
    result = batch.play(number, spoilt=campaign.corruption, tell=print)
    sums = Sums()
    sums.add(number, result.data())
    print(json.dumps(result.data(), indent=2) if as_json else f"trace {result.trace_hash}")
    Console(highlight=False, stderr=as_json).print(verdict(campaign, sums), soft_wrap=True)
    return FAILED if campaign.broken(sums) else 0
