"""Attackers of the storage servers: a client who may only read, and a disk that writes where it likes."""

from capkernel.kernel.caps import PageTableCap
from capkernel.tools.demo.stage import Stage
from hwmodel.block import RamDisk
from hwmodel.faults import Fault, FaultKind, FaultPlan
from hwmodel.sv39 import walk

REPORT = 0x510_0000
ROGUE_STEPS = range(200, 260)


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


def attacked_by_its_disk(variant: str) -> tuple[bool, int, int]:
    """Let the disk write to the client's memory: whether that changed, accesses refused, accesses that got through."""
    stage = Stage("storage", variant=variant)
    stage.booted.boot()
    vspace = stage.system.threads["client"].vspace_slot.cap
    assert isinstance(vspace, PageTableCap)
    page = walk(stage.system.machine.memory, vspace.paddr, REPORT)
    assert page is not None
    target = page.paddr + 0x800
    before = stage.system.machine.read_bytes(target, 8)
    faults = tuple(Fault(step, FaultKind.ROGUE_DMA, target) for step in ROGUE_STEPS)
    stage.disk_device.faults.set_plan(FaultPlan(faults, 1))
    stage.run_until(lambda: bool(stage.words("report", 1)[0]), 1_000_000)
    after = stage.system.machine.read_bytes(target, 8)
    injected = stage.disk_device.faults
    stage.close()
    return before != after, injected.rogue_refused, injected.rogue_through


def test_a_disk_that_writes_where_it_likes_is_stopped_by_the_iommu() -> None:
    changed, refused, through = attacked_by_its_disk("")
    assert not changed
    assert refused > 0
    assert through == 0


def test_without_an_iommu_it_writes_into_the_clients_memory() -> None:
    changed, refused, through = attacked_by_its_disk("no_iommu")
    assert changed
    assert refused == 0
    assert through > 0
