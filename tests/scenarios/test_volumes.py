"""Several file systems as one tree: the claims of `capkernel demo volumes`; what others' tools find on the disks."""

from pathlib import Path

import pytest

from capkernel.tools.demo import volumes
from capkernel.tools.demo.stage import Stage
from hwmodel.block import RamDisk
from hwmodel.faults import Fault, FaultKind, FaultPlan
from hwmodel.virtio import virtio_blk
from hwmodel.virtio.transport import VirtioMmio
from servers.clients.three_trees import FILES, PIECES, content
from servers.storage.fat_volume import FatVolume
from servers.storage.littlefs_volume import BLOCK, LittlefsVolume
from tests.scenarios.playing import must_hold
from tests.servers.fakedisk import FakeDisk
from tests.servers.storage_bench import mounted
from tests.servers.test_fat import needs_tools, tool

NAMES = [f"File {number}.text" for number in range(FILES)]


def expected(name: str) -> bytes:
    return b"".join(content(name, number) for number in range(PIECES))


@pytest.mark.slow
def test_three_file_systems_are_one_tree_whoever_crashes() -> None:
    must_hold("volumes", volumes)


@pytest.mark.campaign
def test_three_file_systems_are_one_tree_whoever_crashes_at_any_point() -> None:
    must_hold("volumes", volumes, everywhere=True)


@needs_tools
@pytest.mark.slow
def test_others_tools_find_the_files_on_both_disks(tmp_path: Path) -> None:
    outcome = volumes.play()
    image = tmp_path / "fat"
    image.write_bytes(outcome.fat)
    tool("fsck.fat", "-n", image)
    for name in NAMES:
        assert tool("mtype", "-i", image, f"::{name}").encode() == expected(name)
    disk = FakeDisk(len(outcome.littlefs) // 512)
    disk.durable[:] = outcome.littlefs
    volume = mounted(LittlefsVolume, disk, may_format=False).tree.volume
    for name in NAMES:
        assert disk.run(volume.read(name, 0, BLOCK * 4)) == expected(name)


@pytest.mark.slow
@pytest.mark.parametrize("survival", [0, 1], ids=["the cache is lost", "some of it survives"])
def test_the_files_that_were_synced_are_there_when_the_power_of_the_fat_disk_goes(survival: int) -> None:
    """The client syncs each file before it begins the next: so all are whole but the one that it was at."""
    whole_ones = set()
    for step in range(150, 420, 90):
        second = RamDisk(1 << 20)
        plan = FaultPlan((Fault(step, FaultKind.POWER_CUT, survival),), 1)
        stage = Stage("fat", devices={"virtio1": virtio_blk(second, plan=plan)})
        device = stage.system.machine.devices["virtio1"]
        assert isinstance(device, VirtioMmio)
        assert stage.run_until(lambda device=device: bool(device.faults.activated), 1_000_000, 1_000)
        stage.close()
        disk = FakeDisk(second.sectors)
        disk.durable[:] = second.contents()
        volume = mounted(FatVolume, disk, may_format=False).tree.volume
        assert volume.is_sound
        found = {entry.name: disk.run(volume.read(entry.name, 0, BLOCK * 4)) for entry in disk.run(volume.list(""))}
        whole = [name in found and found[name] == expected(name) for name in NAMES]
        assert len(found) - sum(whole) <= 1
        assert whole == sorted(whole, reverse=True)
        whole_ones.add(sum(whole))
    assert len(whole_ones) > 1, "every cut came at the same file"
