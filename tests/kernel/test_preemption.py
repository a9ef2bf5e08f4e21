"""A long operation that is preempted after any unit of work restarts, and ends as if it had not been."""

from collections.abc import Callable
from typing import Any, cast

import pytest

from capkernel.abi import objects as obj
from capkernel.abi import registers as reg
from capkernel.abi import syscalls as sc
from capkernel.abi.labels import BY_NAME
from capkernel.abi.message import message_info
from capkernel.kernel import syscall
from capkernel.kernel.machine import Machine
from specs.invariants import check_all
from specs.structure import name_of, structure
from tests.kernel.rootcalls import CNODE, Root

Prepare = Callable[[Root], tuple[int, str, tuple[int, ...], tuple[int, ...]]]
"""Builds a situation; returns the long operation: cap, invocation, words, extra caps."""


def revoke_many(root: Root) -> tuple[int, str, tuple[int, ...], tuple[int, ...]]:
    source = root.make(obj.ENDPOINT)
    badged, _ = root.mint(source, 7)
    for _ in range(4):
        root.copy(source)
        root.copy(badged)
    return CNODE, "CNode_Revoke", (source, 64), ()


def revoke_untyped(root: Root) -> tuple[int, str, tuple[int, ...], tuple[int, ...]]:
    for kind in (obj.TCB, obj.ENDPOINT, obj.PAGE, obj.PAGE_TABLE, obj.NOTIFICATION, obj.REPLY):
        root.make(kind)
    root.make(obj.SCHED_CONTEXT, 8)
    return CNODE, "CNode_Revoke", (root.untyped, 64), ()


def delete_tree(root: Root) -> tuple[int, str, tuple[int, ...], tuple[int, ...]]:
    """A CNode that holds the last cap of another, which holds the last cap of a third."""
    nodes = [root.make(obj.CNODE, 2) for _ in range(3)]
    root.copy_into(nodes[2], 3, root.make(obj.ENDPOINT))
    for outer, inner in ((nodes[1], nodes[2]), (nodes[0], nodes[1])):
        root.do(outer, "CNode_Move", 2, 2, inner, 64, caps=(CNODE,))
    return CNODE, "CNode_Delete", (nodes[0], 64), ()


def revoke_cycle(root: Root) -> tuple[int, str, tuple[int, ...], tuple[int, ...]]:
    """Two CNodes, each of which holds a cap to the other and one to itself: only revoking their untyped frees them."""
    one, other = root.make(obj.CNODE, 2), root.make(obj.CNODE, 2)
    for node, held in ((one, one), (one, other), (other, one), (other, other)):
        root.copy_into(node, 1 if held == node else 0, held)
    for node in (one, other):
        root.do(CNODE, "CNode_Delete", node, 64)
    return CNODE, "CNode_Revoke", (root.untyped, 64), ()


def delete_thread(root: Root) -> tuple[int, str, tuple[int, ...], tuple[int, ...]]:
    """A thread whose TCB holds the last cap of its CSpace."""
    tcb, node, null = root.make(obj.TCB), root.make(obj.CNODE, 3), root.slot()
    root.do(tcb, "TCB_SetSpace", 0, 0, caps=(null, node, 3))
    root.do(CNODE, "CNode_Delete", node, 64)
    return CNODE, "CNode_Delete", (tcb, 64), ()


def reset_untyped(root: Root) -> tuple[int, str, tuple[int, ...], tuple[int, ...]]:
    """An untyped of 4 KiB that was used, cleared in chunks of 256 bytes by the next Retype."""
    untyped, slot = root.make(obj.UNTYPED, 12), root.slot()
    root.do(untyped, "Untyped_Retype", obj.PAGE, 0, 0, 0, slot, 1, caps=(CNODE,))
    root.do(CNODE, "CNode_Delete", slot, 64)
    return untyped, "Untyped_Retype", (obj.ENDPOINT, 0, 0, 0, slot, 4), (CNODE,)


SITUATIONS: tuple[Prepare, ...] = (
    revoke_many, revoke_untyped, delete_tree, revoke_cycle, delete_thread, reset_untyped,
)  # fmt: skip


TICKS = {"interrupt": 0, "budget": 49_990, "domain": 1_000}
"""What ends the operation's turn, and how much time must pass for that: the budget is 5 ms, the domain's time 0.1."""


class Disturbing:
    """The machine, but that something else is due at the ``at``-th preemption point: an interrupt, or time is up.

    The kernel looks at the clock when it is entered, and then once at each preemption point.
    """

    def __init__(self, root: Root, cause: str, at: int) -> None:
        self.inner: Any = root.state.machine
        self.cause = cause
        self.at = at
        self.asked = self.looks = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def now(self) -> int:
        self.looks += 1
        if self.looks == self.at + 1 > 1:
            self.inner.advance(TICKS[self.cause])
        return int(self.inner.now())

    def irq_pending(self) -> bool:
        self.asked += 1
        return self.cause == "interrupt" and self.asked == self.at


def carried_out(prepare: Prepare, cause: str, at: int) -> tuple[Root, Disturbing, int]:
    """Make the operation's system call until it is done, preempted once; returns how often it was made, too."""
    root = Root(work_units_per_preemption=1, fastpath=False)
    cptr, name, words, caps = prepare(root)
    root.state.domain_time = TICKS["domain"] if cause == "domain" else root.state.domain_time
    machine = Disturbing(root, cause, at)
    root.state.machine = cast(Machine, machine)
    root.call_later(cptr, name, words, caps)
    made = 0
    while True:
        made += 1
        root.thread.registers[reg.NEXT_IP] += 4
        syscall.handle_syscall(root.state, sc.CALL)
        root.state.machine = cast(Machine, machine).inner
        assert check_all(root.state, root.machine) == []
        root.state.machine = cast(Machine, machine)
        if root.thread.registers[reg.NEXT_IP] != root.thread.registers[reg.FAULT_IP]:
            break
        assert made < 3
    assert root.thread.registers[reg.A1] == message_info(0, 0)
    assert BY_NAME[name].label
    return root, machine, made


def final(root: Root) -> dict[str, Any]:
    """Everything but the clock and the time that the thread has left."""
    own = root.thread.sched_context
    return {name: f for name, f in structure(root.state).items() if name not in ("State", own and name_of(own))}


@pytest.mark.parametrize("cause", TICKS)
@pytest.mark.parametrize("prepare", SITUATIONS, ids=[s.__name__ for s in SITUATIONS])
def test_it_can_be_preempted_after_each_unit_of_work(prepare: Prepare, cause: str) -> None:
    undisturbed, machine, made = carried_out(prepare, cause, 0)
    assert made == 1
    assert machine.asked >= 4
    for at in range(1, machine.asked + 1):
        preempted, _, made = carried_out(prepare, cause, at)
        assert made == 2, f"not preempted at unit {at}"
        assert final(preempted) == final(undisturbed), f"preempted at unit {at}"
