"""The scheduler's queues, for so many threads: what each operation leaves when the kernel is left again.

Threads and contexts are numbers, -1 is none. A queue is a tuple of threads, filled up with -1 behind the last. Of one
domain and one endpoint; a context has one refill, whose time is when it may be used.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

from specs.proofs.z3.logic import Term, all_, and_, at, if_, implies, not_, or_, put

NONE = -1
CHOOSE_NEW, RESUME_CURRENT = -1, -2
PRIORITIES = 3
OPERATIONS = (
    "yield_", "budget_ends", "time_passes", "block", "wake", "suspend", "resume", "set_priority", "bind", "unbind",
    "call",
)  # fmt: skip
Queue = tuple[Term, ...]


@dataclass(frozen=True)
class Thread:
    """A thread: ``runnable`` (Running or Restart), ``blocked`` at the endpoint, or neither; its context."""

    runnable: Term = False
    blocked: Term = False
    priority: Term = 0
    context: Term = NONE


@dataclass(frozen=True)
class Context:
    """A context: ``configured`` (or empty), whose it is, and when its refill may be used; 0: round robin."""

    configured: Term = False
    thread: Term = NONE
    time: Term = 0
    period: Term = 0


@dataclass(frozen=True)
class State:
    """``ready`` has a queue for each priority; ``bits`` says which are not empty. ``current`` -1 is the idle thread.

    ``action`` is what the scheduler is to do: CHOOSE_NEW, RESUME_CURRENT, or the thread to switch to.
    """

    threads: tuple[Thread, ...] = ()
    contexts: tuple[Context, ...] = ()
    ready: tuple[Queue, ...] = ()
    bits: tuple[Term, ...] = ()
    release: Queue = ()
    endpoint: Queue = ()
    current: Term = NONE
    action: Term = RESUME_CURRENT
    now: Term = 0


@dataclass(frozen=True)
class Operation:
    """What is done: to which thread, with which context or priority, after so many ticks."""

    name: str
    thread: Term = 0
    context: Term = 0
    number: Term = 0


# Queues


def _contains(queue: Queue, thread: Term) -> Term:
    return or_(*(and_(thread != NONE, member == thread) for member in queue))


def _without(queue: Queue, thread: Term) -> Queue:
    """A queue without a member; the same if it is none."""
    found: Term = False
    items = []
    for number, member in enumerate(queue):
        found = or_(found, and_(thread != NONE, member == thread))
        behind = queue[number + 1] if number + 1 < len(queue) else NONE
        items.append(if_(found, behind, member))
    return tuple(items)


def _inserted(queue: Queue, thread: Term, stays_before: tuple[Term, ...]) -> Queue:
    """A queue with a thread behind its first members, as long as they are said to stay before it."""
    passed: Term = True
    items = []
    for number, member in enumerate(queue):
        still = and_(passed, member != NONE, stays_before[number])
        here = and_(passed, not_(still))
        items.append(if_(still, member, if_(here, thread, queue[number - 1] if number else NONE)))
        passed = still
    return tuple(items)


def _priority(state: State, thread: Term) -> Term:
    return at([t.priority for t in state.threads], thread, 0)


def _context(state: State, thread: Term) -> Term:
    return at([t.context for t in state.threads], thread, NONE)


def _time(state: State, thread: Term) -> Term:
    """When the refill of a thread's context may be used."""
    return at([c.time for c in state.contexts], _context(state, thread), 0)


def _configured(state: State, thread: Term) -> Term:
    return at([c.configured for c in state.contexts], _context(state, thread), False)


def schedulable(state: State, thread: Term) -> Term:
    """Whether a thread wants the processor, and has a context that does not wait."""
    runnable = at([t.runnable for t in state.threads], thread, False)
    return and_(runnable, _configured(state, thread), not_(_contains(state.release, thread)))


# The scheduler's own operations, as in the kernel


def enqueue(state: State, thread: Term, when: Term = True, *, last: bool = False) -> State:
    """Into the ready queue of its priority, first or last of its equals; nothing if it is in one (tcbSchedEnqueue)."""
    queued = or_(*(_contains(queue, thread) for queue in state.ready))
    when, mine = and_(when, thread != NONE, not_(queued)), _priority(state, thread)
    ready, bits = [], []
    for priority, (queue, bit) in enumerate(zip(state.ready, state.bits, strict=True)):
        here = and_(when, mine == priority)
        entered = _inserted(queue, thread, (last,) * len(queue))
        ready.append(tuple(if_(here, new, old) for new, old in zip(entered, queue, strict=True)))
        bits.append(or_(here, bit))
    return replace(state, ready=tuple(ready), bits=tuple(bits))


def dequeue(state: State, thread: Term) -> State:
    """Out of its ready queue, if it is in one; an empty queue's bit is cleared (tcbSchedDequeue)."""
    ready = tuple(_without(queue, thread) for queue in state.ready)
    lost = [_contains(queue, thread) for queue in state.ready]
    bits = tuple(
        if_(gone, queue[0] != NONE, bit) for gone, queue, bit in zip(lost, ready, state.bits, strict=True)
    )  # fmt: skip
    return replace(state, ready=ready, bits=bits)


def release_enqueue(state: State, thread: Term, when: Term) -> State:
    """Behind all whose refill comes no later (tcbReleaseEnqueue)."""
    mine = _time(state, thread)
    entered = _inserted(state.release, thread, tuple(_time(state, member) <= mine for member in state.release))
    chosen = tuple(if_(when, new, old) for new, old in zip(entered, state.release, strict=True))
    return replace(state, release=chosen)


def release_remove(state: State, thread: Term) -> State:
    """Out of the release queue, if it is in it (tcbReleaseRemove)."""
    return replace(state, release=_without(state.release, thread))


def leave_queues(state: State, thread: Term) -> State:
    """Out of whichever of the scheduler's queues it is in."""
    return release_remove(dequeue(state, thread), thread)


def postpone(state: State, thread: Term, when: Term) -> State:
    """A thread waits for its refill."""
    gone = dequeue(state, if_(when, thread, NONE))
    return release_enqueue(gone, thread, when)


def _is_ready(state: State, thread: Term) -> Term:
    return _time(state, thread) <= state.now


def reschedule_required(state: State, when: Term = True) -> State:
    """Let somebody be chosen; who was to be switched to is one of many again (rescheduleRequired)."""
    candidate = state.action
    state = enqueue(state, candidate, and_(when, candidate >= 0, schedulable(state, candidate)))
    return replace(state, action=if_(when, CHOOSE_NEW, state.action))


def possible_switch_to(state: State, thread: Term, when: Term = True) -> State:
    """A thread became able to run: perhaps it is to run at once (possibleSwitchTo)."""
    when = and_(when, _context(state, thread) != NONE, not_(_contains(state.release, thread)))
    others = and_(when, state.action != RESUME_CURRENT)
    alone = and_(when, state.action == RESUME_CURRENT)
    state = enqueue(reschedule_required(state, others), thread, others)
    return replace(state, action=if_(alone, thread, state.action))


def stopped(state: State) -> State:
    """If the current thread can go on no longer, somebody is to be chosen (as setThreadState sees to)."""
    gone = and_(state.current != NONE, state.action == RESUME_CURRENT, not_(schedulable(state, state.current)))
    return replace(state, action=if_(gone, CHOOSE_NEW, state.action))


def awaken(state: State, operation: "Operation | None" = None) -> State:
    """The first of the release queue is ready, if its refill may be used by now (awaken)."""
    head = state.release[0]
    due = and_(head != NONE, _is_ready(state, head))
    return possible_switch_to(release_remove(state, if_(due, head, NONE)), head, due)


def choose(state: State, operation: "Operation | None" = None) -> State:
    """Who runs now (schedule, scheduleChooseNewThread)."""
    acts, candidate, current = state.action != RESUME_CURRENT, state.action, state.current
    could_go_on = and_(current != NONE, schedulable(state, current))
    state = enqueue(state, current, and_(acts, could_go_on))
    mine, its = _priority(state, current), _priority(state, candidate)
    higher = or_(*(and_(bit, priority > its) for priority, bit in enumerate(state.bits)))
    outranked = and_(candidate >= 0, or_(current == NONE, its < mine), higher)
    equal = and_(candidate >= 0, not_(outranked), could_go_on, its == mine)
    switches = and_(candidate >= 0, not_(outranked), not_(equal))
    state = enqueue(enqueue(state, candidate, outranked), candidate, equal, last=True)
    chosen: Term = NONE
    for bit, queue in zip(state.bits, state.ready, strict=True):
        chosen = if_(bit, queue[0], chosen)
    following = if_(acts, if_(switches, candidate, chosen), current)
    return replace(dequeue(state, following), current=following, action=RESUME_CURRENT)


def _changed(state: State, thread: Term, when: Term = True, **fields: Term) -> State:
    """A state with other fields of a thread."""
    threads = tuple(
        replace(t, **{name: if_(and_(when, thread == n), value, getattr(t, name)) for name, value in fields.items()})
        for n, t in enumerate(state.threads)
    )
    return replace(state, threads=threads)


# What can happen


def perform(state: State, operation: Operation) -> State:
    """The state in which the kernel is left after an operation: ``act``, then ``awaken`` all, then ``choose``."""
    state = act(state, operation)
    for _ in state.release:
        state = awaken(state)
    return choose(state)


def act(state: State, operation: Operation) -> State:
    """The operation itself; the same state if it cannot be done."""
    thread, context = operation.thread, operation.context
    match operation.name:
        case "yield_" | "budget_ends":
            return _turn_ends(state, operation.number if operation.name == "budget_ends" else 0)
        case "time_passes":
            return replace(state, now=if_(state.current == NONE, state.now + operation.number, state.now))
        case "block":
            return _block(state, state.current)
        case "wake":
            return _wake(state, state.endpoint[0])
        case "suspend":
            gone = _changed(leave_queues(state, thread), thread, runnable=False, blocked=False)
            return stopped(replace(gone, endpoint=_without(state.endpoint, thread)))
        case "resume":
            return _resume(state, thread)
        case "set_priority":
            return _set_priority(state, thread, operation.number)
        case "bind":
            return _bind(state, context, thread)
        case "unbind":
            owner = at([c.thread for c in state.contexts], context, NONE)
            may = and_(owner != NONE, owner != state.current)
            return _taken(state, context, if_(may, owner, NONE))
        case _:
            return _call(state, thread)


def _turn_ends(state: State, ticks: Term) -> State:
    """The running thread's refill is used up: it comes back one period after it was usable."""
    current = state.current
    context = _context(state, current)
    period = at([c.period for c in state.contexts], context, 0)
    state = replace(state, now=if_(current == NONE, state.now, state.now + ticks))
    times = put([c.time for c in state.contexts], context, at([c.time for c in state.contexts], context, 0) + period,
                and_(current != NONE, period > 0))  # fmt: skip
    contexts = tuple(replace(c, time=time) for c, time in zip(state.contexts, times, strict=True))
    state = replace(state, contexts=contexts)
    ready = _is_ready(state, current)
    state = enqueue(state, current, and_(current != NONE, ready), last=True)
    return reschedule_required(postpone(state, current, and_(current != NONE, not_(ready))), current != NONE)


def _block(state: State, thread: Term) -> State:
    """The running thread waits at the endpoint, behind all of at least its priority."""
    mine = _priority(state, thread)
    entered = _inserted(state.endpoint, thread, tuple(_priority(state, other) >= mine for other in state.endpoint))
    queue = tuple(if_(thread != NONE, new, old) for new, old in zip(entered, state.endpoint, strict=True))
    return stopped(replace(_changed(state, thread, runnable=False, blocked=True), endpoint=queue))


def _wake(state: State, head: Term) -> State:
    """The first of the endpoint's queue gets its message."""
    woken = _changed(state, head, runnable=True, blocked=False)
    return possible_switch_to(replace(woken, endpoint=_without(state.endpoint, head)), head, head != NONE)


def _resume(state: State, thread: Term) -> State:
    """A thread that is stopped or waits goes on, as soon as it has time."""
    may = not_(at([t.runnable for t in state.threads], thread, True))
    resumed = _changed(state, thread, may, runnable=True, blocked=False)
    resumed = replace(resumed, endpoint=_without(state.endpoint, if_(may, thread, NONE)))
    waits = and_(may, schedulable(resumed, thread), not_(_is_ready(resumed, thread)))
    resumed = postpone(resumed, thread, waits)
    return possible_switch_to(resumed, thread, and_(may, schedulable(resumed, thread)))


def _set_priority(state: State, thread: Term, priority: Term) -> State:
    """A thread finds its new place in the queue in which it stands."""
    ready = or_(thread == state.current, *(_contains(queue, thread) for queue in state.ready))
    blocked = _contains(state.endpoint, thread)
    moved = _changed(dequeue(state, thread), thread, priority=priority)
    moved = reschedule_required(enqueue(moved, thread, ready), ready)
    left = _without(moved.endpoint, thread)
    entered = _inserted(left, thread, tuple(_priority(moved, other) >= priority for other in left))
    queue = tuple(if_(blocked, new, old) for new, old in zip(entered, state.endpoint, strict=True))
    return replace(moved, endpoint=queue)


def _given(state: State, context: Term, thread: Term, when: Term) -> State:
    contexts = tuple(
        replace(c, thread=if_(and_(when, context == n), thread, c.thread)) for n, c in enumerate(state.contexts)
    )
    return replace(_changed(state, thread, when, context=context), contexts=contexts)


def _taken(state: State, context: Term, owner: Term) -> State:
    """A context is taken from its thread."""
    state = _changed(leave_queues(state, owner), owner, context=NONE)
    taken = tuple(
        replace(c, thread=if_(and_(owner != NONE, context == n), NONE, c.thread)) for n, c in enumerate(state.contexts)
    )
    return replace(state, contexts=taken)


def _bind(state: State, context: Term, thread: Term) -> State:
    """A thread without context is given a free one; one that is blocked only a context that can be used now."""
    configured = at([c.configured for c in state.contexts], context, False)
    usable = and_(configured, at([c.time for c in state.contexts], context, 0) <= state.now)
    free = and_(_context(state, thread) == NONE, at([c.thread for c in state.contexts], context, 0) == NONE)
    may = and_(free, or_(not_(at([t.blocked for t in state.threads], thread, True)), usable))
    bound = _given(state, context, thread, may)
    bound = postpone(bound, thread, and_(may, schedulable(bound, thread), not_(_is_ready(bound, thread))))
    ready = and_(may, schedulable(bound, thread))
    return reschedule_required(enqueue(bound, thread, ready), ready)


def _call(state: State, thread: Term) -> State:
    """The running thread calls one without context that waits at the endpoint, and that runs on its time."""
    caller = state.current
    context = _context(state, caller)
    may = and_(caller != NONE, _contains(state.endpoint, thread), _context(state, thread) == NONE)
    waits = stopped(_changed(state, caller, may, runnable=False))
    lent = reschedule_required(_given(_taken(waits, context, if_(may, caller, NONE)), context, thread, may), may)
    woken = _changed(lent, thread, may, runnable=True, blocked=False)
    woken = replace(woken, endpoint=_without(woken.endpoint, if_(may, thread, NONE)))
    return possible_switch_to(woken, thread, may)


# The invariant


def _is_compact(queue: Queue) -> Term:
    """No gaps, and nobody twice."""
    gaps = [implies(b != NONE, a != NONE) for a, b in pairwise(queue)]
    twice = [implies(a != NONE, a != b) for n, a in enumerate(queue) for b in queue[n + 1 :]]
    return and_(*gaps, *twice)


def queues_are_lists(state: State) -> Term:
    """Queues have no gaps, and nobody stands in one twice; all who do exist."""
    queues = (*state.ready, state.release, state.endpoint)
    exist = [and_(member >= NONE, member < len(state.threads)) for queue in queues for member in queue]
    return and_(*(_is_compact(queue) for queue in queues), *exist, state.current >= NONE,
                state.current < len(state.threads))  # fmt: skip


def valid_ready_qs(state: State) -> Term:
    """G19: who is ready is schedulable, has a usable refill, and stands at its priority; the bits are exact."""
    conditions = []
    for priority, (queue, bit) in enumerate(zip(state.ready, state.bits, strict=True)):
        conditions.append(bit == (queue[0] != NONE))
        for member in queue:
            valid = and_(_priority(state, member) == priority, schedulable(state, member), _is_ready(state, member))
            conditions.append(implies(member != NONE, valid))
    return all_(conditions)


def sorted_release_q(state: State) -> Term:
    """G20: sorted by time; its members want to run, and have a configured context."""
    conditions = [
        implies(b != NONE, _time(state, a) <= _time(state, b)) for a, b in pairwise(state.release)
    ]  # fmt: skip
    for member in state.release:
        runnable = at([t.runnable for t in state.threads], member, False)
        conditions.append(implies(member != NONE, and_(runnable, _configured(state, member))))
    return all_(conditions)


def nobody_is_due(state: State) -> Term:
    """G20: who is in the release queue waits for a refill that may not be used yet."""
    return all_(implies(member != NONE, not_(_is_ready(state, member))) for member in state.release)


def queues_are_ordered(state: State) -> Term:
    """G15b: the endpoint's queue is ordered by priority, highest first; who stands in it is blocked, and conversely."""
    order = [implies(b != NONE, _priority(state, a) >= _priority(state, b)) for a, b in pairwise(state.endpoint)]
    blocked = [and_(t.blocked == _contains(state.endpoint, n), not_(and_(t.blocked, t.runnable)))
               for n, t in enumerate(state.threads)]  # fmt: skip
    return and_(*order, *blocked)


def sym_refs(state: State) -> Term:
    """G14: thread and context refer to each other: each thread has one context at most, and each context one thread."""
    conditions = []
    for number, thread in enumerate(state.threads):
        back = at([c.thread for c in state.contexts], thread.context, NONE)
        conditions.append(and_(thread.context >= NONE, thread.context < len(state.contexts)))
        conditions.append(implies(thread.context != NONE, back == number))
    for number, context in enumerate(state.contexts):
        conditions.append(and_(context.thread >= NONE, context.thread < len(state.threads)))
        conditions.append(implies(context.thread != NONE, _context(state, context.thread) == number))
    return all_(conditions)


def in_one_place(state: State) -> Term:
    """G18: who is schedulable is current, in a ready queue, or to be switched to; nobody is in two queues."""
    conditions = []
    for number, thread in enumerate(state.threads):
        ready = or_(*(_contains(queue, number) for queue in state.ready))
        conditions.append(not_(and_(_contains(state.release, number), ready)))
        here = or_(ready, state.current == number, state.action == number)
        conditions.append(implies(schedulable(state, number), here))
        conditions.append(and_(thread.priority >= 0, thread.priority < len(state.ready)))
    return all_(conditions)


def valid_action(state: State) -> Term:
    """What is to be done can be: who is switched to can run and stands in no queue; who is resumed can go on.

    Unless somebody is to be chosen, nobody who is ready has a higher priority than the current thread.
    """
    action, current = state.action, state.current
    queued = [_contains(queue, action) for queue in (*state.ready, state.release)]
    switch = and_(schedulable(state, action), _is_ready(state, action), not_(or_(*queued)), action != current)
    resume = or_(current == NONE, and_(schedulable(state, current), _is_ready(state, current)))
    mine = if_(current == NONE, NONE, _priority(state, current))
    highest = [implies(bit, priority <= mine) for priority, bit in enumerate(state.bits)]
    return and_(
        action >= RESUME_CURRENT, action < len(state.threads), implies(action >= 0, switch),
        implies(action == RESUME_CURRENT, resume),
        or_(action == CHOOSE_NEW, and_(*highest, _current_is_not_queued(state))),
    )  # fmt: skip


def _current_is_not_queued(state: State) -> Term:
    return not_(or_(*(_contains(queue, state.current) for queue in (*state.ready, state.release))))


def current_has_time(state: State) -> Term:
    """G26: if the current thread can go on, its refill may be used."""
    return implies(and_(state.current != NONE, schedulable(state, state.current)), _is_ready(state, state.current))


def blocked_have_time(state: State) -> Term:
    """Who waits at the endpoint has no context, or one that can be used: so whoever wakes it need not ask."""
    return all_(
        implies(and_(t.blocked, t.context != NONE), and_(_configured(state, n), _is_ready(state, n)))
        for n, t in enumerate(state.threads)
    )  # fmt: skip


def current_is_highest(state: State) -> Term:
    """G18, G26: who runs can run and is in no queue of the scheduler's, and nobody ready has a higher priority."""
    return and_(state.action == RESUME_CURRENT, valid_action(state))


INSIDE = {
    "queues_are_lists": queues_are_lists, "valid_ready_qs": valid_ready_qs, "sorted_release_q": sorted_release_q,
    "queues_are_ordered": queues_are_ordered, "sym_refs": sym_refs, "in_one_place": in_one_place,
    "valid_action": valid_action, "current_has_time": current_has_time,
    "blocked_have_time": blocked_have_time,
}  # fmt: skip
"""What holds inside the kernel: the current thread may have stopped or been queued, and refills may be due."""
AWAKE = {**INSIDE, "nobody_is_due": nobody_is_due}
"""What holds once all who were due are ready."""
INVARIANT = {**AWAKE, "current_is_highest": current_is_highest}
"""What holds whenever the kernel is left."""


def one_fewer_is_due(before: State, after: State, operation: Operation | None) -> Term:
    """As often as the release queue is long, and nobody is due any more."""
    head = before.release[0]
    last = [member == NONE for member in after.release]
    shorter = or_(*(and_(empty, member != NONE) for empty, member in zip(last, before.release, strict=True)))
    return or_(nobody_is_due(after), and_(head != NONE, shorter))


AWAKENING = {"one_fewer_is_due": one_fewer_is_due}
