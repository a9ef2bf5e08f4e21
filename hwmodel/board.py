"""Descriptions of machines: what lies where, and who owns it.

A board is data only. `machine.Machine` builds a machine from it and a kernel reads from it which
parts of the physical address space it may hand out. Addresses and sizes are in bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

MIB = 1 << 20
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Region:
    """The physical addresses `base` to `base + size`."""

    base: int
    size: int

    @property
    def end(self) -> int:
        """The first address after the region."""
        return self.base + self.size


@dataclass(frozen=True, slots=True)
class DeviceWindow:
    """The registers of one device: `kind` says what it is and `name` which one.

    `irq` is its interrupt source, 0 if it has none. `request_id` (bus 8 bits, device 5, function 3)
    is how an IOMMU knows it; None if it makes no accesses of its own.
    """

    name: str
    kind: str
    region: Region
    irq: int = 0
    request_id: int | None = None


@dataclass(frozen=True, slots=True)
class Board:
    """One kind of machine.

    `kernel_ranges` are physical ranges, by name, that the kernel keeps for itself: nothing in them
    may be given to user space. `interrupt_controller` is "plic" or "aplic"; `irq_sources` counts its
    sources, numbered from 1;
    `timer_frequency` is in Hz. `iommu_tables` is where the IOMMU's root and context tables lie in
    RAM (257 pages, also a kernel range); None if the board has no IOMMU.
    """

    name: str
    ram: Region
    devices: tuple[DeviceWindow, ...]
    kernel_ranges: Mapping[str, Region] = field(hash=False)
    interrupt_controller: str = "plic"
    irq_sources: int = 95
    timer_frequency: int = 10_000_000
    iommu_tables: Region | None = None

    @property
    def has_iommu(self) -> bool:
        """Whether devices' own memory accesses are translated."""
        return self.iommu_tables is not None

    @property
    def timer_irq(self) -> int:
        """The number under which the kernel's timer is reported: one above the last source."""
        return self.irq_sources + 1

    def device(self, name: str) -> DeviceWindow:
        """Return the window named `name`. Raises KeyError."""
        for window in self.devices:
            if window.name == name:
                return window
        raise KeyError(f"board {self.name} has no device named {name!r}")

    def with_ram(self, size: int) -> "Board":
        """Return the same board with `size` bytes of RAM."""
        return replace(self, ram=Region(self.ram.base, size))


_UART = DeviceWindow("uart0", "ns16550", Region(0x1000_0000, 0x1000), irq=10)
_TIMER = DeviceWindow("timer0", "timer", Region(0x10_1000, 0x1000), irq=11)
_VIRTIO = tuple(
    DeviceWindow(f"virtio{i}", "virtio-mmio", Region(0x1000_1000 + 0x1000 * i, 0x1000), irq=i + 1) for i in range(8)
)
_RTC = DeviceWindow("rtc0", "goldfish-rtc", Region(0x10_2000, 0x1000), irq=12)
_DMA = DeviceWindow("dma0", "dma", Region(0x1010_0000, 0x1000), irq=20, request_id=0x0018)
_KERNEL_RANGES = {
    "clint": Region(0x0200_0000, 2 * MIB),
    "plic": Region(0x0C00_0000, 6 * MIB),
}
_IOMMU_TABLES = Region(0x8000_0000, 257 * 4096)



def _behind_iommu(slots: tuple[DeviceWindow, ...]) -> tuple[DeviceWindow, ...]:
    """Give virtio slots the request ids of bus 0, devices 8 and up, function 0."""
    return tuple(replace(slot, request_id=8 + i << 3) for i, slot in enumerate(slots))


QEMU_VIRT_RISCV64 = Board(
    name="qemu_virt_riscv64",
    ram=Region(0x8000_0000, 3 * GIB),
    devices=(_TIMER, _UART, *_VIRTIO),
    kernel_ranges=_KERNEL_RANGES,
)
"""After QEMU's `virt` machine. The device at the place of its Goldfish RTC is our own timer."""

VIRT_IOMMU = replace(
    QEMU_VIRT_RISCV64,
    name="virt_iommu",
    devices=(_TIMER, _RTC, _UART, *_behind_iommu(_VIRTIO), _DMA),
    kernel_ranges={**_KERNEL_RANGES, "iommu_tables": _IOMMU_TABLES},
    iommu_tables=_IOMMU_TABLES,
)
"""The same with a clock, and with a DMA engine and the virtio slots behind an IOMMU (these two are not like QEMU's)."""

_SIFIVE_RAM = 0x1_0000_0000
_SIFIVE_TABLES = Region(_SIFIVE_RAM, 257 * 4096)

VIRT_SIFIVE = Board(
    name="virt_sifive",
    ram=Region(_SIFIVE_RAM, 2 * GIB),
    devices=(
        DeviceWindow("uart0", "sifive-uart", Region(0x1001_0000, 0x1000), irq=4),
        DeviceWindow("timer0", "countdown", Region(0x1002_0000, 0x1000), irq=42),
        DeviceWindow("rtc0", "goldfish-rtc", Region(0x1003_0000, 0x1000), irq=43),
        DeviceWindow("dma0", "dma", Region(0x1300_0000, 0x1000), irq=60, request_id=0x0118),
        *(
            DeviceWindow(f"virtio{i}", "virtio-mmio", Region(0x1400_0000 + 0x1000 * i, 0x1000), 64 + i, 0x0200 + 8 * i)
            for i in range(8)
        ),
    ),
    kernel_ranges={
        "clint": Region(0x0200_0000, 2 * MIB),
        "aplic": Region(0x0D00_0000, 32 * 1024),
        "iommu_tables": _SIFIVE_TABLES,
    },
    interrupt_controller="aplic",
    irq_sources=127,
    iommu_tables=_SIFIVE_TABLES,
)
"""Another machine throughout: other addresses and numbers, and other devices after SiFive's chips and the APLIC."""

BOARDS = {board.name: board for board in (QEMU_VIRT_RISCV64, VIRT_IOMMU, VIRT_SIFIVE)}


class UnknownMachineError(KeyError):
    """There is no board of that name."""

    def __str__(self) -> str:
        """Return the message as it is; a KeyError would show it in quotation marks."""
        return str(self.args[0])


def find_board(name: str) -> Board:
    """Return the board named `name`. Raises UnknownMachineError, naming the boards that there are."""
    try:
        return BOARDS[name]
    except KeyError:
        raise UnknownMachineError(f"no board is named {name!r}; there are {', '.join(BOARDS)}") from None
