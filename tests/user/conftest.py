"""A machine with a root task that is a Python program."""

from collections.abc import Sequence

import pytest

from capkernel.kernel.boot import RootImage, boot
from capkernel.kernel.config import PRESETS
from capkernel.runtime.coroutine import CoroutineGlue
from capkernel.runtime.loop import Costs, Loop
from capkernel.runtime.platform import configure
from hwmodel.board import QEMU_VIRT_RISCV64
from hwmodel.cpu.program import PAGE_SIZE, Program, ProgramTable, image
from hwmodel.machine import Machine

ROOT_ENTRY = 0x10000
PRESET = "golden"


class System:
    """A booted system whose image holds one program a page, the root task first.

    ``loop`` drives it; ``entries`` are the programs' addresses.
    """

    def __init__(self, programs: Sequence[Program], costs: Costs | None = None) -> None:
        board = QEMU_VIRT_RISCV64
        self.machine = Machine(board, ram_size=1 << 30)
        self.table = ProgramTable()
        self.entries = [ROOT_ENTRY + PAGE_SIZE * n for n in range(len(programs))]
        segments = tuple(
            (entry, image(self.table.add(program), (*self.entries, 7)), PAGE_SIZE)
            for entry, program in zip(self.entries, programs, strict=True)
        )
        config = configure(PRESETS[PRESET], self.machine.board)
        self.state = boot(config, self.machine, RootImage(ROOT_ENTRY, segments))
        self.cpu = CoroutineGlue(self.machine, self.table)
        self.loop = Loop(self.state, self.machine, self.cpu, costs)

    def run(self, max_entries: int = 100_000) -> str:
        """Run until nothing happens any more, or a program tells the host a number; no program may have crashed."""
        why = self.loop.run(max_entries=max_entries)
        assert not self.cpu.crashes, self.cpu.crashes[0].report
        return why


@pytest.fixture(scope="session")
def system() -> type[System]:
    return System
