"""``capkernel run``: boot a system description and run it.

Exit status: 0 the system ran (and stopped by itself or at ``--time``), 1 the description was refused or cannot run
here, or a domain's fault reached the monitor; 2 wrong usage.
"""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from capkernel.runtime.described import DescribedSystem
from capkernel.runtime.trace import Trace
from capkernel.system.board import DEFAULT_BOARD, UnknownBoardError, find_board
from capkernel.system.diagnostics import DescriptionError
from capkernel.system.grants import load_grants, load_kernel_options
from capkernel.system.microkit import load
from capkernel.tools.explain import Explainer, Explanation
from hwmodel.backend import Backend, BufferBackend, FileBackend
from hwmodel.board import find_board as find_machine

REFUSED, USAGE = 1, 2


def run(
    file: Annotated[Path, typer.Argument(help="The .system description.", dir_okay=False)],
    search_path: Annotated[
        list[Path] | None, typer.Option("--search-path", help="Where programs and prefill files are; repeatable.")
    ] = None,
    board: Annotated[str, typer.Option(help="The machine.")] = DEFAULT_BOARD.name,
    seed: Annotated[int, typer.Option(help="Sets the clock at boot; the same seed gives the same run.")] = 0,
    trace: Annotated[Path | None, typer.Option(help="Write every kernel entry to this file, as JSON lines.")] = None,
    time: Annotated[float | None, typer.Option(help="Stop after so many milliseconds of virtual time.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say why each refused operation was refused.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Report as JSON, the systems's output included.")] = False,
) -> None:
    """Boot a system description and run it until nothing can happen any more."""
    places = [*(search_path or []), file.parent]
    system = _build(file, places, board, seed, as_json)
    sink = trace.open("w", encoding="utf-8") if trace else None
    record = Trace(system.loop, sink)
    explanations: list[dict[str, Any]] = []
    if explain:
        _explain(system, explanations, as_json)
    reason = system.run(time_us=None if time is None else round(time * 1000))
    _report(system, record, reason, explanations, as_json)
    if sink:
        sink.close()
    raise typer.Exit(REFUSED if system.faults else 0)


def _build(file: Path, places: list[Path], board: str, seed: int, as_json: bool) -> DescribedSystem:
    try:
        platform = find_board(board)
        system = load(file, search_path=places, board=platform)
        console = BufferBackend() if as_json else FileBackend(sys.stdout.buffer)
        uart = BufferBackend() if as_json else FileBackend(sys.stdout.buffer)
        return DescribedSystem(
            system, find_machine(board), places, grants=load_grants(file, system), seed=seed, uart=uart,
            console=console, options=load_kernel_options(file),
        )  # fmt: skip
    except DescriptionError as error:
        for problem in error.diagnostics:
            print(problem, file=sys.stderr)
        raise typer.Exit(REFUSED) from None
    except (OSError, UnknownBoardError, KeyError) as error:
        print(f"capkernel run: {error}", file=sys.stderr)
        raise typer.Exit(USAGE) from None


def _explain(system: DescribedSystem, explanations: list[dict[str, Any]], as_json: bool) -> None:
    def tell(explanation: Explanation) -> None:
        if system.ready:
            explanations.append(explanation.data())
            if not as_json:
                print(explanation.text(), file=sys.stderr)

    Explainer(system.loop, tell)


def _report(
    system: DescribedSystem, record: Trace, reason: str, explanations: list[dict[str, Any]], as_json: bool
) -> None:
    ticks = system.machine.now() - system.started_at
    if as_json:
        print(json.dumps({
            "stopped": reason, "time_ms": ticks / 10_000, "entries": system.loop.entries, "trace_hash": record.hash(),
            "faults": system.faults, "crashes": [c._asdict() for c in system.crashes],
            "console": _text(system.machine.console),
            "uart": _text(system.machine.uart_backend), "explanations": explanations,
        }, indent=2))  # fmt: skip
        return
    sys.stdout.flush()
    for crash in system.crashes:
        print(crash.report, file=sys.stderr)
    if not system.ready:
        print("the initial task did not get to starting the system", file=sys.stderr)
    print(
        f"-- {reason} after {ticks / 10_000:.3f} ms of virtual time, {system.loop.entries} kernel entries, "
        f"trace {record.hash()[:16]}",
        file=sys.stderr,
    )


def _text(backend: Backend) -> str:
    return backend.text if isinstance(backend, BufferBackend) else ""
