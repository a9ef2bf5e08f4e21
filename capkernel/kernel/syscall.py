"""The front door: a trap comes in, the next thread comes out in ``state.current``.

The current thread's registers are in its TCB when a handler is called and are to be loaded from
``state.current`` when it returns. Each handler charges time, does its work, chooses a thread and activates it.
"""

from capkernel.abi import errors as err
from capkernel.abi import message as msg
from capkernel.abi import registers as reg
from capkernel.abi import rights as rt
from capkernel.abi import syscalls as sc
from capkernel.abi.faults import CAUSE_FETCH_ACCESS, VM_FAULT_STATUS
from capkernel.kernel import budget, debug, fastpath, interrupts
from capkernel.kernel.caps import EndpointCap, NotificationCap, ReplyCap
from capkernel.kernel.cspace import lookup_cap, lookup_slot
from capkernel.kernel.decode import decode
from capkernel.kernel.endpoint import receive_ipc
from capkernel.kernel.errors import LookupFault, Preempted, SyscallError
from capkernel.kernel.fault_delivery import handle_fault
from capkernel.kernel.invocations.call import Call
from capkernel.kernel.notification import receive_signal
from capkernel.kernel.objects import (
    RESTART,
    RUNNING,
    TCB,
    CapFault,
    KernelBug,
    LookupFailure,
    Reply,
    UnknownSyscall,
    UserException,
    VMFault,
)
from capkernel.kernel.scheduler import schedule
from capkernel.kernel.state import State
from capkernel.kernel.thread import activate
from capkernel.kernel.transfer import ExtraCapFault, lookup_extra_caps, reply_from_kernel
from capkernel.kernel.vspace import ipc_buffer


class ReplyLookupFault(Exception):
    """The reply register does not lead to a reply cap."""

    def __init__(self, address: int, failure: LookupFailure) -> None:
        super().__init__(address)
        self.address = address
        self.failure = failure


def handle_syscall(state: State, number: int) -> None:
    """An ``ecall`` with this (signed) number in a7."""
    handler = SYSCALLS.get(number)
    if handler is None:
        _handle_other(state, number)
        return
    budget.update_timestamp(state)
    fast = FASTPATHS.get(number) if state.config.fastpath else None
    if fast is not None and fast(state):
        return
    if budget.admit(state):
        try:
            handler(state, state.current)
        except Preempted:
            budget.after_preemption(state)
            interrupts.handle_pending(state)
    schedule(state)
    activate(state)


def _handle_other(state: State, number: int) -> None:
    """Debug system calls return at once; anything else is a fault."""
    if state.config.debug and debug.handle_debug_syscall(state, number):
        return
    if budget.enter(state):
        handle_fault(state, state.current, UnknownSyscall(number & (1 << 64) - 1))
    schedule(state)
    activate(state)


def handle_user_exception(state: State, cause: int, code: int = 0) -> None:
    """An exception that is neither an ``ecall`` nor a failed memory access."""
    if budget.enter(state):
        handle_fault(state, state.current, UserException(cause, code))
    schedule(state)
    activate(state)


def handle_vm_fault(state: State, cause: int, address: int) -> None:
    """A memory access that the page tables do not allow."""
    if budget.enter(state):
        status = VM_FAULT_STATUS.get(cause)
        if status is None:
            raise KernelBug(f"RISC-V exception {cause} is no memory access")
        handle_fault(state, state.current, VMFault(address, status == CAUSE_FETCH_ACCESS, status))
    schedule(state)
    activate(state)


def handle_interrupt(state: State) -> None:
    """A device or the kernel's timer interrupts."""
    budget.update_timestamp(state)
    budget.check_budget(state)
    interrupts.handle_pending(state)
    schedule(state)
    activate(state)


def _invoke(
    state: State, thread: TCB, cptr: int, *, blocking: bool, is_call: bool, can_donate: bool, first_phase: bool
) -> None:
    """Look up, decode, perform, answer (handleInvocation). Errors are dropped unless it is a Call."""
    registers = thread.registers
    info = registers[reg.MSG_INFO_REGISTER]
    try:
        slot = lookup_slot(thread, cptr)
        buffer = ipc_buffer(thread, for_writing=False)
        extra = lookup_extra_caps(state, thread, buffer, info) if info >> 7 & 3 else []
    except LookupFault as failed:
        _fault_if(state, thread, CapFault(cptr, False, failed.failure), blocking)
        return
    except ExtraCapFault as failed_extra:
        _fault_if(state, thread, failed_extra.fault, blocking)
        return
    length = min(info & msg.LENGTH_MASK, msg.MSG_MAX_LENGTH if buffer else msg.N_MSG_REGISTERS)
    call = Call(state, thread, info >> msg.LABEL_SHIFT, length, buffer, extra)
    try:
        invocation = decode(
            state, call, slot, blocking=blocking, is_call=is_call, can_donate=can_donate, first_phase=first_phase
        )
    except SyscallError as error:
        state.refusal = error
        if is_call:
            reply_from_kernel(state, thread, error.code, error.words)
        return
    thread.state = RESTART
    results = invocation()
    if results is not None or thread.state is RESTART:
        # Still ours to answer: the operation neither blocked nor stopped its caller. If it took the caller's time, it
        # has asked ``schedule`` to choose.
        if is_call:
            reply_from_kernel(state, thread, err.NO_ERROR, results or ())
        thread.state = RUNNING


def _fault_if(state: State, thread: TCB, fault: CapFault, blocking: bool) -> None:
    if blocking:
        handle_fault(state, thread, fault)
    else:
        state.refusal = fault


def _receive(state: State, thread: TCB, *, blocking: bool, with_reply: bool) -> None:
    """Receive from the endpoint or notification in a0; whatever is wrong with it is a cap fault (handleRecv)."""
    address = thread.registers[reg.CAP_REGISTER]
    try:
        cap = lookup_cap(thread, address)
        if isinstance(cap, EndpointCap) and cap.rights & rt.READ:
            reply, address = _lookup_reply(thread) if with_reply else (None, address)
            receive_ipc(state, thread, cap.endpoint, reply, blocking=blocking)
            return
        if isinstance(cap, NotificationCap) and cap.rights & rt.READ:
            bound = cap.notification.bound_tcb
            if bound is None or bound is thread:
                receive_signal(state, thread, cap.notification, blocking=blocking)
                return
        failure = LookupFailure(err.MISSING_CAPABILITY, (0,))
    except LookupFault as failed:
        failure = failed.failure
    except ReplyLookupFault as failed_reply:
        address, failure = failed_reply.address, failed_reply.failure
    handle_fault(state, thread, CapFault(address, True, failure))


def _lookup_reply(thread: TCB) -> tuple[Reply, int]:
    address = thread.registers[reg.REPLY_REGISTER]
    try:
        cap = lookup_cap(thread, address)
    except LookupFault as failed:
        raise ReplyLookupFault(address, failed.failure) from None
    if not isinstance(cap, ReplyCap):
        raise ReplyLookupFault(address, LookupFailure(err.MISSING_CAPABILITY, (0,)))
    return cap.reply, address


def _send(state: State, thread: TCB) -> None:
    cptr, lends = thread.registers[reg.CAP_REGISTER], state.config.fix_send_to_passive
    _invoke(state, thread, cptr, blocking=True, is_call=False, can_donate=lends, first_phase=False)


def _nbsend(state: State, thread: TCB) -> None:
    cptr, lends = thread.registers[reg.CAP_REGISTER], state.config.fix_send_to_passive
    _invoke(state, thread, cptr, blocking=False, is_call=False, can_donate=lends, first_phase=False)


def _call(state: State, thread: TCB) -> None:
    cptr = thread.registers[reg.CAP_REGISTER]
    _invoke(state, thread, cptr, blocking=True, is_call=True, can_donate=True, first_phase=False)


def _send_half(state: State, thread: TCB, register: int) -> None:
    """The first half of a combined call: never blocks, may lend its time."""
    cptr = thread.registers[register]
    _invoke(state, thread, cptr, blocking=False, is_call=False, can_donate=True, first_phase=True)


def _reply_recv(state: State, thread: TCB) -> None:
    _send_half(state, thread, reg.REPLY_REGISTER)
    _receive(state, thread, blocking=True, with_reply=True)


def _nbsend_recv(state: State, thread: TCB) -> None:
    _send_half(state, thread, reg.NBSEND_DEST_REGISTER)
    _receive(state, thread, blocking=True, with_reply=True)


def _nbsend_wait(state: State, thread: TCB) -> None:
    _send_half(state, thread, reg.REPLY_REGISTER)
    _receive(state, thread, blocking=True, with_reply=False)


def _recv(state: State, thread: TCB) -> None:
    _receive(state, thread, blocking=True, with_reply=True)


def _nbrecv(state: State, thread: TCB) -> None:
    _receive(state, thread, blocking=False, with_reply=True)


def _wait(state: State, thread: TCB) -> None:
    _receive(state, thread, blocking=True, with_reply=False)


def _nbwait(state: State, thread: TCB) -> None:
    _receive(state, thread, blocking=False, with_reply=False)


def _yield(state: State, thread: TCB) -> None:
    budget.yield_now(state)


SYSCALLS = {
    sc.CALL: _call, sc.REPLY_RECV: _reply_recv, sc.NBSEND_RECV: _nbsend_recv, sc.NBSEND_WAIT: _nbsend_wait,
    sc.SEND: _send, sc.NBSEND: _nbsend, sc.RECV: _recv, sc.NBRECV: _nbrecv, sc.WAIT: _wait, sc.NBWAIT: _nbwait,
    sc.YIELD: _yield,
}  # fmt: skip

FASTPATHS = {sc.CALL: fastpath.call, sc.REPLY_RECV: fastpath.reply_recv}
