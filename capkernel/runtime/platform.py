"""Kernel configurations: named ready-made ones, and any one fitted to a board."""

from dataclasses import replace

from capkernel.kernel.config import KernelConfig
from hwmodel.board import Board

FIRMWARE_BYTES = 0x200000
"""The start of RAM belongs to the firmware, as on the reference machine."""
KERNEL_OFFSET = 0x4000000
KERNEL_BYTES = 0x30000

PRESETS: dict[str, KernelConfig] = {
    "golden": KernelConfig(root_cnode_bits=12, ram=((0x80200000, 0xC0000000),)),
    "sel4test": KernelConfig(reset_chunk_bits=20),
    "microkit": KernelConfig(root_cnode_bits=17, num_domains=64, domain_schedule_length=256, reset_chunk_bits=20),
    "demo": KernelConfig(num_domains=4, domain_schedule_length=16, ram=((0x80200000, 0x90000000),)),
}
"""The configurations of the recorded kernel, of seL4's test suite, of Microkit, and of our demonstrations."""


def configure(config: KernelConfig, board: Board) -> KernelConfig:
    """The same choices for this board's memory map, interrupt lines and clock."""
    start, end = board.ram.base + FIRMWARE_BYTES, board.ram.end
    kernel = min(board.ram.base + KERNEL_OFFSET, start + (end - start) // 2)
    reserved = sorted((region.base, region.end) for region in board.kernel_ranges.values())
    return replace(
        config,
        max_irq=board.irq_sources,
        timer_hz=board.timer_frequency,
        has_iommu=board.has_iommu,
        ram=((start, end),),
        reserved=tuple(reserved),
        kernel_image=(kernel, kernel + KERNEL_BYTES),
    )
