"""Threads, and what they wait for: G14–G18, G26.

Catches: half-made and half-undone bindings, a thread left in a queue (or taken out of one) when its state changes, a
reply object that two threads believe in, a call stack that leads time back to the wrong place.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from capkernel.kernel import objects as ko
from capkernel.kernel.objects import TCB, Endpoint, Notification, Reply, SchedContext
from specs.invariants.model import Invariant, first
from specs.invariants.parts import CAPS, REFERENCES, parts
from specs.invariants.view import View, members, name_of

_BACK: dict[tuple[type, str], str] = {
    (TCB, "sched_context"): "tcb", (SchedContext, "tcb"): "sched_context",
    (TCB, "bound_notification"): "bound_tcb", (Notification, "bound_tcb"): "bound_notification",
    (SchedContext, "notification"): "sched_context", (Notification, "sched_context"): "notification",
    (TCB, "yield_to"): "yield_from", (SchedContext, "yield_from"): "yield_to",
}  # fmt: skip
"""By which field that leads back another is answered."""


def _one_sided(view: View) -> Iterator[str]:
    """References that are not answered by one that leads back."""
    for one, field, other in view.references:
        name = _BACK.get((type(one), field))
        if name is not None:
            back = getattr(other, name, None)
            if back is not one:
                yield f"{name_of(one)}.{field} is {name_of(other)}, whose {name} is {back and name_of(back)}"


def sym_refs(view: View) -> str | None:
    """G14 ``sym_refs``: references between objects are symmetric.

    Of threads and queues: who is blocked on an object stands in its queue, who stands in it is blocked on it.
    """
    problems = list(_one_sided(view))
    for endpoint in view.of_kind(Endpoint):
        problems += _asymmetric_queue(endpoint, "endpoint")
    for notification in view.of_kind(Notification):
        problems += _asymmetric_queue(notification, "notification")
    for tcb in view.threads:
        state = tcb.state
        if isinstance(state, ko.BlockedOnSend | ko.BlockedOnReceive):
            problems += _unqueued(tcb, state.endpoint)
        elif isinstance(state, ko.BlockedOnNotification):
            problems += _unqueued(tcb, state.notification)
    return first(problems)


def _unqueued(tcb: TCB, target: Endpoint | Notification) -> list[str]:
    if tcb in members(target.queue)[0]:
        return []
    return [f"{name_of(tcb)} is blocked on {name_of(target)} but not in its queue"]


def _asymmetric_queue(item: Any, field: str) -> list[str]:
    queued, broken = members(item.queue)
    problems = [f"the queue of {name_of(item)}: {broken}"] if broken else []
    for tcb in queued:
        if getattr(tcb.state, field, None) is not item:
            problems.append(f"{name_of(tcb)} stands in the queue of {name_of(item)} but is not blocked on it")
    return problems


_TAGS = {ko.EP_SEND: ko.BlockedOnSend, ko.EP_RECEIVE: ko.BlockedOnReceive}


def valid_endpoints(view: View) -> str | None:
    """G15: an endpoint's queue is all senders or all receivers, as its tag says; it is idle if and only if empty.

    Of notifications: somebody waits if and only if the tag says so, and nobody waits while signals are pending.
    """
    problems = []
    for endpoint in view.of_kind(Endpoint):
        queued, _ = members(endpoint.queue)
        wanted = _TAGS.get(endpoint.state)
        if (wanted is None) != (not queued):
            problems.append(f"{name_of(endpoint)} has tag {endpoint.state} and {len(queued)} threads in its queue")
        problems += [
            f"{name_of(tcb)} is {type(tcb.state).__name__} in the queue of {name_of(endpoint)}, tag {endpoint.state}"
            for tcb in queued if wanted is not None and not isinstance(tcb.state, wanted)
        ]  # fmt: skip
    for item in view.of_kind(Notification):
        queued, _ = members(item.queue)
        if (item.state == ko.NTFN_WAITING) != bool(queued):
            problems.append(f"{name_of(item)} has tag {item.state} and {len(queued)} threads in its queue")
    return first(problems)


def queues_are_ordered(view: View) -> str | None:
    """G15b: an endpoint's or notification's queue is ordered by priority, highest first."""
    problems = []
    for item in view.of_kind(Endpoint) + view.of_kind(Notification):
        priorities = [tcb.priority for tcb in members(item.queue)[0]]
        if any(a < b for a, b in pairwise(priorities)):
            problems.append(f"{name_of(item)} queues the priorities {priorities}")
    return first(problems)


def valid_replies(view: View) -> str | None:
    """G16: a reply linked to t means that t is BlockedOnReply on it or BlockedOnReceive holding it, and conversely."""
    problems = []
    for reply in view.of_kind(Reply):
        tcb = reply.tcb
        if tcb is not None and getattr(tcb.state, "reply", None) is not reply:
            problems.append(f"{name_of(reply)} is linked to {name_of(tcb)}, which is {type(tcb.state).__name__}")
    for tcb in view.threads:
        state = tcb.state
        reply = state.reply if isinstance(state, ko.BlockedOnReceive | ko.BlockedOnReply) else None
        if reply is not None and reply.tcb is not tcb:
            problems.append(f"{name_of(tcb)} waits with {name_of(reply)}, which is linked to another thread or none")
    return first(problems)


def valid_reply_stacks(view: View) -> str | None:
    """G17: a stack of replies has no cycle, its links agree, and its top leads to the scheduling context donated.

    Corrected: a stack whose top was cut off (the last caller gave up, the context was unbound) has a top that leads
    nowhere; what is below it stays linked.
    """
    problems = []
    for reply in view.of_kind(Reply):
        problems += _broken_links(reply)
    for sc in view.sched_contexts:
        if sc.reply is not None and sc.reply.next is not sc:
            problems.append(f"{name_of(sc)}.reply is {name_of(sc.reply)}, which does not lead back")
        seen: set[Reply] = set()
        reply = sc.reply
        while reply is not None and reply not in seen:
            seen.add(reply)
            reply = reply.prev
        if reply is not None:
            problems.append(f"the call stack of {name_of(sc)} has a cycle at {name_of(reply)}")
    return first(problems)


def _broken_links(reply: Reply) -> list[str]:
    above, below = reply.next, reply.prev
    problems = []
    if isinstance(above, SchedContext) and above.reply is not reply:
        problems.append(f"{name_of(reply)} leads to {name_of(above)}, whose stack has another top")
    if isinstance(above, Reply) and above.prev is not reply:
        problems.append(f"{name_of(reply)} is not linked back to by {name_of(above)} above it")
    if below is not None and below.next is not reply:
        problems.append(f"{name_of(reply)} is not linked back to by {name_of(below)} below it")
    waits = reply.tcb is not None and isinstance(reply.tcb.state, ko.BlockedOnReply)
    if (above is not None or below is not None) and not waits:
        problems.append(f"{name_of(reply)} stands in a call stack but nobody waits on it")
    if reply is above or reply is below:
        problems.append(f"{name_of(reply)} is linked to itself")
    return problems


def _places(view: View) -> dict[TCB, list[str]]:
    """Each queue in which each thread is found, by walking all queues."""
    found: dict[TCB, list[str]] = {}
    queues = {f"ready {index}": queue for index, queue in view.state.ready.items() if queue.head is not None}
    queues["release"] = view.state.release
    waited_on = [item for item in view.of_kind(Endpoint) + view.of_kind(Notification) if item.queue.head is not None]
    for name, queue in [*queues.items(), *[(name_of(item), item.queue) for item in waited_on]]:
        for tcb in members(queue)[0]:
            found.setdefault(tcb, []).append(name)
    return found


def _is_schedulable(tcb: TCB) -> bool:
    return tcb.state in (ko.RUNNING, ko.RESTART) and tcb.sched_context is not None and tcb.sched_context.refill_max > 0


def in_one_place(view: View) -> str | None:
    """G18: each thread is in exactly one place.

    Current, a ready queue, the release queue, one object's queue, waiting for a reply, inactive; a runnable thread
    without a (configured) scheduling context is in no queue. Who is in no queue has no links.
    """
    problems = []
    places = _places(view)
    for tcb in view.threads:
        found = list(places.get(tcb, []))
        if tcb is view.state.current:
            found.append("current")
        if len(found) > 1:
            problems.append(f"{name_of(tcb)} is in several places: {found}")
        elif bool(found) != _belongs_somewhere(tcb):
            problems.append(f"{name_of(tcb)}, {_doing(tcb)}, is in {found or 'no queue'}")
        elif found and found[0].startswith(("ready", "release", "current")) and not _is_schedulable(tcb):
            problems.append(f"{name_of(tcb)}, {_doing(tcb)}, is in {found}")
    for tcb in view.threads:
        queued = any(place != "current" for place in places.get(tcb, []))
        if not queued and (tcb.queue_next is not None or tcb.queue_prev is not None):
            problems.append(f"{name_of(tcb)} is in no queue but is linked to others")
    if view.state.idle in places:
        problems.append("the idle thread stands in a queue")
    return first(problems + _wrong_marks(view, places))


def _wrong_marks(view: View, places: dict[TCB, list[str]]) -> list[str]:
    """Threads whose own note of the scheduler's queue they are in is wrong."""
    problems = []
    for tcb in view.threads:
        found = " ".join(places.get(tcb, []))
        wanted = ko.READY_QUEUE if "ready" in found else ko.RELEASE_QUEUE if "release" in found else 0
        if tcb.queued != wanted:
            problems.append(f"{name_of(tcb)} is marked as queued {tcb.queued} but is in {found or 'no queue'}")
    return problems


def _belongs_somewhere(tcb: TCB) -> bool:
    if isinstance(tcb.state, ko.BlockedOnSend | ko.BlockedOnReceive | ko.BlockedOnNotification):
        return True
    return _is_schedulable(tcb)


def _doing(tcb: TCB) -> str:
    doing = tcb.state.name if isinstance(tcb.state, ko.PlainState) else type(tcb.state).__name__
    return f"{doing}{'' if tcb.sched_context else ' without scheduling context'}"


def current_exists(view: View) -> str | None:
    """G26: the current thread exists and can run; only the idle thread is idle."""
    state = view.state
    problems = [f"{name_of(tcb)} is idle" for tcb in view.threads if tcb.state is ko.IDLE]
    if state.idle.state is not ko.IDLE:
        problems.append("the idle thread is not idle")
    current = state.current
    if current is not state.idle:
        if current not in view.caps_to:
            problems.append(f"the current thread {name_of(current)} has no cap")
        if current.state is not ko.RUNNING:
            problems.append(f"the current thread {name_of(current)} is {_doing(current)}")
        if current.sched_context is not state.current_sc:
            problems.append("the current scheduling context is not the current thread's")
        if current.domain != state.domain:
            problems.append(f"{name_of(current)} of domain {current.domain} runs in domain {state.domain}")
    elif state.current_sc is not state.idle_sc:
        problems.append("the idle thread runs on somebody's scheduling context")
    return first(problems)


CHECKS = (
    Invariant("G14", "sym_refs", "references between objects are symmetric", sym_refs, reads=REFERENCES),
    Invariant("G15", "valid_endpoints", "a queue is all senders or all receivers, as its tag says", valid_endpoints,
              reads=REFERENCES | parts("Endpoint.state Notification.state")),
    Invariant("G15b", "queues_are_ordered", "an object's queue is ordered by priority", queues_are_ordered,
              reads=REFERENCES | parts("TCB.priority")),
    Invariant("G16", "valid_replies", "a reply linked to t means that t waits on it or receives with it",
              valid_replies, reads=REFERENCES),
    Invariant("G17", "valid_reply_stacks", "a stack of replies has no cycle; its top leads to the donated context",
              valid_reply_stacks, reads=REFERENCES),
    Invariant("G18", "in_one_place", "each thread is in exactly one place", in_one_place,
              reads=REFERENCES | parts("TCB.queued SchedContext.refill_max")),
    Invariant("G26", "current_exists", "the current thread exists and can run; only the idle thread is idle",
              current_exists, reads=CAPS | REFERENCES | parts("TCB.domain State.domain")),
)  # fmt: skip
