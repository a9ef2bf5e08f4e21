"""A machine with a disk, a network card and entropy, all failing at random: from a snapshot, the same follows again."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodel.block import RamDisk
from hwmodel.board import find_board
from hwmodel.faults import Fault, FaultKind, FaultPlan
from hwmodel.machine import Machine
from hwmodel.network import LoopEnd, loop
from hwmodel.virtio import registers as reg
from hwmodel.virtio import virtio_blk, virtio_net, virtio_rng
from hwmodel.virtio.blk import FLUSH, FLUSH_OUT, IN, OUT
from tests.hwmodel.boards import WITH_IOMMU
from tests.hwmodel.virtiodriver import FEATURES, RAM, Driver

DEVICES = ("virtio0", "virtio1", "virtio2")
HEADS = {("virtio0", 0): (0, 3, 5), ("virtio1", 0): (0, 1, 2), ("virtio1", 1): (0, 2), ("virtio2", 0): (0, 1)}
"""The first descriptors of prepared requests, by device and queue."""

Rig = tuple[Machine, LoopEnd, dict[str, Driver]]


def rig(board: str, plans: list[FaultPlan]) -> Rig:
    near, far = loop()
    devices = {
        "virtio0": virtio_blk(RamDisk(1 << 15), plan=plans[0]),
        "virtio1": virtio_net(near, plan=plans[1]),
        "virtio2": virtio_rng(3, plan=plans[2]),
    }
    machine = Machine(find_board(board), ram_size=RAM, devices=devices)
    drivers = {name: Driver(machine, name, slot=slot) for slot, name in enumerate(DEVICES)}
    for name, driver in drivers.items():
        features = FEATURES | reg.RING_EVENT_IDX | (FLUSH if name == "virtio0" else 0)
        driver.start(features, queues=1 + (name == "virtio1"))
    prepare_disk(drivers["virtio0"])
    prepare_others(drivers)
    return machine, far, drivers


def prepare_disk(driver: Driver) -> None:
    place, queue = driver.buffers, driver.queues[0]
    for number, (kind, sector) in enumerate(((OUT, 3), (FLUSH_OUT, 0), (IN, 2))):
        driver.memory.poke(place + 16 * number, struct.pack("<IIQ", kind, 0, sector))
    driver.memory.poke(place + 0x1000, b"data" * 2560)
    queue.descriptor(0, place, 16, 1, 1)
    queue.descriptor(1, place + 0x1000, 10_240, 1, 2)
    queue.descriptor(2, place + 64, 1, 2)
    queue.descriptor(3, place + 16, 16, 1, 2)
    queue.descriptor(5, place + 32, 16, 1, 6)
    queue.descriptor(6, place + 0x4000, 10_240, 3, 2)


def prepare_others(drivers: dict[str, Driver]) -> None:
    card, source = drivers["virtio1"], drivers["virtio2"]
    for number in range(3):
        card.queues[0].descriptor(number, card.buffers + 2048 * number, 2048, 2)
    for number in (0, 2):
        card.queues[1].descriptor(number, card.buffers + 0x4000 + number, 90, 0)
    for number in range(2):
        source.queues[0].descriptor(number, source.buffers, 5000 * (number + 1), 2)


actions = st.one_of(
    st.tuples(st.just("offer"), st.sampled_from(sorted(HEADS)), st.integers(0, 2)),
    st.tuples(st.just("offer"), st.sampled_from(sorted(HEADS)), st.integers(0, 2)),
    st.tuples(st.just("advance"), st.integers(1, 60)),
    st.tuples(st.just("advance"), st.integers(20, 400)),
    st.tuples(st.just("frame"), st.binary(min_size=14, max_size=80)),
    st.tuples(st.just("store"), st.sampled_from(DEVICES), st.just((reg.INTERRUPT_ACK, 3))),
    st.tuples(st.just("store"), st.just("virtio2"), st.just((reg.STATUS, 0))),
    st.tuples(st.just("claim")),
)
KINDS = st.sampled_from([*FaultKind, *list(FaultKind)[3:]])
plans = st.builds(
    FaultPlan,
    st.lists(
        st.builds(Fault, st.integers(1, 25), KINDS, st.integers(-1, 20)), min_size=3, max_size=8
    ).map(tuple),
    st.integers(0, 3),
)


def perform(rig: Rig, action: tuple) -> object:
    machine, far, drivers = rig
    kind, *rest = action
    if kind == "offer":
        (name, number), choice = rest
        queue, heads = drivers[name].queues[number], HEADS[name, number]
        (queue.submitted,) = struct.unpack("<H", drivers[name].memory.peek(queue.available + 2, 2))
        queue.offer(heads[choice % len(heads)])
        queue.notify()
    elif kind == "advance":
        machine.advance(rest[0])
    elif kind == "frame":
        far.send(rest[0])
        machine.poll_input()
    elif kind == "store":
        drivers[rest[0]].store(*rest[1])
    elif irq := machine.claim_irq():
        machine.complete_irq(irq)
    return machine.now(), machine.next_event(), machine.irq_pending(), far.receive(99)


some = st.lists(actions, min_size=15, max_size=30)


@pytest.mark.parametrize("board", WITH_IOMMU)
@settings(max_examples=30, deadline=None)
@given(before=some, after=some, plans=st.lists(plans, min_size=3, max_size=3))
def test_the_same_follows_in_this_machine_and_in_another(board, before, after, plans):
    first = rig(board, plans)
    machine = first[0]
    for action in before:
        perform(first, action)
    saved, digest = machine.snapshot(), machine.digest()
    expected = [perform(first, action) for action in after]
    end, activated = machine.digest(), [machine.devices[name].faults.activated for name in DEVICES]
    machine.restore(saved)
    assert machine.digest() == digest
    other = rig(board, plans)
    other[0].restore(saved)
    for again in (first, other):
        assert [perform(again, action) for action in after] == expected
        assert again[0].digest() == end
        assert [again[0].devices[name].faults.activated for name in DEVICES] == activated
