"""From a cap and a message to an invocation (proofs: Decode)."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from capkernel.abi import errors as err
from capkernel.abi import rights as rt
from specs.abstract.arch import (
    decode_asid_control_invocation,
    decode_asid_pool_invocation,
    decode_frame_invocation,
    decode_page_table_invocation,
)
from specs.abstract.caps import (
    ASIDControlCap,
    ASIDPoolCap,
    CNodeCap,
    DomainCap,
    EndpointCap,
    FrameCap,
    IOPageTableCap,
    IOSpaceCap,
    IRQControlCap,
    IRQHandlerCap,
    NotificationCap,
    PageTableCap,
    ReplyCap,
    SchedContextCap,
    SchedControlCap,
    ThreadCap,
    UntypedCap,
)
from specs.abstract.cnode import decode_cnode_invocation
from specs.abstract.domain import decode_domain_invocation
from specs.abstract.invocation import Call, Invocation
from specs.abstract.io_invocations import decode_io_page_table_invocation, decode_io_space_invocation
from specs.abstract.ipc import send_ipc
from specs.abstract.irq import decode_irq_control_invocation, decode_irq_handler_invocation
from specs.abstract.notification import send_signal
from specs.abstract.sched_invocations import decode_sched_context_invocation, decode_sched_control_invocation
from specs.abstract.state import State, SyscallError, get_cap
from specs.abstract.tcb import decode_tcb_invocation
from specs.abstract.thread import do_reply_transfer
from specs.abstract.untyped import decode_untyped_invocation

Decoder = Callable[[State, Call, Any], Invocation]

OBJECTS: Final[dict[type, Decoder]] = {
    UntypedCap: decode_untyped_invocation, CNodeCap: decode_cnode_invocation, ThreadCap: decode_tcb_invocation,
    SchedContextCap: decode_sched_context_invocation, SchedControlCap: decode_sched_control_invocation,
    DomainCap: decode_domain_invocation, IRQControlCap: decode_irq_control_invocation,
    IRQHandlerCap: decode_irq_handler_invocation, PageTableCap: decode_page_table_invocation,
    FrameCap: decode_frame_invocation, ASIDControlCap: decode_asid_control_invocation,
    ASIDPoolCap: decode_asid_pool_invocation, IOSpaceCap: decode_io_space_invocation,
    IOPageTableCap: decode_io_page_table_invocation,
}  # fmt: skip
"""Caps whose invocation is a method of an object. To invoke a null or zombie cap is an error."""

NOT_IN_FIRST_PHASE: Final = (ThreadCap, CNodeCap, DomainCap, SchedContextCap, SchedControlCap)
"""Not to be invoked by the first half of a combined system call, whose second half needs its caller as it was."""


def decode_invocation(
    s: State, call: Call, *, block: bool, is_call: bool, can_donate: bool, first_phase: bool
) -> Invocation:
    """Find out what is asked for, and whether it may be. Raises SyscallError."""
    cap = get_cap(s, call.slot)
    decode = OBJECTS.get(type(cap))
    if decode is not None and not (first_phase and isinstance(cap, NOT_IN_FIRST_PHASE)):
        return decode(s, call, cap)
    if isinstance(cap, EndpointCap) and cap.rights & rt.WRITE:
        grants = bool(cap.rights & rt.GRANT), bool(cap.rights & rt.GRANT_REPLY)
        return partial(send_ipc, s, block, is_call, cap.badge, *grants, can_donate, call.thread, cap.ptr)
    if isinstance(cap, NotificationCap) and cap.rights & rt.WRITE:
        return partial(send_signal, s, cap.ptr, cap.badge)
    if isinstance(cap, ReplyCap):
        return partial(do_reply_transfer, s, call.thread, cap.ptr, cap.can_grant)
    raise SyscallError(err.INVALID_CAPABILITY, 0)
