"""How the tour looks: headlines, what the systems print, the table of attempts. Colours only on a terminal."""

from collections import Counter
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from capkernel.tools.tour_fortress import OUTCOMES, SUCCEEDED, Siege
from capkernel.tools.tour_systems import Run

_HEADINGS = {
    "refused by kernel": "kernel", "refused by server": "server", "faulted": "fault", "waited in vain": "vain",
    "no effect": "none", "allowed": "legal", SUCCEEDED: "WAY IN",
}  # fmt: skip
_LEGEND = (
    "kernel, server: refused by it. fault: the attempt was a fault. vain: waited until pulled out. "
    "none: no effect. legal: within her rights. WAY IN: it should have been refused."
)
_COLOURS = ("cyan", "magenta", "yellow", "blue", "green", "bright_cyan", "bright_magenta")


def show_title(console: Console, title: str, path: Path, text: str) -> None:
    """A headline, and a sentence or two."""
    console.print()
    console.rule(f"[bold]{escape(title)}[/]  [dim]{escape(str(path))}[/]", align="left", style="dim")
    console.print(text)
    console.print()


def show_output(console: Console, run: Run) -> None:
    """What a system printed, each speaker in a colour; what went wrong, in red."""
    speakers: dict[str, str] = {}
    for line in run.output.splitlines():
        name, mark, rest = _speaker(line)
        colour = speakers.setdefault(name, _COLOURS[len(speakers) % len(_COLOURS)])
        console.print(f"    [{colour}]{escape(name)}[/]{escape(mark)}{escape(rest)}", soft_wrap=True)
    for name, fault in run.faults:
        console.print(f"    [red]{escape(name)} stopped: {escape(fault)}[/]")
    for crash in run.crashes:
        console.print(f"    [red]{escape(crash.strip().splitlines()[-1])}[/]")
    console.print(f"    [dim]{run.stopped} after {run.time_ms:.1f} ms, {run.entries:,} kernel entries[/]")


def _speaker(line: str) -> tuple[str, str, str]:
    """A line's speaker, what separates it from the text, and the text; no speaker if the line names none."""
    for mark in (" | ", ": "):
        name, found, rest = line.partition(mark)
        if found and name.strip().isidentifier():
            return name, found, rest
    return "", "", line


def show_siege(console: Console, siege: Siege) -> None:
    """The run, the table of attempts and refusals, how they were refused, and what was found afterwards."""
    show_output(console, siege.run)
    console.print()
    console.print(_table(siege))
    console.print()
    _show_details(console, siege)
    _show_findings(console, siege)


def show_successes(console: Console, siege: Siege) -> None:
    """What the attacker achieved, and how it shows."""
    for name in siege.successes:
        console.print(f"    [red]she could:[/] {escape(name)}")
    _show_findings(console, siege)


def _table(siege: Siege) -> Table:
    title = f"What mallory tried, and what came of it: {siege.total:,} attempts"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=0)
    table.add_column("", no_wrap=True)
    for outcome in OUTCOMES:
        table.add_column(_HEADINGS[outcome], justify="right", no_wrap=True)
    rows = siege.table()
    for family, row in rows.items():
        table.add_row(family, *_cells(row))
    table.add_section()
    table.add_row("all", *_cells(sum(rows.values(), Counter())), style="bold")
    table.caption = _LEGEND
    table.caption_justify = "left"
    return table


def _cells(row: Counter[str]) -> list[str]:
    cells = [f"{row[outcome]:,}" if row[outcome] else "·" for outcome in OUTCOMES]
    if row[SUCCEEDED]:
        cells[OUTCOMES.index(SUCCEEDED)] = f"[red]{row[SUCCEEDED]:,}[/]"
    return cells


def _show_details(console: Console, siege: Siege) -> None:
    """Refusals and faults by the kernel's names for them."""
    details: Counter[str] = Counter()
    for (_, _, detail), count in siege.attempts.items():
        if detail:
            details[detail] += count
    text = ", ".join(f"{name} {count:,}" for name, count in details.most_common())
    console.print(f"By name: {text}.")


def _show_findings(console: Console, siege: Siege) -> None:
    console.print("\nSeen from outside:")
    for finding in siege.findings:
        mark, detail = ("[green]yes[/]", "") if finding.holds else ("[red]no [/]", f" ({finding.detail})")
        console.print(f"    {mark}  {escape(finding.claim + detail)}", soft_wrap=True)
