"""Each kind of fault happens, is counted, and does what it is said to do; and the same each time."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodel.block import RamDisk
from hwmodel.board import find_board
from hwmodel.faults import PARAMETER_SEEDED, Fault, FaultKind, FaultPlan, sweep
from hwmodel.machine import Machine
from hwmodel.network import loop
from hwmodel.virtio import registers as reg
from hwmodel.virtio import virtio_blk, virtio_net, virtio_rng
from hwmodel.virtio.blk import FLUSH, FLUSH_OUT, IN, IOERR, OK, OUT
from tests.hwmodel.test_virtio_net import FRAME, Card, entropy
from tests.hwmodel.virtiodriver import FEATURES, RAM, Disk, Driver

SECTORS = 64
OLD = b"o" * 512 * SECTORS
FETCH, HEADER, PIECE, COMPLETE = 1, 2, 3, 4
"""The steps of the first request of one piece."""


def disk(*faults: Fault, seed: int = 0, features: int = FEATURES | FLUSH, board: str = "virt_iommu") -> Disk:
    plan = FaultPlan(faults, seed)
    devices = {"virtio0": virtio_blk(RamDisk(SECTORS * 512, OLD), plan=plan)}
    return Disk(Machine(find_board(board), ram_size=RAM, devices=devices)).start(features)


def medium(driver: Disk) -> bytes:
    return driver.device.function._cache.medium.contents()


def activated(driver: Driver) -> list[tuple[int, str, int]]:
    return driver.device.faults.activated


NEW = b"n" * 1024


def test_torn_lost_and_corrupt_writes_are_reported_as_done():
    for fault, expected in (
        (Fault(PIECE, FaultKind.TORN_WRITE, 600), NEW[:600] + OLD[600:1024]),
        (Fault(PIECE, FaultKind.LOST_WRITE), OLD[:1024]),
    ):
        driver = disk(fault)
        assert driver.request(OUT, 0, NEW)[0] == OK
        assert driver.request(IN, 0, length=1024) == (OK, expected)
        assert activated(driver) == [fault.record]
    driver = disk(Fault(PIECE, FaultKind.CORRUPT_DATA))
    driver.request(OUT, 0, NEW)
    wrong = int.from_bytes(NEW, "big") ^ int.from_bytes(driver.request(IN, 0, length=1024)[1], "big")
    assert wrong.bit_count() == 1


def test_faults_that_change_nothing_are_not_counted():
    for kind, parameter in ((FaultKind.LOST_WRITE, 0), (FaultKind.TORN_WRITE, 100)):
        driver = disk(Fault(PIECE, kind, parameter))
        assert driver.request(OUT, 0, OLD[:1024])[0] == OK  # what is there already
        assert activated(driver) == []
    driver = disk(Fault(PIECE, FaultKind.TORN_WRITE, 1024), Fault(COMPLETE, FaultKind.WRONG_LENGTH, 1))
    assert driver.request(OUT, 0, NEW)[0] == OK
    assert activated(driver) == []


def test_a_seeded_tear_is_somewhere_in_the_piece():
    tears = set()
    for seed in range(5):
        driver = disk(Fault(PIECE, FaultKind.TORN_WRITE, PARAMETER_SEEDED), seed=seed)
        driver.request(OUT, 0, NEW)
        tears.add(driver.request(IN, 0, length=1024)[1].count(b"n"))
    assert len(tears) > 2
    assert all(0 <= tear < 1024 for tear in tears)


def test_a_corrupt_read_leaves_the_disk_as_it_was():
    driver = disk(Fault(PIECE, FaultKind.CORRUPT_DATA))
    assert driver.request(IN, 0, length=512)[1] != OLD[:512]
    assert driver.request(IN, 0, length=512)[1] == OLD[:512]


def test_a_reordered_write_is_durable_before_the_one_before_it():
    kind = FaultKind.REORDERED_WRITE
    driver = disk(Fault(PIECE, kind), Fault(8, kind), Fault(11, FaultKind.POWER_CUT))
    driver.request(OUT, 0, NEW[:512])  # the cache is empty: nothing to overtake
    driver.request(OUT, 1, NEW[:512])
    driver.post(FLUSH_OUT, 0)
    driver.settle()
    assert activated(driver) == [(8, "reordered write", 0), (11, "power cut", 0)]
    assert medium(driver)[:1024] == OLD[:512] + NEW[:512]


def test_a_reordered_write_without_a_cache_waits_for_the_next_one():
    driver = disk(Fault(PIECE, FaultKind.REORDERED_WRITE), features=FEATURES)
    driver.request(OUT, 0, NEW[:512])
    assert medium(driver) == OLD
    assert driver.request(IN, 0, length=512)[1] == NEW[:512]
    driver.request(OUT, 1, NEW[:512])
    assert medium(driver)[:1024] == NEW


def test_a_lost_flush_leaves_all_in_the_cache():
    driver = disk(Fault(8, FaultKind.LOST_FLUSH), Fault(PIECE, FaultKind.LOST_FLUSH))
    driver.request(OUT, 0, NEW)
    assert driver.request(FLUSH_OUT, 0)[0] == OK
    assert activated(driver) == [(8, "lost flush", 0)]
    assert medium(driver) == OLD
    assert driver.request(FLUSH_OUT, 0)[0] == OK
    assert medium(driver)[:1024] == NEW


@settings(max_examples=40, deadline=None)
@given(step=st.integers(1, 30), survival=st.integers(0, 2), seed=st.integers(0, 99))
def test_a_power_cut_at_any_step_loses_only_what_was_not_flushed(step, survival, seed):
    driver = disk(Fault(step, FaultKind.POWER_CUT, survival), seed=seed)
    versions = [OLD[:512]]
    flushed = 0
    for fill in (b"1", b"2"):
        versions.append(fill * 512)
        if driver.request(OUT, 9, versions[-1])[0] is None or driver.request(FLUSH_OUT, 0)[0] is None:
            break
        flushed = len(versions) - 1
    driver.request(OUT, 20, NEW)
    dead = bool(activated(driver))
    assert driver.device.powered != dead
    assert dead == (step <= driver.device.faults.steps)
    found = medium(driver)
    if survival < 2:
        assert found[9 * 512 : 10 * 512] in versions[flushed : flushed + 2]
    else:
        mix = {bytes((octet,)) for version in versions[flushed:] for octet in version}
        assert all(found[at : at + 1] in mix for at in range(9 * 512, 10 * 512))
    assert found[: 9 * 512] == OLD[: 9 * 512]
    assert found[22 * 512 :] == OLD[22 * 512 :]
    if survival == 0:
        assert found[20 * 512 : 22 * 512] == OLD[:1024]


def test_without_power_the_bus_reads_ones_and_afterwards_the_device_starts_anew():
    driver = disk(Fault(PIECE, FaultKind.POWER_CUT))
    assert driver.request(OUT, 0, NEW)[0] is None
    bus, base = driver.machine.bus, driver.window.region.base
    assert driver.status == driver.load(0) == 0xFFFFFFFF
    assert bus.read(base + reg.CONFIG, 8) == (1 << 64) - 1
    driver.store(reg.STATUS, 0)
    driver.store(reg.QUEUE_NOTIFY, 0)
    assert driver.machine.next_event() is None
    assert driver.machine.poll_input() == 0
    driver.device.power_on()
    assert driver.start().request(IN, 0, length=1024) == (OK, OLD[:1024])


def test_the_power_may_be_cut_from_outside_and_the_disk_be_put_into_another_machine():
    shared = RamDisk(SECTORS * 512, OLD)
    board = find_board("virt_iommu")
    driver = Disk(Machine(board, ram_size=RAM, devices={"virtio0": virtio_blk(shared)})).start(FEATURES | FLUSH)
    driver.request(OUT, 0, NEW[:512])
    driver.request(FLUSH_OUT, 0)
    driver.request(OUT, 1, NEW[:512])
    driver.device.cut_power()
    assert not driver.device.powered
    other = Disk(Machine(board, ram_size=RAM, devices={"virtio3": virtio_blk(shared)}), "virtio3").start()
    assert other.request(IN, 0, length=1024) == (OK, NEW[:512] + OLD[:512])


def test_survivors_of_a_power_cut_depend_on_the_seed_alone():
    def survivors(seed: int, survival: int = 1) -> bytes:
        driver = disk(Fault(8, FaultKind.POWER_CUT, survival), seed=seed)
        driver.request(OUT, 0, b"n" * 4096)
        driver.request(FLUSH_OUT, 0)
        return medium(driver)

    assert survivors(1) == survivors(1)
    assert len({survivors(seed) for seed in range(6)}) > 3
    torn = survivors(1, 2)
    assert any(0 < torn[at : at + 512].count(b"n") < 512 for at in range(0, 4096, 512))


def test_a_latent_bad_sector_shows_when_read_and_is_cured_by_writing():
    driver = disk(Fault(1, FaultKind.BAD_SECTOR, 5))
    assert driver.request(IN, 0, length=2048)[0] == OK
    assert activated(driver) == []
    assert driver.request(IN, 4, length=1024)[0] == IOERR
    assert driver.request(IN, 5, length=512)[0] == IOERR
    assert activated(driver) == [(1, "bad sector", 5)]
    assert driver.request(OUT, 5, NEW[:512])[0] == OK
    assert driver.request(IN, 4, length=1024)[0] == OK
    lost = disk(Fault(1, FaultKind.BAD_SECTOR, 5), Fault(PIECE, FaultKind.LOST_WRITE))
    assert lost.request(OUT, 5, NEW[:512])[0] == OK
    assert lost.request(IN, 5, length=512)[0] == IOERR
    seeded = disk(Fault(1, FaultKind.BAD_SECTOR, PARAMETER_SEEDED))
    answers = [seeded.request(IN, sector, length=512)[0] for sector in range(SECTORS)]
    assert answers.count(IOERR) == 1


def test_a_request_may_just_fail():
    driver = disk(Fault(PIECE, FaultKind.IO_ERROR), Fault(FETCH, FaultKind.IO_ERROR))
    assert driver.request(OUT, 0, NEW)[0] == IOERR
    assert activated(driver) == [(PIECE, "i/o error", 0)]


def test_wrong_completions():
    driver = disk(Fault(COMPLETE, FaultKind.WRONG_ID, 40), Fault(COMPLETE, FaultKind.WRONG_LENGTH, 99))
    driver.post(FLUSH_OUT, 0)
    driver.settle()
    assert driver.queues[0].completions() == [(41, 99)]
    driver = disk(Fault(COMPLETE, FaultKind.DOUBLE_COMPLETION))
    driver.post(FLUSH_OUT, 0)
    driver.settle()
    assert driver.queues[0].completions() == [(0, 1), (0, 1)]


def test_a_lost_interrupt_and_a_storm():
    driver = disk(Fault(COMPLETE, FaultKind.LOST_INTERRUPT))
    driver.post(FLUSH_OUT, 0)
    driver.settle()
    assert driver.load(reg.INTERRUPT_STATUS) == 0
    assert driver.answer()[0] == OK
    assert activated(driver) == [(COMPLETE, "lost interrupt", 0)]
    driver = disk(Fault(FETCH, FaultKind.INTERRUPT_STORM, 6))
    driver.post(FLUSH_OUT, 0)
    count = 0
    while (tick := driver.machine.next_event()) is not None:
        driver.machine.advance(tick - driver.machine.now())
        count += driver.load(reg.INTERRUPT_STATUS)
        driver.store(reg.INTERRUPT_ACK, 3)
    assert count == 7


def test_reset_in_mid_request_and_stall():
    driver = disk(Fault(PIECE, FaultKind.RESET))
    assert driver.request(OUT, 0, NEW)[0] is None
    assert driver.broken
    driver = disk(Fault(PIECE, FaultKind.RESET, 1))
    assert driver.request(OUT, 0, NEW)[0] is None
    assert driver.status == 0
    driver = disk(Fault(PIECE, FaultKind.STALL))
    assert driver.request(OUT, 0, NEW)[0] is None
    assert driver.status == reg.ACKNOWLEDGE | reg.DRIVER | reg.FEATURES_OK | reg.DRIVER_OK
    assert driver.request(OUT, 0, NEW)[0] is None
    assert driver.start().request(OUT, 0, NEW)[0] == OK


def test_rogue_accesses_are_refused_by_the_iommu_and_get_through_without():
    for board, through in (("virt_iommu", False), ("virt_sifive", False), ("qemu_virt_riscv64", True)):
        victim = find_board(board).ram.base + 0x90_0000
        driver = disk(Fault(HEADER, FaultKind.ROGUE_DMA, victim), board=board)
        assert driver.request(FLUSH_OUT, 0)[0] == OK
        faults = driver.device.faults
        assert (faults.rogue_through, faults.rogue_refused) == ((2, 0) if through else (0, 2))
        assert (driver.machine.read_bytes(victim, 8) != bytes(8)) == through
        assert driver.device.port.refused == faults.rogue_refused
        assert activated(driver) == [(HEADER, "rogue dma", victim)]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_rogue_accesses_anywhere_change_nothing_outside_of_the_map(seed):
    driver = disk(*(Fault(step, FaultKind.ROGUE_DMA, PARAMETER_SEEDED) for step in range(1, 7)), seed=seed)
    base = driver.machine.board.ram.base
    inside = {frame - base >> 12 for frame in driver.memory.frames}

    def outside() -> dict[int, bytes]:
        return {page: data for page, data in driver.machine.snapshot().memory.pages.items() if page not in inside}

    before = outside()
    driver.request(OUT, 0, NEW)
    assert outside() == before
    assert len(activated(driver)) == driver.device.faults.steps


def test_a_dry_run_counts_the_steps_and_a_sweep_tries_each():
    dry = disk()
    dry.request(OUT, 0, NEW)
    dry.request(FLUSH_OUT, 0)
    steps = dry.device.faults.steps
    assert steps == 11
    outcomes = set()
    for plan in sweep(range(1, steps + 2), FaultKind.POWER_CUT):
        driver = disk(*plan.faults)
        driver.request(OUT, 0, NEW)
        driver.request(FLUSH_OUT, 0)
        assert len(activated(driver)) == (plan.faults[0].step <= steps)
        outcomes.add(medium(driver)[:1024])
    assert outcomes == {OLD[:1024], NEW}


def test_a_plan_may_be_given_to_a_restored_machine_and_counts_are_restored():
    driver = disk()
    driver.request(OUT, 0, NEW)
    saved = driver.machine.snapshot()
    driver.device.faults.set_plan(FaultPlan((Fault(7, FaultKind.STALL),)))
    assert driver.request(FLUSH_OUT, 0)[0] is None
    assert activated(driver) == [(7, "stall", 0)]
    driver.machine.restore(saved)
    assert activated(driver) == []
    assert driver.device.faults.steps == 5


def card(*faults: Fault):
    near, far = loop()
    devices = {"virtio1": virtio_net(near, plan=FaultPlan(faults))}
    return Card(Machine(find_board("virt_iommu"), ram_size=RAM, devices=devices), "virtio1").start_card(), far


FRAMES = [FRAME + bytes((number,)) for number in range(3)]
A, B, C = FRAMES


@pytest.mark.parametrize(
    ("kind", "outgoing", "incoming"),
    [
        (FaultKind.LOST_FRAME, [B, C], [B, C]),
        (FaultKind.DOUBLE_FRAME, [A, A, B, C], [A, A, B, C]),
        (FaultKind.LATE_FRAME, [B, A, C], [B, A, C]),
    ],
)
def test_frames_lost_doubled_and_late(kind, outgoing, incoming):
    first = 3  # a look at the receive queue, fetch, and then the frame
    driver, far = card(Fault(first, kind))
    driver.transmit(*FRAMES)
    assert far.receive(9) == outgoing
    assert activated(driver) == [(first, kind.value, 0)]
    driver, far = card(Fault(first, kind))
    for frame in FRAMES:
        far.send(frame)
    driver.poll()
    assert driver.received() == incoming
    assert activated(driver) == [(first, kind.value, 0)]


def test_corrupt_frames_and_entropy():
    driver, far = card(Fault(3, FaultKind.CORRUPT_DATA))
    driver.transmit(FRAME)
    (frame,) = far.receive(9)
    assert len(frame) == len(FRAME)
    assert frame != FRAME
    board = find_board("virt_iommu")
    plans = (FaultPlan((Fault(2, FaultKind.CORRUPT_DATA),)), None)
    sources = [Machine(board, ram_size=RAM, devices={"virtio0": virtio_rng(1, plan=plan)}) for plan in plans]
    assert len({entropy(Driver(machine).start(), 32) for machine in sources}) == 2


def test_a_power_cut_loses_the_frames_in_the_card():
    driver, far = card(Fault(2, FaultKind.POWER_CUT))
    far.send(FRAME)
    driver.poll()
    assert driver.device.function.lost == 1
    assert struct.pack("<I", driver.status) == b"\xff" * 4
