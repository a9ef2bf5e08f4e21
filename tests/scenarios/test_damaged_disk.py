"""A disk whose file system is damaged: the file server says so to everybody, and lives."""

import pytest

from capkernel.tools.demo.stage import Stage
from hwmodel.block import RamDisk

BLOCK = 4096


def formatted(size: int = 1 << 20) -> bytearray:
    """An image on which a client has written."""
    disk = RamDisk(size)
    stage = Stage("storage", disk=disk, variant="unasked")
    assert stage.run_until(lambda: bool(stage.words("report", 1)[0]), 3_000_000)
    stage.close()
    return bytearray(disk.read(0, disk.sectors))


@pytest.mark.slow
def test_a_damaged_superblock_is_said_and_ends_nobody() -> None:
    image = formatted()
    for block in range(2):
        for place in range(block * BLOCK + 24, block * BLOCK + 200):
            image[place] ^= 0xA5
    stage = Stage("storage", disk=RamDisk(1 << 20, bytes(image)), variant="unasked")
    stage.run(time_us=300_000)
    assert stage.injector.lives["files"] == 1
    assert [name for name, _ in stage.system.faults] in ([], ["client"])
    assert not any(crash.program.endswith("files") for crash in stage.system.crashes)
    stage.close()
