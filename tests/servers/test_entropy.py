"""The entropy driver: each byte once, whatever the device says about them."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capkernel.protocols.entropy import MAX_COUNT, Entropy
from capkernel.protocols.failures import Busy, Malformed
from capkernel.protocols.strategies import hostile_requests
from capkernel.user.loop import ENDPOINT_BADGE
from hwmodel.faults import Fault, FaultKind, FaultPlan
from hwmodel.seeded import seeded_bytes
from hwmodel.virtio import virtio_rng
from hwmodel.virtio.rng import VirtioRng
from servers.drivers import virtio_rng as driver
from servers.drivers.virtio import DeviceMisbehaved
from servers.drivers.virtio_rng import FILL, POOL, REPLIES
from tests.servers.bench import Bench

PAGE = 0x9000_0000
BOARD = "qemu_virt_riscv64"


def bench_of(*faults: Fault, seed: int = 3, **more: Any) -> Bench:
    plan = FaultPlan(faults, seed=1)
    devices = {"virtio0": virtio_rng(seed, plan=plan)}
    return Bench(driver, "virtio0", board=BOARD, devices=devices, rings=PAGE, rings_io=PAGE, **more)


def drawn(count: int, seed: int = 3) -> bytes:
    """What the device gives, in order."""
    return b"".join(seeded_bytes(FILL, seed, "entropy", number) for number in range(count))


def test_bytes_come_in_order_each_once_and_are_wiped_behind() -> None:
    bench = bench_of()
    got = b""
    for count in (1, 32, 256, 17, 200, 256):
        bench.advance(1000)
        got += bench.call(bench.client(Entropy, 2).read(count))
    assert got == drawn(4)[: len(got)]
    bench.advance(1000)
    assert bench.machine.read_bytes(PAGE + 0x800, FILL) == bytes(FILL)
    assert len(bench.program.source.pool) <= POOL


def test_who_asks_first_is_served_first_and_nobody_overtakes() -> None:
    bench = bench_of()
    asked = [bench.ask(bench.client(Entropy, 2 + n).read(count)) for n, count in enumerate((256, 1, 2, 3))]
    bench.advance(1000)
    assert bench.finished == asked
    assert b"".join(each.result for each in asked) == drawn(2)[:262]


def test_more_than_can_wait_are_told_so() -> None:
    bench = bench_of()
    asked = [bench.ask(bench.client(Entropy, 2 + n).read(9)) for n in range(REPLIES + 2)]
    assert [isinstance(each.error, Busy) for each in asked] == [False] * REPLIES + [True] * 2
    bench.advance(1000)
    assert all(each.is_over for each in asked)
    assert bench.program.servant.line == []


@pytest.mark.parametrize("count", [0, -1, MAX_COUNT + 1, 1 << 62])
def test_a_hostile_number_is_malformed(count: int) -> None:
    bench = bench_of()
    with pytest.raises(Malformed):
        bench.call(bench.client(Entropy, 2).read(count))


def patient(bench: Bench, count: int) -> bytes:
    """Read, with signs of life asked for now and then."""
    asked = bench.ask(bench.client(Entropy, 2).read(count))
    for _ in range(40):
        if asked.is_over:
            break
        bench.advance(1000)
        bench.heartbeat()
    return asked.result


@pytest.mark.parametrize("kind", [FaultKind.WRONG_ID, FaultKind.RESET, FaultKind.STALL, FaultKind.LOST_INTERRUPT])
@pytest.mark.parametrize("step", range(1, 9))
def test_a_device_that_goes_wrong_is_reset_and_serves_on(kind: FaultKind, step: int) -> None:
    assert len(patient(bench_of(Fault(step, kind, 1)), 256)) == 256


@pytest.mark.parametrize("length", [0, 1, 16, FILL - 1, FILL + 1, 1 << 31])
def test_a_length_that_is_not_true_gives_no_byte_that_was_not_written(length: int) -> None:
    bench = bench_of(*(Fault(step, FaultKind.WRONG_LENGTH, length) for step in range(1, 6)))
    got = patient(bench, 64)
    assert len(got) == 64
    for start in range(0, 64, 16):
        assert any(got[start : start + 16])


def test_a_device_that_repeats_itself_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwmodel.virtio.rng.seeded_bytes", lambda size, *seed: b"\x5a" * size)
    with pytest.raises(DeviceMisbehaved, match="repeats itself"):
        bench_of().advance(1000)


@settings(max_examples=25, deadline=None)
@given(requests=st.lists(st.tuples(st.integers(0, 25), hostile_requests(Entropy)), max_size=25))
def test_no_request_kills_the_driver(requests: list[Any]) -> None:
    bench = bench_of()
    for channel, request in requests:
        bench.deliver(ENDPOINT_BADGE | channel, request, lambda reply: None)
    bench.advance(1000)
    bench.heartbeat()
    assert isinstance(bench.machine.devices["virtio0"].function, VirtioRng)
    assert len(bench.call(bench.client(Entropy, 2).read(9))) == 9
