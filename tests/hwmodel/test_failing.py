"""Devices of registers that fail: without a plan nothing differs, and each kind of fault does what it is said to do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwmodel import timer_device as timer
from hwmodel.backend import BufferBackend
from hwmodel.board import find_board
from hwmodel.failing import REGISTER_FAULTS, FailingDevice, failing
from hwmodel.faults import Fault, FaultKind, FaultPlan
from hwmodel.machine import Machine
from hwmodel.memory import BusError
from hwmodel.uart import IER, IER_THRE, LSR, LSR_TEMT, LSR_THRE, SCR, THR
from hwmodel.virtio.processor import STORM_TICKS

NAMES = ("uart0", "timer0", "rtc0", "dma0")
SIZES = {"uart0": 1, "timer0": 4, "rtc0": 4, "dma0": 8}
BOARDS = ("virt_iommu", "virt_sifive")
FOREVER = 1_000_000


def machine(*faults: Fault, seed: int = 0, board: str = "virt_iommu", wrapped: bool = True) -> Machine:
    devices = {name: failing(FaultPlan(faults, seed)) for name in NAMES} if wrapped else {}
    built = Machine(find_board(board), ram_size=1 << 21, uart_backend=BufferBackend(), devices=devices)
    for name in NAMES:
        built.mask_irq(built.board.device(name).irq, False)
    return built


def device(built: Machine, name: str) -> FailingDevice:
    found = built.devices[name]
    assert isinstance(found, FailingDevice)
    return found


def load(built: Machine, name: str, offset: int, size: int = 0) -> int:
    return built.bus.read(built.board.device(name).region.base + offset, size or SIZES[name])


def store(built: Machine, name: str, offset: int, value: int, size: int = 0) -> None:
    built.bus.write(built.board.device(name).region.base + offset, size or SIZES[name], value)


@pytest.mark.parametrize("board", BOARDS)
@given(
    accesses=st.lists(
        st.tuples(
            st.sampled_from(NAMES), st.booleans(), st.integers(0, 8), st.sampled_from([0, 1, 2, 15, 0xFFFF]),
            st.integers(0, 3000),
        ),
        max_size=25,
    )
)  # fmt: skip
def test_without_a_plan_nothing_differs(board: str, accesses: list[tuple[str, bool, int, int, int]]) -> None:
    both = [machine(board=board), machine(board=board, wrapped=False)]
    for built in both:
        built.uart_backend.feed(b"typed")
        built.poll_input()
    for name, is_load, register, value, ticks in accesses:
        seen = []
        size = 4 if board == "virt_sifive" and name == "uart0" else SIZES[name]
        for built in both:
            try:
                if is_load:
                    seen.append(load(built, name, register * size, size))
                else:
                    seen.append(store(built, name, register * size, value, size))
            except BusError as error:
                seen.append(error.reason)
            built.advance(ticks)
            seen.append((built.claim_irq(), built.uart_backend.text))
        assert seen[:2] == seen[2:]
    assert not any(device(both[0], name).faults.activated for name in NAMES)


def test_a_device_without_power_reads_as_ones_until_the_power_is_back():
    built = machine(Fault(2, FaultKind.POWER_CUT))
    store(built, "uart0", SCR, 0x55)
    assert load(built, "uart0", SCR) == 0xFF
    store(built, "uart0", THR, ord("x"))
    assert load(built, "uart0", LSR) == 0xFF
    built.uart_backend.feed(b"typed")
    assert built.poll_input() == 0
    device(built, "uart0").power_on()
    assert load(built, "uart0", SCR) == 0
    assert built.uart_backend.text == ""


def test_a_reset_forgets_what_was_set_up():
    built = machine(Fault(3, FaultKind.RESET))
    store(built, "timer0", timer.COMPARE, 100)
    store(built, "timer0", timer.CONTROL, timer.ENABLE | timer.IRQ_ENABLE)
    assert load(built, "timer0", timer.CONTROL) == 0
    built.advance(1000)
    assert built.claim_irq() is None or built.claim_irq() == 0
    assert device(built, "timer0").faults.activated == [(3, "reset", 0)]


def test_a_stalled_device_reads_as_nothing_for_a_while():
    built = machine(Fault(2, FaultKind.STALL, 2))
    store(built, "uart0", SCR, 1)
    assert load(built, "uart0", LSR) == 0
    store(built, "uart0", SCR, 2)
    assert load(built, "uart0", LSR) == LSR_THRE | LSR_TEMT
    assert load(built, "uart0", SCR) == 1


def test_one_bit_is_wrong_in_what_is_loaded_or_stored():
    built = machine(Fault(2, FaultKind.CORRUPT_DATA), Fault(3, FaultKind.CORRUPT_DATA), seed=4)
    store(built, "uart0", SCR, 0x0F)
    assert (load(built, "uart0", SCR) ^ 0x0F).bit_count() == 1
    store(built, "uart0", SCR, 0xF0)
    assert (load(built, "uart0", SCR) ^ 0xF0).bit_count() == 1


def test_a_store_is_lost_and_a_load_cannot_be():
    built = machine(Fault(1, FaultKind.LOST_WRITE), Fault(2, FaultKind.LOST_WRITE))
    store(built, "uart0", SCR, 7)
    assert load(built, "uart0", SCR) == 0
    assert device(built, "uart0").faults.activated == [(1, "lost write", 0)]


def test_nothing_answers_on_the_bus():
    built = machine(Fault(1, FaultKind.IO_ERROR))
    with pytest.raises(BusError, match="does not answer"):
        load(built, "rtc0", 0)
    assert load(built, "rtc0", 0) > 0


def test_a_lost_interrupt_stays_away_until_the_next_one():
    built = machine(Fault(1, FaultKind.LOST_INTERRUPT))
    irq = built.board.device("timer0").irq
    for moment in (100, 1000):
        store(built, "timer0", timer.COMPARE, moment, 8)
        store(built, "timer0", timer.CONTROL, timer.ENABLE | timer.IRQ_ENABLE)
        built.advance(moment + 1 - built.now())
        assert load(built, "timer0", timer.STATUS) == timer.EXPIRED
        assert (built.claim_irq() == irq) is (moment == 1000)
        store(built, "timer0", timer.STATUS, timer.EXPIRED)
    assert device(built, "timer0").faults.activated == [(1, "lost interrupt", 0)]


def test_a_storm_ends():
    built = machine(Fault(1, FaultKind.INTERRUPT_STORM, 10))
    irq = built.board.device("uart0").irq
    load(built, "uart0", LSR)
    count = 0
    while built.now() < 100 * STORM_TICKS:
        if built.claim_irq() == irq:
            count += 1
            built.complete_irq(irq)
        built.advance(STORM_TICKS // 2)
    assert count == 20 + 1, "one more is pending when the wire falls"
    store(built, "uart0", IER, IER_THRE)
    assert built.claim_irq() == irq


@given(st.sampled_from(REGISTER_FAULTS), st.sampled_from(NAMES), st.integers(1, 6), st.integers(0, 9))
def test_a_machine_restored_in_mid_fault_goes_on_the_same(kind: FaultKind, name: str, step: int, seed: int) -> None:
    built = machine(Fault(step, kind, 3), seed=seed)

    def work(turn: int) -> list[object]:
        seen: list[object] = []
        for register in range(4):
            try:
                store(built, name, register * 8 % 32, turn + 1)
                seen.append(load(built, name, register * 8 % 32))
            except BusError as error:
                seen.append(error.reason)
            built.advance(30)
            seen.append(built.claim_irq())
        return seen

    work(0)
    saved = built.snapshot()
    first = work(1), device(built, name).faults.activated[:]
    built.restore(saved)
    assert (work(1), device(built, name).faults.activated) == first
