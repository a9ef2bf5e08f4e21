"""The comparison is not blind: small changes of the specification, or of the kernel, are noticed in generated programs.

No program is written for a change; each is looked for with the same seeds.
"""

from collections.abc import Callable
from typing import Any

import pytest

from capkernel.kernel import endpoint as kernel_endpoint
from capkernel.kernel import scheduler as kernel_scheduler
from capkernel.kernel import slots as kernel_slots
from capkernel.kernel import transfer as kernel_transfer
from specs.abstract import (
    arch,
    budget,
    cdt,
    cnode,
    cspace,
    finalise,
    interrupts,
    ipc,
    refills,
    scheduler,
    syscall,
    tcb,
    thread,
    transfer,
    untyped,
    vspace,
)
from specs.abstract.state import ResumeCurrentThread, State
from specs.refinement.campaign import run

MOST_PROGRAMS = 1_500
SEED = 11
Change = tuple[Any, str, Callable[..., Any]]


def _later(refills_: Any, now: int) -> Any:
    return UNBLOCK(refills_, now + 1)


def _unordered(s: State, queue: tuple[int, ...], who: int) -> tuple[int, ...]:
    return (*queue, who)


def _original(*caps: object) -> bool:
    return False


def _plain_priority(s: State, who: int, priority: int) -> None:
    s.kheap[who] = s.kheap[who]._replace(priority=priority)


def _granting(s: State, sender: int, endpoint: Any, badge: int, can_grant: bool, receiver: int) -> None:
    TRANSFER(s, sender, endpoint, badge, True, receiver)


def _greedy(s: State, caller: int, callee: int, reply: int, can_donate: bool) -> None:
    PUSH(s, caller, callee, reply, False)


def _generous(s: State, priority: int, authority: int) -> None:
    CHECK(s, max(0, priority - 1), authority)


def _every_unit(s: State) -> None:
    s.work_units += 1
    POINT(s)


def _unguarded(s: State, cap: Any, cptr: int, depth: int) -> Any:
    return RESOLVE(s, cap._replace(guard=(cptr >> depth - cap.guard_size) % 2**cap.guard_size), cptr, depth)


def _no_equal(s: State, who: int) -> None:
    if s.scheduler_action == ResumeCurrentThread:
        SWITCH(s, who)


def _unexecutable(paddr: int, rights: int, execute: bool) -> Any:
    return PTE(paddr, rights, False)


def _moved(s: State, new: Any, src: Any, dest: Any) -> None:
    MOVE(s, new, src, dest)
    s.is_original_cap.discard(dest)


def _nothing(*_args: object) -> None:
    return


UNBLOCK, TRANSFER, PUSH, CHECK = refills.unblock_check, ipc.do_ipc_transfer, ipc.reply_push, tcb.check_prio
PTE, MOVE = arch.make_user_pte, cnode.cap_move
POINT, RESOLVE, SWITCH = budget.preemption_point, cspace.resolve_address_bits, scheduler.possible_switch_to

CHANGES: dict[str, Change] = {
    "a refill starts a tick late": (refills, "unblock_check", _later),
    "queues do not look at priorities": (ipc, "by_priority", _unordered),
    "a badged cap is no original": (cdt, "is_cap_revocable", _original),
    "a new priority does not move its thread": (tcb, "set_priority", _plain_priority),
    "every message grants": (ipc, "do_ipc_transfer", _granting),
    "a call lends no time": (ipc, "reply_push", _greedy),
    "one more than the mcp is allowed": (tcb, "check_prio", _generous),
    "preemption points count twice": (finalise, "preemption_point", _every_unit),
    "a guard matches everything": (cspace, "resolve_address_bits", _unguarded),
    "who becomes ready second is forgotten": (ipc, "possible_switch_to", _no_equal),
    "a deleted frame cap leaves its mapping": (finalise, "unmap_page", _nothing),
    "memory is not cleared": (untyped, "clear_memory", _nothing),
    "interrupts signal nobody": (interrupts, "send_signal", _nothing),
    "a resumed thread goes on behind its call": (syscall, "activate_thread", _nothing),
    "a message keeps its words": (transfer, "set_mrs", lambda s, who, buffer, words: len(words)),
    "to write alone is a right": (vspace, "mask_vm_rights", lambda rights: rights & 3),
    "a cancelled thread keeps its place": (thread, "leave_scheduler_queues", _nothing),
    "a mapped page is never executable": (arch, "make_user_pte", _unexecutable),
    "a moved cap is no original any more": (cnode, "cap_move", _moved),
}  # fmt: skip
"""Of the specification: what is wrong, and the function that is replaced."""

KERNEL_CHANGES: dict[str, Change] = {
    "who used up its slice goes to the front": (kernel_scheduler, "append", kernel_scheduler.enqueue),
    "a derived cap is no original": (kernel_slots, "is_revocable", _original),
    "all messages wait": (kernel_endpoint, "do_ipc_transfer", lambda *args, **kwargs: None),
    "only registers are told of": (kernel_transfer, "ipc_buffer", lambda who, *, for_writing: 0),
}


def noticed() -> str:
    """The first divergence in the programs of the seed; empty if there is none."""
    for number in range(MOST_PROGRAMS):
        execution, _ = run(SEED, number)
        if execution.problem is not None:
            return execution.problem
    return ""


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_the_specification_is_noticed(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, name, replacement = CHANGES[change]
    monkeypatch.setattr(module, name, replacement)
    assert noticed().startswith("refinement:")


@pytest.mark.parametrize("change", KERNEL_CHANGES)
def test_a_change_of_the_kernel_is_noticed(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, name, replacement = KERNEL_CHANGES[change]
    monkeypatch.setattr(module, name, replacement)
    assert noticed()


def test_what_is_done_to_the_machine_is_compared_too(monkeypatch: pytest.MonkeyPatch) -> None:
    set_next_interrupt = scheduler.set_next_interrupt

    def early(s: State) -> None:
        set_next_interrupt(s)
        s.out.deadline = (s.out.deadline or 0) - 1

    monkeypatch.setattr(scheduler, "set_next_interrupt", early)
    assert "machine.deadline" in noticed()


def test_a_question_that_the_kernel_did_not_ask_is_a_divergence(monkeypatch: pytest.MonkeyPatch) -> None:
    update_time_stamp = budget.update_time_stamp

    def twice(s: State) -> None:
        update_time_stamp(s)
        update_time_stamp(s)

    monkeypatch.setattr(syscall, "update_time_stamp", twice)
    assert "the clock" in noticed()
