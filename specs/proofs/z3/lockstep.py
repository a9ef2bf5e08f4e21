"""The models that z3 is asked about, run with plain values beside the specification: what is proved is what runs.

Capabilities: random invocations on ``specs.abstract``, each then performed by the model on as many slots. Scheduler:
random operations from states that the model reaches; each is taken by the model, and by the specification's own
functions from the same state.
"""

import random
from dataclasses import dataclass, field, replace

from specs.abstract import Outputs
from specs.abstract import scheduler as spec_scheduler
from specs.abstract import thread as spec_thread
from specs.abstract.budget import charge_budget, handle_yield
from specs.abstract.ipc import send_ipc
from specs.abstract.ipc_cancel import leave_endpoint
from specs.abstract.objects import (
    IDLE_SC,
    IDLE_THREAD,
    TCB,
    BlockedOnSend,
    Endpoint,
    IdleThreadState,
    Inactive,
    Refill,
    Running,
    SchedContext,
)
from specs.abstract.schedcontext import sched_context_bind_tcb, sched_context_donate, sched_context_unbind_tcb
from specs.abstract.state import State as Spec
from specs.abstract.state import SyscallError, get_endpoint, get_sched_context, get_tcb
from specs.proofs import lockstep
from specs.proofs.z3 import capabilities as caps
from specs.proofs.z3 import scheduler as sched
from specs.proofs.z3.prove import literal

ENDPOINT, THREADS, CONTEXTS = 0xF000, 0x1000, 0x8000
AMOUNT = 1_000
"""Ticks in a refill."""


@dataclass
class Result:
    """How many operations were compared, which of them changed something, and the first difference."""

    performed: int = 0
    effective: set[str] = field(default_factory=set)
    difference: str | None = None


# Capabilities


def _bits(number: int) -> tuple[bool, ...]:
    return tuple(bool(number >> bit & 1) for bit in range(4))


def _operation(name: str, words: tuple[int, ...]) -> caps.Operation:
    match name, words:
        case ("copy" | "mint"), (source, target, mask, *badge):
            return caps.Operation(name, source, target, _bits(mask), sum(badge))
        case ("retype" | "untyped"), (source, target, offset, size):
            wanted = "retype" if name == "retype" else "retype_untyped"
            return caps.Operation(wanted, source, target, offset=offset, size=size)
        case _:
            source, target = (*words, 0)[:2]
            return caps.Operation(name, source, target)


def _shown(spec: Spec) -> dict[int, tuple[object, ...]]:
    """The specification's slots in the model's words."""
    found: dict[int, tuple[object, ...]] = {}
    for slot, node in lockstep.tree_of(spec).items():
        parent, original, base, size, is_object, (first, second) = node
        what = (_bits(first), second) if is_object else first
        found[slot] = (caps.NONE if parent is None else parent, original, base, size, is_object, what)
    return found


def _of_model(state: caps.State) -> dict[int, tuple[object, ...]]:
    found: dict[int, tuple[object, ...]] = {}
    for number, slot in enumerate(state):
        if slot.used:
            what = slot.mark if slot.untyped else (slot.rights, slot.badge)
            found[number] = (slot.parent, slot.original, slot.base, slot.size, not slot.untyped, what)
    return found


def capabilities(seed: int, steps: int) -> Result:
    """So many random invocations, from one untyped on; the invariant is evaluated after each, too."""
    rng, spec, result = random.Random(seed), lockstep.beginning(), Result()
    first = caps.Slot(True, True, lockstep.BASE, 1 << lockstep.SIZE_BITS, original=True)
    state: caps.State = (first, *[caps.EMPTY] * ((1 << lockstep.BITS) - 1))
    for number in range(steps):
        try:
            operations = lockstep.step(spec, rng)
        except SyscallError:
            continue
        for name, *words in operations:
            operation = _operation(str(name), tuple(int(word) for word in words))
            before, state = state, caps.perform(state, operation)
            result.performed += 1
            if state != before:
                result.effective.add(operation.name)
            broken = [name for name, holds in caps.INVARIANT.items() if not holds(state)]
            broken += [name for name, holds in caps.STEP_THEOREMS.items() if not holds(before, state, operation)]
            if broken:
                result.difference = f"step {number}, {literal(operation)}: {broken} of {literal(state)}"
                return result
        here, there = _shown(spec), _of_model(state)
        if here != there:
            result.difference = f"seed {seed}, step {number}, {operations}:\nspec  {here}\nmodel {there}"
            return result
    return result


# Scheduler


def _thread(number: int) -> int:
    return IDLE_THREAD if number == sched.NONE else THREADS + number


def _number(ptr: int | None, base: int) -> int:
    return sched.NONE if ptr is None or ptr < 0 else ptr - base


def to_spec(state: sched.State) -> Spec:
    """A state of the model as one of the specification's."""
    s = Spec(lockstep.CONFIG)
    s.out, s.memory = Outputs(), lambda paddr: 0
    s.kheap[IDLE_THREAD], s.kheap[IDLE_SC] = TCB(IdleThreadState), SchedContext(0)
    for n, thread in enumerate(state.threads):
        doing = BlockedOnSend(ENDPOINT, 0, True, True, False) if thread.blocked else Inactive
        context = None if thread.context == sched.NONE else CONTEXTS + thread.context
        doing = Running if thread.runnable else doing
        s.kheap[THREADS + n] = TCB(doing, priority=thread.priority, sched_context=context)
    for n, sc in enumerate(state.contexts):
        tail = () if sc.period else (Refill(sc.time, 0),)
        s.kheap[CONTEXTS + n] = SchedContext(
            8, sc.period, 2 if sc.configured else 0, (Refill(sc.time, AMOUNT), *tail),
            tcb=None if sc.thread == sched.NONE else THREADS + sc.thread,
        )  # fmt: skip
    s.kheap[ENDPOINT] = Endpoint(senders=_members(state.endpoint))
    s.ready_queues = {(0, p): _members(queue) for p, queue in enumerate(state.ready) if queue[0] != sched.NONE}
    s.release_queue = _members(state.release)
    s.cur_time, s.cur_thread = state.now, _thread(state.current)
    current = sched.NONE if state.current == sched.NONE else state.threads[state.current].context
    s.cur_sc = IDLE_SC if current == sched.NONE else CONTEXTS + current
    return s


def _members(queue: sched.Queue) -> tuple[int, ...]:
    return tuple(THREADS + member for member in queue if member != sched.NONE)


def from_spec(s: Spec, like: sched.State) -> sched.State:
    """The way back, for as many threads and contexts as ``like`` has."""
    threads, contexts = [], []
    for n in range(len(like.threads)):
        tcb = get_tcb(s, THREADS + n)
        blocked = isinstance(tcb.state, BlockedOnSend)
        context = _number(tcb.sched_context, CONTEXTS)
        threads.append(sched.Thread(spec_scheduler.is_runnable(s, THREADS + n), blocked, tcb.priority, context))
    for n in range(len(like.contexts)):
        sc = get_sched_context(s, CONTEXTS + n)
        contexts.append(sched.Context(sc.refill_max > 0, _number(sc.tcb, THREADS), sc.refills[0].time, sc.period))

    def queue(members: tuple[int, ...]) -> sched.Queue:
        return tuple(m - THREADS for m in members) + (sched.NONE,) * (len(threads) - len(members))

    ready = tuple(queue(s.ready_queues.get((0, p), ())) for p in range(len(like.ready)))
    return sched.State(
        tuple(threads), tuple(contexts), ready, tuple((0, p) in s.ready_queues for p in range(len(like.ready))),
        queue(s.release_queue), queue(get_endpoint(s, ENDPOINT).senders), _number(s.cur_thread, THREADS),
        sched.RESUME_CURRENT, s.cur_time,
    )  # fmt: skip


def perform_on_spec(s: Spec, operation: sched.Operation) -> None:
    """The same operation by the specification's functions, as its invocations and system calls use them."""
    thread, sc, idle = _thread(operation.thread), CONTEXTS + operation.context, s.cur_thread == IDLE_THREAD
    match operation.name:
        case "yield_" if not idle:
            handle_yield(s)
        case "budget_ends" if not idle:
            s.cur_time += operation.number
            charge_budget(s, AMOUNT, False)
        case "time_passes" if idle:
            s.cur_time += operation.number
        case "block" if not idle:
            send_ipc(s, True, False, 0, True, True, False, s.cur_thread, ENDPOINT)
        case "wake" if get_endpoint(s, ENDPOINT).senders:
            _wake(s, get_endpoint(s, ENDPOINT).senders[0])
        case "suspend":
            spec_thread.suspend(s, thread)
        case "resume":
            spec_thread.restart(s, thread)
        case "set_priority":
            spec_thread.set_priority(s, thread, operation.number)
        case "bind":
            tcb, context = get_tcb(s, thread), get_sched_context(s, sc)
            blocked = isinstance(tcb.state, spec_thread.BLOCKED)
            if tcb.sched_context is None and context.tcb is None and (not blocked or spec_scheduler.sc_released(s, sc)):
                sched_context_bind_tcb(s, sc, thread)
        case "unbind" if get_sched_context(s, sc).tcb != s.cur_thread:
            sched_context_unbind_tcb(s, sc)
        case "call" if not idle and thread in get_endpoint(s, ENDPOINT).senders:
            if get_tcb(s, thread).sched_context is None:
                lent = get_tcb(s, s.cur_thread).sched_context
                assert lent is not None
                spec_scheduler.set_thread_state(s, s.cur_thread, Inactive)
                sched_context_donate(s, lent, thread)
                _wake(s, thread)
    spec_scheduler.schedule(s)


def _wake(s: Spec, thread: int) -> None:
    leave_endpoint(s, ENDPOINT, thread)
    spec_scheduler.set_thread_state(s, thread, Running)
    spec_scheduler.possible_switch_to(s, thread)


def _seen(state: sched.State) -> sched.State:
    """Of a refill that may be used, since when is not compared: the specification lets it begin when it is used."""
    return replace(state, contexts=tuple(replace(c, time=max(c.time, state.now)) for c in state.contexts))


def beginning(threads: int, rng: random.Random) -> sched.State:
    """Most threads have a context of their own, and have been started."""
    empty = (sched.NONE,) * threads
    state = sched.State(
        tuple(sched.Thread(priority=rng.randrange(sched.PRIORITIES)) for _ in range(threads)),
        tuple(sched.Context(rng.random() < 0.9, period=rng.choice((0, 3_000, 5_000))) for _ in range(threads)),
        (empty,) * sched.PRIORITIES, (False,) * sched.PRIORITIES, empty, empty, now=1,
    )  # fmt: skip
    for number in range(threads):
        if rng.random() < 0.8:
            state = sched.perform(state, sched.Operation("bind", number, number))
            state = sched.perform(state, sched.Operation("resume", number))
    return state


def scheduler(seed: int, steps: int, threads: int = 4) -> Result:
    """So many random operations, each from the state that the model came to; the invariant is evaluated, too."""
    rng, result = random.Random(seed), Result()
    state = beginning(threads, rng)
    for number in range(steps):
        head = state.endpoint[0]
        waits_for_time = head != sched.NONE and state.threads[head].context == sched.NONE
        name = "call" if waits_for_time and rng.random() < 0.5 else rng.choice(sched.OPERATIONS)
        amount = rng.randrange(sched.PRIORITIES) if name == "set_priority" else rng.choice((0, 1_000, 2_500))
        thread, context = rng.randrange(threads), rng.randrange(threads)
        if name in ("call", "unbind") and head != sched.NONE:
            thread, context = head, max(0, state.threads[head].context)
        operation = sched.Operation(name, thread, context, amount)
        after = sched.perform(state, operation)
        s = to_spec(state)
        perform_on_spec(s, operation)
        broken = [name for name, holds in sched.INVARIANT.items() if not holds(after)]
        here = from_spec(s, state)
        result.performed += 1
        if after != state:
            result.effective.add(name)
        if broken or _seen(here) != _seen(after):
            result.difference = (
                f"seed {seed}, step {number}, broken: {broken}\nbefore {literal(state)}\n{literal(operation)}\n"
                f"spec   {literal(here)}\nmodel  {literal(after)}"
            )
            return result
        state = after
    return result
