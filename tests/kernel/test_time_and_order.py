"""Who runs next, on whose time, to the tick: kernel, specification and invariants agree."""

import pytest

from capkernel.abi import labels
from capkernel.abi import objects as obj
from capkernel.abi import registers as reg
from capkernel.abi import syscalls as sc
from capkernel.kernel import syscall
from capkernel.kernel.caps import SchedContextCap
from capkernel.kernel.objects import RELEASE_QUEUE, BlockedOnReceive
from specs.programs import SLOTS, Compute, Layout, Syscall, Worker
from tests.kernel.rootcalls import Root
from tests.kernel.together import agreed, call, destroy, recv, send, wait

EQUALS = tuple(Worker(priority=120) for _ in range(3))


def test_a_receiver_runs_at_once_before_its_equals_who_are_ready() -> None:
    sends = Syscall(sc.NBSEND_RECV, SLOTS["ep1"], 0, (1,), reply=SLOTS["reply1"], dest=SLOTS["ep0"], thread=1)
    agreed(Layout(workers=EQUALS), recv("ep0", "reply0", thread=2), sends, Compute(10, thread=2))


def test_who_yielded_to_a_thread_has_its_answer_when_that_thread_is_destroyed() -> None:
    workers = Worker(priority=110), Worker(priority=110), Worker(priority=130)
    yields = call("sc0", labels.SCHED_CONTEXT_YIELD_TO, thread=1)
    delete = destroy("tcb0", thread=2)
    done = agreed(
        Layout(workers=workers), wait("ntfn0", thread=2), yields, Compute(400, thread=0), send("ntfn0", thread=0),
        *delete,
    )  # fmt: skip
    assert done.threads[1].yield_to is None
    assert done.threads[1].registers[reg.A2] > 0


@pytest.mark.parametrize("sporadic", [False, True])
def test_a_single_tick_before_somebody_else_runs_is_charged(sporadic: bool) -> None:
    worker = Worker(priority=120, budget=500, period=9_000, sporadic=sporadic)
    layout = Layout(workers=(worker, worker, worker), syscall_ticks=0)
    agreed(layout, *(wait("ntfn0", thread=thread) for thread in (2, 1, 0)))


def test_a_sporadic_context_begins_anew_when_it_is_bound() -> None:
    configure = call("sched_control", labels.SCHED_CONTROL_CONFIGURE_FLAGS, 50, 1_000, 0, 0, 1, caps=("sc_fresh",))
    bind = call("sc_fresh", labels.SCHED_CONTEXT_BIND, caps=("tcb_fresh",))
    done = agreed(Layout(), configure, Compute(2_000), bind)
    context = done.cap("sc_fresh")
    assert isinstance(context, SchedContextCap)
    assert context.sched_context.sporadic
    assert context.sched_context.tcb is not None


@pytest.mark.parametrize("sporadic", [False, True])
def test_a_thread_that_is_given_the_context_that_it_has_keeps_its_refills(sporadic: bool) -> None:
    workers = Worker(priority=120), Worker(priority=110, budget=500, period=9_000, sporadic=sporadic, extra_refills=2)
    given = call("tcb1", labels.TCB_SET_SCHED_PARAMS, 0, 110, caps=("tcb_root", "sc1", "ep1"), thread=0)
    agreed(Layout(workers=workers), wait("ntfn0", thread=0), Compute(100, thread=1), send("ntfn0", thread=1),
           Compute(3_000, thread=0), given, Compute(10, thread=0))  # fmt: skip


@pytest.mark.parametrize("computing", range(190, 194))
def test_who_has_at_least_the_least_budget_left_when_it_is_answered_does_not_time_out(computing: int) -> None:
    workers = (
        Worker(priority=130, serves=(SLOTS["ep0"], SLOTS["reply0"])),
        Worker(priority=120, budget=40, period=1_000, timeout=SLOTS["ep1"]),
    )  # fmt: skip
    answer = Syscall(sc.REPLY_RECV, SLOTS["ep0"], reply=SLOTS["reply0"], thread=0)
    asked = Compute(computing, thread=1), send("ep0", 1, number=sc.CALL, thread=1)
    done = agreed(Layout(workers=workers), *asked, Compute(30, thread=0), answer)
    context = done.threads[1].sched_context
    assert context is not None
    assert context.refills[0].amount == 393 - computing
    assert done.threads[1].fault is None


def test_who_ran_on_a_notification_s_time_gives_it_back_when_it_receives_again() -> None:
    workers = Worker(priority=130, passive=True, serves=(SLOTS["ep0"], SLOTS["reply0"])), Worker(priority=110)
    steps = (
        call("sched_control", labels.SCHED_CONTROL_CONFIGURE_FLAGS, 500, 5_000, 0, 0, 0, caps=("sc_fresh",), thread=1),
        call("sc_fresh", labels.SCHED_CONTEXT_BIND, caps=("ntfn0",), thread=1),
        call("tcb0", labels.TCB_BIND_NOTIFICATION, caps=("ntfn0",), thread=1),
        send("ntfn0_badge1", thread=1), Compute(10, thread=0), recv("ep0", "reply0", thread=0), Compute(10, thread=1),
    )  # fmt: skip
    done = agreed(Layout(workers=workers), *steps)
    assert isinstance(done.threads[0].state, BlockedOnReceive)
    assert done.threads[0].sched_context is None


def test_a_schedule_of_one_entry_goes_round() -> None:
    root = Root(num_domains=2, domain_schedule_length=1)
    state = root.state
    for _ in range(3):
        root.machine.advance(state.domain_time)
        syscall.handle_interrupt(state)
        assert (state.domain, state.domain_index, state.domain_time) == (0, 0, (1 << 56) - 1)
        assert state.current is root.thread


@pytest.mark.parametrize("early", range(-20, 21))
def test_a_domain_ends_when_less_than_the_least_budget_is_left_of_it(early: int) -> None:
    layout = Layout(schedule=((0, 20_000), (1, 8_000)), syscall_ticks=0)
    starts = call("domain", labels.DOMAIN_SCHEDULE_SET_START, 0)
    agreed(layout, starts, Compute(20_000 - 200 - early), call("tcb_root", labels.TCB_SET_TLS_BASE, 7), Compute(5))


def test_who_yielded_to_a_context_has_its_answer_when_that_is_destroyed() -> None:
    workers = Worker(priority=110), Worker(priority=110), Worker(priority=130)
    yields = call("sc0", labels.SCHED_CONTEXT_YIELD_TO, thread=1)
    done = agreed(
        Layout(workers=workers), wait("ntfn0", thread=2), yields, Compute(400, thread=0), send("ntfn0", thread=0),
        *destroy("sc0", thread=2),
    )  # fmt: skip
    assert done.threads[1].yield_to is None
    assert done.threads[1].registers[reg.A2] > 0


def test_who_yielded_has_its_answer_when_somebody_else_yields_to_the_same() -> None:
    workers = Worker(priority=110), Worker(priority=110), Worker(priority=130)
    first, second = (call("sc0", labels.SCHED_CONTEXT_YIELD_TO, thread=thread) for thread in (1, 2))
    awake = wait("ntfn0", thread=2), first, Compute(400, thread=0), send("ntfn0", thread=0)
    done = agreed(Layout(workers=workers), *awake, second)
    assert done.threads[1].yield_to is None
    assert done.threads[1].registers[reg.A2] > 0


def test_who_is_woken_by_a_notification_whose_time_is_used_up_waits_for_it() -> None:
    waiting = Worker(priority=130, passive=True, serves=(SLOTS["ntfn0"], SLOTS["reply0"]))
    steps = (
        call("sched_control", labels.SCHED_CONTROL_CONFIGURE_FLAGS, 50, 5_000, 0, 0, 0, caps=("sc_fresh",), thread=2),
        call("sc_fresh", labels.SCHED_CONTEXT_BIND, caps=("ntfn0",), thread=2), send("ntfn0_badge1", thread=2),
        Compute(800, thread=0), call("sc_fresh", labels.SCHED_CONTEXT_UNBIND_OBJECT, caps=("tcb0",), thread=2),
        send("ntfn0_badge1", thread=2), Compute(10, thread=2),
    )  # fmt: skip
    done = agreed(Layout(workers=(waiting, waiting, Worker(priority=110))), *steps)
    assert done.threads[1].queued == RELEASE_QUEUE


@pytest.mark.parametrize("unbound", ["sc2", "sc_spare"])
def test_who_runs_on_a_notification_s_time_and_takes_a_message_has_no_time_left(unbound: str) -> None:
    """Also if the sender, whose message it takes, has none any more."""
    workers = (
        Worker(priority=130, passive=True, serves=(SLOTS["ep1"], SLOTS["reply0"])), Worker(priority=110),
        Worker(priority=140),
    )  # fmt: skip
    steps = (
        send("ep0", 7, thread=2), call(unbound, labels.SCHED_CONTEXT_UNBIND, thread=1),
        call("sched_control", labels.SCHED_CONTROL_CONFIGURE_FLAGS, 500, 5_000, 0, 0, 0, caps=("sc_fresh",), thread=1),
        call("sc_fresh", labels.SCHED_CONTEXT_BIND, caps=("ntfn0",), thread=1),
        call("tcb0", labels.TCB_BIND_NOTIFICATION, caps=("ntfn0",), thread=1),
        send("ntfn0_badge1", thread=1), Compute(10, thread=0), recv("ep0", "reply0", thread=0),
        Compute(10, thread=1 if unbound == "sc2" else 2),
    )  # fmt: skip
    done = agreed(Layout(workers=workers), *steps)
    assert done.threads[0].sched_context is None


def test_a_running_thread_that_is_given_used_up_time_waits_for_it() -> None:
    workers = Worker(priority=120, budget=100, period=10_000), Worker(priority=110)
    unbind, bind = labels.SCHED_CONTEXT_UNBIND, labels.SCHED_CONTEXT_BIND
    done = agreed(
        Layout(workers=workers), Compute(1_500, thread=0), call("sc0", unbind, thread=1),
        call("sc0", bind, caps=("tcb0",), thread=1), Compute(10, thread=1),
    )  # fmt: skip
    assert done.threads[0].queued == RELEASE_QUEUE


def test_all_whose_time_has_come_wake_together_in_the_order_in_which_they_began_to_wait() -> None:
    worker = Worker(priority=120, budget=20, period=100)
    workers = worker, worker, worker, Worker(priority=110)
    layout = Layout(workers=workers, syscall_ticks=5_000)
    agreed(
        layout, *(Compute(400, thread=thread) for thread in (2, 1, 0)), *3 * (call("tcb3", labels.TCB_SET_TLS_BASE, 7),)
    )


@pytest.mark.parametrize("node", ["cnode4", "cnode2"])
@pytest.mark.parametrize("units", [1, 2, 3])
def test_a_long_operation_stops_after_just_so_many_units(units: int, node: str) -> None:
    worker = Worker(priority=120, budget=40, period=1_000)
    layout = Layout(workers=(worker,), work_units_per_preemption=units, work_unit_ticks=60)
    agreed(layout, *destroy(node, thread=0))


def test_when_nobody_has_anything_to_do_the_timer_is_set_to_never() -> None:
    root = Root(num_domains=1)
    told: list[int] = []
    root.state.machine.set_deadline = told.append
    root.ecall(sc.WAIT, a0=root.make(obj.NOTIFICATION))
    config = root.state.config
    assert root.state.current is root.state.idle
    assert told[-1] == (1 << 64) - 1 - config.timer_precision_us * config.ticks_per_us


def test_without_the_option_nobody_takes_the_fast_path(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(state: object) -> bool:
        raise AssertionError("taken")

    monkeypatch.setattr(syscall, "FASTPATHS", dict.fromkeys(syscall.FASTPATHS, never))
    Root(fastpath=False).make(obj.ENDPOINT)
    with pytest.raises(AssertionError, match="taken"):
        Root(fastpath=True).make(obj.ENDPOINT)
