"""The real-time clock: wall time from configuration, and its alarm."""

from datetime import UTC, datetime

import pytest

from hwmodel.board import find_board
from hwmodel.machine import Machine
from hwmodel.memory import BusError
from hwmodel.rtc import (
    ALARM_HIGH,
    ALARM_LOW,
    ALARM_STATUS,
    CLEAR_ALARM,
    CLEAR_INTERRUPT,
    DEFAULT_EPOCH_NS,
    IRQ_ENABLED,
    TIME_HIGH,
    TIME_LOW,
    real_time_clock,
)
from tests.hwmodel.boards import BOARDS_WITH_RTC


class Clock:
    """A driver of a machine's clock."""

    def __init__(self, board: str, epoch_ns: int | None = None) -> None:
        devices = {} if epoch_ns is None else {"rtc0": real_time_clock(epoch_ns)}
        self.machine = Machine(find_board(board), ram_size=1 << 21, devices=devices)
        self.window = self.machine.board.device("rtc0")
        self.machine.mask_irq(self.window.irq, False)

    def load(self, offset: int) -> int:
        return self.machine.bus.read(self.window.region.base + offset, 4)

    def store(self, offset: int, value: int) -> None:
        self.machine.bus.write(self.window.region.base + offset, 4, value)

    def time(self) -> int:
        return self.load(TIME_LOW) | self.load(TIME_HIGH) << 32

    def set_alarm(self, time: int) -> None:
        self.store(ALARM_HIGH, time >> 32)
        self.store(ALARM_LOW, time & 0xFFFFFFFF)


@pytest.fixture(params=BOARDS_WITH_RTC)
def clock(request) -> Clock:
    return Clock(request.param, 5_000_000_000)


def test_the_time_goes_with_the_ticks(clock):
    assert clock.time() == 5_000_000_000
    clock.machine.advance(12_345)
    assert clock.time() == 5_001_234_500
    low = clock.load(TIME_LOW)
    clock.machine.advance(1 << 40)
    assert clock.load(TIME_HIGH) << 32 | low == 5_001_234_500  # both halves are of one moment


def test_the_default_is_a_constant(clock):
    assert Clock(clock.machine.board.name).time() == DEFAULT_EPOCH_NS
    assert datetime.fromtimestamp(DEFAULT_EPOCH_NS / 1e9, UTC) == datetime(2025, 1, 1, tzinfo=UTC)


def test_an_alarm_interrupts_once(clock):
    clock.store(IRQ_ENABLED, 1)
    clock.set_alarm(5_000_000_950)  # not at a tick: the next one
    assert (clock.load(ALARM_STATUS), clock.load(IRQ_ENABLED)) == (1, 1)
    assert clock.load(ALARM_HIGH) << 32 | clock.load(ALARM_LOW) == 5_000_000_950
    assert clock.machine.next_event() == 10
    clock.machine.advance(9)
    assert not clock.machine.irq_pending()
    clock.machine.advance(1)
    irq = clock.window.irq
    assert clock.machine.claim_irq() == irq
    clock.machine.complete_irq(irq)
    assert clock.machine.claim_irq() == irq  # a level
    clock.store(CLEAR_INTERRUPT, 1)
    clock.machine.complete_irq(irq)
    assert (clock.machine.irq_pending(), clock.load(ALARM_STATUS)) == (False, 0)


def test_alarms_past_cleared_and_without_interrupt(clock):
    clock.set_alarm(1)
    assert not clock.machine.irq_pending()
    clock.store(IRQ_ENABLED, 1)
    assert clock.machine.irq_pending()
    clock.store(CLEAR_INTERRUPT, 0)
    clock.set_alarm(6_000_000_000)
    clock.store(CLEAR_ALARM, 0)
    assert clock.machine.next_event() is None


def test_setting_the_clock_moves_the_alarm(clock):
    clock.set_alarm(60_000_000_000)
    clock.store(TIME_HIGH, 59_000_000_000 >> 32)
    clock.store(TIME_LOW, 59_000_000_000 & 0xFFFFFFFF)
    assert clock.time() == 59_000_000_000
    assert clock.machine.next_event() == 10_000_000
    saved = clock.machine.snapshot()
    clock.store(TIME_HIGH, 0)
    clock.machine.restore(saved)
    assert clock.time() == 59_000_000_000


def test_other_sizes_are_refused(clock):
    with pytest.raises(BusError):
        clock.machine.bus.read(clock.window.region.base, 8)
