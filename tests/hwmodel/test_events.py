"""Virtual time: the clock, the kernel's deadline and the order of events."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwmodel.events import EventQueue
from hwmodel.timer import NEVER, KernelTimer


@given(
    planned=st.lists(st.tuples(st.integers(0, 50), st.sampled_from("ab"), st.integers(0, 3))),
    stops=st.lists(st.integers(0, 60)),
)
def test_events_run_by_tick_and_then_by_order_of_scheduling(planned, stops):
    clock = KernelTimer()
    queue = EventQueue(clock)
    ran = []
    for name in "ab":
        queue.connect(name, lambda code, name=name: ran.append((clock.now, name, code)))
    for event in planned:
        queue.schedule(*event)
    for stop in sorted(stops):
        queue.run_events(stop)
        assert clock.now == stop
        assert ran == [event for event in sorted(planned, key=lambda e: e[0]) if event[0] <= stop]
    queue.run_events(60)
    assert ran == sorted(planned, key=lambda event: event[0])
    assert queue.next_event() is None


def test_an_event_may_schedule_another_that_is_due_as_well():
    clock = KernelTimer()
    queue = EventQueue(clock)
    seen = []

    def step(code: int) -> None:
        seen.append((clock.now, code))
        if code < 3:
            queue.schedule(clock.now + 10, "device", code + 1)

    queue.connect("device", step)
    queue.schedule(5, "device", 0)
    queue.run_events(30)
    assert seen == [(5, 0), (15, 1), (25, 2)]
    assert queue.upcoming() == [(35, 3, "device", 3)]
    queue.cancel("device", 3)
    assert queue.next_event() is None


def test_an_event_in_the_past_happens_now_and_names_are_checked():
    clock = KernelTimer()
    queue = EventQueue(clock)
    queue.connect("device", lambda code: None)
    clock.now = 100
    queue.schedule(3, "device")
    assert queue.next_event() == 100
    with pytest.raises(ValueError, match="two devices"):
        queue.connect("device", lambda code: None)
    with pytest.raises(ValueError, match="no device"):
        queue.schedule(1, "other")


def test_the_kernel_timer_is_a_level():
    timer = KernelTimer()
    assert not timer.timer_pending()
    timer.set_deadline(10)
    timer.now = 9
    assert not timer.timer_pending()
    timer.now = 10
    assert timer.timer_pending()
    assert timer.next_event() == 10
    timer.masked = True
    assert not timer.timer_pending()
    assert timer.next_event() is None
    timer.masked = False
    timer.set_deadline(None)
    assert not timer.timer_pending()
    timer.set_deadline(NEVER + 5)
    assert timer.next_event() is None
