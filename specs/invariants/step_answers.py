"""What the kernel itself tells and does: answers to Calls, IPC buffers, interrupt lines. T13b, T18b, T18c.

Catches: an answer with somebody else's badge or an unset one, a change of the caller's own IPC buffer that is not
effective, an interrupt that is taken and forgotten or served although there was none.
"""

from capkernel.abi import labels
from capkernel.abi import message as msg
from capkernel.abi import registers as reg
from capkernel.abi import syscalls as sc
from capkernel.abi.errors import ERROR_NAMES
from capkernel.kernel import caps as kc
from capkernel.kernel import objects as ko
from capkernel.kernel.state import IRQ_INACTIVE, IRQ_SIGNAL
from specs.invariants.parts import parts
from specs.invariants.step import Step
from specs.invariants.step_model import StepInvariant
from specs.invariants.view import name_of

_MESSAGES = (kc.EndpointCap, kc.ReplyCap)
"""What answers a Call is somebody else's message."""


def kernel_answers_are_whole(step: Step) -> str | None:
    """T18b: an answer of the kernel has badge 0, an error code as label, its own length, and no caps.

    It answers a Call on anything but an endpoint, in the same kernel entry; and YieldTo when the caller runs again, by
    one word.
    """
    running = step.state.current
    if step.before.of(running, "yield_to") is not None and running.yield_to is None:
        return _malformed(running, 1, 1) if running is not step.caller else None
    answered = step.caller.state in (ko.RUNNING, ko.RESTART) and (step.completed or step.refused)
    is_call = step.is_syscall and step.executed and step.request.number == sc.CALL
    if is_call and answered and not isinstance(step.invoked, _MESSAGES) and step.caller.yield_to is None:
        return _malformed(step.caller, 0, msg.MSG_MAX_LENGTH)
    return None


def _malformed(thread: ko.TCB, shortest: int, longest: int) -> str | None:
    info, badge = thread.registers[reg.MSG_INFO_REGISTER], thread.registers[reg.BADGE_REGISTER]
    if badge:
        return f"{name_of(thread)} was answered by the kernel with badge {badge:#x}"
    whole = msg.info_label(info) < len(ERROR_NAMES) and shortest <= info & msg.LENGTH_MASK <= longest
    caps = msg.info_extra_caps(info) or msg.info_caps_unwrapped(info)
    return None if whole and not caps else f"{name_of(thread)} was answered by the kernel with info {info:#x}"


_BUFFER_WORD = {labels.TCB_SET_IPC_BUFFER: 0, labels.TCB_CONFIGURE: 2}


def buffers_are_set(step: Step) -> str | None:
    """T18c: a change of an IPC buffer, one's own included, is effective when the invocation returns."""
    word = _BUFFER_WORD.get(step.request.label)
    target = step.invoked if word is not None and step.completed else None
    if word is None or not isinstance(target, kc.ThreadCap):
        return None
    wanted = step.request.words[word]
    if target.tcb.ipc_buffer != wanted:
        return f"the IPC buffer of {name_of(target.tcb)} is at {target.tcb.ipc_buffer:#x} instead of {wanted:#x}"
    return None


def interrupts_are_accounted_for(step: Step) -> str | None:
    """T13b: an interrupt that is taken is signalled, counted as the timer's, or completed and masked.

    If there was none, nothing is done to any line; at kernel entry and at preemption points alike.
    """
    effects = step.recorder.effects
    claims = [effect for effect in effects if effect[0] == "claim_irq"]
    touched = {args[0] for name, *args in effects if name in ("complete_irq", "mask_irq")}
    if 0 in touched:
        return "the kernel served interrupt 0, which is none"
    line = step.recorder.claimed
    if not claims or not line:
        return None
    use = step.before.kernel["irq_states"][line] if line < len(step.before.kernel["irq_states"]) else IRQ_INACTIVE
    if use == IRQ_INACTIVE and line not in touched:
        return f"interrupt {line}, which nobody asked for, was taken and forgotten"
    if use != IRQ_INACTIVE and line in touched and use != IRQ_SIGNAL:
        return f"the kernel completed interrupt {line} for its handler"
    return None


CHECKS = (
    StepInvariant("T13b", "interrupts_are_accounted_for", "a taken interrupt is served, none is served untaken",
                  interrupts_are_accounted_for, reads=parts("lines")),
    StepInvariant("T18b", "kernel_answers_are_whole", "an answer of the kernel has badge 0 and is its own",
                  kernel_answers_are_whole),
    StepInvariant("T18c", "buffers_are_set", "a change of an IPC buffer is effective at once", buffers_are_set),
)  # fmt: skip
