"""From a board to the kernel configuration for it."""

from dataclasses import replace

from capkernel.kernel.config import KernelConfig
from hwmodel.board import Board

FIRMWARE_BYTES = 0x200000
"""The start of RAM belongs to the firmware, as on the reference machine."""
KERNEL_OFFSET = 0x4000000
KERNEL_BYTES = 0x30000


def configure(config: KernelConfig, board: Board) -> KernelConfig:
    """The same choices for this board's memory map, interrupt lines and clock."""
    start, end = board.ram.base + FIRMWARE_BYTES, board.ram.end
    kernel = min(board.ram.base + KERNEL_OFFSET, start + (end - start) // 2)
    reserved = sorted((region.base, region.end) for region in board.kernel_ranges.values())
    return replace(
        config,
        max_irq=board.plic_sources,
        timer_hz=board.timer_frequency,
        has_iommu=board.has_iommu,
        ram=((start, end),),
        reserved=tuple(reserved),
        kernel_image=(kernel, kernel + KERNEL_BYTES),
        kernel_boot_end=kernel,
    )
