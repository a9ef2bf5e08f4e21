"""The scheduler's queues, for so many threads: what each operation leaves when the kernel is left again.

Threads and contexts are numbers, -1 is none. A queue is a tuple of threads, filled up with -1 behind the last. Of one
domain and one endpoint; a context has one refill, whose time is when it may be used.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

from specs.proofs.z3.logic import Term, all_, and_, at, if_, implies, not_, or_, put

NONE = -1
PRIORITIES = 3
OPERATIONS = (
    "yield_", "budget_ends", "time_passes", "block", "wake", "suspend", "resume", "set_priority", "bind", "unbind",
    "donate",
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
    """``ready`` has a queue for each priority; ``bits`` says which are not empty. ``current`` -1 is the idle thread."""

    threads: tuple[Thread, ...] = ()
    contexts: tuple[Context, ...] = ()
    ready: tuple[Queue, ...] = ()
    bits: tuple[Term, ...] = ()
    release: Queue = ()
    endpoint: Queue = ()
    current: Term = NONE
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


def awaken(state: State, operation: "Operation | None" = None) -> State:
    """The first of the release queue is ready, if its refill may be used by now."""
    head = state.release[0]
    due = and_(head != NONE, _is_ready(state, head))
    return enqueue(release_remove(state, if_(due, head, NONE)), head, due, last=True)


def choose(state: State, operation: "Operation | None" = None) -> State:
    """The first of the highest priority runs; the current thread goes first among its equals, if it can go on.

    (A thread that the kernel switches to at once, without its going through a queue, is the first of the highest
    priority, too; that is not modelled apart.)
    """
    state = enqueue(state, state.current, schedulable(state, state.current))
    chosen: Term = NONE
    for bit, queue in zip(state.bits, state.ready, strict=True):
        chosen = if_(bit, queue[0], chosen)
    return replace(dequeue(state, chosen), current=chosen)


def _changed(state: State, thread: Term, when: Term = True, **fields: Term) -> State:
    """A state with other fields of a thread."""
    threads = tuple(
        replace(t, **{name: if_(and_(when, thread == n), value, getattr(t, name)) for name, value in fields.items()})
        for n, t in enumerate(state.threads)
    )
    return replace(state, threads=threads)


def _made_ready(state: State, thread: Term, when: Term) -> State:
    """A thread became able to run: it is ready, or waits for its refill."""
    can = and_(when, schedulable(state, thread))
    ready = _is_ready(state, thread)
    not_current = thread != state.current
    return enqueue(postpone(state, thread, and_(can, not_(ready))), thread, and_(can, ready, not_current))


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
    mine = _context(state, thread)
    match operation.name:
        case "yield_" | "budget_ends":
            return _turn_ends(state, operation.number if operation.name == "budget_ends" else 0)
        case "time_passes":
            return replace(state, now=if_(state.current == NONE, state.now + operation.number, state.now))
        case "block":
            return _block(state, state.current)
        case "wake":
            head = state.endpoint[0]
            woken = _changed(state, head, runnable=True, blocked=False)
            woken = replace(woken, endpoint=_without(state.endpoint, head))
            return _made_ready(woken, head, head != NONE)
        case "suspend":
            stopped = _changed(leave_queues(state, thread), thread, runnable=False, blocked=False)
            return replace(stopped, endpoint=_without(state.endpoint, thread))
        case "resume":
            may = not_(at([t.runnable for t in state.threads], thread, True))
            resumed = _changed(state, thread, may, runnable=True, blocked=False)
            resumed = replace(resumed, endpoint=_without(state.endpoint, if_(may, thread, NONE)))
            return _made_ready(resumed, thread, may)
        case "set_priority":
            return _set_priority(state, thread, operation.number)
        case "bind":
            may = and_(mine == NONE, at([c.thread for c in state.contexts], context, 0) == NONE)
            return _made_ready(_given(state, context, thread, may), thread, may)
        case "unbind":
            owner = at([c.thread for c in state.contexts], context, NONE)
            may = and_(owner != NONE, owner != state.current)
            return _taken(state, context, if_(may, owner, NONE))
        case _:
            return _donated(state, thread)


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
    return postpone(state, current, and_(current != NONE, not_(ready)))


def _block(state: State, thread: Term) -> State:
    """The running thread waits at the endpoint, behind all of at least its priority."""
    mine = _priority(state, thread)
    entered = _inserted(state.endpoint, thread, tuple(_priority(state, other) >= mine for other in state.endpoint))
    queue = tuple(if_(thread != NONE, new, old) for new, old in zip(entered, state.endpoint, strict=True))
    return replace(_changed(state, thread, runnable=False, blocked=True), endpoint=queue)


def _set_priority(state: State, thread: Term, priority: Term) -> State:
    """A thread finds its new place in the queue in which it stands."""
    ready = or_(*(_contains(queue, thread) for queue in state.ready))
    blocked = _contains(state.endpoint, thread)
    moved = _changed(dequeue(state, thread), thread, priority=priority)
    moved = enqueue(moved, thread, ready)
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


def _donated(state: State, thread: Term) -> State:
    """The running thread calls a thread without a context that waits at the endpoint, which runs on its time."""
    caller = state.current
    context = _context(state, caller)
    may = and_(caller != NONE, _contains(state.endpoint, thread), _context(state, thread) == NONE)
    waits = _changed(state, caller, may, runnable=False)
    lent = _given(_taken(waits, context, if_(may, caller, NONE)), context, thread, may)
    woken = _changed(lent, thread, may, runnable=True, blocked=False)
    woken = replace(woken, endpoint=_without(woken.endpoint, if_(may, thread, NONE)))
    return _made_ready(woken, thread, may)


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
    """G18: who is schedulable is current or in a ready queue, and nobody is both there and in the release queue."""
    conditions = []
    for number, thread in enumerate(state.threads):
        ready = or_(*(_contains(queue, number) for queue in state.ready))
        current = state.current == number
        conditions.append(not_(and_(_contains(state.release, number), ready)))
        conditions.append(implies(schedulable(state, number), or_(ready, current)))
        conditions.append(and_(thread.priority >= 0, thread.priority < len(state.ready)))
    return all_(conditions)


def current_is_not_queued(state: State) -> Term:
    """G18: who runs is in no queue of the scheduler's."""
    return not_(or_(*(_contains(queue, state.current) for queue in (*state.ready, state.release))))


def current_has_time(state: State) -> Term:
    """G26: if the current thread can go on, its refill may be used."""
    return implies(and_(state.current != NONE, schedulable(state, state.current)), _is_ready(state, state.current))


def current_is_highest(state: State) -> Term:
    """G26: who runs can run, and nobody ready has a higher priority; the idle thread runs only if nobody is ready."""
    mine = if_(state.current == NONE, NONE, _priority(state, state.current))
    higher = [implies(bit, priority <= mine) for priority, bit in enumerate(state.bits)]
    runs = implies(state.current != NONE, and_(schedulable(state, state.current), _is_ready(state, state.current)))
    return and_(*higher, runs)


INSIDE = {
    "queues_are_lists": queues_are_lists, "valid_ready_qs": valid_ready_qs, "sorted_release_q": sorted_release_q,
    "queues_are_ordered": queues_are_ordered, "sym_refs": sym_refs, "in_one_place": in_one_place,
    "current_has_time": current_has_time,
}  # fmt: skip
"""What holds inside the kernel: the current thread may have stopped or been queued, and refills may be due."""
AWAKE = {**INSIDE, "nobody_is_due": nobody_is_due}
"""What holds once all who were due are ready."""
INVARIANT = {**AWAKE, "current_is_not_queued": current_is_not_queued, "current_is_highest": current_is_highest}
"""What holds whenever the kernel is left."""


def one_fewer_is_due(before: State, after: State, operation: Operation | None) -> Term:
    """As often as the release queue is long, and nobody is due any more."""
    head = before.release[0]
    last = [member == NONE for member in after.release]
    shorter = or_(*(and_(empty, member != NONE) for empty, member in zip(last, before.release, strict=True)))
    return or_(nobody_is_due(after), and_(head != NONE, shorter))


AWAKENING = {"one_fewer_is_due": one_fewer_is_due}
