"""A whole system whose root task is machine code: an ELF program, booted as seL4 boots it."""

from capkernel.kernel.boot import RootImage, boot
from capkernel.kernel.config import KernelConfig
from capkernel.runtime.loop import DEFAULT_COSTS, Costs, Loop
from capkernel.runtime.platform import PRESETS, configure
from capkernel.runtime.riscv import RiscvGlue
from capkernel.system.elf import Elf
from hwmodel.backend import Backend
from hwmodel.board import QEMU_VIRT_RISCV64, Board
from hwmodel.cpu.riscv.cpu import INSTRUCTIONS_PER_TICK
from hwmodel.devicetree import device_tree
from hwmodel.machine import Machine


class MachineCodeSystem:
    """A booted system. ``loop`` drives it; ``machine``, ``state`` and ``cpu`` are what it drives.

    ``ram`` is the size of RAM in bytes. The extra boot information is the board's device tree. ``compiled`` says
    whether the CPU uses its compiled shim; None: if there is one. Raises ValueError if the program does not fit, and
    EmulatorError if machine code cannot be run here.
    """

    def __init__(
        self,
        program: Elf,
        *,
        config: KernelConfig | None = None,
        board: Board = QEMU_VIRT_RISCV64,
        ram: int | None = None,
        costs: Costs = DEFAULT_COSTS,
        console: Backend | None = None,
        uart: Backend | None = None,
        instructions_per_tick: int = INSTRUCTIONS_PER_TICK,
        compiled: bool | None = None,
    ) -> None:
        self.program = program
        self.machine = Machine(board, ram_size=ram, console=console, uart_backend=uart)
        self.cpu = RiscvGlue(self.machine, instructions_per_tick, compiled=compiled)
        settings = configure(config or PRESETS["sel4test"], self.machine.board)
        segments = tuple((part.vaddr, part.data, part.memory_size) for part in program.segments)
        image = RootImage(program.entry, segments)
        self.state = boot(settings, self.machine, image, device_tree(self.machine.board))
        self.loop = Loop(self.state, self.machine, self.cpu, costs)

    @property
    def instructions(self) -> int:
        """User instructions executed so far."""
        return self.cpu.cpu.instructions
