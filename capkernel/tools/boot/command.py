"""``capkernel boot``: boot a root task that is machine code, as seL4 boots it, and run it.

Exit status: 0 the text of ``--until`` was printed, or without that option the system stopped by itself or at
``--instructions`` and its root task did not die of a fault that nobody handles; every test is as in ``--baseline``,
and no invariant is broken; 1 otherwise, or the program cannot be loaded; 2 wrong usage; 130 ^C ended it before that.
"""

import json
import re
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import IO, Annotated, Any

import typer
from attrs import frozen

from capkernel.kernel.objects import INACTIVE, KernelBug
from capkernel.runtime.machine_code import MachineCodeSystem
from capkernel.runtime.platform import PRESETS
from capkernel.runtime.trace import Trace
from capkernel.system.elf import Elf, ElfError, read_program
from capkernel.tools.boot import baseline as record
from capkernel.tools.boot import faults
from capkernel.tools.boot.console import WatchedConsole
from capkernel.tools.boot.statistics import Statistics
from capkernel.tools.checking import Checker, attach_checker, check_interval, told, told_data
from capkernel.tools.explain import Explainer, Explanation
from capkernel.tools.kinds import Kind, is_another
from hwmodel.board import QEMU_VIRT_RISCV64, Board, UnknownMachineError, find_board
from hwmodel.cpu.riscv.emulator import EmulatorError

FAILED, USAGE, STOPPED = 1, 2, 130
_SIZE = re.compile(r"(\d+)([KMG]?)i?B?", re.IGNORECASE)
_UNITS = {"": 0, "K": 10, "M": 20, "G": 30}
UNTIL, COUNTED, INTERRUPTED = "until", "instructions", "interrupted"
IN_WORDS = {UNTIL: "stopped by --until", COUNTED: "stopped by --instructions"}


def boot(
    file: Annotated[Path, typer.Argument(help="The root task: a static RISC-V ELF program.", dir_okay=False)],
    preset: Annotated[str, typer.Option(help=f"The kernel's configuration: {', '.join(PRESETS)}.")] = "sel4test",
    board: Annotated[str, typer.Option(help="The machine.")] = QEMU_VIRT_RISCV64.name,
    ram: Annotated[str | None, typer.Option(help="The size of its RAM, as in 3G or 128M.")] = None,
    until: Annotated[str | None, typer.Option(help="Stop, and succeed, when this text has been printed.")] = None,
    instructions: Annotated[int | None, typer.Option(min=1, help="Stop after so many user instructions.")] = None,
    trace: Annotated[Path | None, typer.Option(help="Write every kernel entry to this file, as JSON lines.")] = None,
    stats: Annotated[bool, typer.Option("--stats", help="Say what the run was made of.")] = False,
    baseline: Annotated[
        Path | None, typer.Option(help="A recorded run of seL4's test suite, to compare each test with.")
    ] = None,
    check: Annotated[
        str, typer.Option(help="Check the invariants: none, all, or sample:N, after every N-th kernel entry.")
    ] = "none",
    explain: Annotated[bool, typer.Option("--explain", help="Say why each refused operation was refused.")] = False,
    shim: Annotated[
        bool | None, typer.Option("--shim/--no-shim", help="Insist on the compiled shim, or do without it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Report as JSON, the console included.")] = False,
) -> None:
    """Boot a root task that is machine code and run it until nothing can happen any more."""
    if until == "":
        raise typer.BadParameter("--until is a text, and this one is empty")
    recorded = _read_baseline(baseline)
    every = check_interval(check)
    console = WatchedConsole(None if as_json else sys.stdout.buffer, until)
    system = _build(_read_program(file), preset, _machine(board, ram), console, shim)
    explanations: list[Explanation] = []
    with ExitStack() as stack:
        sink = _open_trace(trace, stack)
        records = Trace(system.loop, sink)
        _watch_faults(system, explanations, everything=explain, quiet=as_json)
        checker = None if every is None else attach_checker(system.loop, system.machine, every)
        statistics = Statistics(system) if stats else None
        reason = _run(system, console, instructions)
        if statistics is not None:
            statistics.end()
        outcome = _Outcome(
            system, console, reason, records.hash(), until, explanations, statistics,
            None if recorded is None else record.compare(recorded, record.results(console.text)), checker,
        )  # fmt: skip
    if as_json:
        print(json.dumps(outcome.data(), indent=2))
    else:
        sys.stdout.flush()
        print("\n".join(outcome.lines()), file=sys.stderr)
    raise typer.Exit(outcome.status)


def _fail(message: str, status: int) -> typer.Exit:
    print(f"capkernel boot: {message}", file=sys.stderr)
    return typer.Exit(status)


def _read_baseline(path: Path | None) -> dict[str, str] | None:
    try:
        return None if path is None else record.read_baseline(path)
    except record.BaselineError as error:
        raise _fail(str(error), USAGE) from None
    except OSError as error:
        raise _fail(f"{path}: {error.strerror}", USAGE) from None


def _read_program(file: Path) -> Elf:
    if another := is_another(file, Kind.PROGRAM):
        raise _fail(another, USAGE)
    try:
        return read_program(file.read_bytes())
    except OSError as error:
        raise _fail(f"{file}: {error.strerror}", USAGE) from None
    except ElfError as error:
        raise _fail(f"{file} cannot be booted: {error}", FAILED) from None


def _machine(name: str, ram: str | None) -> Board:
    try:
        board = find_board(name)
    except UnknownMachineError as error:
        raise _fail(str(error), USAGE) from None
    if ram is None:
        return board
    found = _SIZE.fullmatch(ram)
    size = int(found[1]) << _UNITS[found[2].upper()] if found else 0
    if not size or size % 4096:
        raise typer.BadParameter(f"--ram is a size in whole pages, as 3G or 128M, not {ram!r}")
    return board.with_ram(size)


def _build(program: Elf, preset: str, board: Board, console: WatchedConsole, shim: bool | None) -> MachineCodeSystem:
    if preset not in PRESETS:
        raise _fail(f"there is no preset {preset!r}; there are {', '.join(PRESETS)}", USAGE)
    try:
        return MachineCodeSystem(program, config=replace(PRESETS[preset]), board=board, console=console, compiled=shim)
    except (ValueError, KernelBug, EmulatorError) as error:
        raise _fail(str(error), FAILED) from None
    except (OSError, OverflowError, MemoryError) as error:
        raise _fail(f"this host has no room for {board.ram.size:,} bytes of RAM: {error}", FAILED) from None


def _open_trace(path: Path | None, stack: ExitStack) -> IO[str] | None:
    try:
        return None if path is None else stack.enter_context(path.open("w", encoding="utf-8"))
    except OSError as error:
        raise _fail(f"the trace cannot be written: {path}: {error.strerror}", USAGE) from None


def _watch_faults(system: MachineCodeSystem, explanations: list[Explanation], *, everything: bool, quiet: bool) -> None:
    def tell(explanation: Explanation) -> None:
        explanations.append(explanation)
        if not quiet:
            sys.stdout.flush()
            thread = explainer.thread
            stopped = explanation.is_final
            print(faults.report(system, thread, explanation) if stopped else explanation.text(), file=sys.stderr)

    explainer = Explainer(system.loop, tell, only_final=not everything)


def _run(system: MachineCodeSystem, console: WatchedConsole, instructions: int | None) -> str:
    system.cpu.cpu.stop_at = instructions

    def stop_reason() -> str | None:
        if console.seen:
            return UNTIL
        return COUNTED if system.instructions == instructions else None

    system.loop.stop_reason = stop_reason
    try:
        return system.loop.run()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _fail(f"the output cannot be written: {error.strerror}", FAILED) from None


@frozen
class _Outcome:
    """What there is to say of a run that stopped for ``reason``."""

    system: MachineCodeSystem
    console: WatchedConsole
    reason: str
    trace_hash: str
    until: str | None
    explanations: list[Explanation]
    statistics: Statistics | None
    rows: list[record.Row] | None
    checker: Checker | None

    @property
    def root_task_died(self) -> bool:
        """Whether it stopped for a fault that nobody handles, and nobody has started it again."""
        root = self.system.state.initial
        return root.state is INACTIVE and any(e.is_final and e.thread == root.paddr for e in self.explanations)

    @property
    def succeeded(self) -> bool:
        """Whether what was wanted has happened."""
        ended_well = self.reason != INTERRUPTED and not self.root_task_died
        wanted = ended_well if self.until is None else self.console.seen
        return wanted and all(row.is_same for row in self.rows or ()) and not (self.checker and self.checker.violations)

    @property
    def status(self) -> int:
        """The exit status."""
        failed = STOPPED if self.reason == INTERRUPTED else FAILED
        return 0 if self.succeeded else failed

    def data(self) -> dict[str, Any]:
        """For programs."""
        system = self.system
        return {
            "stopped": self.reason, "succeeded": self.succeeded, "root_task_died": self.root_task_died,
            "console": self.console.text,
            "entries": system.loop.entries, "instructions": system.instructions, "ticks": system.machine.now(),
            "trace_hash": self.trace_hash, "explanations": [e.data() for e in self.explanations],
            "statistics": self.statistics and self.statistics.data(),
            "invariants": told_data(self.checker),
            "tests": None if self.rows is None else [
                {"name": row.name, "recorded": row.recorded, "now": row.now} for row in self.rows
            ],
        }  # fmt: skip

    def lines(self) -> list[str]:
        """For people."""
        system = self.system
        found = list(record.table(self.rows)) if self.rows is not None else []
        found += self.statistics.lines() if self.statistics is not None else []
        if self.until is not None and not self.console.seen:
            found.append(f"the text {self.until!r} was not printed")
        if self.root_task_died:
            found.append("the root task died of a fault that nobody handles")
        found += told(self.checker) if self.checker is not None else []
        ms = system.machine.now() * 1000 / system.machine.board.timer_frequency
        reason = IN_WORDS.get(self.reason, self.reason)
        return [
            *found,
            f"-- {reason} after {ms:,.3f} ms of virtual time, {system.loop.entries:,} kernel entries, "
            f"{system.instructions:,} instructions, trace {self.trace_hash[:16]}",
        ]
