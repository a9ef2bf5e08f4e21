"""A network card and a source of entropy; cables, a pseudo-terminal, and what arrives only when polled."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodel import network
from hwmodel.backend import PtyBackend
from hwmodel.board import find_board
from hwmodel.machine import Machine
from hwmodel.network import NoPeer, TapPeer, TapUnavailable, loop
from hwmodel.virtio import registers as reg
from hwmodel.virtio import virtio_net, virtio_rng
from hwmodel.virtio.net import MAC, MTU, RECEIVE, STATUS, TRANSMIT, WAITING_FRAMES
from tests.hwmodel.virtiodriver import FEATURES, RAM, Driver

FRAME = b"\xff" * 6 + b"\x02\0\0\0\0\x01" + b"\x08\0" + b"payload"


class Card(Driver):
    """A driver of a network card."""

    def start_card(self, buffers: int = 4, features: int = FEATURES | MAC | STATUS | MTU) -> "Card":
        self.start(features, queues=2)
        for slot in range(buffers):
            self.queues[RECEIVE].submit([(self.receive_place(slot), 2048, True)])
        self.queues[RECEIVE].notify()
        self.settle()
        return self

    def receive_place(self, slot: int) -> int:
        return self.buffers + 0x1_0000 + 2048 * slot

    def transmit(self, *frames: bytes) -> None:
        for slot, frame in enumerate(frames):
            place = self.buffers + 2048 * slot
            self.memory.poke(place, bytes(12) + frame)
            self.queues[TRANSMIT].submit([(place, 12, False), (place + 12, len(frame), False)])
        self.queues[TRANSMIT].notify()
        self.settle()
        assert len(self.queues[TRANSMIT].completions()) == len(frames)

    def received(self) -> list[bytes]:
        """Return the frames received since the last call, and make their buffers available again."""
        frames = []
        for head, length in self.queues[RECEIVE].completions():
            data = self.memory.peek(self.receive_place(head), length)
            assert data[:12] == bytes(10) + b"\x01\0"
            frames.append(data[12:])
            self.queues[RECEIVE].offer(head)
        self.queues[RECEIVE].notify()
        self.settle()
        return frames

    def poll(self) -> int:
        count = self.machine.poll_input()
        self.settle()
        return count


def card(peer, **options) -> Card:
    machine = Machine(find_board("virt_iommu"), ram_size=RAM, devices={"virtio1": virtio_net(peer, **options)})
    return Card(machine, "virtio1")


def test_configuration():
    driver = card(NoPeer(), mac=b"abcdef", mtu=1400)
    base, bus = driver.window.region.base + reg.CONFIG, driver.machine.bus
    assert bytes(bus.read(base + i, 1) for i in range(6)) == b"abcdef"
    assert [bus.read(base + i, 2) for i in (6, 8, 10)] == [1, 1, 1400]
    assert driver.load(reg.DEVICE_ID) == 1
    with pytest.raises(ValueError, match="6 bytes"):
        card(NoPeer(), mac=b"abc")


def test_the_cable_is_pulled_and_the_driver_is_told():
    near, far = loop()
    driver = card(near).start_card()
    generation = driver.load(reg.CONFIG_GENERATION)
    driver.device.function.set_link(False)
    driver.device.configuration_changed()
    assert driver.load(reg.INTERRUPT_STATUS) == reg.CONFIG_CHANGE
    assert driver.load(reg.CONFIG_GENERATION) == generation + 1
    assert driver.machine.bus.read(driver.window.region.base + reg.CONFIG + 6, 2) == 0
    driver.transmit(FRAME)
    far.send(FRAME)
    assert driver.poll() == 1
    assert (far.receive(9), driver.received(), driver.device.function.lost) == ([], [], 2)


def test_frames_arrive_only_when_polled():
    near, far = loop()
    driver = card(near).start_card()
    far.send(FRAME)
    driver.machine.advance(10_000)
    assert driver.received() == []
    assert driver.poll() == 1
    assert driver.received() == [FRAME]
    driver.transmit(FRAME, FRAME + b"2")
    assert far.receive(9) == [FRAME, FRAME + b"2"]
    assert driver.device.function.lost == 0


frames = st.lists(st.binary(min_size=14, max_size=1518), max_size=6)


@settings(max_examples=30, deadline=None)
@given(rounds=st.lists(st.tuples(frames, frames, st.booleans()), max_size=4))
def test_frames_are_neither_lost_nor_changed(rounds):
    near, far = loop()
    driver = card(near).start_card()
    got, expected = [], []
    for outgoing, incoming, restart in rounds:
        for frame in incoming:
            far.send(frame)
        expected += incoming
        driver.poll()
        if restart:
            saved = driver.machine.snapshot()
            driver.machine.advance(100)
            driver.machine.restore(saved)
        got += driver.received()
        driver.transmit(*outgoing[:4])
        assert far.receive(9) == outgoing[:4]
    got += driver.received() + driver.received()
    assert got == expected
    assert not driver.broken


def test_too_many_frames_wait_in_the_peer_and_too_long_ones_are_lost():
    near, far = loop()
    driver = card(near).start_card(buffers=0)
    for _ in range(WAITING_FRAMES + 5):
        far.send(FRAME)
    assert driver.poll() == WAITING_FRAMES
    assert driver.poll() == 0
    assert len(near.receive(99)) == 5
    driver.queues[RECEIVE].submit([(driver.buffers, 20, True)])
    driver.queues[RECEIVE].notify()
    driver.settle()
    assert driver.queues[RECEIVE].completions() == []
    assert driver.device.function.lost == WAITING_FRAMES
    far.send(bytes(1600))
    driver.poll()
    driver.transmit(bytes(1600))
    assert driver.device.function.lost == WAITING_FRAMES + 2


@pytest.mark.parametrize(("queue", "size", "writable"), [(TRANSMIT, 11, False), (TRANSMIT, 64, True)])
def test_requests_of_the_wrong_kind_break_the_card(queue, size, writable):
    driver = card(NoPeer()).start_card()
    driver.queues[queue].submit([(driver.buffers, size, writable)])
    driver.queues[queue].notify()
    driver.settle()
    assert driver.broken


def test_two_cards_of_one_machine():
    one, other = loop()
    devices = {"virtio0": virtio_net(one), "virtio1": virtio_net(other, mac=b"\x02other")}
    machine = Machine(find_board("virt_iommu"), ram_size=RAM, devices=devices)
    left, right = Card(machine, "virtio0").start_card(), Card(machine, "virtio1", slot=1).start_card()
    left.transmit(FRAME)
    saved = machine.snapshot()
    right.poll()
    assert right.received() == [FRAME]
    machine.restore(saved)
    right.queues[RECEIVE].seen = 0
    right.poll()
    assert len(right.queues[RECEIVE].completions()) == 1


def test_a_tap_device_is_refused_with_a_reason(monkeypatch, tmp_path):
    monkeypatch.setattr(network, "_TUN_DEVICE", str(tmp_path / "missing"))
    with pytest.raises(TapUnavailable, match="CAP_NET_ADMIN"):
        TapPeer("tap0")
    (tmp_path / "missing").write_bytes(b"")
    with pytest.raises(TapUnavailable, match="tap0"):
        TapPeer("tap0")


def test_a_tap_device_moves_frames_both_ways(monkeypatch, tmp_path):
    os.mkfifo(tmp_path / "tun")
    monkeypatch.setattr(network, "_TUN_DEVICE", str(tmp_path / "tun"))
    monkeypatch.setattr(network.fcntl, "ioctl", lambda *arguments: 0)
    peer = TapPeer("tap0")
    assert peer.receive(3) == []
    peer.send(FRAME)  # a FIFO gives it back
    assert peer.receive(3) == [FRAME]
    peer.close()


def entropy(driver: Driver, size: int) -> bytes:
    driver.queues[0].submit([(driver.buffers, size, True)])
    driver.queues[0].notify()
    driver.settle()
    ((_, length),) = driver.queues[0].completions()
    return driver.memory.peek(driver.buffers, length)


def test_entropy_follows_from_the_seed():
    def source(seed: int) -> Driver:
        board = find_board("virt_iommu")
        return Driver(Machine(board, ram_size=RAM, devices={"virtio0": virtio_rng(seed)})).start()

    one, same, other = source(1), source(1), source(2)
    first = entropy(one, 10_000)
    assert len(first) == 10_000
    assert first == entropy(same, 10_000) != entropy(other, 10_000)
    saved = one.machine.snapshot()
    second = entropy(one, 64)
    assert second != first[:64]
    one.machine.restore(saved)
    one.queues[0].seen -= 1
    one.queues[0].submitted -= 1
    assert entropy(one, 64) == second
    assert one.load(reg.DEVICE_ID) == 4
    one.queues[0].submit([(one.buffers, 64, False)])
    one.queues[0].notify()
    one.settle()
    assert one.broken


def test_a_serial_line_on_a_pseudo_terminal():
    backend = PtyBackend()
    machine = Machine(find_board("virt_iommu"), ram_size=RAM, uart_backend=backend)
    terminal = os.open(backend.path, os.O_RDWR | os.O_NOCTTY)
    uart = machine.board.device("uart0").region.base
    try:
        assert machine.poll_input() == 0
        os.write(terminal, b"k")
        assert machine.poll_input() == 1
        assert machine.bus.read(uart, 1) == ord("k")
        for code in b"out\n":
            machine.bus.write(uart, 1, code)
        shown = b""
        while len(shown) < 4:  # the host passes it on when it likes
            shown += os.read(terminal, 4 - len(shown))
        assert shown == b"out\n"
        for _ in range(PtyBackend.LIMIT + 20_000):  # nobody reads: what does not fit is lost
            backend.write(ord("x"))
        assert len(os.read(terminal, 10)) == 10
    finally:
        os.close(terminal)
        backend.close()
