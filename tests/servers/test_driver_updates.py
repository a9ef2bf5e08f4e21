"""Drivers that give way to others in the middle of their work: no alarm, no key and no frame is lost or comes twice."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capkernel.protocols.block import SECTOR, Block
from capkernel.protocols.clocks import RealTimeClock, Timer
from capkernel.protocols.console import Console, ConsoleInput, Ending, Line
from capkernel.protocols.entropy import Entropy
from capkernel.protocols.failures import Busy, Failure, ServerDied
from capkernel.protocols.link import SLOT, Frame, Link
from hwmodel.network import loop
from hwmodel.virtio import virtio_net as network_card
from hwmodel.virtio import virtio_rng as entropy_device
from servers.drivers import (
    console_ns16550,
    console_sifive,
    deadlines,
    ram_disk,
    rtc_goldfish,
    timer,
    timer_capkernel,
    timer_sifive,
    virtio_net,
    virtio_rng,
)
from servers.drivers.console import KeptKeys, Keys, Terminal, restore_keys
from servers.drivers.deadlines import KeptAlarm, KeptAlarms
from servers.drivers.timer import KeptSleeper, KeptTimes
from servers.drivers.virtio_net import KeptCard
from servers.system.retiring import UnusableState
from servers.system.waiting import keep_request
from tests.servers.update_bench import STATE_IN_RAM, UpdateBench

PACKETS = 0x9100_0000
SETTINGS = {"state": STATE_IN_RAM, "state_size": 0x4000}
TIMERS = {"capkernel": (timer_capkernel, "timer0", "virt_iommu"), "sifive": (timer_sifive, "timer0", "virt_sifive")}
CONSOLES = {
    "ns16550": (console_ns16550, "uart0", "virt_iommu"), "sifive": (console_sifive, "uart0", "virt_sifive"),
}  # fmt: skip


def started(module: Any, window: str, board: str, **more: Any) -> UpdateBench:
    return UpdateBench(module, window, board=board, **{**SETTINGS, **more})


def replaced(
    bench: UpdateBench, module: Any, window: str, board: str, *, channel: int = 20, **more: Any
) -> UpdateBench:
    """The next program; ``signals`` begins anew."""
    assert bench.gives_way(channel)
    return started(module, window, board, machine=bench.machine, life=bench.pd.life + 1, former=bench, **more)


@settings(max_examples=40, deadline=None)
@given(
    which=st.sampled_from(list(TIMERS)),
    alarms=st.dictionaries(
        st.integers(2, 9), st.tuples(st.integers(0, 900), st.sampled_from([0, 1000, 1700])), min_size=1
    ),
    moments=st.lists(st.integers(1, 400), max_size=4),
)
def test_every_alarm_comes_at_its_moment_however_often_the_driver_is_replaced(
    which: str, alarms: dict[int, tuple[int, int]], moments: list[int]
) -> None:
    stayed, moving = started(*TIMERS[which]), started(*TIMERS[which])
    for channel, (after, period) in alarms.items():
        for bench in (stayed, moving):
            bench.call(bench.client(Timer, channel).alarm(after, period))
    heard: list[int] = []
    for pause in [*moments, 3000]:
        stayed.advance(pause)
        moving.advance(pause)
        heard += [channel for channel in moving.signals if channel != 1]
        moving = replaced(moving, *TIMERS[which])
    heard += [channel for channel in moving.signals if channel != 1]
    assert heard == stayed.signals
    stayed.signals.clear()
    moving.signals.clear()
    stayed.advance(5000)
    moving.advance(5000)
    assert moving.signals == stayed.signals


@settings(max_examples=40, deadline=None)
@given(
    which=st.sampled_from(list(TIMERS)),
    sleeps=st.lists(st.tuples(st.integers(0, 5000), st.booleans()), min_size=1, max_size=8),
    moments=st.lists(st.integers(1, 900), max_size=5),
)
def test_who_sleeps_goes_on_at_his_moment_however_often_the_driver_is_replaced(
    which: str, sleeps: list[tuple[int, bool]], moments: list[int]
) -> None:
    bench = started(*TIMERS[which])
    start = bench.machine.now() // 10
    asked = [
        bench.ask(client.sleep_until(start + us) if is_until else client.sleep(us))
        for client, (us, is_until) in ((bench.client(Timer, 2 + place), each) for place, each in enumerate(sleeps))
    ]
    began = bench.machine.now() // 10
    for pause in [*moments, 0]:
        bench.advance(pause)
        now = bench.machine.now() // 10
        for (us, _), each in zip(sleeps, asked, strict=True):
            assert each.is_over or now <= began + us + 1
            assert not each.is_over or now >= start + us
        bench = replaced(bench, *TIMERS[which])
    bench.advance(10_000)
    assert [(each.is_over, each.error) for each in asked] == [(True, None)] * len(asked)


@pytest.mark.parametrize("which", [*TIMERS, *CONSOLES])
def test_who_waits_for_a_driver_that_dies_is_told_so_by_the_next(which: str) -> None:
    kind = TIMERS.get(which) or CONSOLES[which]
    bench = started(*kind)
    waits = bench.client(Timer, 2).sleep(900) if which in TIMERS else bench.client(ConsoleInput, 10).read_keys()
    asked = bench.ask(waits)
    bench.ends()
    assert not asked.is_over
    after = started(*kind, machine=bench.machine, life=2, former=bench)
    assert isinstance(asked.error, ServerDied)
    after.heartbeat()


@pytest.mark.parametrize(("moment", "replies"), [(-1, 1), (timer.LAST + 1, 1), (5, 2), (5, 0)])
def test_nobody_sleeps_who_cannot_have_slept(monkeypatch: pytest.MonkeyPatch, moment: int, replies: int) -> None:
    """A moment that cannot be; two callers in one reply object; one in a reply object that there cannot be."""
    bench = started(*TIMERS["capkernel"])
    bench.ask(bench.client(Timer, 2).sleep(900))
    [(reply, message, _)] = bench.program.callers.waiting()
    request = keep_request(reply if replies else 302, message)
    forged = KeptTimes(KeptAlarms([]), [KeptSleeper(request, moment)] * (replies or 1))
    monkeypatch.setattr(timer, "KeptTimes", lambda alarms, sleepers: forged)
    assert bench.gives_way()
    monkeypatch.undo()
    with pytest.raises(UnusableState):
        started(*TIMERS["capkernel"], machine=bench.machine, life=2, former=bench)


def test_a_driver_without_memory_that_outlives_it_keeps_its_place() -> None:
    for module, window, board, channel in ((*TIMERS["capkernel"], 20), (rtc_goldfish, "rtc0", "virt_iommu", 21)):
        bench = UpdateBench(module, window, board=board, state=0)
        assert not bench.gives_way(channel)
        bench.heartbeat()


def test_the_clock_rings_for_those_who_asked_the_driver_before() -> None:
    bench = started(rtc_goldfish, "rtc0", "virt_iommu")
    clock = bench.client(RealTimeClock, 4)
    now = bench.call(clock.now())
    bench.call(clock.alarm(now + 2_000_000))
    bench.call(bench.client(RealTimeClock, 5).alarm(now + 3_000_000))
    after = replaced(bench, rtc_goldfish, "rtc0", "virt_iommu", channel=21)
    after.call(after.client(RealTimeClock, 5).cancel())
    after.advance(1_000)
    assert 4 not in after.signals
    after.advance(10_000)
    assert [channel for channel in after.signals if channel in (4, 5)] == [4]


@pytest.mark.parametrize("alarm", [KeptAlarm(-1, 0, 0), KeptAlarm(2, -1, 0), KeptAlarm(2, 0, -1), KeptAlarm(63, 0, 0)])
def test_no_alarm_is_set_that_nobody_can_have_set(alarm: KeptAlarm) -> None:
    bench = started(*TIMERS["capkernel"])
    with pytest.raises((ValueError, Failure)):
        bench.run(bench.program.keeper.alarms.take_up(KeptAlarms([alarm])))
    with pytest.raises(ValueError, match="no alarm"):
        bench.run(bench.program.keeper.alarms.take_up(KeptAlarms([KeptAlarm(2, 5, 0)] * 2)))
    assert isinstance(bench.program.keeper.alarms, deadlines.Alarms)


# Entropy


def test_who_waits_for_entropy_has_it_before_the_driver_goes() -> None:
    settings = {"rings": 0x9000_0000, "rings_io": 0x9000_0000}
    devices = {"virtio0": entropy_device(seed=1)}
    bench = UpdateBench(virtio_rng, "virtio0", board="qemu_virt_riscv64", devices=devices, **settings)
    asked = [bench.ask(bench.client(Entropy, 2 + number).read(256)) for number in range(4)]
    assert bench.gives_way()
    assert all(len(each.result) == 256 for each in asked)
    after = UpdateBench(virtio_rng, "virtio0", board="qemu_virt_riscv64", machine=bench.machine, life=2, **settings)
    after.advance(1000)
    drawn = after.call(after.client(Entropy, 2).read(64))
    assert drawn not in b"".join(each.result for each in asked)


# A disk in memory


def test_a_disk_in_memory_keeps_its_content() -> None:
    size = {"sectors": 8, "transfer": 0x9200_0000, "transfer_size": 0x1000}
    bench = started(ram_disk, "uart0", "virt_iommu", **size)
    block = bench.client(Block, 2)
    assert bench.call(block.info()).sectors == 8
    bench.machine.write_bytes(0x9200_0000, b"content".ljust(SECTOR, b"!") * 2)
    bench.call(block.write(3, 2, 0))
    after = replaced(bench, ram_disk, "uart0", "virt_iommu", **size)
    block = after.client(Block, 2)
    with pytest.raises(Failure):
        after.call(block.read(3, 1, 0))
    after.call(block.info())
    after.machine.write_bytes(0x9200_0000, bytes(2 * SECTOR))
    after.call(block.read(4, 1, SECTOR))
    assert after.machine.read_bytes(0x9200_0000 + SECTOR, 9) == b"content!!"
    assert not any(after.program.disk.content[5 * SECTOR :])


def test_a_disk_that_does_not_fit_into_the_memory_stays() -> None:
    bench = started(ram_disk, "uart0", "virt_iommu", sectors=64)
    assert not bench.gives_way()
    assert "bytes, and there is room for" in bench.said


# The console


@pytest.mark.parametrize("which", CONSOLES)
def test_a_line_that_is_being_typed_is_found_by_the_next_driver(which: str) -> None:
    bench = started(*CONSOLES[which])
    reader, writer = bench.client(ConsoleInput, 10), bench.client(Console, 2)
    asked = bench.ask(reader.read_line("name? "))
    bench.type("Ad\x7fnn")
    lines = [f"a line of client {number}" * 4 for number in range(3)]
    written = [bench.ask(bench.client(Console, 2 + number).write(line)) for number, line in enumerate(lines)]
    assert bench.gives_way()
    assert all(each.is_over and each.error is None for each in written)
    shown = bench.shown()
    assert [shown.count(line) for line in lines] == [1, 1, 1]
    assert shown.endswith("\r\x1b[K")
    after = started(*CONSOLES[which], machine=bench.machine, life=2, former=bench)
    after.advance(10_000)
    assert not asked.is_over
    assert after.shown() == "name? Ann"
    after = replaced(after, *CONSOLES[which])
    after.type("e\n")
    assert asked.result == Line(Ending.ENTERED, "Anne")
    after.ask(writer.write("the next line"))
    after.advance(10_000)
    assert "the next line" in after.shown()


@pytest.mark.parametrize("which", CONSOLES)
def test_who_has_lent_the_keys_has_them_again_when_they_are_given_back(which: str) -> None:
    bench = started(*CONSOLES[which])
    lent = bench.call(bench.client(ConsoleInput, 10).lend())
    bench.call(lent.set_echo(False))
    bench.type("äb")
    after = replaced(bench, *CONSOLES[which])
    ground, borrower = after.client(ConsoleInput, 10), after.client(ConsoleInput, 10)
    borrower.cap = lent.cap
    with pytest.raises(Busy):
        after.call(ground.read_keys())
    assert after.call(borrower.read_keys()) == "äb"
    assert [each.is_echoing for each in after.program.keys.focus] == [True, False]
    after.call(borrower.drop())
    after.type("c")
    assert after.call(ground.read_keys()) == "c"


def test_half_a_key_is_made_whole_by_the_next_driver() -> None:
    bench = started(*CONSOLES["ns16550"])
    first, second = "ä".encode()
    bench.line.feed(bytes((first,)))
    while bench.machine.poll_input():
        bench.advance(1000)
    after = replaced(bench, *CONSOLES["ns16550"])
    after.line.feed(bytes((second,)))
    while after.machine.poll_input():
        after.advance(1000)
    assert after.call(after.client(ConsoleInput, 10).read_keys()) == "ä"


def test_keys_that_arrive_while_nobody_is_there_are_not_lost() -> None:
    bench = started(*CONSOLES["ns16550"])
    assert bench.gives_way()
    bench.line.feed(b"abc")
    bench.machine.poll_input()
    after = started(*CONSOLES["ns16550"], machine=bench.machine, life=2)
    while after.machine.poll_input():
        after.advance(1000)
    after.heartbeat()
    assert after.call(after.client(ConsoleInput, 10).read_keys()) == "abc"


def test_too_many_keys_keep_the_driver_and_the_line_is_there_again() -> None:
    bench = started(*CONSOLES["ns16550"], state_size=0x200)
    bench.type("x" * 400)
    asked = bench.ask(bench.client(ConsoleInput, 10).read_line("> "))
    bench.advance(200_000)
    assert not bench.gives_way()
    bench.shown()
    bench.heartbeat()
    bench.advance(100_000)
    bench.ask(bench.client(Console, 2).write("above"))
    bench.advance(100_000)
    shown = bench.shown()
    assert "above" in shown
    assert "> xxxx" in shown.split("above")[1]
    bench.type("\n")
    assert asked.result.ending is Ending.ENTERED


FORGED = [
    {"echoing": []},
    {"rest": b"1234"},
    {"objects": [-2]},
    {"objects": [9]},
]


@pytest.mark.parametrize("changes", FORGED, ids=str)
def test_keys_that_nobody_can_have_had_are_refused(changes: dict[str, Any]) -> None:
    bench = started(*CONSOLES["ns16550"])
    keys = Keys(bench.pd, Terminal(bench.pd, bench.program.terminal.port))
    state = {"line": "", "typed": "", "rest": b"", "echoing": [True], "objects": [], "caps": [], "waiting": []}
    restore_keys(KeptKeys(**state), keys, bench.program.service)
    with pytest.raises(ValueError, match=r"."):
        restore_keys(KeptKeys(**{**state, **changes}), keys, bench.program.service)


# The network card


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["send", "arrive", "replace"]), st.integers(1, 5)), max_size=14))
def test_every_frame_is_sent_once_and_one_that_arrived_is_had_once(steps: list[tuple[str, int]]) -> None:
    wire, machines = loop()
    devices = {"virtio0": network_card(machines)}
    places = {"rings": 0x9000_0000, "rings_io": 0x9000_0000, "packets_io": PACKETS}
    card = ("virtio0", "qemu_virt_riscv64")
    bench = started(virtio_net, *card, devices=devices, **places)
    link = bench.client(Link, 2)
    info = bench.call(link.open())
    half = info.slots // 2
    to_provide, free = list(range(half)), list(range(half, info.slots))
    sent: list[bytes] = []
    arrived: list[bytes] = []
    expected: list[bytes] = []
    number = 0
    for step, count in [("provide", 0), *steps, ("replace", 1), ("send", 1), ("provide", 0), ("provide", 0)]:
        frames: list[Frame] = []
        if step == "send":
            for _ in range(min(count, len(free))):
                number += 1
                sent.append(f"frame {number}".encode().ljust(60, b"."))
                frames.append(Frame(free.pop(), 60))
                bench.machine.write_bytes(PACKETS + frames[-1].slot * SLOT, sent[-1])
        elif step == "arrive":
            for _ in range(count):
                number += 1
                expected.append(f"frame {number}".encode().ljust(60, b"!"))
                wire.send(expected[-1])
            bench.machine.poll_input()
        done = bench.call(link.exchange(frames, to_provide[:16]))
        del to_provide[:16]
        bench.advance(100)
        if step == "replace":
            bench = replaced(bench, virtio_net, *card, **places)
            link = bench.client(Link, 2)
            assert 2 in bench.signals, "the client is told that there may be news"
        free += done.sent
        arrived += [bench.machine.read_bytes(PACKETS + frame.slot * SLOT, frame.size) for frame in done.received]
        to_provide += [frame.slot for frame in done.received]
    for _ in range(4):
        bench.machine.poll_input()
        bench.advance(1000)
        done = bench.call(link.exchange([], []))
        free += done.sent
        arrived += [bench.machine.read_bytes(PACKETS + frame.slot * SLOT, frame.size) for frame in done.received]
    assert wire.receive(1000) == sent
    assert arrived == expected
    assert sorted(free) == list(range(half, info.slots)), "every slot came back once"


@pytest.mark.parametrize("kept", [
    KeptCard(True, [1, 1], [], []),
    KeptCard(True, [], [Frame(1, 60)], [1]),
    KeptCard(True, [99], [], []),
    KeptCard(True, [], [Frame(1, SLOT + 1)], []),
], ids=str)  # fmt: skip
def test_slots_that_no_card_can_have_had_are_refused(kept: KeptCard) -> None:
    places = {"rings": 0x9000_0000, "rings_io": 0x9000_0000, "packets_io": PACKETS}
    devices = {"virtio0": network_card(loop()[0])}
    bench = started(virtio_net, "virtio0", "qemu_virt_riscv64", devices=devices, **places)
    with pytest.raises(ValueError, match="slot"):
        bench.run(bench.program.link.take_up(kept))
    assert not bench.program.link.is_open
