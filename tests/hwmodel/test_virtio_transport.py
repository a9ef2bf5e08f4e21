"""Registers, device status, queue resets, notifications, and rings that no sane driver would write."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodel.block import RamDisk
from hwmodel.board import BOARDS, find_board
from hwmodel.dma import CONTROL, DESTINATION, LENGTH, SOURCE, START
from hwmodel.faults import Fault, FaultKind, FaultPlan
from hwmodel.machine import Machine
from hwmodel.memory import BusError
from hwmodel.network import NoPeer
from hwmodel.virtio import registers as reg
from hwmodel.virtio import virtio_blk, virtio_net, virtio_rng
from hwmodel.virtio.blk import FLUSH, FLUSH_OUT, IN, OK, OUT
from hwmodel.virtio.queue import INDIRECT, NEXT, WRITE
from tests.hwmodel.boards import WITH_IOMMU
from tests.hwmodel.virtiodriver import FEATURES, RAM, Disk

CHOSEN = reg.ACKNOWLEDGE | reg.DRIVER | reg.FEATURES_OK


def disk(board: str = "virt_iommu") -> Disk:
    return Disk(Machine(find_board(board), ram_size=RAM, devices={"virtio0": virtio_blk(RamDisk(1 << 20))}))


@pytest.mark.parametrize("features", [0, reg.VERSION_1, reg.ACCESS_PLATFORM, FEATURES | 1 << 34, FEATURES | 1 << 63])
def test_features_that_are_missing_or_not_offered_are_not_accepted(features):
    driver = disk()
    driver.store(reg.STATUS, reg.ACKNOWLEDGE | reg.DRIVER)
    driver.set_features(features)
    driver.store(reg.STATUS, CHOSEN | reg.DRIVER_OK)
    assert driver.status == reg.ACKNOWLEDGE | reg.DRIVER


def test_registers_of_a_new_device():
    driver = disk()
    assert [driver.load(offset) for offset in (0, 4, 8)] == [reg.MAGIC, 2, 2]
    offered = []
    for half in (0, 1, 2):
        driver.store(reg.DEVICE_FEATURES_SEL, half)
        offered.append(driver.load(reg.DEVICE_FEATURES))
    assert offered[1] == FEATURES >> 32 | reg.RING_RESET >> 32
    assert offered[0] & (reg.RING_INDIRECT_DESC | reg.RING_EVENT_IDX)
    assert offered[2] == 0
    assert driver.load(reg.QUEUE_SIZE_MAX) == 256
    driver.store(reg.QUEUE_SEL, 1)
    assert driver.load(reg.QUEUE_SIZE_MAX) == driver.load(reg.QUEUE_READY) == 0
    driver.store(reg.QUEUE_READY, 1)
    driver.store(reg.QUEUE_NOTIFY, 7)
    assert driver.load(reg.SHM_LEN_LOW) == 0xFFFFFFFF
    assert driver.load(reg.QUEUE_NOTIFY) == 0
    with pytest.raises(BusError):
        driver.machine.bus.read(driver.window.region.base, 1)


def test_features_are_fixed_once_accepted_and_bits_stay_until_a_reset():
    driver = disk().start()
    driver.set_features(0)
    driver.store(reg.STATUS, reg.ACKNOWLEDGE)
    assert driver.status == CHOSEN | reg.DRIVER_OK
    assert driver.request(FLUSH_OUT, 0)[0] == OK
    driver.store(reg.STATUS, 0)
    assert driver.status == driver.load(reg.QUEUE_READY) == driver.load(reg.INTERRUPT_STATUS) == 0
    assert driver.start().request(FLUSH_OUT, 0)[0] == OK


def test_nothing_happens_before_driver_ok():
    driver = disk()
    driver.store(reg.STATUS, reg.ACKNOWLEDGE | reg.DRIVER)
    driver.store(reg.QUEUE_NOTIFY, 0)
    assert driver.machine.next_event() is None


def test_a_reset_in_mid_request_forgets_it():
    driver = disk().start()
    driver.post(OUT, 0, b"a" * 8192)
    driver.machine.advance(20)
    driver.store(reg.STATUS, 0)
    assert driver.machine.next_event() is None
    driver.settle()
    assert driver.queues[0].completions() == []
    driver.start()
    found = driver.request(IN, 0, length=8192)[1]
    assert found == b"a" * 4096 + bytes(4096)


def test_a_queue_reset_in_mid_request_forgets_it():
    driver = disk().start(FEATURES | reg.RING_RESET)
    driver.post(OUT, 0, b"a" * 8192)
    driver.machine.advance(20)
    driver.store(reg.QUEUE_SEL, 0)
    driver.store(reg.QUEUE_RESET, 1)
    assert driver.load(reg.QUEUE_RESET) == driver.load(reg.QUEUE_READY) == 0
    driver.settle()
    assert driver.status == CHOSEN | reg.DRIVER_OK
    driver.queues[0] = type(driver.queues[0])(driver, 0, 8, driver.memory.start)
    driver.queues[0].set_up()
    assert driver.request(FLUSH_OUT, 0)[0] == OK


@pytest.mark.parametrize("board", BOARDS)
def test_interrupts_last_until_acknowledged_and_may_be_declined(board):
    driver = disk(board).start()
    assert driver.request(FLUSH_OUT, 0)[0] == OK
    machine, irq = driver.machine, driver.window.irq
    remembers = machine.board.interrupt_controller == "plic"
    assert machine.claim_irq() == (irq if remembers else 0)
    machine.complete_irq(irq)
    assert not machine.irq_pending()
    driver.post(FLUSH_OUT, 0)
    driver.settle()
    assert machine.claim_irq() == irq
    machine.complete_irq(irq)
    assert machine.irq_pending()
    driver.answer()
    driver.memory.poke(driver.queues[0].available, struct.pack("<H", 1))
    driver.post(FLUSH_OUT, 0)
    driver.settle()
    assert driver.load(reg.INTERRUPT_STATUS) == 0
    assert driver.answer()[0] == OK


def test_event_indices_ask_for_the_third_completion_only():
    driver = disk().start(FEATURES | reg.RING_EVENT_IDX)
    queue = driver.queues[0]
    driver.memory.poke(queue.available + 4 + 2 * queue.size, struct.pack("<H", 2))
    for count in range(1, 5):
        driver.post(FLUSH_OUT, 0)
        driver.settle()
        assert driver.load(reg.INTERRUPT_STATUS) == (reg.USED_BUFFER if count == 3 else 0)
        avail_event = driver.memory.peek(queue.used + 4 + 8 * queue.size, 2)
        assert avail_event == struct.pack("<H", count)
        driver.answer()


def test_bad_sizes_and_alignments_break_the_device():
    for register, value in ((reg.QUEUE_SIZE, 3), (reg.QUEUE_SIZE, 512), (reg.QUEUE_SIZE, 0), (reg.QUEUE_DESC_LOW, 8)):
        driver = disk()
        driver.store(register, value)
        driver.store(reg.QUEUE_READY, 1)
        assert driver.broken
        assert driver.load(reg.QUEUE_READY) == 0


def ring(driver: Disk, *descriptors: tuple[int, int, int, int]) -> None:
    for index, entry in enumerate(descriptors):
        driver.queues[0].descriptor(index, *entry)
    driver.queues[0].offer(0)
    driver.queues[0].notify()
    driver.settle()


def test_what_the_specification_forbids_a_driver():
    place = disk().start().buffers
    status = (place + 64, 1, WRITE, 0)
    bad = {
        "loop": [(place, 16, NEXT, 0)],
        "readable after writable": [(place + 64, 1, WRITE | NEXT, 1), (place, 16, 0, 0)],
        "beyond the table": [(place, 16, NEXT, 8)],
        "indirect not negotiated": [(place, 32, INDIRECT, 0)],
        "no status": [(place, 16, 0, 0)],
        "short header": [(place, 15, NEXT, 1), status],
        "unmapped": [(0x1000, 16, NEXT, 1), status],
        "end of the address space": [((1 << 64) - 8, 16, NEXT, 1), status],
    }
    for name, descriptors in bad.items():
        driver = disk().start()
        ring(driver, *descriptors)
        assert driver.broken, name
        assert driver.load(reg.INTERRUPT_STATUS) == reg.CONFIG_CHANGE
        driver.store(reg.INTERRUPT_ACK, 3)
        assert driver.start().request(FLUSH_OUT, 0)[0] == OK


@pytest.mark.parametrize(
    ("length", "flags", "inner"),
    [(0, 0, 0), (17, 0, 0), (32, NEXT, 0), (32, 0, INDIRECT), (16, 0, NEXT)],
)
def test_indirect_tables_that_break_a_rule(length, flags, inner):
    driver = disk().start(FEATURES | reg.RING_INDIRECT_DESC)
    table = driver.buffers + 0x1000
    driver.memory.poke(table, struct.pack("<QIHHQIHH", table, 16, inner or NEXT, 1, table, 1, WRITE, 0))
    ring(driver, (table, length, INDIRECT | flags, 1))
    assert driver.broken


def test_an_available_index_too_far_ahead_breaks_the_device():
    driver = disk().start()
    driver.memory.poke(driver.queues[0].available + 2, struct.pack("<H", 9))
    driver.queues[0].notify()
    driver.settle()
    assert driver.broken


words = st.one_of(st.integers(0, 12), st.integers(0, 0xFFFF))
addresses = st.one_of(
    st.integers(0x40_0000, 0x43_0000), st.integers(0, 1 << 24), st.integers(0, (1 << 64) - 1), st.just(0x8000_0000)
)
lengths = st.one_of(st.integers(0, 64), st.integers(0, 9000), st.integers(0, (1 << 32) - 1))
descriptors = st.lists(st.tuples(addresses, lengths, st.integers(0, 7), words), max_size=8)


@settings(max_examples=150, deadline=None)
@given(
    table=descriptors,
    heads=st.lists(words, min_size=1, max_size=8),
    index=words,
    header=st.tuples(st.integers(0, 15), st.integers(0, 3000)),
    features=st.sampled_from([0, reg.RING_INDIRECT_DESC, reg.RING_EVENT_IDX | reg.RING_INDIRECT_DESC]),
    board=st.sampled_from(WITH_IOMMU),
)
def test_no_ring_whatever_makes_the_device_reach_outside_its_map(table, heads, index, header, features, board):
    driver = disk(board).start(FEATURES | FLUSH | features)
    machine, queue = driver.machine, driver.queues[0]
    driver.memory.poke(driver.buffers, struct.pack("<IIQ", header[0], 0, header[1]))
    for number, (address, length, flags, following) in enumerate(table):
        queue.descriptor(number, address, length, flags, following)
    driver.memory.poke(queue.available + 4, struct.pack(f"<{len(heads)}H", *heads))
    driver.memory.poke(queue.available + 2, struct.pack("<H", index))
    outside = pages_outside(driver)
    queue.notify()
    for _ in range(200):
        if (tick := machine.next_event()) is None:
            break
        machine.advance(tick - machine.now())
    assert pages_outside(driver) == outside
    assert driver.broken or driver.device.port.refused == 0


REGISTERS = st.one_of(
    st.sampled_from([value for name, value in vars(reg).items() if name.startswith("QUEUE_")]),
    st.sampled_from([reg.DRIVER_FEATURES, reg.DRIVER_FEATURES_SEL, reg.STATUS, reg.INTERRUPT_ACK, reg.DEVICE_ID]),
    st.integers(0, 80).map(lambda word: 4 * word),
)
VALUES = st.one_of(st.integers(0, 9), st.sampled_from([0x40_0000, 0x40_1000, 0x80, 15]), st.integers(0, 0xFFFFFFFF))


@settings(max_examples=120, deadline=None)
@given(
    device=st.sampled_from([lambda: virtio_blk(RamDisk(1 << 16)), lambda: virtio_rng(1), lambda: virtio_net(NoPeer())]),
    script=st.lists(st.tuples(REGISTERS, VALUES, st.integers(0, 20)), min_size=5, max_size=40),
    plan=st.lists(st.tuples(st.integers(1, 12), st.sampled_from(list(FaultKind)), st.integers(-1, 300)), max_size=4),
)
def test_no_stores_whatever_make_the_device_fail_or_reach_outside(device, script, plan):
    """Stores to any register of a working device, with requests in its queues and faults of any kind."""
    machine = Machine(find_board("virt_iommu"), ram_size=RAM, devices={"virtio0": device()})
    driver = Disk(machine)
    driver.start(FEATURES | reg.RING_RESET, queues=len(driver.device._processor.queues))
    driver.device.faults.set_plan(FaultPlan(tuple(Fault(*fault) for fault in plan), 1))
    for queue in driver.queues:
        driver.memory.poke(driver.buffers, struct.pack("<IIQ", OUT, 0, 0))
        for number in range(4):
            queue.submit([(driver.buffers, 64, False), (driver.buffers + 4096, 64, True)][number % 2 :][:2])
        queue.notify()
    outside = pages_outside(driver)
    for register, value, ticks in script:
        driver.store(register, value)
        driver.load(register)
        machine.advance(ticks)
    for _ in range(100):
        if (tick := machine.next_event()) is not None:
            machine.advance(tick - machine.now())
    assert pages_outside(driver) == outside


def pages_outside(driver: Disk) -> dict[int, bytes]:
    base = driver.machine.board.ram.base
    inside = {frame - base >> 12 for frame in driver.memory.frames}
    return {page: data for page, data in driver.machine.snapshot().memory.pages.items() if page not in inside}


def test_an_attacker_reaches_nothing_with_an_empty_map_and_everything_without_an_iommu():
    """The driver is the attacker: it asks the disk to write a sector over a victim's page, and to read from there."""
    for board, succeeds in (("virt_iommu", False), ("virt_sifive", False), ("qemu_virt_riscv64", True)):
        driver = disk(board)
        victim = driver.machine.board.ram.base + 0x80_0000
        driver.machine.write_bytes(victim, b"secret")
        driver.start()
        segments = [(driver.buffers, 16, False), (victim, 512, False), (driver.buffers + 64, 1, True)]
        driver.memory.poke(driver.buffers, struct.pack("<IIQ", OUT, 0, 0))
        attempt(driver, segments)
        assert driver.broken != succeeds
        driver.start()
        assert driver.request(IN, 0, length=512)[1].startswith(b"secret") == succeeds
        driver.memory.poke(driver.buffers, struct.pack("<IIQ", IN, 0, 8))
        attempt(driver, [(driver.buffers, 16, False), (victim, 512, True), (driver.buffers + 64, 1, True)])
        assert (driver.machine.read_bytes(victim, 6) == bytes(6)) == succeeds
        assert (driver.device.port.refused == 0) == succeeds


def attempt(driver: Disk, segments: list[tuple[int, int, bool]]) -> None:
    driver.queues[0].submit(segments)
    driver.queues[0].notify()
    driver.settle()


def test_without_a_context_the_device_reads_and_writes_nothing_at_all():
    driver = disk()
    machine = driver.machine
    machine.iommu_set_context(driver.window.request_id, 5, None, 2)
    machine.iommu_invalidate(5)
    driver.start()
    before = machine.memory.content_digest()
    driver.queues[0].notify()
    driver.settle()
    assert machine.memory.content_digest() == before
    port = driver.device.port
    assert (driver.broken, port.reads, port.writes, port.refused) == (True, 0, 0, 1)


def test_counters_of_the_dma_engine_are_counted_too():
    machine = Machine(find_board("virt_iommu"), ram_size=RAM)
    saved = machine.snapshot()
    base = machine.board.device("dma0").region.base
    for register, value in ((SOURCE, 0), (DESTINATION, 0), (LENGTH, 8), (CONTROL, START)):
        machine.bus.write(base + register, 8, value)
    machine.advance(20)
    port = machine.devices["dma0"]._port
    assert port.refused == 1
    machine.restore(saved)
    assert port.refused == 0


def test_request_ids_of_the_slots():
    firsts = {"qemu_virt_riscv64": None, "virt_iommu": 0x40, "virt_sifive": 0x200}
    for name, first in firsts.items():
        slots = [window for window in BOARDS[name].devices if window.kind == "virtio-mmio"]
        assert [slot.request_id for slot in slots] == [None if first is None else first + 8 * i for i in range(8)]
