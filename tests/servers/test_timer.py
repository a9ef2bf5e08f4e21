"""Timers and clocks: nobody goes on too early, all in order, whatever others ask for."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capkernel.protocols.clocks import MAX_NS, MAX_US, RealTimeClock, Timer
from capkernel.protocols.failures import Busy, Malformed, NotPermitted, Unsupported
from capkernel.protocols.strategies import hostile_requests
from capkernel.user.loop import ENDPOINT_BADGE
from servers.drivers import rtc_goldfish, timer_capkernel, timer_sifive
from servers.drivers.timer import REPLIES
from tests.servers.bench import Bench

MAKERS = {
    "capkernel": lambda **more: Bench(timer_capkernel, "timer0", board="virt_iommu", **more),
    "sifive": lambda **more: Bench(timer_sifive, "timer0", board="virt_sifive", **more),
}
SECOND = 10**6


@pytest.fixture(params=list(MAKERS))
def make(request: Any) -> Any:
    return MAKERS[request.param]


def test_who_sleeps_goes_on_at_his_moment_not_before(make: Any) -> None:
    bench = make()
    timer = bench.client(Timer, 2)
    bench.advance(700)
    assert bench.call(timer.now()) == 700
    asked = bench.ask(timer.sleep(300))
    bench.advance(299)
    assert not asked.is_over
    bench.advance(1)
    assert asked.result is None
    assert bench.call(timer.now()) == 1000
    assert bench.ask(timer.sleep_until(999)).is_over
    assert bench.ask(timer.sleep(0)).is_over


@settings(max_examples=40, deadline=None)
@given(
    which=st.sampled_from(list(MAKERS)),
    sleeps=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 300)), min_size=1, max_size=REPLIES),
)
def test_many_wait_and_go_on_in_order(which: str, sleeps: list[tuple[int, int]]) -> None:
    bench, moments = MAKERS[which](), {}
    for number, (pause, us) in enumerate(sleeps):
        bench.advance(pause)
        moments[bench.ask(bench.client(Timer, 2 + number).sleep(us))] = bench.machine.now() // 10 + us
    for _ in range(700):
        for asked in bench.finished:
            assert bench.machine.now() // 10 >= moments[asked]
        bench.advance(1)
    assert len(bench.finished) == len(sleeps)
    waited = [asked for asked, (_, us) in zip(moments, sleeps, strict=True) if us]
    assert [asked for asked in bench.finished if asked in waited] == sorted(waited, key=lambda each: moments[each])


def test_equal_moments_keep_the_order_of_asking(make: Any) -> None:
    bench = make()
    asked = [bench.ask(bench.client(Timer, 9 - number).sleep_until(1000)) for number in range(5)]
    bench.advance(1000)
    assert bench.finished == asked


def test_more_than_the_places_are_told_so_and_leave_nothing_behind(make: Any) -> None:
    bench = make()
    asked = [bench.ask(bench.client(Timer, 2 + n).sleep(SECOND)) for n in range(REPLIES + 3)]
    assert [isinstance(each.error, Busy) for each in asked] == [False] * REPLIES + [True] * 3
    assert len(bench.program.keeper.deadlines.waiting) == REPLIES
    bench.advance(SECOND)
    assert all(each.is_over for each in asked)
    assert bench.ask(bench.client(Timer, 2).sleep(1)).error is None


def test_an_alarm_signals_its_client_and_no_other(make: Any) -> None:
    bench = make()
    bench.call(bench.client(Timer, 5).alarm(100, 0))
    bench.call(bench.client(Timer, 6).alarm(50, 200))
    bench.advance(1000)
    assert bench.signals == [6, 5, 6, 6, 6, 6]
    bench.call(bench.client(Timer, 6).cancel())
    bench.call(bench.client(Timer, 6).cancel())
    bench.advance(1000)
    assert len(bench.signals) == 6
    bench.call(bench.client(Timer, 5).alarm(100, 0))
    bench.call(bench.client(Timer, 5).alarm(300, 0))
    bench.advance(200)
    assert len(bench.signals) == 6
    bench.advance(100)
    assert bench.signals[6:] == [5]


def test_periods_that_passed_unseen_count_as_one_and_the_rhythm_stays(make: Any) -> None:
    bench = make()
    bench.call(bench.client(Timer, 5).alarm(100, 100))
    bench.machine.mask_irq(bench.window.irq, True)
    bench.advance(1_000_050)
    bench.machine.mask_irq(bench.window.irq, False)
    bench.settle()
    assert bench.signals == [5]
    bench.advance(50)
    assert bench.signals == [5, 5]


def test_a_lost_interrupt_is_made_good_by_a_sign_of_life(make: Any) -> None:
    bench = make()
    asked = bench.ask(bench.client(Timer, 2).sleep(100))
    bench.machine.mask_irq(bench.window.irq, True)
    bench.advance(500)
    assert not asked.is_over
    bench.heartbeat()
    assert asked.is_over


def test_a_wait_longer_than_the_device_can_count(make: Any) -> None:
    bench = make()
    asked = bench.ask(bench.client(Timer, 2).sleep(1000 * SECOND))
    bench.advance(999 * SECOND)
    assert not asked.is_over
    bench.advance(SECOND)
    assert asked.is_over


@pytest.mark.parametrize("number", [-1, -(1 << 63), MAX_US + 1, (1 << 63) - 1])
def test_hostile_numbers_are_malformed(make: Any, number: int) -> None:
    bench = make()
    timer = bench.client(Timer, 2)
    for refused in (timer.sleep(number), timer.sleep_until(number), timer.alarm(number, 0), timer.alarm(0, number)):
        with pytest.raises(Malformed):
            bench.call(refused)
    with pytest.raises(Malformed, match="at least 100"):
        bench.call(timer.alarm(1, 99))
    assert not bench.ask(timer.sleep(MAX_US)).is_over


@settings(max_examples=30, deadline=None)
@given(data=st.data(), which=st.sampled_from(list(MAKERS)))
def test_no_request_kills_the_timer(data: st.DataObject, which: str) -> None:
    bench = MAKERS[which]()
    requests = data.draw(st.lists(st.tuples(st.integers(0, 25), hostile_requests(Timer)), max_size=25))
    for channel, request in requests:
        bench.deliver(ENDPOINT_BADGE | channel, request, lambda reply: None)
    assert len(bench.program.keeper.deadlines.waiting) <= REPLIES + 20
    bench.heartbeat()
    assert bench.call(bench.client(Timer, 3).now()) == 0


# The real-time clock

EPOCH = 1_735_689_600_000_000_000


def clock(board: str = "virt_iommu", **more: Any) -> Bench:
    return Bench(rtc_goldfish, "rtc0", board=board, **more)


@pytest.mark.parametrize("board", ["virt_iommu", "virt_sifive"])
def test_the_clock_tells_the_time_and_may_be_set_by_one(board: str) -> None:
    bench = clock(board)
    bench.advance(1500)
    assert bench.call(bench.client(RealTimeClock, 2).now()) == EPOCH + 1_500_000
    with pytest.raises(NotPermitted):
        bench.call(bench.client(RealTimeClock, 2).set_time(0))
    setter = bench.client(RealTimeClock, rtc_goldfish.SETTER)
    bench.call(setter.set_time(123_456_789_012_345_600))
    bench.advance(1)
    assert bench.call(setter.now()) == 123_456_789_012_346_600


def test_alarms_of_the_day_are_signalled_also_when_the_clock_jumps() -> None:
    bench = clock()
    now = EPOCH
    bench.call(bench.client(RealTimeClock, 3).alarm(now + 3_000_000))
    bench.call(bench.client(RealTimeClock, 4).alarm(now + 1_000_000))
    bench.call(bench.client(RealTimeClock, 5).alarm(now + 10**15))
    bench.advance(999)
    assert bench.signals == []
    bench.advance(2001)
    assert bench.signals == [4, 3]
    bench.call(bench.client(RealTimeClock, rtc_goldfish.SETTER).set_time(now + 2 * 10**15))
    bench.settle()
    assert bench.signals == [4, 3, 5]


@pytest.mark.parametrize("number", [-1, -(1 << 63)])
def test_the_clock_takes_no_hostile_numbers(number: int) -> None:
    bench = clock()
    with pytest.raises(Malformed):
        bench.call(bench.client(RealTimeClock, 2).alarm(number))
    with pytest.raises(Malformed):
        bench.call(bench.client(RealTimeClock, rtc_goldfish.SETTER).set_time(number))
    bench.call(bench.client(RealTimeClock, 2).alarm(MAX_NS))
    bench.pd.values = type(bench.pd.values)(name="deaf")
    with pytest.raises(Unsupported):
        bench.call(bench.client(RealTimeClock, 2).alarm(MAX_NS))


@settings(max_examples=20, deadline=None)
@given(requests=st.lists(st.tuples(st.integers(0, 25), hostile_requests(RealTimeClock)), max_size=25))
def test_no_request_kills_the_clock(requests: list[Any]) -> None:
    bench = clock()
    for channel, request in requests:
        bench.deliver(ENDPOINT_BADGE | channel, request, lambda reply: None)
        bench.settle()
    bench.heartbeat()
    assert len(bench.program.deadlines.waiting) <= 20
