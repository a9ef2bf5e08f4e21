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
