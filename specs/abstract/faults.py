"""Telling handlers of faults (manual, chapter 6)."""

from typing import Final

from capkernel.abi import faults as flt
from capkernel.abi import rights as rt
from specs.abstract.caps import Cap, EndpointCap, NullCap
from specs.abstract.ipc import send_ipc
from specs.abstract.objects import (
    FAULT_HANDLER,
    TIMEOUT_HANDLER,
    CapFault,
    Fault,
    Inactive,
    Ptr,
    Timeout,
    UnknownSyscall,
    UserException,
    VMFault,
)
from specs.abstract.scheduler import set_thread_state
from specs.abstract.state import State, get_cap, get_sched_context, get_tcb, set_tcb

FAULT_LABEL: Final[dict[type, int]] = {
    CapFault: flt.CAP_FAULT, UnknownSyscall: flt.UNKNOWN_SYSCALL, UserException: flt.USER_EXCEPTION,
    VMFault: flt.VM_FAULT, Timeout: flt.TIMEOUT,
}  # fmt: skip
"""The label of the message about each kind."""


def valid_fault_handler(cap: Cap) -> bool:
    """A handler can be sent to and can answer; the null cap stands for no handler."""
    if isinstance(cap, EndpointCap):
        return bool(cap.rights & rt.WRITE) and bool(cap.rights & rt.CALL_GRANTS)
    return isinstance(cap, NullCap)


def send_fault_ipc(s: State, thread: Ptr, handler: Cap, fault: Fault, can_donate: bool) -> bool:
    """A call to the handler in the thread's name; false if there is no handler."""
    if not isinstance(handler, EndpointCap):
        return False
    set_tcb(s, thread, fault=fault)
    grants = bool(handler.rights & rt.GRANT), bool(handler.rights & rt.GRANT_REPLY)
    send_ipc(s, True, False, handler.badge, *grants, can_donate, thread, handler.ptr)
    return True


def handle_fault(s: State, thread: Ptr, fault: Fault) -> None:
    """A thread cannot go on; without handler it stops."""
    s.out.fault = FAULT_LABEL[type(fault)]
    can_donate = get_tcb(s, thread).sched_context is not None
    if not send_fault_ipc(s, thread, get_cap(s, (thread, FAULT_HANDLER)), fault, can_donate):
        set_thread_state(s, thread, Inactive)


def is_timeout_handler_valid(s: State, thread: Ptr) -> bool:
    """Whether a thread has somebody to be told of budgets that are used up."""
    return isinstance(get_cap(s, (thread, TIMEOUT_HANDLER)), EndpointCap)


def handle_timeout(s: State, thread: Ptr, sc_ptr: Ptr) -> None:
    """The budget is used up. There is no time to lend."""
    s.out.fault = flt.TIMEOUT
    fault = Timeout(get_sched_context(s, sc_ptr).badge)
    send_fault_ipc(s, thread, get_cap(s, (thread, TIMEOUT_HANDLER)), fault, False)
