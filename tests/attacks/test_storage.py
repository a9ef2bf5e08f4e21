"""Attackers of the storage servers: a client who may only read, and a disk that writes where it likes."""

from capkernel.tools.demo.attackers import overwritten_by_dma
from capkernel.tools.demo.stage import Stage
from hwmodel.block import RamDisk


def test_a_client_who_may_only_read_gets_nothing_else_and_stops_nobody() -> None:
    disk = RamDisk(1 << 20)
    first = Stage("storage", disk=disk, programs={"client": "keeper.elf"})
    first.run_until(lambda: bool(first.words("report", 1)[0]), 1_000_000)
    first.close()
    stage = Stage("storage", variant="attacked_files", disk=disk)
    assert stage.run_until(lambda: bool(stage.words("attacker_report", 4)[3]), 3_000_000)
    stage.run_until(lambda: bool(stage.words("report", 1)[0]), 3_000_000)
    tries, refused, ways_in, _ = stage.words("attacker_report", 4)
    done, errors, wrong, _ = stage.words("report", 4)
    stage.close()
    assert ways_in == 0
    assert tries > 800
    assert refused > tries // 2
    assert (done, errors, wrong) == (1, 0, 0)
    assert not stage.system.faults
    assert not stage.system.crashes


def test_a_disk_that_writes_where_it_likes_is_stopped_by_the_iommu() -> None:
    changed, refused, through = overwritten_by_dma("")
    assert not changed
    assert refused > 0
    assert through == 0


def test_without_an_iommu_it_writes_into_the_clients_memory() -> None:
    changed, refused, through = overwritten_by_dma("no_iommu")
    assert changed
    assert refused == 0
    assert through > 0
