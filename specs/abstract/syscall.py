"""The kernel entered and left again (proofs: ``call_kernel``, ``handle_event``)."""

from typing import Final, NamedTuple

from capkernel.abi import errors as err
from capkernel.abi import message as msg
from capkernel.abi import registers as reg
from capkernel.abi import rights as rt
from capkernel.abi import syscalls as sc
from capkernel.abi.faults import CAUSE_FETCH_ACCESS, VM_FAULT_STATUS
from capkernel.abi.words import signed
from specs.abstract.budget import (
    charge_after_preemption,
    check_budget,
    check_budget_restart,
    handle_yield,
    update_time_stamp,
)
from specs.abstract.caps import CAP_TYPE, EndpointCap, NotificationCap, ReplyCap
from specs.abstract.cspace import lookup_cap, lookup_slot_for_thread
from specs.abstract.debug import DEBUG_SYSCALLS, handle_debug_syscall
from specs.abstract.decode import decode_invocation
from specs.abstract.faults import handle_fault
from specs.abstract.interrupts import check_interrupt
from specs.abstract.invocation import Call
from specs.abstract.ipc import receive_ipc
from specs.abstract.notification import receive_signal
from specs.abstract.objects import (
    CapFault,
    Fault,
    Ptr,
    Restart,
    Running,
    UnknownSyscall,
    UserException,
    VMFault,
)
from specs.abstract.scheduler import schedule, set_thread_state
from specs.abstract.state import (
    Answers,
    Interrupted,
    LookupFailed,
    Memory,
    Outputs,
    State,
    SyscallError,
    get_cap,
    get_notification,
    get_register,
    get_tcb,
    load_word,
    set_tcb,
)
from specs.abstract.thread import activate_thread
from specs.abstract.transfer import ExtraCapFailed, buffer_word, lookup_extra_caps, reply_from_kernel
from specs.abstract.vspace import lookup_ipc_buffer

SYSCALL: Final = "syscall"
EXCEPTION: Final = "exception"
VM_FAULT: Final = "vm fault"
INTERRUPT: Final = "interrupt"


class Event(NamedTuple):
    """Why the kernel was entered: the kind, the current thread's registers, RISC-V cause and address if any."""

    kind: str
    context: tuple[int, ...]
    cause: int = 0
    address: int = 0


def kernel_entry(state: State, event: Event, answers: Answers, memory: Memory) -> tuple[State, Outputs]:
    """One step: the state after, and what was done to the machine. ``state`` is not changed.

    ``answers`` says what the machine replies; ``memory`` is user memory as the kernel finds it.
    """
    s = state.copy()
    s.answers, s.memory, s.out = answers, memory, Outputs()
    set_tcb(s, s.cur_thread, context=event.context)
    handle_event(s, event)
    return s, s.out


def handle_event(s: State, event: Event) -> None:
    """Serve what has happened, then choose who runs, and let it go."""
    number = signed(event.context[reg.SYSCALL_REGISTER])
    if event.kind == SYSCALL and number in DEBUG_SYSCALLS and s.config.debug:
        handle_debug_syscall(s, number)
        return
    update_time_stamp(s)
    if event.kind == INTERRUPT:
        check_budget(s)
        check_interrupt(s)
    elif check_budget_restart(s):
        if event.kind == SYSCALL and number in SYSCALLS:
            handle_syscall(s, number)
        else:
            handle_fault(s, s.cur_thread, fault_of(event, number))
    schedule(s)
    activate_thread(s)


def fault_of(event: Event, number: int) -> Fault:
    """What is wrong with an exception, a failed access, or a system call that there is not."""
    if event.kind == EXCEPTION:
        return UserException(event.cause, 0)
    if event.kind == VM_FAULT:
        status = VM_FAULT_STATUS[event.cause]
        return VMFault(event.address, status == CAUSE_FETCH_ACCESS, status)
    return UnknownSyscall(number % 2**64)


class Syscall(NamedTuple):
    """What a system call consists of: a send by the cap in a register, a receive, or both.

    ``blocking`` is of the send if there is one, but a combined call always waits for its message and never to send.
    """

    send: int | None = None
    receives: bool = False
    blocking: bool = True
    is_call: bool = False
    reply: bool = False
    """Whether the receive takes a reply object."""


SYSCALLS: Final[dict[int, Syscall]] = {
    sc.CALL: Syscall(send=reg.CAP_REGISTER, is_call=True),
    sc.SEND: Syscall(send=reg.CAP_REGISTER),
    sc.NBSEND: Syscall(send=reg.CAP_REGISTER, blocking=False),
    sc.REPLY_RECV: Syscall(send=reg.REPLY_REGISTER, receives=True, reply=True),
    sc.NBSEND_RECV: Syscall(send=reg.NBSEND_DEST_REGISTER, receives=True, reply=True),
    sc.NBSEND_WAIT: Syscall(send=reg.REPLY_REGISTER, receives=True),
    sc.RECV: Syscall(receives=True, reply=True),
    sc.NBRECV: Syscall(receives=True, reply=True, blocking=False),
    sc.WAIT: Syscall(receives=True),
    sc.NBWAIT: Syscall(receives=True, blocking=False),
    sc.YIELD: Syscall(),
}


def handle_syscall(s: State, number: int) -> None:
    """Send, receive, both, or yield. One that is preempted will be made again."""
    call, thread = SYSCALLS[number], s.cur_thread
    try:
        if call.send is not None:
            combined = call.receives
            handle_invocation(
                s, thread, get_register(s, thread, call.send), block=call.blocking and not combined,
                is_call=call.is_call, can_donate=call.is_call or combined, first_phase=combined,
            )  # fmt: skip
        if call.receives:
            handle_recv(s, thread, call.blocking, call.reply)
        elif call.send is None:
            handle_yield(s)
    except Interrupted:
        charge_after_preemption(s)
        check_interrupt(s)


def handle_invocation(
    s: State, thread: Ptr, cptr: int, *, block: bool, is_call: bool, can_donate: bool, first_phase: bool
) -> None:
    """Look up, decode, perform, answer. Only a Call hears of errors, and only blocking calls of bad addresses."""
    info = get_register(s, thread, reg.MSG_INFO_REGISTER)
    buffer = lookup_ipc_buffer(s, False, thread)
    try:
        slot = lookup_slot_for_thread(s, thread, cptr)
        extra_caps = lookup_extra_caps(s, thread, buffer, info)
    except LookupFailed as failed:
        if block:
            handle_fault(s, thread, CapFault(cptr, False, failed.failure))
        return
    except ExtraCapFailed as failed_extra:
        if block:
            handle_fault(s, thread, failed_extra.fault)
        return

    def word(index: int) -> int:
        if index < msg.N_MSG_REGISTERS:
            return get_register(s, thread, reg.MSG_REGISTERS[index])
        assert buffer is not None
        return load_word(s, buffer_word(buffer, index))

    length = msg.info_length(info) if buffer is not None else min(msg.info_length(info), msg.N_MSG_REGISTERS)
    cap_type = CAP_TYPE[type(get_cap(s, slot))]
    s.out.invoked = cap_type, msg.info_label(info)
    call = Call(thread, slot, msg.info_label(info), length, word, extra_caps)
    try:
        invocation = decode_invocation(
            s, call, block=block, is_call=is_call, can_donate=can_donate, first_phase=first_phase
        )
    except SyscallError as error:
        s.out.error = error.code
        if is_call:
            reply_from_kernel(s, thread, error.code, list(error.words))
        return
    # Until it is done the thread is to make the call again, should the operation be preempted.
    set_thread_state(s, thread, Restart)
    results = invocation()
    if get_tcb(s, thread).state == Restart or results is not None:
        if is_call:
            reply_from_kernel(s, thread, err.NO_ERROR, results or [])
        set_tcb(s, thread, state=Running)


def handle_recv(s: State, thread: Ptr, is_blocking: bool, can_reply: bool) -> None:
    """Receive by the cap that a0 names; whatever is wrong with that, or with the reply cap, is a fault."""
    cptr = get_register(s, thread, reg.CAP_REGISTER)
    try:
        cap = lookup_cap(s, thread, cptr)
        if isinstance(cap, EndpointCap) and cap.rights & rt.READ:
            reply = None
            if can_reply:
                cptr = get_register(s, thread, reg.REPLY_REGISTER)
                reply_cap = lookup_cap(s, thread, cptr)
                if not isinstance(reply_cap, ReplyCap):
                    raise LookupFailed(err.MISSING_CAPABILITY, 0)
                reply = reply_cap.ptr
            receive_ipc(s, thread, cap.ptr, is_blocking, reply)
        elif isinstance(cap, NotificationCap) and cap.rights & rt.READ and _may_wait(s, thread, cap.ptr):
            receive_signal(s, thread, cap.ptr, is_blocking)
        else:
            raise LookupFailed(err.MISSING_CAPABILITY, 0)
    except LookupFailed as failed:
        handle_fault(s, thread, CapFault(cptr, True, failed.failure))


def _may_wait(s: State, thread: Ptr, ntfn: Ptr) -> bool:
    """A bound notification is for its thread alone."""
    return get_notification(s, ntfn).bound_tcb in (None, thread)
