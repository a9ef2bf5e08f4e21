"""What the kernel's options that depart from seL4 do, and that they do nothing else."""

from dataclasses import replace

import pytest

from capkernel.abi import labels
from capkernel.abi import syscalls as sc
from capkernel.kernel.objects import RUNNING
from specs.check import checked
from specs.programs import SLOTS, Compute, Layout, Program, Step, Syscall, Worker
from specs.programs.layout import TEST_BITS
from tests.kernel.together import agreed, call, destroy, outcome, recv, send, wait

SERVER = (
    Worker(priority=100), Worker(priority=110, passive=True, serves=(SLOTS["ep0"], SLOTS["reply0"])),
    Worker(priority=120), Worker(priority=90),
)  # fmt: skip
"""A client, a passive server, and one that sends to it while it serves."""
SENT_MEANWHILE: tuple[Step, ...] = (
    wait("ntfn0", 2), send("ep0", 1, number=sc.CALL, thread=0), send("ntfn0", thread=1), send("ep0", 2, thread=2),
)  # fmt: skip
ANSWER = Syscall(sc.REPLY_RECV, SLOTS["ep0"], reply=SLOTS["reply0"], thread=1)


@pytest.mark.parametrize("lent", [False, True])
def test_who_receives_a_queued_plain_send_without_time_of_its_own_is_lent_the_sender_s_only_with_the_option(
    lent: bool,
) -> None:
    layout = Layout(workers=SERVER, fixes=("fix_send_to_passive",) if lent else ())
    steps = *SENT_MEANWHILE, ANSWER
    if lent:
        execution = checked(Program(layout, steps))
        assert execution.problem is None
        done = outcome(layout, execution.ran)
    else:
        done = agreed(layout, *steps)
    server, sender = done.threads[1], done.threads[2]
    assert server.state is RUNNING
    assert (server.sched_context is not None, sender.sched_context is None) == (lent, lent)


@pytest.mark.parametrize("lent", [False, True])
@pytest.mark.parametrize("number", [sc.SEND, sc.NBSEND])
def test_a_plain_send_to_a_server_that_waits_lends_it_the_sender_s_time_only_with_the_option(
    number: int, lent: bool
) -> None:
    layout = Layout(workers=SERVER, fixes=("fix_send_to_passive",) if lent else ())
    execution = checked(Program(layout, (send("ep0", 1, number=number, thread=2), Compute(1))))
    assert execution.problem is None
    threads = outcome(layout, execution.ran).threads
    assert (threads[1].sched_context is not None, threads[2].sched_context is None) == (lent, lent)


EQUALS = Layout(workers=(
    Worker(priority=110, budget=100, period=100), Worker(priority=110, budget=100, period=100),
    Worker(priority=120, passive=True, serves=(SLOTS["ep0"], SLOTS["reply0"])),
    Worker(priority=130, passive=True, serves=(SLOTS["ep1"], SLOTS["reply1"])),
))  # fmt: skip
"""Two who take turns of 1,000 ticks, a server that runs on their time, and one that may run on the server's."""
ASK, ASK_ON = Syscall(sc.CALL, SLOTS["ep0"]), Syscall(sc.CALL, SLOTS["ep1"])
TELL, TELL_BACK = (
    Syscall(sc.REPLY_RECV, SLOTS[f"ep{n}"], reply=SLOTS[f"reply{n}"]) for n in range(2)
)  # fmt: skip
SAY_ALL_BACK = replace(TELL_BACK, words=tuple(range(8)))
"""An answer that is too long for the fast path."""
TURN = Compute(1_100)


@pytest.mark.parametrize("mended", [False, True])
@pytest.mark.parametrize(
    ("steps", "has_ended"),
    [
        ((ASK, TURN, TELL), True),
        ((ASK, ASK_ON, TURN, TELL_BACK, TELL), True),
        ((ASK, ASK_ON, TELL_BACK, TURN, TELL), True),
        ((ASK, TELL), False),
        ((ASK, ASK_ON, TELL_BACK, TELL), False),
        ((TURN, TURN, ASK, TELL), False),
        ((TURN, TURN, ASK, ASK_ON, TELL_BACK, TELL), False),
        ((ASK, ASK_ON, SAY_ALL_BACK, TELL), False),
        ((ASK, TURN, TELL, TURN, ASK, TELL), False),
        ((ASK, TURN, TELL, TURN, TURN, TURN, ASK, TELL), False),
    ],
)
def test_whose_turn_ended_while_it_was_lent_goes_behind_its_equals_only_with_the_option(
    steps: tuple[Step, ...], has_ended: bool, mended: bool
) -> None:
    """Some steps end turns that are not lent: these have no effect on what comes back later."""
    fixes = ("fix_lent_turns",) if mended else ()
    execution = checked(Program(replace(EQUALS, fixes=fixes), (*steps, Compute(1))))
    assert execution.problem is None
    ran = execution.ran
    caller = ran[max(place for place, step in enumerate(steps) if step is ASK)]
    assert (ran[-1] != caller) == (has_ended and mended), ran


WAITING = {
    "receivers": ("ep0", (recv("ep0", "reply0", 0), recv("ep0", "reply1", 1), wait("ep0", 2))),
    "senders": ("ep0", tuple(send("ep0_badged", 1, thread=n) for n in range(3))),
    "waiters": ("ntfn0", tuple(wait("ntfn0", n) for n in range(3))),
}
"""Who waits for what."""
FIRST_OF_ALL = Layout(
    root_priority=200, work_units_per_preemption=1, work_unit_ticks=30_000,
    workers=(Worker(priority=120), Worker(priority=110), Worker(priority=100), Worker(priority=90)),
)  # fmt: skip
"""Who empties the queue runs before those that it wakes; each unit of work takes more than half of its time."""


def _emptied(layout: Layout, steps: tuple[Step, ...]) -> tuple[dict[int, str], int]:
    """The workers' states, and how many kernel entries that took."""
    execution = checked(Program(layout, steps))
    assert execution.problem is None
    assert execution.taken == len(steps)
    threads = outcome(layout, execution.ran).threads
    return {index: type(thread.state).__name__ for index, thread in threads.items()}, execution.entries


@pytest.mark.parametrize("how", ["destroyed", "cancelled"])
@pytest.mark.parametrize("kind", WAITING)
def test_emptying_a_queue_may_be_preempted_only_with_the_option_and_comes_to_the_same(kind: str, how: str) -> None:
    name, waiting = WAITING[kind]
    end = destroy(name)
    if how == "cancelled":
        where = SLOTS["ep0_badged"], TEST_BITS
        end = call("cnode", labels.CNODE_CANCEL_BADGED_SENDS, *where, thread=-1), send("ntfn0", thread=-1)
    steps = wait("ntfn1", -1), *waiting, send("ntfn1", thread=3), *end, wait("ntfn1", -1), *[Compute(1)] * 3
    at_once, entries = _emptied(FIRST_OF_ALL, steps)
    in_pieces, more = _emptied(replace(FIRST_OF_ALL, fixes=("fix_atomic_cancel",)), steps)
    assert at_once == in_pieces
    assert more > entries or (how == "cancelled" and kind != "senders")
