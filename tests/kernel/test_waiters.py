"""What becomes of those who wait when what they wait for goes away; kernel, specification and invariants agree."""

from dataclasses import replace

import pytest

from capkernel.abi import labels
from capkernel.abi import syscalls as sc
from capkernel.kernel.caps import EndpointCap
from capkernel.kernel.objects import INACTIVE, Blocked, BlockedOnReceive, BlockedOnReply, BlockedOnSend
from specs.programs import SLOTS, Access, Compute, Layout, Step, Syscall, Worker
from specs.programs.layout import TEST_BITS
from tests.kernel.together import agreed, call, destroy, recv, send, wait

FOUR = (
    Worker(priority=120, fault=SLOTS["ep1"]),
    Worker(priority=119, budget=500, period=9_000, sporadic=True, extra_refills=2, fault=SLOTS["ep1"]),
    Worker(priority=118, budget=500, period=500, fault=SLOTS["ep1"]),
    Worker(priority=117, fault=SLOTS["ep0"]),
)
WORLD = Layout(workers=FOUR)
FAULT = Access("exec", 0x4_0000_0000, thread=3)


def test_receivers_of_a_destroyed_endpoint_make_their_call_again_and_fault() -> None:
    steps = recv("ep0", "reply0", 0), recv("ep0", "reply1", 1), wait("ep0", 2)
    done = agreed(WORLD, *steps, FAULT_ELSEWHERE, *destroy("ep0"), Compute(10))
    for index in (0, 1, 2):
        state = done.threads[index].state
        assert isinstance(state, BlockedOnSend), "a cap fault waits at the handler"
        assert done.threads[index].fault is not None


FAULT_ELSEWHERE = recv("ntfn1", thread=3)
"""Keeps the fourth worker quiet."""


def test_senders_of_a_destroyed_endpoint_make_their_call_again_and_who_delivers_a_fault_stops() -> None:
    steps = send("ep0", 1, thread=0), send("ep0_badged", 2, number=sc.CALL, thread=1), send("ep0", 3, thread=2), FAULT
    done = agreed(WORLD, *steps, *destroy("ep0"), Compute(10))
    assert done.threads[3].state is INACTIVE
    assert done.threads[3].fault is not None
    for index in (0, 1, 2):
        assert not isinstance(done.threads[index].state, Blocked), "there is no cap any more, and it goes on"


@pytest.mark.parametrize("computing", [10, 6_000, 100_000])
def test_those_woken_by_the_end_of_a_notification_have_the_refills_that_the_pause_left_them(computing: int) -> None:
    steps = wait("ntfn0", 0), wait("ntfn0", 1), wait("ntfn0", 2), wait("ntfn1", 3), Compute(computing)
    done = agreed(WORLD, *steps, *destroy("ntfn0"), Compute(10))
    assert all(isinstance(done.threads[index].state, BlockedOnSend) for index in (0, 1, 2))


@pytest.mark.parametrize("badged", ["ep0_badged", "ep0"])
def test_cancelling_badged_sends_wakes_the_senders_with_that_badge_only(badged: str) -> None:
    steps: list[Step] = [
        send("ep0_badged", 1, thread=0), send("ep0", 2, thread=1), send("ep0_badged", 3, number=sc.CALL, thread=2),
        wait("ntfn1", 3), call("cnode", labels.CNODE_CANCEL_BADGED_SENDS, SLOTS[badged], TEST_BITS, thread=-1),
    ]  # fmt: skip
    done = agreed(WORLD, *steps)
    assert isinstance(done.threads[1].state, BlockedOnSend)


def test_a_cancelled_sender_whose_sporadic_time_came_back_meanwhile_goes_on_with_it() -> None:
    steps: list[Step] = [
        wait("ntfn1", 0), Compute(300, thread=1), send("ep0_badged", 1, thread=1), wait("ntfn1", 2), wait("ntfn1", 3),
        Compute(150_000), call("cnode", labels.CNODE_CANCEL_BADGED_SENDS, SLOTS["ep0_badged"], TEST_BITS, thread=-1),
    ]  # fmt: skip
    agreed(WORLD, *steps, Compute(100), Compute(20))


@pytest.mark.parametrize("badge", [0, 1])
def test_cancelling_while_receivers_wait_does_nothing(badge: int) -> None:
    steps = recv("ep0", "reply0", 0), wait("ep0", 1), wait("ntfn1", 2), wait("ntfn1", 3)
    name = ("ep0", "ep0_badged")[badge]
    cancel = call("cnode", labels.CNODE_CANCEL_BADGED_SENDS, SLOTS[name], TEST_BITS, thread=-1)
    done = agreed(WORLD, *steps, cancel)
    assert isinstance(done.threads[0].state, BlockedOnReceive)
    assert isinstance(done.cap("ep0"), EndpointCap)


PASSIVE = Layout(workers=(
    Worker(priority=120), Worker(priority=130, passive=True, serves=(SLOTS["ep0"], SLOTS["reply0"])),
    Worker(priority=140, budget=500, period=9_000, sporadic=True), Worker(priority=110),
))  # fmt: skip
QUIET = wait("ntfn1", 2)


@pytest.mark.parametrize("destroyed", ["ep0", "reply0", "tcb1", "sc0"])
def test_what_a_caller_waits_through_is_destroyed_while_the_server_has_its_time(destroyed: str) -> None:
    served = QUIET, send("ep0", 1, number=sc.CALL, thread=0), wait("ntfn1", 1), wait("ntfn1", 3)
    done = agreed(PASSIVE, *served, *destroy(destroyed), Compute(30))
    if destroyed == "ep0":
        assert isinstance(done.threads[0].state, BlockedOnReply)


@pytest.mark.parametrize("own", ["tcb0", "sc0"])
def test_a_thread_that_deletes_itself_or_its_time_within_a_long_operation_that_is_then_preempted(own: str) -> None:
    """The cap lies in a CNode that it deletes, and that takes longer than it has time."""
    layout = Layout(work_units_per_preemption=1, work_unit_ticks=2_000, workers=(
        Worker(priority=120, budget=300, period=9_000), Worker(priority=100), Worker(priority=100), Worker(priority=99),
    ))  # fmt: skip
    move = labels.CNODE_MOVE
    steps: list[Step] = [
        call("cnode4", move, 0, 2, SLOTS["ntfn1"], TEST_BITS, caps=("cnode",), thread=0),
        call("cnode4", move, 3, 2, SLOTS[own], TEST_BITS, caps=("cnode",), thread=0),
        call("cnode", labels.CNODE_DELETE, SLOTS["cnode4"], TEST_BITS, thread=0),
    ]  # fmt: skip
    agreed(layout, *steps, Compute(10), Compute(30_000), Compute(30_000))


@pytest.mark.parametrize("sporadic", [0, 1])
@pytest.mark.parametrize("number", [sc.REPLY_RECV, sc.NBSEND_WAIT], ids=["on an endpoint", "on the notification"])
def test_a_server_that_has_given_its_time_back_finds_a_signal_and_the_notification_s_time(
    number: int, sporadic: int
) -> None:
    """Lent time is used from when it is taken up, not from when it could have been."""
    layout = Layout(lends=((SLOTS["sc_spare"], SLOTS["ntfn0"]),), workers=(
        Worker(priority=120), replace(PASSIVE.workers[1], notification=SLOTS["ntfn0"]), Worker(priority=115),
        Worker(priority=110),
    ))  # fmt: skip
    configure = call(
        "sched_control", labels.SCHED_CONTROL_CONFIGURE_FLAGS, 700, 5_000, 2, 0, sporadic, caps=("sc_spare",), thread=0
    )
    source = SLOTS["ep0" if number == sc.REPLY_RECV else "ntfn0"]
    answer = Syscall(number, source, 0, (), reply=SLOTS["reply0"], dest=SLOTS["reply0"], thread=1)
    signal = send("ntfn0_badge2", number=sc.NBSEND, thread=1)
    done = agreed(
        layout, configure, Compute(3_000), send("ep0", number=sc.CALL, thread=0), signal, Compute(2_000), answer,
        Compute(100), Compute(100),
    )  # fmt: skip
    assert done.threads[1].registers[10] == 2 or done.threads[1].sched_context is not None


@pytest.mark.parametrize("label", [labels.IRQ_HANDLER_CLEAR, labels.IRQ_HANDLER_SET_NOTIFICATION])
def test_who_waits_for_an_interrupt_is_woken_when_the_handler_s_cap_was_the_last_and_goes(label: int) -> None:
    waiting = wait("ntfn0", 0), wait("ntfn0", 1), wait("ntfn1", 2), wait("ntfn1", 3)
    where = [(SLOTS[name], TEST_BITS) for name in ("ntfn0", "ntfn0_badge1", "ntfn0_badge2")]
    deleted = [call("cnode", labels.CNODE_DELETE, *place, thread=-1) for place in where]
    caps = ("ntfn1",) if label == labels.IRQ_HANDLER_SET_NOTIFICATION else ()
    done = agreed(WORLD, *waiting, *deleted, call("irq_handler", label, caps=caps, thread=-1), Compute(10))
    assert isinstance(done.threads[0].state, BlockedOnSend), "it made its call again, which is a cap fault now"
