"""``capkernel tour``: run the examples one after the other, the fortress with an attacker inside, then the servers.

Exit status: 0 everything was as it should be, 1 something was not, 2 the examples were not found.
"""

import importlib
import importlib.util
import json
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console

from capkernel.system.diagnostics import DescriptionError
from capkernel.tools.demo.command import DEMOS, play
from capkernel.tools.demo.story import Story
from capkernel.tools.tour_fortress import Siege, besiege
from capkernel.tools.tour_systems import Booted, Run
from capkernel.tools.tour_view import show_output, show_siege, show_successes, show_title

T = TypeVar("T")
STORIES_OF_SERVERS = "mx-1", "mx-5", "network", "mallory"
"""The demonstrations with which the tour ends."""
NEEDED = "littlefs", "greenlet"
"""What the file server needs besides the core."""
FAILED, USAGE = 1, 2
STORIES = (
    ("hello", "hello.system", "The smallest protection domain. It says hello, and waits for ever."),
    ("hierarchy", "hierarchy/hierarchy.system",
     "A child follows a null pointer. Its parent gets the fault as a message, restarts it twice, and gives up."),
    ("passive server", "passive_server/passive_server.system",
     "A server without time of its own: it works on the time of whoever calls, and the bill shows it."),
    ("timer", "timer/timer.system",
     "A driver in user space maps the timer's registers and gets its interrupt; a client asks to be woken."),
    ("cap sharing", "cap_sharing/cap_sharing.system",
     "Who holds the cap of another's thread may stop it, read its registers and let it go on. Nobody else may."),
)  # fmt: skip
FORTRESS = (
    "fortress", "fortress.system",
    "A console, a key-value server, a policy server, two clients, and mallory: one cap, a fifth of the time, and "
    "everything that the tables of the kernel's interface let her try.",
)  # fmt: skip
WEAK = (
    "fortress with one cap too many", "fortress-weak.system",
    "The same system, except that somebody gave mallory the cap of policy's CNode. Now she gets in:",
)  # fmt: skip


def tour(
    examples: Annotated[Path, typer.Argument(help="Where the examples are.", file_okay=False)] = Path("examples"),
    seed: Annotated[int, typer.Option(help="Sets the clock at boot; the same seed gives the same run.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
) -> None:
    """Run the examples, the fortress with its attacker, and the servers whose drivers die."""
    if not (examples / STORIES[0][1]).is_file():
        typer.echo(f"capkernel tour: there are no examples in {examples}", err=True)
        raise typer.Exit(USAGE)
    console = Console(quiet=as_json, highlight=False)
    runs = [_tell(console, examples / path, title, text, seed) for title, path, text in STORIES]
    held = _fall(console, examples / FORTRESS[1], FORTRESS[0], FORTRESS[2], seed, show_siege)
    fell = _fall(console, examples / WEAK[1], WEAK[0], WEAK[2], seed, show_successes)
    stories = [story for name in STORIES_OF_SERVERS if (story := _play(console, name, seed)) is not None]
    good = all(_is_good(run) for run in runs) and held.held and bool(fell.successes) and not fell.held
    good = good and all(story.holds or story.skipped for story in stories)
    if as_json:
        print(json.dumps(_report(runs, held, fell, stories, good), indent=2))
    _last_line(console, runs, held, fell, stories, good)
    raise typer.Exit(0 if good else FAILED)


def _tell(console: Console, path: Path, title: str, text: str, seed: int) -> Run:
    show_title(console, title, path, text)
    run = _or_complain(lambda: Booted(path, seed=seed).run())
    show_output(console, run)
    return run


def _fall(
    console: Console, path: Path, title: str, text: str, seed: int, show: Callable[[Console, Siege], None]
) -> Siege:
    show_title(console, title, path, text)
    siege = _or_complain(lambda: besiege(path, seed=seed))
    show(console, siege)
    return siege


def _or_complain(action: Callable[[], T]) -> T:
    try:
        return action()
    except DescriptionError as error:
        for problem in error.diagnostics:
            typer.echo(str(problem), err=True)
        raise typer.Exit(FAILED) from None


def _is_good(run: Run) -> bool:
    return run.stopped == "idle" and not run.faults and not run.crashes


def _play(console: Console, name: str, seed: int) -> Story | None:
    """Play a demonstration briefly, if what it needs is installed; otherwise say what is missing."""
    found = {point.name: point.value for point in entry_points(group=DEMOS)}
    missing = [package for package in NEEDED if importlib.util.find_spec(package) is None]
    console.print()
    if name not in found or missing:
        console.print(f"[bold yellow]{name}: NOT RUN:[/] {', '.join(missing) or 'the demonstration'} is not installed")
        return None
    return play(name, importlib.import_module(found[name]), console, seed, is_brief=True)


def _last_line(console: Console, runs: list[Run], held: Siege, fell: Siege, stories: list[Story], good: bool) -> None:
    entries = sum(run.entries for run in [*runs, held.run, fell.run])
    console.print(
        f"\n[bold]{len(runs) + 2} systems, {entries:,} kernel entries. Fortress: {held.total:,} attempts, "
        f"{len(held.successes)} ways in; with one cap too many: {len(fell.successes)}. "
        f"Servers: {sum(len(story.claims) for story in stories)} claims in {len(stories)} stories.[/] "
        + ("[bold green]All is as it should be.[/]" if good else "[bold red]Something is not as it should be.[/]")
    )


def _report(runs: list[Run], held: Siege, fell: Siege, stories: list[Story], good: bool) -> dict[str, Any]:
    return {
        "good": good,
        "stories": [story.data() for story in stories],
        "systems": [_run_report(run) for run in runs],
        "sieges": [
            {
                **_run_report(siege.run), "held": siege.held, "attempts": siege.total,
                "outcomes": {family: dict(row) for family, row in siege.table().items()},
                "successes": siege.successes,
                "findings": [{"claim": f.claim, "holds": f.holds, "detail": f.detail} for f in siege.findings],
            }
            for siege in (held, fell)
        ],
    }  # fmt: skip


def _run_report(run: Run) -> dict[str, Any]:
    return {
        "path": str(run.path), "stopped": run.stopped, "time_ms": run.time_ms, "entries": run.entries,
        "trace_hash": run.trace_hash, "faults": run.faults, "crashes": run.crashes, "output": run.output,
    }  # fmt: skip
