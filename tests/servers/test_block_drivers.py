"""Two drivers for one disk: whatever is asked for at the same time, each does all of it, and the disk has the same."""

from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capkernel.protocols.block import SECTOR, Block
from capkernel.protocols.failures import Malformed, ServerDied
from hwmodel.block import RamDisk
from hwmodel.faults import Fault, FaultKind, FaultPlan
from hwmodel.virtio import virtio_blk as disk_device
from servers.drivers import virtio_blk, virtio_blk_elevator
from servers.drivers.virtio_blk import CLIENTS, FIRST_READER
from tests.servers.bench import Bench

RINGS, TRANSFER = 0x9000_0000, 0x9001_0000
WRITERS = range(CLIENTS.start, FIRST_READER)
SHARE = 16
"""Sectors of the disk and of the transfer region that each client uses for himself."""
SECTORS = SHARE * len(WRITERS)
BEAT_US = 10_000
drivers = pytest.mark.parametrize("driver", [virtio_blk, virtio_blk_elevator], ids=["in order", "elevator"])
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["read", "write", "flush"]), st.integers(0, SHARE - 1), st.integers(1, SHARE),
        st.integers(0, SHARE - 1),
    ),
    max_size=8,
)  # fmt: skip
FAULTS = st.sampled_from(
    [
        FaultKind.LOST_INTERRUPT,
        FaultKind.RESET,
        FaultKind.WRONG_LENGTH,
        FaultKind.WRONG_ID,
        FaultKind.STALL,
        FaultKind.INTERRUPT_STORM,
    ]
)


class Station:
    """A driver, its disk, and clients who ask for one thing after the other, all at the same time."""

    def __init__(self, driver: ModuleType, faults: tuple[Fault, ...] = ()) -> None:
        self.medium = RamDisk(SECTORS * SECTOR)
        devices = {"virtio0": disk_device(self.medium, plan=FaultPlan(faults, 1))}
        self.bench = Bench(
            driver, "virtio0", board="qemu_virt_riscv64", devices=devices, rings=RINGS, rings_io=RINGS,
            transfer_io=TRANSFER, transfer_size=SECTORS * SECTOR,
        )  # fmt: skip
        self.bench.machine.write_bytes(TRANSFER, bytes(n * 7 % 251 for n in range(SECTORS * SECTOR)))
        self.clients = {channel: self.bench.client(Block, channel) for channel in WRITERS}

    def play(self, plans: dict[int, list[tuple[str, int, int, int]]]) -> list[Any]:
        """Let each client ask for the next thing whenever he was answered; what came of it all."""
        for client in self.clients.values():
            self.bench.call(client.info())
        pending, left, done = {}, {channel: list(steps) for channel, steps in plans.items()}, []
        for _ in range(400):
            for channel in WRITERS:
                if channel in pending and pending[channel].is_over:
                    done.append(pending.pop(channel))
                if channel not in pending and left.get(channel):
                    pending[channel] = self.bench.ask(self.ask(channel, *left[channel].pop(0)))
            if not pending:
                return done
            self.bench.advance(BEAT_US)
            self.bench.heartbeat()
        raise AssertionError("somebody is never answered")

    def ask(self, channel: int, what: str, sector: int, count: int, offset: int) -> Any:
        """A request within a client's own part."""
        client, base = self.clients[channel], (channel - WRITERS.start) * SHARE
        count = min(count, SHARE - sector, SHARE - offset)
        if what == "flush":
            return client.flush()
        return getattr(client, what)(base + sector, count, (base + offset) * SECTOR)


def expected(plans: dict[int, list[tuple[str, int, int, int]]]) -> tuple[bytes, bytes]:
    """Disk and transfer region if everybody had asked alone."""
    disk, region = bytearray(SECTORS * SECTOR), bytearray(n * 7 % 251 for n in range(SECTORS * SECTOR))
    for channel, steps in plans.items():
        base = (channel - WRITERS.start) * SHARE
        for what, sector, count, offset in steps:
            count = min(count, SHARE - sector, SHARE - offset)
            at, there = (base + sector) * SECTOR, (base + offset) * SECTOR
            if what == "read":
                region[there : there + count * SECTOR] = disk[at : at + count * SECTOR]
            elif what == "write":
                disk[at : at + count * SECTOR] = region[there : there + count * SECTOR]
    return bytes(disk), bytes(region)


@drivers
@settings(max_examples=20, deadline=None)
@given(
    st.dictionaries(st.sampled_from(WRITERS), STEPS), st.lists(st.builds(Fault, st.integers(1, 60), FAULTS), max_size=2)
)
def test_everybody_is_answered_and_the_disk_has_what_was_written(
    driver: ModuleType, plans: dict[int, list[tuple[str, int, int, int]]], faults: list[Fault]
) -> None:
    station = Station(driver, tuple(faults))
    for asked in station.play(plans):
        assert asked.error is None
    station.play({WRITERS.start: [("flush", 0, 1, 0)]})
    disk, region = expected(plans)
    assert station.medium.contents() == disk
    assert station.bench.machine.read_bytes(TRANSFER, len(region)) == region


def order_of(driver: ModuleType) -> list[int]:
    """In which order four reads at once are answered."""
    station = Station(driver)
    for client in station.clients.values():
        station.bench.call(client.info())
    sectors = (40, 4, 60, 20)
    asked = [
        station.bench.ask(client.read(sector, 1, 0))
        for sector, client in zip(sectors, station.clients.values(), strict=True)
    ]
    station.bench.finished.clear()
    station.bench.advance(BEAT_US)
    return [sectors[asked.index(each)] for each in station.bench.finished]


def test_the_elevator_takes_them_on_its_way_up_and_the_other_as_they_came() -> None:
    assert order_of(virtio_blk) == [40, 4, 60, 20]
    assert order_of(virtio_blk_elevator) == [40, 60, 4, 20]


@drivers
def test_nobody_uses_a_disk_that_he_did_not_ask_about_nor_more_of_it_than_there_is(driver: ModuleType) -> None:
    station = Station(driver)
    client = station.clients[WRITERS.start]
    with pytest.raises(ServerDied):
        station.bench.call(client.read(0, 1, 0))
    station.bench.call(client.info())
    for sector, count, offset in ((SECTORS, 1, 0), (0, 0, 0), (-1, 1, 0), (0, SECTORS, SECTOR), (SECTORS - 1, 2, 0)):
        with pytest.raises(Malformed):
            station.bench.call(client.write(sector, count, offset))
