"""The command line: ``capkernel COMMAND``. Each command lives in its own module and is imported when it is used.

Other packages add commands by the entry points ``capkernel.commands``, whose name is the command's and which lead to
its function; the first line of that function's docstring is the line of help.

Whatever the command, ^C gives exit status 130, and a reader of its output that goes away 141, as for a program that
the signal ends.
"""

import importlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    # At run time when ^C is heard already: it takes a while.
    from importlib.metadata import EntryPoint

INTERRUPTED, NO_READER = 130, 141
STDOUT: Final = 1
SOON: Final = 0.01
"""Seconds."""
COMMANDS: Final[dict[str, tuple[str, str, str]]] = {
    "run": ("capkernel.tools.run", "run", "Boot a system description and run it."),
    "boot": ("capkernel.tools.boot.command", "boot", "Boot a root task that is machine code, as seL4 boots it."),
    "tour": ("capkernel.tools.tour", "tour", "Run the examples, then a fortress with an attacker in it."),
    "demo": ("capkernel.tools.demo.command", "demo", "Play an acceptance scenario and check what it claims."),
    "campaign": ("capkernel.tools.campaign.command", "campaign", "Make servers fail, and count what is survived."),
    "shell": ("capkernel.tools.shell", "shell", "Boot the whole system and give a prompt."),
    "link": ("capkernel.tools.link.command", "link", "Run a machine that lends caps to others, joined to them by TLS."),
    "check": ("capkernel.tools.check", "check", "Judge a system description and show the authority that it gives."),
    "capdl": ("capkernel.tools.capdl.command", "capdl", "Check, normalise or build a capDL specification."),
    "policy": ("capkernel.tools.policy", "policy", "Ask rules what they would answer, why, and what a change changes."),
    "audit": ("capkernel.tools.audit", "audit", "Verify the file of an audit trail."),
    "conform": ("capkernel.tools.conform.command", "conform", "Replay behaviour recorded on the real seL4 kernel."),
}
"""Command → module, function, and one line of help."""


def _added() -> dict[str, "EntryPoint"]:
    """The commands of other packages."""
    from importlib.metadata import entry_points

    return {point.name: point for point in sorted(entry_points(group="capkernel.commands"), key=lambda p: p.name)}


def _usage() -> str:
    rows = {name: line for name, (_, _, line) in COMMANDS.items()}
    rows |= {name: (point.load().__doc__ or "").split("\n")[0] for name, point in _added().items()}
    width = max(map(len, rows))
    lines = [f"  {name:<{width}}  {line}" for name, line in rows.items()]
    return (
        "usage: capkernel COMMAND [ARGUMENT]...\n\ncommands:\n"
        + "\n".join(lines)
        + "\n\n`capkernel COMMAND --help` says what a command takes. Exit status of each: "
        f"0 all is well, 1 it is not, 2 wrong\nusage, 3 NOT RUN as something is missing here, "
        f"{INTERRUPTED} ended by ^C, {NO_READER} nobody reads the output any more."
    )


def _function(name: str) -> Callable[..., Any] | None:
    """What a command runs; None if there is no such command."""
    if name in COMMANDS:
        module, function, _ = COMMANDS[name]
        found: Callable[..., Any] = getattr(importlib.import_module(module), function)
        return found
    point = _added().get(name)
    return None if point is None else point.load()


def main() -> None:
    """Entry point of the ``capkernel`` command; exit status 2 for a command that there is not."""
    try:
        with _ending_at_once():
            run = _chosen(sys.argv[1:])
        sys.unraisablehook = _lost
        try:
            run()
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    except BrokenPipeError:
        raise SystemExit(_without_reader()) from None
    except SystemExit as end:
        # Typer and rich make it status 1.
        if isinstance(end.__context__, BrokenPipeError):
            raise SystemExit(_without_reader()) from None
        raise


def _lost(lost: "sys.UnraisableHookArgs") -> None:
    """Python drops an exception that is raised in a destructor; if that is ^C, it is heard again."""
    if not issubclass(lost.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(lost)
        return
    from threading import Timer

    again = Timer(SOON, os.kill, (os.getpid(), signal.SIGINT))
    again.daemon = True
    again.start()


def _without_reader() -> int:
    """What is left to be written is given up: it would be tried again at the very end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)
    return NO_READER


def _chosen(arguments: list[str]) -> Callable[[], None]:
    """What runs the command; all that it needs is loaded."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        usage = _usage()
        return lambda: _help(usage, 0 if arguments else 2)
    name = arguments[0]
    function = _function(name)
    if function is None:
        from difflib import get_close_matches

        near = get_close_matches(name, [*COMMANDS, *_added()], 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        print(f"capkernel: there is no command {name!r}{hint}\n\n{_usage()}", file=sys.stderr)
        raise SystemExit(2)
    import typer

    app = typer.Typer(add_completion=False)
    app.command(name=name)(function)
    return lambda: app(args=arguments[1:], prog_name=f"capkernel {name}")


def _help(usage: str, status: int) -> None:
    print(usage)
    raise SystemExit(status)


@contextmanager
def _ending_at_once() -> Iterator[None]:
    """While nothing is done yet, ^C ends the process without a word. Where it is not heard, it stays so."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _end(_number: int, _frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)
