"""``capkernel run``: boot a system description and run it.

Exit status: 0 the system was started and stopped by itself, or ``--time`` stopped it (even before it was started: then
that is said); 1 the description was refused or cannot run here, the system never got started, a domain's fault
reached the monitor (an exception that ends a program is one; a parent may handle its child's), a program found one of
its tables wrong (whoever started it anew), or a check found something wrong; 2 wrong usage.

Times, of ``--time`` as of the report, are milliseconds of virtual time since boot. The initial task takes some to build
the system; the report says when it had started it.
"""

import json
import math
import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO, Annotated, Any, BinaryIO

import typer
from attrs import frozen

from capkernel.runtime.described import DescribedSystem
from capkernel.runtime.serial import SerialInput
from capkernel.runtime.trace import Trace
from capkernel.system.authority import authority_of
from capkernel.system.board import DEFAULT_BOARD, UnknownBoardError, find_board
from capkernel.system.diagnostics import DescriptionError
from capkernel.system.extensions import load_extensions
from capkernel.system.microkit import load
from capkernel.tools import names
from capkernel.tools.boards import advice
from capkernel.tools.ceiling import ceiling_of
from capkernel.tools.checking import Checker, attach_ceiling, attach_checker, check_interval, told, told_data
from capkernel.tools.demo.stage import UnknownSystemError, description
from capkernel.tools.explain import Explainer, Explanation
from capkernel.tools.kinds import Kind, is_another
from capkernel.tools.plugs import PlugError, plugged
from capkernel.tools.tables import need_tables, wrong_table
from hwmodel.backend import FileBackend, TerminalBackend
from hwmodel.board import UnknownMachineError
from hwmodel.board import find_board as find_machine

REFUSED, USAGE = 1, 2
USUAL_INTERVAL = 20
"""Kernel entries from one look at the invariants to the next with ``--policy`` alone; the ceiling is held at each."""


@frozen
class _Lines:
    """Where the debug console and the serial line write to."""

    console: BinaryIO
    uart: BinaryIO

    @classmethod
    def kept(cls) -> "_Lines":
        """For a report."""
        return cls(BytesIO(), BytesIO())

    @classmethod
    def shown(cls) -> "_Lines":
        """As it comes."""
        return cls(sys.stdout.buffer, sys.stdout.buffer)


def run(
    file: Annotated[
        Path,
        typer.Argument(
            help="The .system description, or the name of an installed system.", parser=names.path
        ),
    ],
    search_path: Annotated[
        list[Path] | None,
        typer.Option(
            "--search-path", help="Where programs and prefill files are; repeatable.", parser=names.path
        ),
    ] = None,
    board: Annotated[str, typer.Option(help="The machine.", callback=names.need_name)] = DEFAULT_BOARD.name,
    device: Annotated[
        list[str] | None,
        typer.Option(
            help="What is in a slot: virtio0=disk:FILE or disk:16M, =net[:tap:NAME], =entropy:SEED; "
            "rtc0=clock:2026-01-31; repeatable."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Sets the clock at boot; the same seed gives the same run.")] = 0,
    trace: Annotated[
        Path | None,
        typer.Option(help="Write every kernel entry to this file, as JSON lines.", parser=names.file),
    ] = None,
    time: Annotated[
        float | None, typer.Option(min=0, help="Stop this many milliseconds of virtual time after boot.")
    ] = None,
    typed: Annotated[
        str | None,
        typer.Option(
            "--input", help="What arrives on the serial line: a file, or - for the terminal.", callback=names.need_name
        ),
    ] = None,
    check: Annotated[
        str, typer.Option(help="Check the invariants: none, all (after each kernel entry) or sample:N (each Nth).")
    ] = "none",
    policy: Annotated[
        Path | None, typer.Option(help="Hold live authority against a declared ceiling, too.", parser=names.file)
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say why each refused operation was refused.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Report as JSON, the system's output included.")] = False,
) -> None:
    """Boot a system description and run it until nothing can happen any more."""
    if time is not None and not math.isfinite(time * 1000):
        raise typer.BadParameter(f"--time is a number of milliseconds, not {time}")
    try:
        file = description(file)
    except UnknownSystemError as error:
        print(f"capkernel run: {error}", file=sys.stderr)
        raise typer.Exit(USAGE) from None
    except OSError as error:
        print(f"capkernel run: {error.filename} cannot be read: {error.strerror}", file=sys.stderr)
        raise typer.Exit(USAGE) from None
    if another := is_another(file, Kind.SYSTEM):
        print(f"capkernel run: {another}", file=sys.stderr)
        raise typer.Exit(USAGE)
    places = [*(search_path or []), file.parent]
    source = None if typed is None else _source(typed)
    lines = _Lines.kept() if as_json else _Lines.shown()
    system = _build(file, places, board, device or [], seed, lines, source)
    checker = _checker(system, check_interval(check), policy)
    booted_at = system.machine.now()
    explanations: list[dict[str, Any]] = []
    with _trace_file(trace) as sink, _recorded(system, sink) as record:
        if explain:
            _explain(system, explanations, as_json)
        reason = system.run(time_us=None if time is None else round(time * 1000), source=source)
        report = _Report(system, lines, record.hash(), reason, booted_at, explanations, checker)
    system.cpu.close()
    if as_json:
        print(json.dumps(report.data(), indent=2))
    else:
        sys.stdout.flush()
        print("\n".join(report.lines()), file=sys.stderr)
    raise typer.Exit(report.status)


def _source(typed: str) -> SerialInput:
    try:
        return SerialInput(sys.stdin.fileno() if typed == "-" else os.open(typed, os.O_RDONLY))
    except OSError as error:
        print(f"capkernel run: the input cannot be read: {typed}: {error.strerror}", file=sys.stderr)
        raise typer.Exit(USAGE) from None


def _build(
    file: Path, places: list[Path], board: str, devices: list[str], seed: int, lines: _Lines,
    source: SerialInput | None,
) -> DescribedSystem:  # fmt: skip
    try:
        platform = find_board(board)
        machine = find_machine(board)
        system = load(file, search_path=places, board=platform)
        said = load_extensions(file, system)
        need_tables(system, said, places)
        return DescribedSystem(
            system, machine, places, extensions=said, seed=seed,
            uart=TerminalBackend(lines.uart, source), console=FileBackend(lines.console),
            devices=plugged(devices, machine),
        )  # fmt: skip
    except DescriptionError as error:
        for problem in error.diagnostics:
            print(problem, file=sys.stderr)
        if advised := advice(file, places, board):
            print(f"capkernel run: {advised}", file=sys.stderr)
        raise typer.Exit(REFUSED) from None
    except OSError as error:
        print(f"capkernel run: {error.filename or file} cannot be read: {error.strerror}", file=sys.stderr)
        raise typer.Exit(USAGE) from None
    except (PlugError, UnknownBoardError, UnknownMachineError) as error:
        print(f"capkernel run: {error}", file=sys.stderr)
        raise typer.Exit(USAGE) from None


def _checker(system: DescribedSystem, every: int | None, policy: Path | None) -> Checker | None:
    """Who looks at the states of the run, if anybody does. Raises BadParameter if the ceiling cannot be read."""
    if policy is None:
        return None if every is None else attach_checker(system.loop, system.machine, every)
    said = system.extensions
    graph = authority_of(system.system, said.grants, has_debug_calls=said.options.debug)
    return attach_ceiling(system, graph, ceiling_of(policy, graph), every or USUAL_INTERVAL)


@contextmanager
def _trace_file(path: Path | None) -> Iterator[IO[str] | None]:
    """The file for the trace, if one is wanted, closed in the end."""
    if path is None:
        yield None
        return
    try:
        with path.open("w", encoding="utf-8") as sink:
            yield sink
    except BrokenPipeError:
        raise
    except OSError as error:
        print(f"capkernel run: the trace cannot be written: {path}: {error.strerror}", file=sys.stderr)
        raise typer.Exit(USAGE) from None


@contextmanager
def _recorded(system: DescribedSystem, sink: IO[str] | None) -> Iterator[Trace]:
    """A trace of which every record is written in the end, also when the run is broken off by an exception."""
    record = Trace(system.loop, sink)
    try:
        yield record
    finally:
        record.hash()


def _explain(system: DescribedSystem, explanations: list[dict[str, Any]], as_json: bool) -> None:
    def tell(explanation: Explanation) -> None:
        if system.ready:
            explanations.append(explanation.data())
            if not as_json:
                print(explanation.text(), file=sys.stderr)

    Explainer(system.loop, tell)


@frozen
class _Report:
    """What there is to say of a run that ended for ``reason``."""

    system: DescribedSystem
    output: _Lines
    trace_hash: str
    reason: str
    booted_at: int
    explanations: list[dict[str, Any]]
    checker: Checker | None

    @property
    def status(self) -> int:
        """The exit status."""
        system = self.system
        never_started = not system.ready and not self.out_of_time
        wrong = self.checker is not None and self.checker.violations
        stopped = system.faults or system.is_abandoned or self.wrong_tables
        return REFUSED if never_started or stopped or wrong else 0

    @property
    def wrong_tables(self) -> Counter[str]:
        """What programs found wrong with their tables, and in how many lives."""
        found = (wrong_table(crash.report) for crash in self.system.crashes)
        return Counter(wrong for wrong in found if wrong is not None)

    @property
    def out_of_time(self) -> bool:
        """Whether ``--time`` ended the run."""
        return self.reason == "time"

    def data(self) -> dict[str, Any]:
        """All of it, for JSON."""
        system = self.system
        return {
            "stopped": self.reason, "time_ms": self._since_boot(system.machine.now()), "started": system.ready,
            "started_ms": self._since_boot(system.started_at) if system.ready else None,
            "entries": system.loop.entries, "trace_hash": self.trace_hash,
            "faults": system.faults, "crashes": [c._asdict() for c in system.crashes],
            "wrong_tables": dict(self.wrong_tables),
            "console": _text(self.output.console), "uart": _text(self.output.uart), "explanations": self.explanations,
            "invariants": told_data(self.checker),
        }  # fmt: skip

    def lines(self) -> Iterator[str]:
        """The same in words, without what the system printed and what was explained."""
        system = self.system
        if system.ready:
            yield from (crash.report for crash in system.crashes if wrong_table(crash.report) is None)
            for wrong, times in self.wrong_tables.items():
                yield f"a table is wrong: {wrong} (ended {times} time{'s' if times > 1 else ''} by it)"
        yield from (f"{name} stopped: {fault}" for name, fault in system.faults)
        if not system.ready:
            yield self._unstarted()
        if self.checker is not None:
            yield from told(self.checker)
        started = f" (started at {self._since_boot(system.started_at):.3f} ms)" if system.ready else ""
        yield (
            f"-- {self.reason} after {self._since_boot(system.machine.now()):.3f} ms of virtual time{started}, "
            f"{system.loop.entries} kernel entries, trace {self.trace_hash[:16]}"
        )

    def _unstarted(self) -> str:
        if self.out_of_time:
            return "--time ended before the initial task had started the system: allow more"
        why = [crash.report.strip().rpartition("\n")[2] for crash in self.system.crashes[:1]]
        return ": ".join(["the initial task did not get to starting the system", *why])

    def _since_boot(self, ticks: int) -> float:
        return (ticks - self.booted_at) * 1000 / self.system.machine.board.timer_frequency


def _text(sink: BinaryIO) -> str:
    return sink.getvalue().decode(errors="replace") if isinstance(sink, BytesIO) else ""
