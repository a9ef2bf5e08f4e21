"""What campaigns have found, for people."""

from collections.abc import Mapping
from typing import Final

from rich.console import Console
from rich.table import Table

from capkernel.tools.campaign.batch import Harm
from capkernel.tools.campaign.record import Sums

MINIX: Final = 3_400_000
"""Faults in MINIX 3's published campaign."""
SHOWN: Final = 20
"""Failures that are told one by one."""


def show(console: Console, found: Mapping[str, Sums]) -> None:
    """A table of each campaign, and the sums over all."""
    together = Sums()
    for name, sums in found.items():
        together.merge(sums)
        table = Table(title=name, title_justify="left", box=None, pad_edge=False)
        table.add_column("fault")
        for column in ("planned", "activated", "not survived (by a trial's first fault)"):
            table.add_column(column, justify="right")
        for kind in sorted(sums.planned):
            table.add_row(kind, *(str(each[kind]) for each in (sums.planned, sums.activated, sums.failures)))
        columns = sums.planned, sums.activated, sums.failures
        table.add_row("all", *(str(each.total()) for each in columns), style="bold")
        console.print(table)
    _sums(console, together)


def _sums(console: Console, sums: Sums) -> None:
    median = "–" if sums.median_us is None else f"{sums.median_us:.0f} µs"
    console.print(
        f"{sums.trials} trials, {sums.rounds} rounds of the clients, {sums.retries} requests made again\n"
        f"{sums.recoveries.total()} recoveries, median {median} of virtual time; "
        f"{sums.states_checked} states checked for the kernel's invariants\n"
        + "; ".join(f"{harm}: {sums.harms[harm]}" for harm in Harm)
    )
    planned, activated = sums.planned.total(), sums.activated.total()
    console.print(
        f"MINIX 3 published {MINIX} injected faults; here {planned} were injected ({planned / MINIX:.1%} of that), "
        f"of which {activated} had an effect"
    )
    for failure in sums.failed[:SHOWN]:
        console.print(f"  {failure}", style="red", markup=False)
    if len(sums.failed) > SHOWN:
        console.print(f"  … and {len(sums.failed) - SHOWN} more; --json tells them all")
