"""Attacks on memory: loads, stores, atomic operations and jumps where nothing of mallory's lies."""

from collections.abc import Iterator

from capkernel.abi.objects import USER_TOP
from capkernel.user.operations import amo, ecall, load, read, store, write

from .attacker import Attacker, went_through

JUMP = 0x4A554D50
"""The warden sets our pc for us; see there."""
OWN_CODE, DOCKET = 0x20_0000, 0x500_0000
REGISTERS = [0x10_1000, 0x1000_0000, *range(0x1000_1000, 0x1000_9000, 0x1000), 0x200_0000, 0xC00_0000]
"""Physical addresses: timer, serial port, virtio, and the controllers that the kernel keeps."""
RAM = [0x8000_0000, 0x8020_0000, 0x8400_0000, 0x8402_F000, *range(0x8800_0000, 0x1_4000_0000, 0x1000_0000)]
OTHERS = [0x300_0000, 0x400_0000, 0x400_0FC0, 0x20_1000, 0x1F_F000]
"""Where other domains have their pages, in their own address spaces."""
EDGES = [
    0, 8, 0xFF8, 0x1000, USER_TOP, USER_TOP + 0xFF8, (1 << 38) - 8, 1 << 38, (1 << 39) - 8, 1 << 39, 1 << 47,
    (1 << 63) - 8, 1 << 63, (1 << 64) - (1 << 39), (1 << 64) - (1 << 38), (1 << 64) - (1 << 31), (1 << 64) - 8,
]  # fmt: skip
FOREIGN = [*EDGES, *OTHERS, *REGISTERS, *RAM]
ATOMICS = ("swap", "add", "and", "or", "xor", "min", "max", "minu", "maxu")


async def foreign_memory(mallory: Attacker) -> None:
    """Every kind of access to every foreign address, and writes to pages that are ours to read only."""
    for address in FOREIGN:
        for family, action in _reads(address):
            await mallory.attempt(family, f"{family} at {address:#x}", action, went_through)
    for address in (*FOREIGN, OWN_CODE, OWN_CODE + 16, DOCKET):
        for family, action in _writes(address):
            await mallory.attempt(family, f"{family} at {address:#x}", action, went_through)


def _reads(address: int) -> Iterator[tuple[str, object]]:
    for size in (1, 2, 4, 8):
        yield "loads", load(address, size)
    yield "loads", load(address + 1, 4)
    yield "loads", read(address, 8)


def _writes(address: int) -> Iterator[tuple[str, object]]:
    for size in (1, 2, 4, 8):
        yield "stores", store(address, 0, size)
    yield "stores", write(address, b"mallory!")
    for name in ATOMICS:
        yield "atomic operations", amo(name, address, 1)


async def jumps(mallory: Attacker) -> None:
    """Jump to every foreign address, into own data, and between two instructions."""
    own_data = (0x600_0000, DOCKET, USER_TOP - 0x1000)
    for address in (*FOREIGN, *own_data, OWN_CODE + 2, OWN_CODE + 0xFFA):
        await mallory.attempt("jumps", f"jump to {address:#x}", ecall(JUMP, address), went_through)
