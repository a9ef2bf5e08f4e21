"""The machine as a whole: interrupts and time for the kernel, snapshots, boards, and the bus."""

import dataclasses
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodel.board import BOARDS, find_board
from hwmodel.bus import Bus
from hwmodel.machine import Machine
from hwmodel.memory import BusError, Memory
from hwmodel.mmu import Mmu, PageFault
from hwmodel.stateful import Stateful
from hwmodel.virtio import EmptyVirtioSlot
from tests.hwmodel.boards import WITH_IOMMU

BASE = 0x8000_0000
RAM = 1 << 23
SPACES = (0x20_0000, 0x24_0000)
FRAMES = 0x30_0000
DMA_TABLE = 0x40_0000
"""Offsets in RAM."""
DRIVEN = ("uart0", "timer0", "dma0")
"""The devices that scripts drive, in the order of their virtual pages."""


def small_machine(name: str = "virt_iommu") -> Machine:
    return Machine(find_board(name), ram_size=RAM)


def prepared_machine(address_space, name: str) -> Machine:
    """Two address spaces (RAM at pages 1 to 4, the devices' registers at 5 to 7), DMA mapped."""
    machine = small_machine(name)
    board, ram = machine.board, machine.board.ram.base
    for root in SPACES:
        space = address_space(machine.memory, ram + root)
        for page in range(4):
            space.map(0x1000 + page * 4096, ram + FRAMES + page * 4096)
        for page, device in enumerate(DRIVEN, 5):
            space.map(page << 12, board.device(device).region.base)
    machine.write_word(ram + DMA_TABLE, ram + DMA_TABLE + 4096 | 3)
    for page in range(4):
        machine.write_word(ram + DMA_TABLE + 4096 + 8 * page, ram + FRAMES + page * 4096 | 3)
    machine.iommu_set_context(board.device("dma0").request_id, 1, ram + DMA_TABLE, 2)
    for device in DRIVEN:
        machine.mask_irq(board.device(device).irq, False)
    machine.set_vspace(ram + SPACES[0], 1)
    return machine


UART, TIMER, DMA = 0x5000, 0x6000, 0x7000
registers = st.sampled_from(
    [(UART + offset, 1) for offset in range(8)]
    + [(UART + offset, 4) for offset in range(0, 0x1C, 4)]
    + [(TIMER, 8), (TIMER + 8, 8)]
    + [(TIMER + offset, 4) for offset in range(0, 0x1C, 4)]
    + [(DMA + offset, 8) for offset in range(0, 0x30, 8)]
)
ram_places = st.tuples(st.integers(0x1000, 0x4FFF), st.sampled_from([1, 2, 4, 8]))
values = st.one_of(st.integers(0, 40), st.integers(0, 4095), st.integers(0, 2**64 - 1))
actions = st.one_of(
    st.tuples(st.just("load"), st.one_of(registers, ram_places)),
    st.tuples(st.just("store"), st.one_of(registers, registers, ram_places), values),
    st.tuples(st.just("advance"), st.integers(0, 60)),
    st.tuples(st.just("advance"), st.integers(0, 9000)),
    st.tuples(st.just("claim")),
    st.tuples(st.just("complete"), st.sampled_from(DRIVEN)),
    st.tuples(st.just("deadline"), st.integers(0, 20000)),
    st.tuples(st.just("switch"), st.integers(0, 1)),
    st.tuples(st.just("unmap"), st.integers(0, 3), st.booleans()),
    st.tuples(st.just("type"), st.binary(max_size=20)),
    st.tuples(st.just("reserve"), st.booleans()),
    st.tuples(st.just("clear"), st.integers(0, 3)),
    st.tuples(st.just("put_char"), st.integers(0, 255)),
    st.tuples(st.just("timer"), st.integers(0, 90), st.integers(0, 90)),
    st.tuples(st.just("dma"), st.integers(0, 0x4000), st.integers(0, 0x4000), st.integers(0, 5000)),
    st.tuples(st.just("listen"), st.integers(0, 3)),
)


def perform(machine: Machine, action: tuple) -> object:
    """Do one thing to the machine and return what can be seen of the outcome."""
    kind, *rest = action
    board, ram = machine.board, machine.board.ram.base
    try:
        if kind == "load":
            return machine.load(*rest[0])
        if kind == "store":
            return machine.store(*rest[0], rest[1])
        if kind == "reserve":
            return machine.load_reserved(0x1000, 8) if rest[0] else machine.store_conditional(0x1000, 8, 9)
    except PageFault as fault:
        return fault.cause, fault.vaddr
    if kind == "advance":
        machine.advance(rest[0])
        return machine.now(), machine.next_event(), machine.irq_pending()
    if kind == "claim":
        return machine.claim_irq()
    if kind == "complete":
        machine.complete_irq(board.device(rest[0]).irq)
    elif kind == "deadline":
        machine.set_deadline(rest[0])
    elif kind == "switch":
        machine.set_vspace(ram + SPACES[rest[0]], rest[0] + 1)
    elif kind == "unmap":  # sometimes without the flush that ought to follow
        machine.write_word(ram + SPACES[0] + 2 * 4096 + 8 * (rest[0] + 1), 0)
        if rest[1]:
            machine.flush_page(1, 0x1000 + rest[0] * 4096)
    elif kind == "timer":
        for offset, size, value in timer_stores(machine, *rest):
            machine.bus.write(board.device("timer0").region.base + offset, size, value)
    elif kind == "dma":
        for offset, value in ((0, rest[0]), (8, rest[1]), (16, rest[2]), (24, 3)):
            machine.bus.write(board.device("dma0").region.base + offset, 8, value)
    elif kind == "listen":
        for offset, size, value in listen_stores(machine, rest[0]):
            machine.bus.write(board.device("uart0").region.base + offset, size, value)
    elif kind == "type":
        machine.uart_backend.feed(rest[0])
        return machine.poll_input()
    elif kind == "clear":
        machine.clear(ram + FRAMES + rest[0] * 4096, 4096)
    elif kind == "put_char":
        machine.put_char(rest[0])
    return None


def timer_stores(machine: Machine, period: int, delay: int) -> list[tuple[int, int, int]]:
    """Return the (offset, size, value) that start the board's timer, with an interrupt."""
    if machine.board.device("timer0").kind == "countdown":
        return [(8, 4, 0), (0, 4, delay), (8, 4, 3 if period else 1), (0, 4, period)]
    return [(0x10, 4, period), (8, 8, machine.now() + delay), (0x14, 4, 3)]


def listen_stores(machine: Machine, level: int) -> list[tuple[int, int, int]]:
    """Return the (offset, size, value) that make the serial line receive, with an interrupt from a level on."""
    if machine.board.device("uart0").kind == "sifive-uart":
        return [(0x0C, 4, level << 16 | 1), (0x08, 4, level << 16 | 1), (0x10, 4, 3)]
    return [(2, 1, level << 6 | 1), (1, 1, 0x0F)]


some_actions = st.lists(actions, min_size=15, max_size=30)


@pytest.mark.parametrize("board", WITH_IOMMU)
@settings(max_examples=50, deadline=None)
@given(before=some_actions, after=some_actions)
def test_what_follows_a_restore_is_what_followed_the_snapshot(address_space, board, before, after):
    machine = prepared_machine(address_space, board)
    start = machine.snapshot()
    early = [perform(machine, action) for action in before]
    saved, digest = machine.snapshot(), machine.digest()
    first = [perform(machine, action) for action in after]
    end = machine.digest()
    machine.restore(saved)
    assert machine.digest() == digest
    assert [perform(machine, action) for action in after] == first
    assert machine.digest() == end
    machine.restore(start)
    assert [perform(machine, action) for action in before] == early
    assert machine.digest() == digest
    other = small_machine(board)
    other.restore(saved)
    assert [perform(other, action) for action in after] == first
    assert other.digest() == end


FIXED = {"_name", "_first_page", "sources", "bank_size", "max_banks", "tables_paddr", "on_flush", "on_flush_asid"}
"""Fields that never change after a part was made."""


def stateful_parts(machine: Machine) -> list[Stateful]:
    parts = [machine.timer, machine.events, machine.irqchip, machine.mmu.tlb, machine.mmu, machine.lsu]
    iommu = [machine.iommu] if machine.iommu else []
    return [*parts, *iommu, *(device for device in machine.devices.values())]


@pytest.mark.parametrize("board", BOARDS)
def test_every_field_of_plain_data_is_state_or_fixed(board):
    for part in stateful_parts(small_machine(board)):
        for name in type(part).__slots__:
            value = getattr(part, name)
            plain = isinstance(value, (int, str, bytes, list)) or value is None or value == {}
            derived = (type(part), name) == (Mmu, "bank")
            assert not plain or derived or (name in part.STATE) != (name in FIXED), name


@pytest.mark.parametrize("board", BOARDS)
def test_interrupts_as_the_kernel_sees_them(board):
    machine = small_machine(board)
    timer = machine.board.timer_irq
    assert timer == machine.board.irq_sources + 1 == {"virt_sifive": 128}.get(board, 96)
    assert (machine.irq_pending(), machine.claim_irq()) == (False, 0)
    machine.mask_irq(20, False)
    machine.irqchip.set_level(20, True)
    machine.set_deadline(100)
    machine.advance(100)
    assert machine.claim_irq() == timer
    machine.complete_irq(timer)
    assert machine.claim_irq() == timer  # a level: only a new deadline ends it
    machine.set_deadline(200)
    assert machine.claim_irq() == 20
    assert not machine.irq_pending()
    machine.irqchip.set_level(20, False)
    machine.complete_irq(20)
    assert not machine.irq_pending()
    machine.mask_irq(timer, True)
    machine.advance(1000)
    assert (machine.irq_pending(), machine.next_event()) == (False, None)
    machine.mask_irq(timer, False)
    assert machine.irq_pending()


@pytest.mark.parametrize("board", BOARDS)
def test_edge_triggers_through_the_machine(board):
    machine = small_machine(board)
    machine.mask_irq(7, False)
    machine.set_irq_trigger(7, True)
    machine.irqchip.pulse(7)
    assert machine.claim_irq() == 7
    machine.irqchip.pulse(7)
    assert not machine.irq_pending()
    machine.complete_irq(7)
    assert machine.claim_irq() == 7


def test_console_and_power():
    machine = small_machine()
    for code in b"hello":
        machine.put_char(code)
    assert machine.console.text == "hello"
    assert not machine.halted
    saved = machine.snapshot()
    machine.halt()
    assert machine.halted
    machine.restore(saved)
    assert not machine.halted


def test_snapshots_fit_only_machines_of_the_same_make():
    saved = small_machine().snapshot()
    with pytest.raises(ValueError, match="does not fit"):
        small_machine("qemu_virt_riscv64").restore(saved)
    with pytest.raises(ValueError, match="does not fit"):
        small_machine("virt_sifive").restore(saved)
    with pytest.raises(ValueError, match="another"):
        Machine(find_board("virt_iommu"), ram_size=RAM * 2).restore(saved)


def test_a_board_without_iommu_says_so():
    machine = small_machine("qemu_virt_riscv64")
    for call in (lambda: machine.iommu_set_context(1, 1, None, 2), lambda: machine.iommu_invalidate(1)):
        with pytest.raises(ValueError, match="no IOMMU"):
            call()


def test_boards_are_consistent():
    for name, board in BOARDS.items():
        assert find_board(name) is board
        regions = [window.region for window in board.devices]
        regions += [region for kept, region in board.kernel_ranges.items() if kept != "iommu_tables"]
        regions = sorted([*regions, board.ram], key=lambda region: region.base)
        assert all(low.end <= high.base for low, high in pairwise(regions))
        irqs = [window.irq for window in board.devices if window.irq]
        assert len(set(irqs)) == len(irqs)
        assert all(1 <= irq <= board.irq_sources for irq in irqs)
        hash(board)
        with pytest.raises(dataclasses.FrozenInstanceError):
            board.name = "other"
        assert board.interrupt_controller in board.kernel_ranges
    assert find_board("qemu_virt_riscv64").device("uart0").irq == 10
    with pytest.raises(KeyError, match="qemu_virt_riscv64"):
        find_board("pdp11")
    with pytest.raises(KeyError, match="no device"):
        find_board("virt_iommu").device("disk")


@pytest.mark.parametrize("board", BOARDS)
def test_empty_virtio_slots(board):
    machine = small_machine(board)
    for slot in range(8):
        base = machine.board.device(f"virtio{slot}").region.base
        assert machine.bus.read(base, 4) == 0x74726976
        assert machine.bus.read(base + 8, 4) == 0
        machine.bus.write(base + 0x70, 4, 1)


def test_a_device_of_ones_own():
    class Register(EmptyVirtioSlot):
        STATE = ("value",)
        value = 0

        def read(self, offset: int, size: int) -> int:
            return self.value

        def write(self, offset: int, size: int, value: int) -> None:
            self.value = value

    board = find_board("qemu_virt_riscv64")
    machine = Machine(board, ram_size=RAM, devices={"virtio3": lambda window, wiring: Register()})
    saved = machine.snapshot()
    machine.bus.write(board.device("virtio3").region.base, 4, 77)
    assert machine.bus.read(board.device("virtio3").region.base, 4) == 77
    machine.restore(saved)
    assert machine.bus.read(board.device("virtio3").region.base, 4) == 0
    with pytest.raises(ValueError, match="nosuch"):
        Machine(board, ram_size=RAM, devices={"nosuch": lambda window, wiring: Register()})


def test_the_bus_refuses_what_nobody_answers():
    bus = Bus(Memory(BASE, 4096))
    slot = EmptyVirtioSlot()
    bus.attach(0x2000, 0x1000, slot)
    bus.attach(0x1000, 0x1000, slot)
    bus.write(BASE + 1, 4, 0x1_2345_6789)
    assert bus.read(BASE, 8) == 0x23_4567_8900
    assert bus.read(0x1000, 4) == bus.read(0x2000, 4) == 0x74726976
    for paddr, size in ((0, 4), (0x3000, 4), (0xFFC, 8), (0x2FFC, 8), (BASE + 4092, 8), (0x1002, 4)):
        with pytest.raises(BusError) as caught:
            bus.read(paddr, size)
        assert caught.value.address == paddr
        with pytest.raises(BusError):
            bus.write(paddr, size, 0)
    for base, size in ((0x1800, 8), (0x800, 0x1000), (BASE - 8, 16)):
        with pytest.raises(ValueError, match="overlaps"):
            bus.attach(base, size, slot)
