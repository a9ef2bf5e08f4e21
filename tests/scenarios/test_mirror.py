"""Files on a mirror: a driver that lies loses nothing, and the same driver without a mirror does."""

from typing import Any, Final

import pytest

from capkernel.protocols.block import SECTOR
from capkernel.tools.demo.stage import DISK_BYTES, Stage
from hwmodel.block import RamDisk
from hwmodel.virtio import virtio_blk
from servers.clients.block_writer import BLOCK, BLOCKS, content
from servers.storage.cache import CachedDisk
from servers.storage.littlefs_volume import LittlefsVolume
from tests.scenarios.playing import same_in_any_process
from tests.servers.mirror_bench import MirrorBench

ROUNDS: Final = 40
LONGEST_US: Final = 20_000_000


def churned(system: str, programs: dict[str, str], rounds: int = ROUNDS) -> tuple[Stage, int, int]:
    """A system in which a client writes and checks files, while the file server dies again and again.

    What was lost, and the errors that the client saw.
    """
    devices = {"virtio1": virtio_blk(RamDisk(DISK_BYTES))} if system == "mirror" else {}
    stage = Stage(system, variant="campaign", programs={"client": "churner.elf", **programs}, devices=devices)
    for reached in range(2, rounds, 2):
        went_on = stage.run_until(lambda done=reached: stage.words("report", 1)[0] >= done, LONGEST_US)
        if not went_on or any(stage.words("report", 3)[1:]):
            break
        stage.injector.crash_next("files")
    done, lost, errors = stage.words("report", 3)
    stage.close()
    assert done >= rounds - 4 or lost or errors
    return stage, lost, errors


@pytest.mark.slow
@pytest.mark.parametrize("liar", ["disk", "disk2"])
def test_a_driver_that_lies_loses_nothing_if_there_is_a_mirror(liar: str) -> None:
    _, lost, errors = churned("mirror", {liar: "lying_disk.elf"})
    assert (lost, errors) == (0, 0)


@pytest.mark.slow
def test_the_same_driver_without_a_mirror_loses_what_was_acknowledged() -> None:
    _, lost, errors = churned("storage", {"disk": "lying_disk.elf"})
    assert lost + errors


@pytest.mark.slow
def test_without_a_lie_nothing_is_lost_without_a_mirror_either() -> None:
    _, lost, errors = churned("storage", {})
    assert (lost, errors) == (0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("mute", ["disk", "disk2"])
def test_a_driver_that_never_answers_in_any_of_its_lives_holds_nobody_up_for_ever(mute: str) -> None:
    devices = {"virtio1": virtio_blk(RamDisk(DISK_BYTES, written_images()[1]))}
    stage = Stage(
        "mirror", variant="campaign", disk=RamDisk(DISK_BYTES, written_images()[0]), devices=devices,
        programs={"client": "churner.elf", mute: "mute_disk.elf"},
    )  # fmt: skip
    assert stage.run_until(lambda: stage.words("report", 1)[0] >= 10, LONGEST_US)
    assert stage.words("report", 3)[1:] == (0, 0)
    stage.close()


def written_images() -> tuple[bytes, bytes]:
    """Both disks after a client of the mirror has written and synced a file."""
    disks = RamDisk(DISK_BYTES), RamDisk(DISK_BYTES)
    stage = Stage("mirror", disk=disks[0], devices={"virtio1": virtio_blk(disks[1])})
    assert stage.run_until(lambda: bool(stage.words("report", 1)[0]), LONGEST_US)
    assert stage.words("report", 3) == (1, 0, 0)
    stage.close()
    return disks[0].contents(), disks[1].contents()


class Mirrored:
    """A mirror as a file system's disk."""

    is_read_only = False

    def __init__(self, bench: MirrorBench) -> None:
        self.bench = bench

    def __getattr__(self, name: str) -> Any:
        return getattr(self.bench.mirror, name)


@pytest.mark.parametrize("side", [0, 1])
def test_what_was_synced_is_on_each_of_the_disks(side: int) -> None:
    bench = MirrorBench(DISK_BYTES // SECTOR, DISK_BYTES // SECTOR)
    bench.disks[side].durable[:] = written_images()[side]
    bench.disks[1 - side].failing = True
    bench.open()
    disk: Any = Mirrored(bench)
    volume = LittlefsVolume(CachedDisk(disk))
    bench.run(volume.open(may_format=False))
    for number in range(BLOCKS):
        assert bench.run(volume.read("blocks", number * BLOCK, BLOCK)) == content(number)


def test_a_run_of_the_mirror_is_the_same_in_every_process() -> None:
    same_in_any_process(
        "from capkernel.tools.demo.stage import DISK_BYTES, Stage\n"
        "from hwmodel.block import RamDisk\n"
        "from hwmodel.virtio import virtio_blk\n"
        "stage = Stage('mirror', devices={'virtio1': virtio_blk(RamDisk(DISK_BYTES))})\n"
        "stage.run(time_us=5_000)\n"
        "print(stage.booted.trace.hash())"
    )
