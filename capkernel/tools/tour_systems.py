"""Booting a described system for a report: its output is kept, its time and trace are measured."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import evolve, frozen

from capkernel.runtime.described import DescribedSystem
from capkernel.runtime.trace import Trace
from capkernel.system.board import DEFAULT_BOARD, Board
from capkernel.system.description import SystemDescription
from capkernel.system.extensions import load_extensions
from capkernel.system.microkit import load
from hwmodel.backend import BufferBackend
from hwmodel.board import find_board
from hwmodel.wiring import DeviceFactory


@frozen(kw_only=True)
class Run:
    """What a system did: everything that it printed, and why it stopped."""

    path: Path
    output: str
    stopped: str
    time_ms: float
    entries: int
    trace_hash: str
    faults: tuple[tuple[str, str], ...]
    crashes: tuple[str, ...]


def with_programs(system: SystemDescription, programs: Mapping[str, str]) -> SystemDescription:
    """The same system with other programs for some domains: paths by the domain's name."""
    return evolve(
        system,
        protection_domains=tuple(
            evolve(pd, program=evolve(pd.program, path=programs[pd.name])) if pd.name in programs else pd
            for pd in system.protection_domains
        ),
    )


class Booted:
    """A system ready to run, with its outputs in buffers. Raises DescriptionError if the description is refused.

    ``devices`` are plugged in by window name; ``programs`` take the place of the description's, by the domain's name.
    """

    def __init__(
        self, path: Path, *, search_path: Sequence[Path] = (), seed: int = 0, board: Board = DEFAULT_BOARD,
        devices: Mapping[str, DeviceFactory] | None = None, programs: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.path = path
        self.output = BufferBackend()
        places = [*search_path, path.parent]
        description = load(path, search_path=places, board=board)
        if programs:
            description = with_programs(description, programs)
        said = load_extensions(path, description)
        self.system = DescribedSystem(
            description, find_board(board.name), places, extensions=said, seed=seed,
            uart=self.output, console=self.output, devices=devices,
        )  # fmt: skip
        self.trace = Trace(self.system.loop)

    def boot(self) -> None:
        """Run until the initial task has started all domains, and nothing else has happened."""
        while not self.system.ready and self.system.loop.run(max_entries=1) == "entries":
            pass

    def run(self, *, time_us: int | None = None) -> Run:
        """Run until nothing can happen any more."""
        system = self.system
        stopped = system.run(time_us=time_us)
        return Run(
            path=self.path, output=self.output.text, stopped=stopped,
            time_ms=(system.machine.now() - system.started_at) / 10_000, entries=system.loop.entries,
            trace_hash=self.trace.hash(), faults=tuple(system.faults), crashes=tuple(c.report for c in system.crashes),
        )  # fmt: skip
