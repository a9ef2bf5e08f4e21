"""What one must know about a board and a kernel configuration to judge a description.

A ``Board`` is a row of facts; ``Board.platform(config)`` gives the facts of one kernel
configuration. To add a board, add a row to ``BOARDS``. Sources: the board list of Microkit's
SDK build, the kernel options it sets there, and seL4's address space constants.
"""

from collections.abc import Mapping
from enum import Enum

from attrs import evolve, field, frozen

SMALL_PAGE = 0x1000
LARGE_PAGE = 0x20_0000
GUARD_PAGES = 1

_CONFIGS = ("debug", "release", "benchmark")


class Arch(Enum):
    """The instruction set a board has; the value is how people write it."""

    AARCH64 = "AArch64"
    RISCV64 = "RISC-V 64-bit"
    X86_64 = "x86-64"

    @property
    def is_x86(self) -> bool:
        """Whether this is x86-64, which has other interrupts, I/O ports and an IOMMU."""
        return self is Arch.X86_64


class UnknownBoardError(LookupError):
    """No such board or configuration; the message lists those that exist."""


@frozen(kw_only=True)
class Platform:
    """The facts of one board in one kernel configuration.

    ``user_top`` is the last byte address that user space may map; ``smc`` is ``None`` on
    architectures without SMC; ``ram`` is ``None`` when the layout is only known at boot.
    """

    board: str
    config: str
    arch: Arch
    user_top: int
    cores: int = 1
    domains: int = 16
    domain_schedules: int = 100
    hypervisor: bool = False
    iommu: bool = False
    smc: bool | None = None
    page_sizes: tuple[int, ...] = (SMALL_PAGE, LARGE_PAGE)
    ram: tuple[range, ...] | None = None

    @property
    def ipc_buffer(self) -> int:
        """Address of a protection domain's IPC buffer: the highest page."""
        return self.user_top & ~(SMALL_PAGE - 1)

    @property
    def stack_top(self) -> int:
        """First address above a protection domain's stack; a guard page lies above it."""
        return self.ipc_buffer - GUARD_PAGES * SMALL_PAGE

    def map_end(self, stack_size: int) -> int:
        """First address that a protection domain with such a stack may not map (its stack)."""
        return self.stack_top - stack_size

    @property
    def guest_map_end(self) -> int:
        """First address that a virtual machine may not map."""
        return self.user_top + 1

    @property
    def benchmark(self) -> bool:
        """Whether every protection domain holds a cap to its own TCB."""
        return self.config.endswith("benchmark")

    def is_device(self, address: int) -> bool:
        """Whether a physical address lies outside RAM; unknown RAM counts as outside."""
        return self.ram is None or not any(address in span for span in self.ram)


@frozen(kw_only=True)
class Board:
    """A board of the SDK. ``smp_cores`` is ``None`` where there is no ``smp-`` configuration."""

    name: str
    arch: Arch
    user_top: int
    smp_cores: int | None = 4
    domains: int = 16
    domain_schedules: int = 100
    hypervisor: bool = False
    iommu: bool = False
    smc: bool | None = None
    ram: tuple[range, ...] | None = field(default=None)

    @property
    def configs(self) -> tuple[str, ...]:
        """The configurations that exist for this board."""
        smp = tuple(f"smp-{name}" for name in _CONFIGS) if self.smp_cores else ()
        return _CONFIGS + smp

    def platform(self, config: str) -> Platform:
        """The facts of ``config``; ``UnknownBoardError`` when the board has no such one."""
        if config not in self.configs:
            known = ", ".join(self.configs)
            raise UnknownBoardError(f"board {self.name} has no config {config!r}; it has: {known}")
        smp = config.startswith("smp-")
        return Platform(
            board=self.name,
            config=config,
            arch=self.arch,
            user_top=self.user_top,
            cores=(self.smp_cores or 1) if smp else 1,
            domains=1 if smp else self.domains,
            domain_schedules=self.domain_schedules,
            hypervisor=self.hypervisor,
            iommu=self.iommu,
            smc=self.smc,
            ram=self.ram,
        )


# The last user address is set by the physical address width when the kernel runs in EL2.
_ARM_PA40 = (1 << 40) - 1
_ARM_PA44 = (1 << 44) - 1
_ARM_EL1 = (1 << 47) - 1
_RISCV_SV39 = 0x3F_FFFF_EFFF
_X86 = 0x7FFF_FFFF_EFFF
_GIB = 1 << 30


_ARM = Board(name="", arch=Arch.AARCH64, user_top=_ARM_PA40, hypervisor=True, smc=True)
_RISCV = Board(name="", arch=Arch.RISCV64, user_top=_RISCV_SV39)
_PC = Board(name="", arch=Arch.X86_64, user_top=_X86, smp_cores=16, iommu=True)

_QEMU_ARM_RAM = (range(0x4000_0000, 0x4000_0000 + 2 * _GIB),)
_QEMU_RISCV_RAM = (range(0x8000_0000, 0x8000_0000 + 2 * _GIB),)
_SIFIVE_RAM = (range(0x1_0000_0000, 0x1_0000_0000 + 2 * _GIB),)

BOARDS: Mapping[str, Board] = {
    board.name: board
    for board in (
        evolve(_RISCV, name="qemu_virt_riscv64", ram=_QEMU_RISCV_RAM),
        evolve(_RISCV, name="virt_iommu", ram=_QEMU_RISCV_RAM, iommu=True),
        evolve(_RISCV, name="virt_sifive", ram=_SIFIVE_RAM, iommu=True),
        evolve(_ARM, name="qemu_virt_aarch64", ram=_QEMU_ARM_RAM),
        evolve(
            _ARM,
            name="qemu_virt_aarch64_el1",
            user_top=_ARM_EL1,
            hypervisor=False,
            ram=_QEMU_ARM_RAM,
        ),
        evolve(_PC, name="x86_64_generic", hypervisor=False),
        evolve(_PC, name="x86_64_generic_vtx", hypervisor=True),
        evolve(_RISCV, name="ariane", smp_cores=None),
        evolve(_RISCV, name="cheshire", smp_cores=None),
        evolve(_RISCV, name="hifive_p550"),
        evolve(_RISCV, name="serengeti", smp_cores=None),
        evolve(_RISCV, name="star64"),
        evolve(_ARM, name="imx8mm_evk"),
        evolve(_ARM, name="imx8mp_evk"),
        evolve(_ARM, name="imx8mp_iotgate"),
        evolve(_ARM, name="imx8mq_evk"),
        evolve(_ARM, name="kria_k26", smp_cores=None),
        evolve(_ARM, name="maaxboard"),
        evolve(_ARM, name="odroidc2"),
        evolve(_ARM, name="odroidc4"),
        evolve(_ARM, name="rock3b", smp_cores=None),
        evolve(_ARM, name="rockpro64"),
        *(evolve(_ARM, name=f"rpi4b_{size}gb", user_top=_ARM_PA44) for size in (1, 2, 4, 8)),
        evolve(_ARM, name="rpi5b_2gb"),
        evolve(_ARM, name="stm32mp2", smp_cores=2),
        evolve(_ARM, name="tqma8xqp1gb"),
        evolve(_ARM, name="ultra96v2"),
        evolve(_ARM, name="zcu102"),
    )
}
DEFAULT_BOARD = BOARDS["qemu_virt_riscv64"]
DEFAULT_CONFIG = "debug"


def find_board(name: str) -> Board:
    """The board of that name; ``UnknownBoardError`` lists the known ones."""
    if name not in BOARDS:
        raise UnknownBoardError(f"unknown board {name!r}; known: {', '.join(sorted(BOARDS))}")
    return BOARDS[name]
