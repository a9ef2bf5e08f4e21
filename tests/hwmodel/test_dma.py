"""The DMA engine: what it copies, when, and what the IOMMU keeps it from."""

from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodel.board import find_board
from hwmodel.dma import (
    BUSY,
    CONTROL,
    DESTINATION,
    DONE,
    ERROR,
    FAULT,
    IRQ_ENABLE,
    LENGTH,
    MAX_LENGTH,
    SOURCE,
    START,
    STATUS,
    transfer_ticks,
)
from hwmodel.machine import Machine

BASE = 0x8000_0000
DMA = 0x1010_0000
IRQ = 20
BOARD = find_board("virt_iommu")
DEVICE = BOARD.device("dma0").request_id
PAGE_TABLE = BASE + 0x20_0000
FRAMES = BASE + 0x30_0000
PAGES = 6


def machine_with_mapping(rights: list[int]) -> Machine:
    """I/O pages 0.. are mapped with these rights to frames in reverse order."""
    machine = Machine(BOARD, ram_size=1 << 23)
    machine.write_word(PAGE_TABLE, PAGE_TABLE + 4096 | 3)
    for page, right in enumerate(rights):
        machine.write_word(PAGE_TABLE + 4096 + 8 * page, frame(page) | right)
    machine.iommu_set_context(DEVICE, 1, PAGE_TABLE, 2)
    machine.mask_irq(IRQ, False)
    return machine


def frame(page: int) -> int:
    return FRAMES + (PAGES - 1 - page) * 4096


def start(machine: Machine, source: int, destination: int, length: int, control: int = START) -> None:
    for register, value in ((SOURCE, source), (DESTINATION, destination), (LENGTH, length), (CONTROL, control)):
        machine.bus.write(DMA + register, 8, value)


def status(machine: Machine) -> int:
    return machine.bus.read(DMA + STATUS, 8)


@settings(max_examples=80, deadline=None)
@given(
    rights=st.lists(st.sampled_from([0, 1, 2, 3, 3, 3]), min_size=PAGES, max_size=PAGES),
    source=st.integers(0, PAGES * 4096),
    destination=st.integers(0, PAGES * 4096),
    length=st.integers(0, 9000),
)
def test_copies_exactly_what_the_tables_allow(rights, source, destination, length):
    machine = machine_with_mapping(rights)
    contents = [bytes([65 + page]) * 4096 for page in range(PAGES)]
    for page in range(PAGES):
        machine.write_bytes(frame(page), contents[page])
    start(machine, source, destination, length)
    machine.advance(transfer_ticks(length))
    flat, fault = bytearray(b"".join(contents)), None
    done = 0
    while done < length and fault is None:
        read_from, write_to = source + done, destination + done
        size = min(length - done, 4096 - read_from % 4096, 4096 - write_to % 4096)
        if read_from // 4096 >= PAGES or not rights[read_from // 4096] & 1:
            fault = read_from
        elif write_to // 4096 >= PAGES or not rights[write_to // 4096] & 2:
            fault = write_to
        else:
            flat[write_to : write_to + size] = bytes(flat[read_from : read_from + size])
            done += size
    assert status(machine) == (DONE if fault is None else DONE | ERROR)
    assert machine.bus.read(DMA + FAULT, 8) == (fault or 0)
    assert [(f.iova, f.request_id) for f in machine.iommu.fault_log()] == ([] if fault is None else [(fault, DEVICE)])
    for page in range(PAGES):
        assert machine.read_bytes(frame(page), 4096) == flat[page * 4096 : (page + 1) * 4096]


def test_the_transfer_takes_time_and_then_interrupts():
    machine = machine_with_mapping([3, 3])
    machine.write_bytes(frame(0), b"data")
    start(machine, 0, 0x1000, 1000, START | IRQ_ENABLE)
    assert status(machine) == BUSY
    assert machine.next_event() == transfer_ticks(1000) == 14
    machine.bus.write(DMA + SOURCE, 8, 0x5000)
    machine.advance(13)
    assert machine.read_bytes(frame(1), 4) == bytes(4)
    machine.advance(1)
    assert machine.read_bytes(frame(1), 4) == b"data"
    assert machine.claim_irq() == IRQ
    machine.bus.write(DMA + STATUS, 8, DONE)
    machine.complete_irq(IRQ)
    assert not machine.irq_pending()
    assert status(machine) == 0


def test_a_stale_iotlb_lets_a_device_keep_what_was_taken_away():
    machine = machine_with_mapping([3, 3])
    start(machine, 0, 0x1000, 8)
    machine.advance(11)
    machine.write_word(PAGE_TABLE + 4096 + 8, 0)
    start(machine, 0, 0x1000, 8)
    machine.advance(11)
    assert status(machine) == DONE
    machine.iommu_invalidate(1)
    start(machine, 0, 0x1000, 8)
    machine.advance(11)
    assert status(machine) == DONE | ERROR


def test_a_device_store_breaks_a_reservation(address_space):
    machine = machine_with_mapping([3, 3])
    space = address_space(machine.memory, BASE + 0x50_0000)
    space.map(0x1000, FRAMES)
    machine.set_vspace(space.root, 1)
    machine.load_reserved(0x1000, 8)
    start(machine, 0, 0x1000, 8)
    machine.advance(11)
    assert not machine.store_conditional(0x1000, 8, 1)


def test_too_long_a_transfer_is_refused_and_targets_outside_ram_too():
    machine = machine_with_mapping([3, 3])
    start(machine, 0, 0x1000, MAX_LENGTH + 1)
    machine.advance(transfer_ticks(MAX_LENGTH))
    assert status(machine) == DONE | ERROR
    machine.write_word(PAGE_TABLE + 4096 + 8, 0x1000_0000 | 3)  # the serial port's registers
    start(machine, 0, 0x1000, 8)
    machine.advance(11)
    assert status(machine) == DONE | ERROR
    assert machine.bus.read(DMA + FAULT, 8) == 0x1000
    assert machine.uart_backend.text == ""
