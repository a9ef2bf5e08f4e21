"""Faults, replies, and stopping: T10, T14, T16, and of L6 what one step can show.

Catches: an answer that reaches a thread twice or comes from nowhere, a fault message with old or missing words, a
thread that is resumed somewhere else than where it was stopped, a timeout that is followed by another one at once.
"""

from capkernel.abi import errors as err
from capkernel.abi import faults, labels
from capkernel.abi import message as msg
from capkernel.abi import registers as reg
from capkernel.abi import rights as rt
from capkernel.abi import syscalls as sc
from capkernel.abi.words import WORD_MASK
from capkernel.kernel import caps as kc
from capkernel.kernel import objects as ko
from capkernel.kernel.objects import TCB, Cap, Fault
from hwmodel.cpu.trap import ECALL, PAGE_FAULT
from specs.invariants.parts import parts
from specs.invariants.resolve import failure
from specs.invariants.step import COMBINED, Step
from specs.invariants.step_model import StepInvariant
from specs.invariants.view import name_of

_WITH_REPLY = frozenset((sc.RECV, sc.NBRECV, sc.REPLY_RECV, sc.NBSEND_RECV))
_STATUS = {1: faults.CAUSE_FETCH_ACCESS, 12: 1, 5: faults.CAUSE_LOAD_ACCESS, 13: 5, 7: 7, 15: 7}
"""RISC-V cause → the status of a VM fault."""


def replies_fire_once(step: Step) -> str | None:
    """T10: a reply fires at most once, and only by somebody who holds it.

    Who waits for an answer goes on only if it is given, if the reply object is used again or destroyed, or if it is
    itself stopped, resumed or destroyed by a cap to its TCB.
    """
    for thread in step.touched(TCB):
        state = step.before.of(thread, "state")
        if not isinstance(state, ko.BlockedOnReply) or thread.state is state or _may_leave(step, thread, state.reply):
            continue
        return f"{name_of(thread)} waited for an answer by {name_of(state.reply)} and goes on, though nobody gave one"
    return None


def _may_leave(step: Step, thread: TCB, reply: ko.Reply) -> bool:
    if _is_reply(step.invoked, reply) or not step.after.caps_to.get(reply):
        return True
    request = step.request
    if step.executed and request.number in _WITH_REPLY:
        named = step.cap(request.registers[reg.REPLY_REGISTER])
        if request.number == sc.REPLY_RECV:
            named = step.cap(request.target)
        on_endpoint = isinstance(step.cap(request.registers[reg.CAP_REGISTER]), kc.EndpointCap)
        if on_endpoint and _is_reply(named, reply):
            return True
    named_threads = (step.invoked, *(step.cap(address) for address in request.caps))
    if any(isinstance(cap, kc.ThreadCap) and cap.tcb is thread for cap in named_threads):
        return True
    return not any(isinstance(slot.cap, kc.ThreadCap) for slot in step.after.caps_to.get(thread, []))


def _is_reply(cap: Cap, reply: ko.Reply) -> bool:
    return isinstance(cap, kc.ReplyCap) and cap.reply is reply


def faults_are_current(step: Step) -> str | None:
    """T14: a fault message is complete and current: it says what happened in this kernel entry, in full.

    The fault that the kernel notes is the one that the trap, the registers and the CSpace call for; what a handler
    that waits receives are the words of that fault.
    """
    fault = step.state.refusal
    if fault is step.before.refusal or not isinstance(fault, Fault):
        return None
    return _wrong_fault(step, fault) or _wrong_delivery(step, fault)


def _wrong_fault(step: Step, fault: Fault) -> str | None:
    trap, request = step.trap, step.request
    match fault:
        case ko.VMFault():
            status = _STATUS.get(trap.cause)
            right = trap.kind == PAGE_FAULT and (fault.address, fault.status) == (trap.value, status)
            right = right and fault.is_fetch == (status == faults.CAUSE_FETCH_ACCESS)
        case ko.UserException():
            right = (fault.number, fault.code) == (trap.cause, 0)
        case ko.UnknownSyscall():
            right = trap.kind == ECALL and fault.number == request.registers[reg.SYSCALL_REGISTER]
        case ko.CapFault():
            return _wrong_cap_fault(step, fault)
        case _:
            right = True
    return None if right else f"the fault is {fault!r}, after trap {trap!r}"


def _wrong_cap_fault(step: Step, fault: ko.CapFault) -> str | None:
    """A cap fault names an address that the caller named, in the right half, and why nothing is there."""
    request = step.request
    registers = request.registers
    if fault.in_receive_phase:
        source, addresses = step.cap(registers[reg.CAP_REGISTER]), [registers[reg.CAP_REGISTER]]
        if request.number in _WITH_REPLY:
            # With an endpoint to receive from, only the reply object can be what is missing.
            receives = isinstance(source, kc.EndpointCap) and source.rights & rt.READ
            plain = request.number not in COMBINED
            addresses = [registers[reg.REPLY_REGISTER], *([] if receives and plain else addresses)]
    else:
        addresses = [request.target, *request.caps]
    if fault.address not in addresses:
        return f"a cap fault names {fault.address:#x}, which the caller did not"
    if request.number in COMBINED:
        return None  # The first half may have changed what the second finds.
    why = failure(step.caller.cspace_slot.cap, fault.address)
    seen = fault.failure.kind, *fault.failure.words
    if why is None and not fault.in_receive_phase:
        return f"a cap fault says {seen}, but {fault.address:#x} leads to a slot"
    wanted = why or (err.MISSING_CAPABILITY, 0)
    return None if seen == wanted else f"a cap fault at {fault.address:#x} says {seen} instead of {wanted}"


def _wrong_delivery(step: Step, fault: Fault) -> str | None:
    """What a handler that waited has received."""
    handler = step.before.cap(step.caller.fault_slot)
    if not isinstance(handler, kc.EndpointCap) or step.before.of(handler.endpoint, "state") != ko.EP_RECEIVE:
        return None
    if step.is_syscall and step.request.number in COMBINED | {sc.NBSEND}:
        return None  # Its first half may have woken the handler; and a non-blocking send tells nobody.
    receiver = step.before.of(handler.endpoint, "queue")[0]
    return compare_fault(step, fault, step.caller, receiver, handler.badge)


def compare_fault(step: Step, fault: Fault, faulted: TCB, receiver: TCB, badge: int) -> str | None:
    """Hold what a receiver got against the fault it is about; None if it is right."""
    registers = receiver.registers
    info = registers[reg.MSG_INFO_REGISTER]
    label, words = _message(step, fault, faulted)
    into, writable = step.buffers[receiver]
    length = len(words) if into and writable else min(len(words), msg.N_MSG_REGISTERS)
    seen = msg.info_label(info), registers[reg.BADGE_REGISTER]
    if seen != (label, badge):
        return f"a fault arrived with label and badge {seen} instead of {label, badge}"
    if isinstance(fault, ko.Timeout):
        return None if registers[reg.MSG_REGISTERS[0]] == fault.badge else "a timeout arrived with a wrong badge"
    if info & msg.LENGTH_MASK != length:
        return f"a fault arrived with {info & msg.LENGTH_MASK} words instead of {length}"
    arrived = [registers[r] for r in reg.MSG_REGISTERS[:length]]
    read = step.after.machine.memory.read_word
    arrived += [read(into + msg.BUFFER_MSG + 8 * n) for n in range(msg.N_MSG_REGISTERS, length)]
    return None if arrived == words[:length] else f"a fault arrived as {arrived} instead of {words[:length]}"


def _message(step: Step, fault: Fault, faulted: TCB) -> tuple[int, list[int]]:
    """Label and words of a fault message (manual, section 6.2)."""
    registers = step.before.of(faulted, "registers")
    match fault:
        case ko.CapFault():
            head = [registers[reg.FAULT_IP], fault.address, int(fault.in_receive_phase), fault.failure.kind]
            return faults.CAP_FAULT, head + list(fault.failure.words)
        case ko.VMFault():
            return faults.VM_FAULT, [registers[reg.FAULT_IP], fault.address, int(fault.is_fetch), fault.status]
        case ko.UnknownSyscall():
            saved = (reg.FAULT_IP, reg.SP, reg.RA, reg.A0, reg.A1, reg.A2, reg.A3, reg.A4, reg.A5, reg.A6)
            return faults.UNKNOWN_SYSCALL, [*(registers[r] for r in saved), fault.number & WORD_MASK]
        case ko.UserException():
            return faults.USER_EXCEPTION, [registers[reg.FAULT_IP], registers[reg.SP], fault.number, fault.code]
        case _:
            return faults.TIMEOUT, []


_STOPS = (labels.TCB_SUSPEND, labels.TCB_READ_REGISTERS, labels.TCB_COPY_REGISTERS)


def stopped_threads_go_on_where_they_were(step: Step) -> str | None:
    """T16: a thread that is stopped while it runs, and later resumed, goes on exactly there.

    A resumed thread starts at its restart pc, which therefore has to be its next pc when it is stopped. (Who stops
    itself makes that system call again, as in seL4.)
    """
    for thread in step.touched(TCB):
        if thread is step.caller:
            continue
        if step.before.of(thread, "state") is not ko.RUNNING or thread.state is not ko.INACTIVE:
            continue
        named = (step.invoked, *(step.cap(address) for address in step.request.caps))
        if not step.completed or step.request.label not in _STOPS:
            continue
        if not any(isinstance(cap, kc.ThreadCap) and cap.tcb is thread for cap in named):
            continue
        next_pc = step.before.of(thread, "registers")[reg.NEXT_IP]
        if thread.registers[reg.FAULT_IP] != next_pc:
            return f"{name_of(thread)} was stopped at {next_pc:#x} but restarts at {thread.registers[reg.FAULT_IP]:#x}"
    return None


def timeouts_are_not_repeated(step: Step) -> str | None:
    """L6: the answer to a timeout ends it: the thread then waits for time, not for another answer."""
    for thread in step.touched(TCB):
        old = step.before.of(thread, "fault")
        waited = isinstance(step.before.of(thread, "state"), ko.BlockedOnReply)
        if waited and isinstance(old, ko.Timeout) and isinstance(thread.fault, ko.Timeout) and thread.fault is not old:
            return f"{name_of(thread)} was answered after a timeout and at once reported another"
    return None


CHECKS = (
    StepInvariant("T10", "replies_fire_once", "a reply fires at most once, and only by who holds it",
                  replies_fire_once, reads=parts("TCB.state")),
    StepInvariant("T14", "faults_are_current", "a fault message is complete and current", faults_are_current,
                  reads=parts("faulted")),
    StepInvariant("T16", "stopped_threads_go_on_where_they_were", "a stopped thread goes on where it was stopped",
                  stopped_threads_go_on_where_they_were, reads=parts("TCB.state")),
    StepInvariant("L6", "timeouts_are_not_repeated", "the answer to a timeout is not followed by another timeout",
                  timeouts_are_not_repeated, reads=parts("TCB.fault")),
)  # fmt: skip
