"""A disk behind virtio-mmio against a plain array of bytes, with random requests, cuts, rings and snapshots."""

import io
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodel.block import FileDisk, RamDisk
from hwmodel.board import BOARDS, find_board
from hwmodel.machine import Machine
from hwmodel.virtio import registers as reg
from hwmodel.virtio import virtio_blk
from hwmodel.virtio.blk import (
    DISCARD_OUT,
    FLUSH,
    FLUSH_OUT,
    GET_ID,
    IN,
    IOERR,
    OK,
    OUT,
    RO,
    UNSUPP,
    WRITE_ZEROES_OUT,
)
from tests.hwmodel.virtiodriver import FEATURES, RAM, Disk

SECTORS = 64
INDIRECT, EVENT_IDX = reg.RING_INDIRECT_DESC, reg.RING_EVENT_IDX


def disk(features=FEATURES | FLUSH, *, board="virt_iommu", medium=None, size=8, **options) -> Disk:
    medium = medium or RamDisk(SECTORS * 512)
    machine = Machine(find_board(board), ram_size=RAM, devices={"virtio0": virtio_blk(medium, **options)})
    return Disk(machine).start(features, size=size)


@pytest.mark.parametrize("board", BOARDS)
def test_write_flush_read(board):
    medium = RamDisk(SECTORS * 512)
    driver = disk(board=board, medium=medium)
    data = bytes(range(256)) * 24
    assert driver.request(OUT, 3, data) == (OK, b"")
    assert medium.contents() == bytes(SECTORS * 512)
    assert driver.device.function.cached_sectors == 12
    assert driver.request(FLUSH_OUT, 0) == (OK, b"")
    assert medium.read(3, 12) == data
    assert driver.request(IN, 3, length=len(data)) == (OK, data)
    assert driver.device.port.refused == 0


def test_without_flush_negotiated_every_write_is_durable_at_once():
    medium = RamDisk(SECTORS * 512)
    driver = disk(FEATURES, medium=medium)
    assert driver.request(OUT, 0, b"a" * 512) == (OK, b"")
    assert medium.read(0, 1) == b"a" * 512
    assert driver.device.function.cached_sectors == 0


def test_configuration_identity_and_unknown_requests():
    driver = disk(identity=b"serial number")
    base = driver.window.region.base + reg.CONFIG
    bus = driver.machine.bus
    assert bus.read(base, 8) == SECTORS
    assert (bus.read(base, 4), bus.read(base + 4, 4)) == (SECTORS, 0)
    assert bus.read(base + 20, 4) == 512
    assert bus.read(base + 56, 1) == 1
    assert bus.read(base + 0x200, 4) == 0
    assert driver.request(GET_ID, 0, length=20) == (OK, b"serial number".ljust(20, b"\0"))
    assert driver.request(99, 0) == (UNSUPP, b"")
    assert driver.load(reg.DEVICE_ID) == 2


def test_what_cannot_be_is_an_error():
    driver = disk()
    assert driver.request(IN, SECTORS - 1, length=1024)[0] == IOERR
    assert driver.request(OUT, 1 << 63, bytes(512))[0] == IOERR
    assert driver.request(IN, 0, length=100)[0] == IOERR
    assert driver.request(DISCARD_OUT, 0, struct.pack("<QII", 0, 1, 1))[0] == UNSUPP
    assert driver.request(WRITE_ZEROES_OUT, 0, struct.pack("<QII", SECTORS, 1, 0))[0] == IOERR
    assert driver.request(WRITE_ZEROES_OUT, 0, b"odd")[0] == IOERR


def test_a_read_only_disk_refuses_writes():
    driver = disk(FEATURES | RO, medium=RamDisk(SECTORS * 512, b"there"), read_only=True)
    assert driver.request(OUT, 0, bytes(512))[0] == IOERR
    assert driver.request(WRITE_ZEROES_OUT, 0, struct.pack("<QII", 0, 1, 0))[0] == IOERR
    assert driver.request(IN, 0, length=512) == (OK, b"there".ljust(512, b"\0"))


def test_zeroes_and_discards_read_as_zero():
    driver = disk(medium=RamDisk(SECTORS * 512, b"x" * SECTORS * 512))
    segments = struct.pack("<QIIQII", 1, 2, 1, 5, 1, 0)
    assert driver.request(WRITE_ZEROES_OUT, 0, segments)[0] == OK
    assert driver.request(DISCARD_OUT, 0, struct.pack("<QII", 7, 1, 0))[0] == OK
    found = driver.request(IN, 0, length=8 * 512)[1]
    assert [bool(found[i * 512]) for i in range(8)] == [True, False, False, True, True, False, True, False]


def test_a_host_file(tmp_path):
    path = tmp_path / "disk"
    path.write_bytes(bytes(SECTORS * 512))
    with path.open("r+b") as file:
        driver = disk(medium=FileDisk(file))
        driver.request(OUT, 2, b"f" * 1024)
        assert driver.request(IN, 2, length=1024) == (OK, b"f" * 1024)
        assert path.read_bytes() == bytes(SECTORS * 512)
        assert driver.request(FLUSH_OUT, 0)[0] == OK
        assert path.read_bytes()[1024:2048] == b"f" * 1024
        file.truncate(512)
        assert driver.request(IN, 8, length=512)[0] == IOERR


def test_a_file_that_fails_to_be_written_is_an_error_for_the_driver():
    class ReadOnly(io.BytesIO):
        def write(self, data: bytes) -> int:
            raise OSError("no")

    driver = disk(FEATURES, medium=FileDisk(ReadOnly(bytes(4096))))
    assert driver.request(OUT, 0, bytes(512))[0] == IOERR


requests = st.one_of(
    st.tuples(st.just(OUT), st.integers(0, SECTORS - 9), st.integers(1, 9), st.integers(0, 255)),
    st.tuples(st.just(IN), st.integers(0, SECTORS - 9), st.integers(1, 9), st.just(0)),
    st.tuples(st.just(FLUSH_OUT), st.just(0), st.just(0), st.just(0)),
)
cuts = st.lists(st.integers(1, 700), max_size=3)


def cut_up(place: int, length: int, sizes: list[int], *, writable: bool) -> list[tuple[int, int, bool]]:
    """Cut a buffer into segments of these sizes and the rest."""
    segments = []
    for size in sizes:
        if size < length:
            segments.append((place, size, writable))
            place, length = place + size, length - size
    return [*segments, (place, length, writable)]


@settings(max_examples=60, deadline=None)
@given(
    batches=st.lists(st.lists(st.tuples(requests, cuts, cuts), min_size=1, max_size=3), min_size=1, max_size=6),
    options=st.sampled_from([0, INDIRECT, EVENT_IDX, INDIRECT | EVENT_IDX]),
    board=st.sampled_from(sorted(BOARDS)),
)
def test_random_chains_do_what_a_plain_array_does(batches, options, board):
    medium = RamDisk(SECTORS * 512)
    driver = disk(FEATURES | FLUSH | options, board=board, size=32, medium=medium)
    indirect = bool(options & INDIRECT)
    model = bytearray(SECTORS * 512)
    queue = driver.queues[0]
    durable = bytes(model)
    for batch in batches:
        expected = []
        for slot, ((kind, sector, count, fill), out_cuts, in_cuts) in enumerate(batch):
            place = driver.buffers + slot * 0x8000
            data = bytes((fill + i) & 0xFF for i in range(count * 512))
            sent = struct.pack("<IIQ", kind, 0, sector) + (data if kind == OUT else b"")
            taken = (count * 512 if kind == IN else 0) + 1
            driver.memory.poke(place, sent)
            segments = cut_up(place, len(sent), out_cuts, writable=False)
            segments += cut_up(place + 0x3000, taken, in_cuts, writable=True)
            head = queue.submit(segments, indirect=place + 0x7000 if indirect else 0)
            if kind == OUT:
                model[sector * 512 : (sector + count) * 512] = data
            if kind == FLUSH_OUT:
                durable = bytes(model)
            answer = bytes(model[sector * 512 : (sector + count) * 512]) if kind == IN else b""
            expected.append((head, place, answer + b"\0"))
        queue.notify()
        driver.settle()
        assert queue.completions() == [(head, len(answer)) for head, _, answer in expected]
        for _, place, answer in expected:
            assert driver.memory.peek(place + 0x3000, len(answer)) == answer
        assert driver.load(reg.INTERRUPT_STATUS) == reg.USED_BUFFER or options & EVENT_IDX
        driver.store(reg.INTERRUPT_ACK, 3)
    assert not driver.broken
    if batches[-1][-1][0][0] == FLUSH_OUT:
        assert medium.contents() == durable == bytes(model)


def test_indices_wrap_around():
    driver = disk(size=2)
    queue = driver.queues[0]
    place = driver.buffers
    driver.memory.poke(place, struct.pack("<IIQ", FLUSH_OUT, 0, 0))
    segments = [(place, 16, False), (place + 64, 1, True)]
    queue.submit(segments)
    for _ in range(700):
        queue.notify()
        driver.settle()
        assert len(queue.completions()) == 1
        queue.offer(0)
    driver.device._processor.queues[0].next_avail = 65_534  # as after many more
    driver.device._processor.queues[0].next_used = queue.seen = 65_534
    queue.submitted = 65_534
    for _ in range(4):
        queue.offer(0)
        queue.notify()
        driver.settle()
        assert queue.completions() == [(0, 1)]
    assert queue.seen == 2
    assert not driver.broken


@settings(max_examples=25, deadline=None)
@given(work=st.lists(requests, min_size=1, max_size=4), stops=st.lists(st.integers(1, 40), min_size=1, max_size=4))
def test_a_snapshot_in_mid_request_has_the_same_continuation(work, stops):
    driver = disk(FEATURES | FLUSH | reg.RING_EVENT_IDX)
    machine = driver.machine
    for kind, sector, count, fill in work:
        data = bytes([fill]) * 512 * count if kind == OUT else b""
        driver.post(kind, sector, data, length=512 * count if kind == IN else 0)
        for ticks in stops:
            machine.advance(ticks)
        saved, before = machine.snapshot(), machine.digest()
        driver.settle()
        end = machine.digest()
        machine.restore(saved)
        assert machine.digest() == before
        other = Machine(machine.board, devices={"virtio0": virtio_blk(RamDisk(SECTORS * 512))})
        other.restore(saved)
        for continued in (machine, other):
            while (tick := continued.next_event()) is not None:
                continued.advance(tick - continued.now())
            assert continued.digest() == end
        driver.answer()


def test_steps_take_the_documented_time():
    driver = disk()
    driver.post(OUT, 0, bytes(8192))
    ticks = []
    while (tick := driver.machine.next_event()) is not None:
        driver.machine.advance(tick - driver.machine.now())
        ticks.append(tick)
    # fetch; header of 16 bytes; two pieces of 4096, the last with the status; completion; a look at the empty queue
    assert ticks == [5, 7, 10, 28, 47, 49]
    assert driver.device.faults.steps == 6
    short = disk()
    short.post(OUT, 0, bytes(4096))
    documented = [5, 7, 10, 29, 31]
    for tick in documented:
        assert short.machine.next_event() == tick
        short.machine.advance(tick - short.machine.now())
    assert short.machine.next_event() is None
