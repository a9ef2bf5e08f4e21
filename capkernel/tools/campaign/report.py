"""What campaigns have found, for people: what failed, what it did, and whether what is promised was kept."""

from collections.abc import Mapping
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from capkernel.tools.campaign.harms import Harm
from capkernel.tools.campaign.promises import Campaign
from capkernel.tools.campaign.record import Sums

MINIX: Final = 3_400_000
"""Faults in MINIX 3's published campaign."""
SHOWN: Final = 20
"""Failures that are told one by one."""


def show(console: Console, found: Mapping[Campaign, Sums]) -> None:
    """Tables of each campaign, the sums over all, and of each whether it kept what it promises."""
    together = Sums()
    for campaign, sums in found.items():
        together.merge(sums)
        table = Table(title=campaign.name, title_justify="left", box=None, pad_edge=False)
        table.add_column("fault")
        for column in ("planned", "activated", "not survived (by a trial's first fault)"):
            table.add_column(column, justify="right")
        for kind in sorted(sums.planned):
            table.add_row(kind, *(str(each[kind]) for each in (sums.planned, sums.activated, sums.failures)))
        columns = sums.planned, sums.activated, sums.failures
        table.add_row("all", *(str(each.total()) for each in columns), style="bold")
        console.print(table)
        console.print(_promises(campaign, sums))
    _sums(console, together)
    for campaign, sums in found.items():
        console.print(verdict(campaign, sums), soft_wrap=True)


def _promises(campaign: Campaign, sums: Sums) -> Table:
    """A row for each harm: how often, and whether it was promised not to happen."""
    table = Table(title=f"{campaign.name}: what is promised", title_justify="left", box=None, pad_edge=False)
    table.add_column("harm")
    table.add_column("times", justify="right")
    table.add_column("promised not to happen")
    for harm in Harm:
        happened = sums.harms[harm]
        if campaign.promises(harm):
            mark = "[bold red]promised, NOT KEPT[/]" if happened else "promised, kept"
        else:
            mark = "[bold yellow]NOT PROMISED, and it happened[/]" if happened else "not promised"
        table.add_row(harm, str(happened), mark)
    return table


def verdict(campaign: Campaign, sums: Sums) -> str:
    """In a line: whether all that is promised was kept, and what happened that is not promised."""
    broken, happened = campaign.broken(sums), campaign.unprotected(sums)
    unpromised = f"; {_words(happened)}: that is not promised" if happened else ""
    name, kept = escape(campaign.name), f"kept what it promises in {sums.trials} trials{_earlier(sums)}"
    if broken:
        return f"[bold red]{name}: NOT KEPT: {_words(broken)}{unpromised}[/]"
    if not campaign.is_contrast:
        return f"{name}: {kept}{unpromised}"
    if not happened:
        return f"{name}: a contrast: {kept}, and lost nothing, which is not promised"
    return f"[bold yellow]{name}: A CONTRAST: {kept}{unpromised}[/]"


def _earlier(sums: Sums) -> str:
    return f" ({sums.earlier} of them of earlier sources)" if sums.earlier else ""


def _words(harms: Mapping[Harm, int]) -> str:
    return ", ".join(f"{harm}: {times}" for harm, times in harms.items())


def _sums(console: Console, sums: Sums) -> None:
    median = "–" if sums.median_us is None else f"{sums.median_us:.0f} µs"
    console.print(
        f"{sums.trials} trials, {sums.rounds} rounds of the clients, {sums.retries} requests made again\n"
        f"{sums.recoveries.total()} recoveries, median {median} of virtual time; "
        f"{sums.states_checked} states checked for the kernel's invariants"
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
