"""The second board's serial port and timer, register by register."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodel import countdown as cd
from hwmodel import sifive_uart as serial
from hwmodel.board import find_board
from hwmodel.machine import Machine
from hwmodel.memory import BusError


class Registers:
    """One device of a new machine, with its interrupt let through."""

    def __init__(self, name: str) -> None:
        self.machine = Machine(find_board("virt_sifive"), ram_size=1 << 21)
        self.window = self.machine.board.device(name)
        self.machine.mask_irq(self.window.irq, False)

    def __getitem__(self, offset: int) -> int:
        return self.machine.bus.read(self.window.region.base + offset, 4)

    def __setitem__(self, offset: int, value: int) -> None:
        self.machine.bus.write(self.window.region.base + offset, 4, value)

    def type(self, text: bytes) -> int:
        self.machine.uart_backend.feed(text)
        return self.machine.poll_input()


@pytest.fixture
def port() -> Registers:
    return Registers("uart0")


@pytest.fixture
def timer() -> Registers:
    return Registers("timer0")


def test_output_waits_until_the_transmitter_is_enabled(port):
    for code in b"123456789":
        assert bool(port[serial.TXDATA]) == (code == ord("9"))
        port[serial.TXDATA] = code
    assert port.machine.uart_backend.text == ""
    port[serial.TXCTRL] = serial.TXEN
    port[serial.TXDATA] = ord("!")
    assert port.machine.uart_backend.text == "12345678!"  # the ninth found the FIFO full
    assert port[serial.TXDATA] == 0


def test_input_waits_for_the_receiver_and_for_room(port):
    assert port.type(b"123456789") == 0
    port[serial.RXCTRL] = serial.RXEN
    assert port.machine.poll_input() == 8
    assert [port[serial.RXDATA] for _ in range(8)] == list(b"12345678")
    assert port[serial.RXDATA] == serial.EMPTY
    assert port.machine.poll_input() == 1
    assert port[serial.RXDATA] == ord("9")


def test_watermarks_interrupt(port):
    port[serial.RXCTRL] = 2 << 16 | serial.RXEN
    port[serial.IE] = serial.RXWM
    port.type(b"ab")
    assert not port.machine.irq_pending()
    port.type(b"c")
    assert port[serial.IP] == serial.RXWM
    assert port.machine.claim_irq() == port.window.irq
    port[serial.RXDATA]
    port.machine.complete_irq(port.window.irq)
    assert not port.machine.irq_pending()
    port[serial.IE] = serial.TXWM
    assert not port.machine.irq_pending()
    port[serial.TXCTRL] = 1 << 16
    assert (port.machine.irq_pending(), port[serial.IP]) == (True, serial.TXWM)
    port[serial.TXDATA] = 0
    assert not port.machine.irq_pending()
    port[serial.DIV] = 0x1_2345
    assert [port[offset] for offset in (serial.TXCTRL, serial.RXCTRL, serial.IE, serial.DIV)] == [
        1 << 16, 2 << 16 | 1, serial.TXWM, 0x2345,
    ]  # fmt: skip


def test_a_count_down_expires_and_goes_on_from_the_top(timer):
    timer[cd.LOAD] = 1000
    assert timer[cd.CURRENT] == 0
    timer[cd.CONTROL] = cd.ENABLE
    timer.machine.advance(400)
    assert (timer[cd.CURRENT], timer[cd.RAW]) == (600, 0)
    timer.machine.advance(600)
    assert timer.machine.claim_irq() == timer.window.irq
    assert (timer[cd.STATUS], timer[cd.CURRENT]) == (1, 0xFFFFFFFF)
    assert timer[cd.EOI] == 0
    timer.machine.complete_irq(timer.window.irq)
    assert not timer.machine.irq_pending()
    assert timer.machine.next_event() == 1000 + 0xFFFFFFFF
    timer[cd.CONTROL] = 0
    assert timer.machine.next_event() is None
    assert timer[cd.EOI] == 0


def test_a_masked_expiry_shows_only_in_raw(timer):
    timer[cd.CONTROL] = cd.ENABLE | cd.MASK
    timer.machine.advance(1)
    assert (timer[cd.RAW], timer[cd.STATUS], timer.machine.irq_pending()) == (1, 0, False)
    timer[cd.CONTROL] = cd.ENABLE
    assert timer.machine.irq_pending()


@settings(max_examples=60, deadline=None)
@given(load=st.integers(0, 40), advances=st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=20))
def test_periodic_expiry_at_every_multiple(load, advances):
    timer = Registers("timer0")
    timer[cd.LOAD] = load
    timer[cd.CONTROL] = cd.ENABLE | cd.PERIODIC
    period, now, raised = max(load, 1), 0, False
    for ticks, acknowledge in advances:
        raised = raised or (now + ticks) // period > now // period
        now += ticks
        timer.machine.advance(ticks)
        assert timer[cd.RAW] == raised
        assert timer[cd.CURRENT] == period - now % period
        if acknowledge:
            timer[cd.EOI]
            raised = False


def test_a_new_load_takes_effect_when_the_counter_starts_anew(timer):
    timer[cd.LOAD] = 100
    timer[cd.CONTROL] = cd.ENABLE | cd.PERIODIC
    timer.machine.advance(50)
    timer[cd.LOAD] = 30
    assert (timer[cd.CURRENT], timer[cd.LOAD]) == (50, 30)
    timer.machine.advance(50)
    assert timer[cd.CURRENT] == 30


def test_other_sizes_are_refused(port, timer):
    for registers in (port, timer):
        with pytest.raises(BusError):
            registers.machine.bus.read(registers.window.region.base, 1)
