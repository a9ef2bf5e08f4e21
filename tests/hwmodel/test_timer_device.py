"""The user-space timer: registers, one shot and periodic expiry, interrupt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwmodel.board import find_board
from hwmodel.machine import Machine
from hwmodel.memory import BusError
from hwmodel.timer_device import COMPARE, CONTROL, COUNT, ENABLE, EXPIRED, IRQ_ENABLE, PERIOD, STATUS

TIMER = 0x10_1000
IRQ = 11


def machine_with_timer() -> Machine:
    machine = Machine(find_board("qemu_virt_riscv64"), ram_size=1 << 20)
    machine.mask_irq(IRQ, False)
    return machine


def test_one_shot():
    machine = machine_with_timer()
    bus = machine.bus
    machine.advance(1000)
    bus.write(TIMER + COMPARE, 8, bus.read(TIMER + COUNT, 8) + 500)
    bus.write(TIMER + CONTROL, 4, ENABLE | IRQ_ENABLE)
    assert machine.next_event() == 1500
    machine.advance(499)
    assert not machine.irq_pending()
    machine.advance(1)
    assert machine.claim_irq() == IRQ
    assert bus.read(TIMER + STATUS, 4) == EXPIRED
    assert bus.read(TIMER + CONTROL, 4) == IRQ_ENABLE
    bus.write(TIMER + STATUS, 4, EXPIRED)
    machine.complete_irq(IRQ)
    assert not machine.irq_pending()
    assert machine.next_event() is None


def test_forgetting_to_acknowledge_keeps_the_interrupt():
    machine = machine_with_timer()
    machine.bus.write(TIMER + CONTROL, 4, ENABLE | IRQ_ENABLE)
    assert machine.claim_irq() == IRQ
    machine.complete_irq(IRQ)
    assert machine.claim_irq() == IRQ


@given(period=st.integers(1, 40), start=st.integers(0, 50), advances=st.lists(st.integers(0, 60)))
def test_periodic_expiry_at_every_multiple(period, start, advances):
    machine = machine_with_timer()
    bus = machine.bus
    bus.write(TIMER + PERIOD, 4, period)
    bus.write(TIMER + COMPARE, 8, start)
    bus.write(TIMER + CONTROL, 4, ENABLE)
    before, now = -1, 0
    for ticks in advances:
        machine.advance(ticks)
        now += ticks
        due = any(start <= tick <= now and (tick - start) % period == 0 for tick in range(before + 1, now + 1))
        assert bus.read(TIMER + STATUS, 4) == (EXPIRED if due else 0)
        bus.write(TIMER + STATUS, 4, EXPIRED)
        before = now


def test_unacknowledged_expiries_count_as_one():
    machine = machine_with_timer()
    bus = machine.bus
    bus.write(TIMER + PERIOD, 4, 1)
    bus.write(TIMER + CONTROL, 4, ENABLE)
    machine.advance(10**12)
    assert machine.next_event() is None
    bus.write(TIMER + STATUS, 4, EXPIRED)
    assert bus.read(TIMER + COMPARE, 8) == machine.next_event() == 10**12 + 1


def test_halves_of_registers_and_refused_sizes():
    machine = machine_with_timer()
    bus = machine.bus
    bus.write(TIMER + COMPARE + 4, 4, 0x1234)
    bus.write(TIMER + COMPARE, 4, 0x5678_9ABC)
    assert bus.read(TIMER + COMPARE, 8) == 0x1234_5678_9ABC
    assert bus.read(TIMER + COMPARE + 4, 4) == 0x1234
    machine.advance((1 << 32) + 7)
    assert (bus.read(TIMER + COUNT, 4), bus.read(TIMER + COUNT + 4, 4)) == (7, 1)
    bus.write(TIMER + COUNT, 8, 99)
    assert bus.read(TIMER + COUNT, 8) == (1 << 32) + 7
    for offset, size in ((COUNT, 2), (STATUS, 8), (CONTROL, 1)):
        with pytest.raises(BusError) as caught:
            bus.read(TIMER + offset, size)
        assert caught.value.address == TIMER + offset


def test_disabling_forgets_the_expiry():
    machine = machine_with_timer()
    machine.bus.write(TIMER + COMPARE, 8, 100)
    machine.bus.write(TIMER + CONTROL, 4, ENABLE)
    machine.bus.write(TIMER + CONTROL, 4, 0)
    machine.advance(200)
    assert machine.bus.read(TIMER + STATUS, 4) == 0
