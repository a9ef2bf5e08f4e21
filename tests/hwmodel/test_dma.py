"""The DMA engine: what it copies, when, and what the IOMMU keeps it from."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodel.board import DeviceWindow, find_board
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
from tests.hwmodel.boards import WITH_IOMMU

PAGES = 6


@pytest.fixture(params=WITH_IOMMU, scope="module")
def board(request) -> str:
    return request.param


def machine_with_mapping(board: str, rights: list[int]) -> Machine:
    """I/O pages 0.. are mapped with these rights to frames in reverse order."""
    machine = Machine(find_board(board), ram_size=1 << 23)
    machine.write_word(table(machine), table(machine) + 4096 | 3)
    for page, right in enumerate(rights):
        machine.write_word(table(machine) + 4096 + 8 * page, frame(machine, page) | right)
    machine.iommu_set_context(engine(machine).request_id, 1, table(machine), 2)
    machine.mask_irq(engine(machine).irq, False)
    return machine


def engine(machine: Machine) -> DeviceWindow:
    return machine.board.device("dma0")


def registers(machine: Machine) -> int:
    return engine(machine).region.base


def table(machine: Machine) -> int:
    return machine.board.ram.base + 0x20_0000


def frame(machine: Machine, page: int) -> int:
    return machine.board.ram.base + 0x30_0000 + (PAGES - 1 - page) * 4096


def start(machine: Machine, source: int, destination: int, length: int, control: int = START) -> None:
    for register, value in ((SOURCE, source), (DESTINATION, destination), (LENGTH, length), (CONTROL, control)):
        machine.bus.write(registers(machine) + register, 8, value)


def status(machine: Machine) -> int:
    return machine.bus.read(registers(machine) + STATUS, 8)


@settings(max_examples=80, deadline=None)
@given(
    rights=st.lists(st.sampled_from([0, 1, 2, 3, 3, 3]), min_size=PAGES, max_size=PAGES),
    source=st.integers(0, PAGES * 4096),
    destination=st.integers(0, PAGES * 4096),
    length=st.integers(0, 9000),
)
def test_copies_exactly_what_the_tables_allow(board, rights, source, destination, length):
    machine = machine_with_mapping(board, rights)
    contents = [bytes([65 + page]) * 4096 for page in range(PAGES)]
    for page in range(PAGES):
        machine.write_bytes(frame(machine, page), contents[page])
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
    assert machine.bus.read(registers(machine) + FAULT, 8) == (fault or 0)
    refused = [(record.iova, record.request_id) for record in machine.iommu.fault_log()]
    assert refused == ([] if fault is None else [(fault, engine(machine).request_id)])
    for page in range(PAGES):
        assert machine.read_bytes(frame(machine, page), 4096) == flat[page * 4096 : (page + 1) * 4096]


def test_the_transfer_takes_time_and_then_interrupts(board):
    machine = machine_with_mapping(board, [3, 3])
    machine.write_bytes(frame(machine, 0), b"data")
    start(machine, 0, 0x1000, 1000, START | IRQ_ENABLE)
    assert status(machine) == BUSY
    assert machine.next_event() == transfer_ticks(1000) == 14
    machine.bus.write(registers(machine) + SOURCE, 8, 0x5000)
    machine.advance(13)
    assert machine.read_bytes(frame(machine, 1), 4) == bytes(4)
    machine.advance(1)
    assert machine.read_bytes(frame(machine, 1), 4) == b"data"
    assert machine.claim_irq() == engine(machine).irq
    machine.bus.write(registers(machine) + STATUS, 8, DONE)
    machine.complete_irq(engine(machine).irq)
    assert not machine.irq_pending()
    assert status(machine) == 0


def test_a_stale_iotlb_lets_a_device_keep_what_was_taken_away(board):
    machine = machine_with_mapping(board, [3, 3])
    start(machine, 0, 0x1000, 8)
    machine.advance(11)
    machine.write_word(table(machine) + 4096 + 8, 0)
    start(machine, 0, 0x1000, 8)
    machine.advance(11)
    assert status(machine) == DONE
    machine.iommu_invalidate(1)
    start(machine, 0, 0x1000, 8)
    machine.advance(11)
    assert status(machine) == DONE | ERROR


def test_a_device_store_breaks_a_reservation(board, address_space):
    machine = machine_with_mapping(board, [3, 3])
    space = address_space(machine.memory, machine.board.ram.base + 0x50_0000)
    space.map(0x1000, frame(machine, PAGES - 1))
    machine.set_vspace(space.root, 1)
    machine.load_reserved(0x1000, 8)
    start(machine, 0, 0x1000, 8)
    machine.advance(11)
    assert not machine.store_conditional(0x1000, 8, 1)


def test_too_long_a_transfer_is_refused_and_targets_outside_ram_too(board):
    machine = machine_with_mapping(board, [3, 3])
    start(machine, 0, 0x1000, MAX_LENGTH + 1)
    machine.advance(transfer_ticks(MAX_LENGTH))
    assert status(machine) == DONE | ERROR
    machine.write_word(table(machine) + 4096 + 8, machine.board.device("uart0").region.base | 3)
    start(machine, 0, 0x1000, 8)
    machine.advance(11)
    assert status(machine) == DONE | ERROR
    assert machine.bus.read(registers(machine) + FAULT, 8) == 0x1000
    assert machine.uart_backend.text == ""
