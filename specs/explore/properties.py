"""What must hold of every state and of every step of an exploration.

The invariants are those of ``specs.invariants`` that speak of threads, queues, replies and time, given a view of the
system's own objects. Beside them stand properties of the protocol (P), which the table of invariants does not have.
"""

from collections.abc import Callable
from typing import Any

from capkernel.kernel import objects as ko
from capkernel.kernel.objects import BlockedOnReply, Reply, SchedContext
from specs.explore.actions import Action
from specs.explore.system import System
from specs.invariants import INVARIANTS, scheduling, threads_and_queues
from specs.invariants.regions import referent
from specs.invariants.view import View, name_of

CHECKED = tuple(check for check in (*threads_and_queues.CHECKS, *scheduling.CHECKS))
"""The invariants that are evaluated at every state; ``--all`` adds the others."""


class SystemView(View):
    """A view of a system's own objects and of the slots that can change; the rest is known to stay as it is."""

    def __init__(self, system: System) -> None:
        self._system = system
        super().__init__(system.state, system.world.machine)

    def _meet(self, item: Any) -> None:
        """What is referred to is one of the system's own objects, or stays as it is."""

    def _gather(self, extra_roots: tuple[Any, ...], *, with_slots: bool = True) -> None:
        state = self.state
        for item in (state.idle, state.idle_sc, *self._system.threads, *self._system.objects):
            self.objects[item] = item
        for item in list(self.objects.values()):
            self._visit_fields(item)
        for slot in self._system.slots:
            if slot.cap is not ko.NULL:
                self.slots.append(slot)
                target = referent(slot.cap)
                if target is not None:
                    self.caps_to.setdefault(target, []).append(slot)


def problems_of_state(system: System, *, everything: bool = False) -> list[str]:
    """What is wrong with the present state; with ``everything`` by all invariants of states, on all that there is."""
    checked, view = CHECKED, SystemView(system)
    found = []
    for invariant in checked:
        detail = invariant.check(view)
        if detail is not None:
            found.append(f"{invariant.id} {invariant.name}: {detail}")
    if everything and not found:
        whole = View(system.state, system.world.machine, (system.node,))
        for invariant in INVARIANTS.values():
            detail = invariant.check(whole)
            if detail is not None:
                found.append(f"{invariant.id} {invariant.name}: {detail}")
    for name, check in PROTOCOL.items():
        detail = check(system)
        if detail is not None:
            found.append(f"{name}: {detail}")
    return found


def lent_time_has_a_way_back(system: System) -> str | None:
    """P1: on every stack of replies each caller waits for its answer, and each only once."""
    met: set[Reply] = set()
    for sc in _contexts(system):
        reply: Reply | None = sc.reply
        while reply is not None:
            caller = reply.tcb
            if caller is None or not isinstance(caller.state, BlockedOnReply):
                return f"{name_of(sc)} was lent through {name_of(reply)}, on which nobody waits"
            if reply in met:
                return f"{name_of(reply)} stands in two stacks, or twice in one"
            met.add(reply)
            reply = reply.prev
    return None


def time_is_somewhere(system: System) -> str | None:
    """P2: a context is used by one thread at most, and by the one that says so; the others hold no trace of it."""
    for sc in _contexts(system):
        users = [thread for thread in system.threads if thread.sched_context is sc]
        if len(users) > 1 or (sc.tcb is not None and users != [sc.tcb]) or (sc.tcb is None and users):
            return f"{name_of(sc)} is used by {[name_of(t) for t in users]} and says {sc.tcb and name_of(sc.tcb)}"
    return None


def who_can_run_runs(system: System) -> str | None:
    """P3: nobody waits with budget for a processor that does nothing, or that a lower priority has."""
    state = system.state
    running = -1 if state.current is state.idle else state.current.priority
    for thread in system.threads:
        sc = thread.sched_context
        if thread is state.current or thread.state not in (ko.RUNNING, ko.RESTART) or sc is None or not sc.refill_max:
            continue
        if sc.refills[0].time <= state.time and thread.priority > running:
            return f"{name_of(thread)} of priority {thread.priority} could run, but priority {running} does"
    return None


def no_sender_meets_no_receiver(system: System) -> str | None:
    """P4: at no endpoint a sender waits while a receiver waits there; at no notification a signal and a thread."""
    for item in system.objects:
        if isinstance(item, ko.Endpoint):
            kinds = {type(thread.state) for thread in system.threads if getattr(thread.state, "endpoint", None) is item}
            if len(kinds) > 1:
                return f"at {name_of(item)} senders and receivers wait for each other"
        elif isinstance(item, ko.Notification) and item.state == ko.NTFN_ACTIVE:
            # (Who is bound to it afterwards, while it receives, is not woken: so it is in seL4, docs/exploration.md.)
            waiting = [t for t in system.threads if getattr(t.state, "notification", None) is item]
            if waiting:
                return f"{name_of(waiting[0])} waits although {name_of(item)} is signalled"
    return None


def timer_is_set(system: System) -> str | None:
    """P5: the timer fires no later than the running thread's budget ends, or the first refill comes."""
    state, deadline = system.state, system.board.deadline
    due = []
    if state.current is not state.idle:
        due.append(state.time + state.current_sc.refills[0].amount - state.consumed)
    head = state.release.head
    if head is not None and head.sched_context is not None:
        due.append(head.sched_context.refills[0].time)
    if due and deadline > min(due):
        return f"the timer is set to tick {deadline}, but tick {min(due)} matters"
    return None


def _contexts(system: System) -> list[SchedContext]:
    return [item for item in system.objects if isinstance(item, SchedContext)]


PROTOCOL: dict[str, Callable[[System], str | None]] = {
    "P1 lent_time_has_a_way_back": lent_time_has_a_way_back, "P2 time_is_somewhere": time_is_somewhere,
    "P3 who_can_run_runs": who_can_run_runs, "P4 no_sender_meets_no_receiver": no_sender_meets_no_receiver,
    "P5 timer_is_set": timer_is_set,
}  # fmt: skip


ANSWERS = ("Reply", "ReplyRecv", "NBSendRecv", "NBSendWait")


class Step:
    """One step of an exploration, begun before it is taken."""

    def __init__(self, system: System, action: Action | None) -> None:
        self.answers = action is not None and action.verb in ANSWERS
        self.lent = [
            (reply.next, reply.tcb) for reply in system.objects if isinstance(reply, Reply)
            and isinstance(reply.next, SchedContext) and reply.tcb is not None
        ] if self.answers else []  # fmt: skip

    def problems(self) -> list[str]:
        """What is wrong with it, now that it was taken."""
        detail = answered_time_returns(self)
        return [] if detail is None else [f"P6 answered_time_returns: {detail}"]


def answered_time_returns(step: Step) -> str | None:
    """P6: who answers gives the time back: a caller that had lent its time and is answered has time again."""
    for sc, caller in step.lent:
        if caller.state in (ko.RUNNING, ko.RESTART) and caller.sched_context is None:
            return f"{name_of(caller)} was answered and is without {name_of(sc)}, which it had lent"
    return None
