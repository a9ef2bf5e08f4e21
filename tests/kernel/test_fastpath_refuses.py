"""When something else is due, the fast path leaves a message to the slow one: at each tick around that moment."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from capkernel.abi import labels
from capkernel.abi import syscalls as sc
from capkernel.kernel import syscall
from capkernel.kernel.state import State
from specs.programs import SLOTS, Compute, Layout, Program, Step, Syscall, Worker, world_of
from specs.programs.layout import FREE, TEST_BITS
from specs.refinement.check import beside, script
from tests.kernel.together import agreed, call, send, wait

SERVED = (
    Worker(priority=120), Worker(priority=130, passive=True, serves=(SLOTS["ep0"], SLOTS["reply0"])),
    Worker(priority=125, budget=1_000, period=4_000), Worker(priority=110),
)  # fmt: skip
CALLING, ANSWERING = (
    send("ep0", 1, number=sc.CALL, thread=0),
    Syscall(sc.REPLY_RECV, SLOTS["ep0"], 0, (7,), reply=SLOTS["reply0"], thread=1),
)
SLOW_ENTRY = 40
"""Ticks from the trap to the kernel's look at the clock; the timer is set 10 ticks early."""


def _around(layout: Layout, before: tuple[Step, ...], due: int, message: tuple[Step, ...]) -> None:
    """Let the running thread compute until about ``due``, an absolute tick, and begin a message then."""
    now = world_of(layout).machine.now()
    for early in range(SLOW_ENTRY // 2, 2 * SLOW_ENTRY):
        steps = *before, Compute(due - now - 2 * SLOW_ENTRY + early), *message, Compute(1)
        execution, _ = beside(Program(layout, steps))
        assert execution.problem is None, script(Program(layout, steps))


def _after(layout: Layout, steps: tuple[Step, ...]) -> None:
    execution, _ = beside(Program(layout, steps))
    assert execution.problem is None
    assert not [text for text in execution.ran if text.startswith("skipped")], execution.ran


@pytest.mark.parametrize("message", ["call", "answer"])
def test_a_message_in_the_last_moment_of_a_domain_s_time(message: str) -> None:
    layout = Layout(workers=SERVED, schedule=((0, 30_000), (1, 8_000)), syscall_ticks=SLOW_ENTRY)
    start = call("domain", labels.DOMAIN_SCHEDULE_SET_START, 0, thread=0)
    before: tuple[Step, ...] = (wait("ntfn1", 2), start, Compute(1))
    if message == "answer":
        before = wait("ntfn1", 2), start, CALLING, Compute(1)
    _after(layout, before)
    state = world_of(layout).state
    end = state.time + state.domain_time
    for due in (end, end - state.min_budget):
        _after(layout, before)
        _around(layout, before, due, (CALLING,) if message == "call" else (ANSWERING,))


@pytest.mark.parametrize("message", ["call", "answer"])
def test_a_message_in_the_moment_in_which_another_thread_s_time_comes_back(message: str) -> None:
    layout = Layout(workers=SERVED, syscall_ticks=SLOW_ENTRY)
    before: tuple[Step, ...] = (Compute(20_000, thread=2), Compute(1, thread=0))
    if message == "answer":
        before = Compute(20_000, thread=2), CALLING, Compute(1, thread=1)
    _after(layout, before)
    state = world_of(layout).state
    waiting = state.release.head
    assert waiting is not None
    assert waiting.sched_context is not None
    _around(layout, before, waiting.sched_context.refills[0].time, (CALLING,) if message == "call" else (ANSWERING,))


@pytest.mark.parametrize("message", ["call", "answer", "signal", "call to a server with time of its own"])
def test_a_message_in_the_last_moment_of_the_caller_s_budget(message: str) -> None:
    workers = replace(SERVED[0], budget=1_000, period=9_000), *SERVED[1:]
    if message.endswith("its own"):
        workers = workers[0], replace(SERVED[1], passive=False), *SERVED[2:]
    layout = Layout(workers=workers, syscall_ticks=SLOW_ENTRY)
    before: tuple[Step, ...] = (wait("ntfn1", 2), Compute(1, thread=0))
    if message == "answer":
        before = wait("ntfn1", 2), CALLING, Compute(1, thread=1)
    _after(layout, before)
    state = world_of(layout).state
    end = state.time + state.current_sc.refills[0].amount - state.consumed
    signal = send("ntfn1", number=sc.SEND, thread=0)
    said = {"call": (CALLING,), "answer": (ANSWERING,), "signal": (signal,)}.get(message, (CALLING, ANSWERING))
    for due in (end, end - state.min_budget):
        _after(layout, before)
        _around(layout, before, due, said)


def test_an_answer_while_a_signal_waits_at_the_bound_notification() -> None:
    workers = SERVED[0], replace(SERVED[1], notification=SLOTS["ntfn0"]), *SERVED[2:]
    signalled = wait("ntfn1", 2), CALLING, send("ntfn0_badge2", number=sc.NBSEND, thread=1), ANSWERING
    done = agreed(Layout(workers=workers), *signalled)
    assert done.threads[1].registers[10] == 2, "the badge of the signal"


def test_a_plain_exchange_takes_both_fast_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are not so careful that they are never taken."""
    layout = Layout(workers=SERVED)
    world_of(layout)
    taken = []

    def counted(path: Callable[[State], bool]) -> Callable[[State], bool]:
        def noted(state: State) -> bool:
            done = path(state)
            taken.append(done)
            return done

        return noted

    monkeypatch.setattr(syscall, "FASTPATHS", {number: counted(path) for number, path in syscall.FASTPATHS.items()})
    agreed(layout, wait("ntfn1", 2), CALLING, ANSWERING)
    assert taken == [True] * 4, "a call and an answer, and the program is run twice"


@pytest.mark.parametrize("mask", range(16))
def test_the_rights_of_the_cap_decide_on_both_paths(mask: int) -> None:
    """A call through a copy with these rights, to a server that waits; then an answer that waits on such a copy."""
    made = SLOTS["cnode"], labels.CNODE_COPY, (FREE[0], TEST_BITS, SLOTS["ep0"], TEST_BITS, mask), (SLOTS["cnode"],)
    layout, copied = Layout(workers=SERVED), Syscall(sc.CALL, *made, thread=0)
    agreed(layout, wait("ntfn1", 2), copied, Syscall(sc.CALL, FREE[0], 0, (1,), thread=0))
    answered = Syscall(sc.REPLY_RECV, FREE[0], 0, (7,), reply=SLOTS["reply0"], thread=1)
    agreed(layout, wait("ntfn1", 2), copied, CALLING, answered)


@pytest.mark.parametrize("priority", [108, 109, 110, 111])
def test_who_is_ready_with_a_higher_priority_goes_first(priority: int) -> None:
    """A thread of priority 110 is ready when the server, or the caller, with this one gets a message."""
    server = replace(SERVED[1], priority=priority)
    called = wait("ntfn1", 2), CALLING, Compute(1), Compute(1)
    agreed(Layout(workers=(SERVED[0], server, *SERVED[2:])), *called)
    caller = replace(SERVED[0], priority=priority)
    woken = send("ntfn1", number=sc.SEND, thread=1)
    waiting = replace(SERVED[3], serves=(SLOTS["ntfn1"], 0))
    answered = wait("ntfn0", 2), CALLING, woken, ANSWERING, Compute(1)
    agreed(Layout(workers=(caller, *SERVED[1:3], waiting)), *answered)
