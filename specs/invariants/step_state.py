"""What a step leaves alone: T9, T15, T18, and the step part of G21.

Catches: a check made after the first change, an error path that half-undoes, a kernel entry of unbounded length,
registers clobbered or leaked, time made from nothing.
"""

from itertools import compress, count
from operator import ne
from typing import Any

from capkernel.abi import labels
from capkernel.abi import message as msg
from capkernel.abi import registers as reg
from capkernel.abi import syscalls as sc
from capkernel.kernel import objects as ko
from capkernel.kernel.caps import SchedContextCap, SchedControlCap, ThreadCap
from capkernel.kernel.objects import TCB
from specs.invariants.parts import parts
from specs.invariants.step import COMBINED, Step
from specs.invariants.step_model import StepInvariant
from specs.invariants.view import name_of

OPERATIONS_BOUND = 1100
"""The most operations on the machine between two looks at the clock.

The longest stretches: a message of 120 words with three caps both ways; flushing 512 ASIDs of a pool.
"""
_TIME_FIELDS: dict[type, frozenset[str]] = {
    ko.SchedContext: frozenset(("refills", "consumed")),
    TCB: frozenset(("queue_next", "queue_prev", "queued", "registers", "state", "fp_registers")),
}
"""What the passing of time changes, error or not. Registers and states are compared apart."""
_KERNEL_KEPT = ("asid_table", "domain_schedule", "domain_start", "io_contexts", "irq_states", "idle", "idle_sc")
_HARMLESS = frozenset(("set_deadline", "set_vspace", "claim_irq"))


def errors_change_nothing(step: Step) -> str | None:
    """T9: an error leaves the state unchanged, save the caller's result and time.

    Of the combined calls (ReplyRecv and its kin) only the second half acts then; what it changes is held against a
    plain receive in the tests. Time may wake and preempt threads in the same kernel entry.
    """
    if not step.executed or not step.refused or step.request.number in COMBINED:
        return None
    return _changed_objects(step) or _changed_caps(step) or _changed_kernel(step) or _touched_machine(step)


def _changed_objects(step: Step) -> str | None:
    now = step.now.objects
    for item, old in step.before.objects.items():
        new = now.get(item)
        if new is old:
            continue
        if new is None:
            return f"{name_of(item)} is gone after an error"
        ignored = _TIME_FIELDS.get(type(item), frozenset())
        changed = [name for name, value in old.items() if name not in ignored and new[name] != value]
        if isinstance(item, TCB):
            changed += _changed_thread(step, item, old, new)
        if changed:
            return f"{name_of(item)}.{changed[0]} changed with an error: {old[changed[0]]!r} → {new[changed[0]]!r}"
    return None


def _changed_thread(step: Step, thread: TCB, old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Registers and state of a thread that an error must not touch."""
    changed = []
    if thread is not step.caller and old["registers"] != new["registers"]:
        restarted = old["state"] is ko.RESTART and thread is step.state.current
        changed += [] if restarted else ["registers"]
    runnable = (ko.RUNNING, ko.RESTART)
    timed_out = isinstance(thread.fault, ko.Timeout)
    both_run = old["state"] in runnable and new["state"] in runnable
    if old["state"] is not new["state"] and not both_run and not timed_out:
        changed.append("state")
    return changed


def _changed_caps(step: Step) -> str | None:
    if step.before.caps is step.now.caps and step.before.flags is step.now.flags:
        return None
    if step.before.caps != step.now.caps or step.before.flags != step.now.flags:
        return "caps or their derivation changed with an error"
    return None


def _changed_kernel(step: Step) -> str | None:
    for name in _KERNEL_KEPT:
        if step.before.kernel[name] != step.now.kernel[name]:
            return f"the kernel's {name} changed with an error"
    return None


def _touched_machine(step: Step) -> str | None:
    """The only memory that may change is the message in the caller's IPC buffer."""
    buffer, _ = step.buffers[step.caller]
    end = buffer + msg.BUFFER_CAPS
    for name, *args in step.recorder.effects:
        if name == "write_word" and buffer and buffer <= args[0] < end:
            continue
        if name not in _HARMLESS:
            return f"the kernel did {name}{tuple(args)} with an error"
    return None


def entries_are_bounded(step: Step) -> str | None:
    """T15: between two looks at the clock there is a bounded amount of work."""
    longest = step.recorder.longest
    return f"{longest} operations without a look at the clock" if longest > OPERATIONS_BOUND else None


_MESSAGE = frozenset((reg.BADGE_REGISTER, reg.MSG_INFO_REGISTER, *reg.MSG_REGISTERS))
_EVERYTHING = frozenset(range(reg.REGISTER_COUNT))
_PCS = frozenset((reg.FAULT_IP, reg.NEXT_IP))
_WRITES_REGISTERS = (labels.TCB_WRITE_REGISTERS, labels.TCB_COPY_REGISTERS, labels.TCB_SET_TLS_BASE)


def registers_are_kept(step: Step) -> str | None:
    """T18: registers not listed as outputs (ABI, section 2) come back unchanged.

    Of the caller: a0–a5 after Call and the receiving calls, none after Send, NBSend and Yield. Of a thread that waited:
    a0–a5. Of the target of a register-writing invocation, or of an answered fault: any.
    """
    for thread in step.touched(TCB):
        if thread.registers[0]:
            return f"{name_of(thread)}: register zero is {thread.registers[0]:#x}"
        old = step.before.of(thread, "registers")
        if old is None or old == thread.registers:
            continue
        changed = set(compress(count(), map(ne, old, thread.registers))) - _PCS
        allowed = _outputs(step, thread)
        if changed - allowed:
            names = ", ".join(reg.NAMES[n] for n in sorted(changed - allowed))
            return f"{name_of(thread)}: {names} changed"
    return None


def _outputs(step: Step, thread: TCB) -> frozenset[int]:
    """The registers of a thread that this step may change."""
    if step.before.of(thread, "fault") is not None:
        return _EVERYTHING  # Answered: its handler may have set some.
    target = step.cap(step.request.target)
    is_target = step.executed and isinstance(target, ThreadCap) and target.tcb is thread
    if is_target and step.request.label in _WRITES_REGISTERS:
        return _EVERYTHING
    if step.before.of(thread, "yield_to") is not None or isinstance(step.before.of(thread, "state"), ko.Blocked):
        return _MESSAGE
    if thread is not step.caller or not step.is_syscall:
        return frozenset()
    return _caller_outputs(step)


def _caller_outputs(step: Step) -> frozenset[int]:
    number = step.request.number
    if number == sc.DEBUG_CAP_IDENTIFY:
        return frozenset((reg.BADGE_REGISTER,))
    if not step.executed:
        return frozenset()
    if number == sc.CALL or step.request.receives:
        return _MESSAGE
    yields = step.request.sends and step.request.label == labels.SCHED_CONTEXT_YIELD_TO
    # YieldTo by Send answers all the same when the caller runs again, as in seL4.
    return _MESSAGE if yields and isinstance(step.cap(step.request.target), SchedContextCap) else frozenset()


def time_is_kept(step: Step) -> str | None:
    """G21b: the refills of a context sum to the same until it is configured anew (refill_sum)."""
    configured = None
    if step.executed and isinstance(step.cap(step.request.target), SchedControlCap) and step.request.caps:
        cap = step.cap(step.request.caps[0])
        configured = cap.sched_context if isinstance(cap, SchedContextCap) else None
    for sc_ in step.touched(ko.SchedContext):
        old = step.before.of(sc_, "refills")
        if not old or sc_ is configured:
            continue
        before, after = sum(amount for _, amount in old), sum(r.amount for r in sc_.refills)
        if before != after:
            return f"{name_of(sc_)} had {before} ticks and has {after}"
    return None


CHECKS = (
    StepInvariant("T9", "errors_change_nothing", "an error changes nothing but the caller's result and time",
                  errors_change_nothing, reads=parts("refused")),
    StepInvariant("T15", "entries_are_bounded", "bounded work between two looks at the clock", entries_are_bounded),
    StepInvariant("T18", "registers_are_kept", "registers that are no outputs come back unchanged",
                  registers_are_kept),
    StepInvariant("G21b", "time_is_kept", "a context's refills keep their sum until it is configured", time_is_kept,
                  reads=parts("SchedContext.refills")),
)  # fmt: skip
