"""Sending faults to those who asked for them (manual, chapter 6).

On MCS the handler is a cap inside the TCB; delivering a fault is a call through it in the thread's name.
"""

from capkernel.abi import rights as rt
from capkernel.kernel import scheduler
from capkernel.kernel.caps import EndpointCap
from capkernel.kernel.endpoint import send_ipc
from capkernel.kernel.objects import INACTIVE, NULL, TCB, Cap, Fault, SchedContext, Timeout
from capkernel.kernel.state import State


def is_valid_handler(cap: Cap) -> bool:
    """A handler cap is null, or an endpoint that one can send to and be answered through (validFaultHandler)."""
    if isinstance(cap, EndpointCap):
        return bool(cap.rights & rt.WRITE) and bool(cap.rights & rt.CALL_GRANTS)
    return cap is NULL


def handle_fault(state: State, thread: TCB, fault: Fault) -> None:
    """Deliver a fault, lending the thread's time to a passive handler; without handler the thread stops."""
    state.refusal = fault
    can_donate = thread.sched_context is not None
    if not _send_fault(state, thread, thread.fault_slot.cap, fault, can_donate=can_donate):
        scheduler.set_thread_state(state, thread, INACTIVE)


def has_timeout_handler(thread: TCB) -> bool:
    """Whether the thread asked to hear of used-up budgets."""
    return isinstance(thread.timeout_slot.cap, EndpointCap)


def handle_timeout(state: State, thread: TCB, sc: SchedContext) -> None:
    """Deliver a timeout; it never lends time, since there is none."""
    _send_fault(state, thread, thread.timeout_slot.cap, Timeout(sc.badge), can_donate=False)


def _send_fault(state: State, thread: TCB, handler: Cap, fault: Fault, *, can_donate: bool) -> bool:
    if not isinstance(handler, EndpointCap):
        return False
    thread.fault = fault
    send_ipc(
        state, thread, handler.endpoint, handler.badge, blocking=True, is_call=False,
        can_grant=bool(handler.rights & rt.GRANT), can_grant_reply=bool(handler.rights & rt.GRANT_REPLY),
        can_donate=can_donate,
    )  # fmt: skip
    return True
