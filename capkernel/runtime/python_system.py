"""A whole system whose root task, and the other programs in its image, are Python."""

from collections.abc import Sequence

from capkernel.kernel.boot import RootImage, boot
from capkernel.kernel.config import KernelConfig
from capkernel.runtime.coroutine import CoroutineGlue
from capkernel.runtime.loop import DEFAULT_COSTS, Costs, HostHandler, Loop
from capkernel.runtime.platform import PRESETS, configure
from hwmodel.backend import BufferBackend
from hwmodel.board import QEMU_VIRT_RISCV64, Board
from hwmodel.cpu.program import MAX_VALUES, PAGE_SIZE, Crash, Program, ProgramTable, image
from hwmodel.machine import Machine

ROOT_ENTRY = 0x10000


class PythonSystem:
    """A booted system. ``programs`` lie in the root task's image, a page each, the root task first.

    The values in each program's image are the entry addresses of all of them, so that the root task can start them;
    ``values`` adds further words. ``loop`` drives it, ``machine`` and ``state`` are what it drives.
    """

    def __init__(
        self,
        programs: Sequence[Program],
        *,
        config: KernelConfig | None = None,
        board: Board = QEMU_VIRT_RISCV64,
        costs: Costs = DEFAULT_COSTS,
        access_ticks: int = 1,
        values: Sequence[int] = (),
        on_host: HostHandler | None = None,
        machine: Machine | None = None,
    ) -> None:
        if not programs or len(programs) + len(values) > MAX_VALUES:
            raise ValueError(f"a system has 1 to {MAX_VALUES} programs and values, not {len(programs) + len(values)}")
        self.machine = machine or Machine(board, ram_size=1 << 30)
        self.programs = ProgramTable()
        self.entries = tuple(ROOT_ENTRY + PAGE_SIZE * n for n in range(len(programs)))
        segments = [
            (entry, image(self.programs.add(program), (*self.entries, *values)), PAGE_SIZE)
            for entry, program in zip(self.entries, programs, strict=True)
        ]
        settings = configure(config or PRESETS["demo"], self.machine.board)
        self.state = boot(settings, self.machine, RootImage(ROOT_ENTRY, tuple(segments)))
        self.cpu = CoroutineGlue(self.machine, self.programs, access_ticks)
        self.loop = Loop(self.state, self.machine, self.cpu, costs, on_host)

    def run(self, *, until: int | None = None, max_entries: int | None = None) -> str:
        """Run as ``Loop.run`` does; returns why it stopped."""
        return self.loop.run(until=until, max_entries=max_entries)

    @property
    def crashes(self) -> list[Crash]:
        """The programs that ended with an exception, in order."""
        return self.cpu.crashes

    @property
    def console(self) -> str:
        """What the programs wrote to the debug console so far, if it is kept in a buffer."""
        console = self.machine.console
        return console.text if isinstance(console, BufferBackend) else ""
