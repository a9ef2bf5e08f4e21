"""Batches, one after the other and side by side, until so many faults have happened.

A batch that the host killed says nothing: it is not recorded, and played again. If that happens to it several times in
a row the campaign ends, for the host has no room for it.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from itertools import cycle
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from capkernel.tools.campaign.copies import HostKilled, play
from capkernel.tools.campaign.promises import Campaign
from capkernel.tools.campaign.record import Record
from capkernel.tools.workers import Workers, working

ATTEMPTS: Final = 3
"""To play a batch that the host kills."""
_COLUMNS: Final = TextColumn("faults"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()

Played = tuple[Campaign, int, dict[str, Any]]


def played(
    campaigns: Sequence[Campaign], faults: int, kept: Record, workers: int, compiled: Path
) -> Iterator[Played]:  # fmt: skip
    """Each batch as it ends, of one campaign after the other in turn, until each has so many faults that happened.

    Raises HostKilled, if a batch is killed again and again.
    """
    numbers = {each: kept.of(each.name).missing() for each in campaigns}
    with Progress(*_COLUMNS, console=Console(stderr=True)) as progress, working(workers) as pool:
        task = progress.add_task("", total=faults * len(campaigns))
        running = _Running(pool, compiled, progress)
        for each in cycle(campaigns):
            left = [one for one in campaigns if kept.of(one.name).activated.total() < faults]
            progress.update(task, completed=sum(min(faults, kept.of(one.name).activated.total()) for one in campaigns))
            if each in left and len(running) < workers:
                running.begin(each, next(numbers[each]))
            if not len(running) and not left:
                return
            if len(running) == workers or not left:
                yield from running.ended()


class _Running:
    """The batches that are being played."""

    def __init__(self, pool: Workers, compiled: Path, progress: Progress) -> None:
        self._pool = pool
        self._compiled = compiled
        self._progress = progress
        self._batches: dict[Future[dict[str, Any]], tuple[Campaign, int]] = {}
        self._killed = Counter[tuple[Campaign, int]]()

    def __len__(self) -> int:
        return len(self._batches)

    def begin(self, campaign: Campaign, number: int) -> None:
        """Have a batch played."""
        future = self._pool.submit(play, campaign.system, number, campaign.corruption, self._compiled)
        self._batches[future] = campaign, number

    def ended(self) -> Iterator[Played]:
        """Wait until one has ended or was killed; what came of those that ended."""
        done, _ = wait(self._batches, return_when=FIRST_COMPLETED)
        for future in done:
            campaign, number = self._batches.pop(future)
            try:
                result = future.result()
            except HostKilled as killed:
                self._again(campaign, number, killed)
            else:
                yield campaign, number, result

    def _again(self, campaign: Campaign, number: int, killed: HostKilled) -> None:
        self._killed[campaign, number] += 1
        said = f"{campaign.name}, batch {number}: {killed}; it is not recorded"
        if self._killed[campaign, number] == ATTEMPTS:
            raise HostKilled(f"{said}, and was not played in {ATTEMPTS} attempts") from None
        self._progress.console.print(f"{said}, and played again", markup=False, soft_wrap=True)
        self.begin(campaign, number)
