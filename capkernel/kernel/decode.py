"""From an invoked cap to the decoder for its kind."""

from functools import partial

from capkernel.abi import rights as rt
from capkernel.kernel.caps import (
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
from capkernel.kernel.endpoint import send_ipc
from capkernel.kernel.errors import invalid_capability
from capkernel.kernel.invocations.call import Call, Decoder, Invocation
from capkernel.kernel.invocations.cnode import decode_cnode
from capkernel.kernel.invocations.domain import decode_domain
from capkernel.kernel.invocations.iospace import decode_io_page_table, decode_io_space
from capkernel.kernel.invocations.irq import decode_irq_control, decode_irq_handler
from capkernel.kernel.invocations.sched import decode_sched_context, decode_sched_control
from capkernel.kernel.invocations.tcb import decode_tcb
from capkernel.kernel.invocations.untyped import decode_untyped
from capkernel.kernel.invocations.vspace import decode_asid_control, decode_asid_pool, decode_frame, decode_page_table
from capkernel.kernel.notification import send_signal
from capkernel.kernel.objects import Cap, Slot
from capkernel.kernel.state import State
from capkernel.kernel.thread import do_reply_transfer

DECODERS: dict[type[Cap], Decoder] = {
    UntypedCap: decode_untyped, CNodeCap: decode_cnode, ThreadCap: decode_tcb, IRQControlCap: decode_irq_control,
    IRQHandlerCap: decode_irq_handler, DomainCap: decode_domain, SchedContextCap: decode_sched_context,
    SchedControlCap: decode_sched_control, FrameCap: decode_frame, PageTableCap: decode_page_table,
    ASIDControlCap: decode_asid_control, ASIDPoolCap: decode_asid_pool, IOSpaceCap: decode_io_space,
    IOPageTableCap: decode_io_page_table,
}  # fmt: skip
"""Kinds of cap whose invocation is an operation on a kernel object. Null and zombie caps have none."""

NOT_BEFORE_RECEIVE = (ThreadCap, DomainCap, CNodeCap, SchedControlCap, SchedContextCap)
"""Kinds that the send half of a combined system call must not invoke: they could stop the caller midway."""


def decode(
    state: State, call: Call, slot: Slot, *, blocking: bool, is_call: bool, can_donate: bool, first_phase: bool
) -> Invocation:
    """Decode the invocation of the cap in ``slot`` (decodeInvocation). Raises SyscallError."""
    cap = slot.cap
    decoder = DECODERS.get(type(cap))
    if decoder is not None:
        if first_phase and isinstance(cap, NOT_BEFORE_RECEIVE):
            raise invalid_capability(0)
        return decoder(state, call, slot, cap)
    if isinstance(cap, EndpointCap):
        _require_send(cap.rights)
        return partial(
            send_ipc, state, call.thread, cap.endpoint, cap.badge, blocking=blocking, is_call=is_call,
            can_grant=bool(cap.rights & rt.GRANT), can_grant_reply=bool(cap.rights & rt.GRANT_REPLY),
            can_donate=can_donate,
        )  # fmt: skip
    if isinstance(cap, NotificationCap):
        _require_send(cap.rights)
        return partial(send_signal, state, cap.notification, cap.badge)
    if isinstance(cap, ReplyCap):
        return partial(do_reply_transfer, state, call.thread, cap.reply, can_grant=cap.can_grant)
    raise invalid_capability(0)


def _require_send(rights: int) -> None:
    if not rights & rt.WRITE:
        raise invalid_capability(0)
