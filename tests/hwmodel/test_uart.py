"""The serial port, as a driver sees it."""

import io

from hypothesis import given
from hypothesis import strategies as st

from hwmodel.backend import BufferBackend, FileBackend, TerminalBackend
from hwmodel.board import find_board
from hwmodel.machine import Machine
from hwmodel.uart import (
    FCR,
    IER,
    IER_LINE,
    IER_MODEM,
    IER_RX,
    IER_THRE,
    IIR,
    IIR_FIFOS,
    IIR_LINE,
    IIR_MODEM,
    IIR_NONE,
    IIR_RX,
    IIR_THRE,
    IIR_TIMEOUT,
    LCR,
    LCR_DLAB,
    LSR,
    LSR_DR,
    LSR_OE,
    MCR,
    MCR_LOOP,
    MSR,
    RBR,
    SCR,
    THR,
    TIMEOUT_TICKS,
    TRIGGER_LEVELS,
)

UART = 0x1000_0000
IRQ = 10


class Driver:
    """Byte access to the registers of a machine's serial port, with its interrupt let through."""

    def __init__(self, backend=None) -> None:
        self.machine = Machine(find_board("qemu_virt_riscv64"), ram_size=1 << 20, uart_backend=backend)
        self.machine.mask_irq(IRQ, False)
        self.backend = self.machine.uart_backend

    def get(self, register: int) -> int:
        return self.machine.bus.read(UART + register, 1)

    def put(self, register: int, value: int) -> None:
        self.machine.bus.write(UART + register, 1, value)

    def type(self, text: bytes) -> int:
        self.backend.feed(text)
        return self.machine.poll_input()


def test_output_is_sent_at_once_in_order():
    driver = Driver()
    for code in b"capabilities":
        assert driver.get(LSR) & 0x20
        driver.put(THR, code)
    assert driver.backend.text == "capabilities"


@given(text=st.binary(max_size=60), fifo=st.booleans())
def test_input_arrives_whole_and_in_order(text, fifo):
    driver = Driver()
    driver.put(FCR, 1 if fifo else 0)
    driver.backend.feed(text)
    got = bytearray()
    while driver.machine.poll_input():
        while driver.get(LSR) & LSR_DR:
            got.append(driver.get(RBR))
    assert got == text


@given(level=st.integers(0, 3), count=st.integers(1, 16))
def test_receive_interrupt_at_the_trigger_level_or_after_a_pause(level, count):
    driver = Driver()
    driver.put(FCR, 1 | level << 6)
    driver.put(IER, IER_RX)
    driver.type(b"x" * count)
    reached = count >= TRIGGER_LEVELS[level]
    assert driver.machine.irq_pending() == reached
    assert driver.get(IIR) == IIR_FIFOS | (IIR_RX if reached else IIR_NONE)
    driver.machine.advance(TIMEOUT_TICKS)
    assert driver.machine.claim_irq() == IRQ
    assert driver.get(IIR) == IIR_FIFOS | (IIR_RX if reached else IIR_TIMEOUT)
    for _ in range(count):
        driver.get(RBR)
    driver.machine.complete_irq(IRQ)
    assert not driver.machine.irq_pending()
    assert driver.machine.next_event() is None


def test_transmit_interrupt_is_cleared_by_reading_iir():
    driver = Driver()
    driver.put(IER, IER_THRE)
    assert driver.machine.claim_irq() == IRQ
    assert driver.get(IIR) == IIR_THRE
    assert driver.get(IIR) == IIR_NONE
    driver.machine.complete_irq(IRQ)
    assert not driver.machine.irq_pending()
    driver.put(THR, 65)
    assert driver.machine.irq_pending()


def test_overrun_is_reported_once():
    driver = Driver()
    driver.put(FCR, 1)
    driver.put(IER, IER_LINE)
    driver.machine.devices["uart0"].receive(bytes(range(20)))
    assert driver.get(IIR) == IIR_FIFOS | IIR_LINE
    assert driver.get(LSR) & LSR_OE
    assert not driver.get(LSR) & LSR_OE
    assert [driver.get(RBR) for _ in range(17)] == [*range(16), 0]


def test_without_fifos_the_last_byte_wins():
    driver = Driver()
    driver.machine.devices["uart0"].receive(b"ab")
    assert driver.get(LSR) & (LSR_DR | LSR_OE) == LSR_DR | LSR_OE
    assert driver.get(RBR) == ord("b")


def test_divisor_latch_scratch_and_loopback():
    driver = Driver()
    driver.put(LCR, LCR_DLAB | 3)
    driver.put(0, 0x34)
    driver.put(1, 0x12)
    assert (driver.get(0), driver.get(1), driver.get(LCR)) == (0x34, 0x12, LCR_DLAB | 3)
    driver.put(LCR, 3)
    assert driver.get(IER) == 0
    driver.put(SCR, 0xA5)
    assert driver.get(SCR) == 0xA5
    assert driver.get(MSR) == 0xB0
    driver.put(IER, IER_MODEM)
    driver.put(MCR, MCR_LOOP | 0x0A)
    assert driver.get(IIR) == IIR_MODEM
    assert driver.get(MSR) == 0x90 | 0x02
    assert driver.get(IIR) == IIR_NONE
    driver.put(THR, 0x42)
    assert driver.get(RBR) == 0x42
    assert driver.backend.text == ""


def test_clearing_the_receive_fifo():
    driver = Driver()
    driver.put(FCR, 1)
    driver.type(b"abc")
    driver.put(FCR, 3)
    assert not driver.get(LSR) & LSR_DR
    assert driver.machine.next_event() is None


def test_files_and_terminals():
    class Screen(io.BytesIO):
        flushes = 0

        def flush(self) -> None:
            self.flushes += 1

    screen = Screen()
    driver = Driver(TerminalBackend(screen, io.BytesIO(b"yes")))
    for code in b"ok\n":
        driver.put(THR, code)
    assert (screen.getvalue(), screen.flushes) == (b"ok\n", 1)
    driver.put(FCR, 1)
    assert driver.machine.poll_input() == 3
    assert bytes(driver.get(RBR) for _ in range(3)) == b"yes"
    assert FileBackend(io.BytesIO()).read(5) == b""


def test_a_buffer_can_go_back_and_forth():
    buffer = BufferBackend()
    buffer.feed(b"in")
    buffer.write(1)
    early = buffer.snapshot()
    buffer.write(2)
    assert buffer.read(9) == b"in"
    late = buffer.snapshot()
    buffer.restore(early)
    assert (bytes(buffer.output), buffer.read(1)) == (b"\1", b"i")
    buffer.restore(late)
    assert (bytes(buffer.output), buffer.read(1)) == (b"\1\2", b"")
