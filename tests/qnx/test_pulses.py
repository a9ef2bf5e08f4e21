"""Pulses: none is lost or made up, the highest priority is first, a ring that is full or spoilt harms nobody else."""

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capkernel.user.messages import SharedRegion
from servers.qnx.errors import Errno, QnxError
from servers.qnx.pulses import Pulse, PulseQueue, PulseRing, PulseSender, capacity_of

REGION = SharedRegion(0, 16 + 4 * 16)
PULSES = st.builds(Pulse, st.integers(-128, 127), st.integers(0, 2**64 - 1), st.integers(0, 255))


class Page:
    """Stands in for a domain: a page of memory, and how often it was notified."""

    def __init__(self) -> None:
        self.memory = bytearray(REGION.size)
        self.signals = 0

    async def read(self, vaddr: int, size: int) -> bytes:
        return bytes(self.memory[vaddr : vaddr + size])

    async def write(self, vaddr: int, data: bytes) -> None:
        assert vaddr + len(data) <= REGION.size
        self.memory[vaddr : vaddr + len(data)] = data

    async def store(self, vaddr: int, value: int) -> None:
        self.memory[vaddr : vaddr + 8] = struct.pack("<Q", value % 2**64)

    async def notify(self, channel: int) -> None:
        self.signals += 1


def ran(work: Any) -> Any:
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waited")


def ends() -> tuple[Page, PulseSender, PulseRing]:
    page: Any = Page()
    return page, PulseSender(page, REGION, 1), PulseRing(page, REGION)


@given(st.lists(st.one_of(PULSES, st.none())))
def test_a_ring_gives_what_was_accepted_in_its_order_and_refuses_what_has_no_place(steps: list[Pulse | None]) -> None:
    """None stands for taking what is there."""
    page, sender, ring = ends()
    waiting: list[Pulse] = []
    for step in steps:
        if step is None:
            assert ran(ring.take(0)) == waiting
            waiting.clear()
        elif len(waiting) < capacity_of(REGION):
            ran(sender.send(step.priority, step.code, step.value))
            waiting.append(step)
        else:
            with pytest.raises(QnxError) as failure:
                ran(sender.send(step.priority, step.code, step.value))
            assert failure.value.errno == Errno.EAGAIN
    assert ran(ring.take(0)) == waiting


@given(st.lists(PULSES))
def test_the_queue_is_ordered_by_priority_and_then_by_age(pulses: list[Pulse]) -> None:
    queue = PulseQueue()
    for pulse in pulses:
        queue.put(pulse)
    assert [queue.pop() for _ in pulses] == sorted(pulses, key=lambda pulse: -pulse.priority)


WORDS = st.integers(0, 2**64 - 1) | st.sampled_from([0, 1, 2**64 - 2, 2**64 - 1])


@given(st.lists(WORDS, min_size=2, max_size=2), PULSES)
def test_a_receiver_may_write_anything_into_its_ring_and_the_sender_goes_on(counts: list[int], pulse: Pulse) -> None:
    page, sender, _ = ends()
    page.memory[:16] = struct.pack("<2Q", *counts)
    before = bytes(page.memory)
    if counts[0] - counts[1] < capacity_of(REGION):
        ran(sender.send(pulse.priority, pulse.code, pulse.value))
        assert struct.unpack_from("<Q", page.memory)[0] == (counts[0] + 1) % 2**64
        assert len(page.memory) == len(before)
        return
    with pytest.raises(QnxError) as failure:
        ran(sender.send(pulse.priority, pulse.code, pulse.value))
    assert failure.value.errno == Errno.EAGAIN
    assert bytes(page.memory) == before


@given(st.binary(min_size=REGION.size, max_size=REGION.size))
def test_a_sender_may_write_anything_into_its_ring_and_the_receiver_goes_on(noise: bytes) -> None:
    page, sender, ring = ends()
    page.memory[:] = noise
    assert len(ran(ring.take(0))) <= capacity_of(REGION)
    assert ran(ring.take(0)) == []
    ran(sender.send(1, 2, 3))
    assert ran(ring.take(0)) == [Pulse(2, 3, 1)]


WRONG = [(128, 0, 0), (-129, 0, 0), (0, 1 << 64, 0), (0, -1, 0), (0, 0, 256)]


@pytest.mark.parametrize(("code", "value", "priority"), WRONG)
def test_what_does_not_fit_is_refused_where_it_is_sent(code: int, value: int, priority: int) -> None:
    page, sender, _ = ends()
    with pytest.raises(QnxError) as failure:
        ran(sender.send(priority, code, value))
    assert failure.value.errno == Errno.EINVAL
    assert page.signals == 0
