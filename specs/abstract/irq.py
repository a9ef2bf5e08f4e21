"""Invocations of interrupt control and handlers (manual, section 8.1)."""

from functools import partial

from capkernel.abi import errors as err
from capkernel.abi import labels
from capkernel.abi import rights as rt
from specs.abstract.caps import Cap, IRQControlCap, IRQHandlerCap, NotificationCap
from specs.abstract.cdt import cap_insert, ensure_empty
from specs.abstract.cspace import lookup_slot_for_cnode_op
from specs.abstract.finalise import cap_delete_one
from specs.abstract.interrupts import set_irq_state
from specs.abstract.invocation import Call, Invocation, require
from specs.abstract.objects import IRQ_NODE
from specs.abstract.state import CSlot, IRQInactive, IRQSignal, State, SyscallError, get_cap


def decode_irq_control_invocation(s: State, call: Call, cap: IRQControlCap) -> Invocation:
    """Get (line, index, depth; root) and GetTrigger (line, trigger, index, depth; root). Raises SyscallError."""
    if call.label not in (labels.IRQ_CONTROL_GET, labels.IRQ_CONTROL_GET_TRIGGER):
        raise SyscallError(err.ILLEGAL_OPERATION)
    says_trigger = call.label == labels.IRQ_CONTROL_GET_TRIGGER
    require(call, 4 if says_trigger else 3, 1)
    irq, trigger = call.arg(0), bool(call.arg(1)) if says_trigger else None
    where = 2 if says_trigger else 1
    if not 1 <= irq <= s.config.timer_irq:
        raise SyscallError(err.RANGE_ERROR, 1, s.config.timer_irq)
    if s.irq_states[irq] != IRQInactive:
        raise SyscallError(err.REVOKE_FIRST)
    root = get_cap(s, call.extra_caps[0])
    dest = lookup_slot_for_cnode_op(s, False, root, call.arg(where), call.arg(where + 1))
    ensure_empty(s, dest)
    return partial(_issue, s, irq, trigger, call.slot, dest)


def _issue(s: State, irq: int, is_edge: bool | None, control: CSlot, dest: CSlot) -> None:
    if is_edge is not None:
        s.out.irq.append(("trigger", irq, is_edge))
    set_irq_state(s, irq, IRQSignal)
    cap_insert(s, IRQHandlerCap(irq), control, dest)


def decode_irq_handler_invocation(s: State, call: Call, cap: IRQHandlerCap) -> Invocation:
    """Ack, SetNotification (notification), Clear. Raises SyscallError."""
    match call.label:
        case labels.IRQ_HANDLER_ACK:
            return partial(s.out.irq.append, ("complete", cap.irq))
        case labels.IRQ_HANDLER_SET_NOTIFICATION:
            require(call, 0, 1)
            src = call.extra_caps[0]
            target = get_cap(s, src)
            if not isinstance(target, NotificationCap) or not target.rights & rt.WRITE:
                raise SyscallError(err.INVALID_CAPABILITY, 0)
            return partial(_set_notification, s, cap.irq, target, src)
        case labels.IRQ_HANDLER_CLEAR:
            return partial(cap_delete_one, s, (IRQ_NODE, cap.irq))
        case _:
            raise SyscallError(err.ILLEGAL_OPERATION)


def _set_notification(s: State, irq: int, cap: Cap, src: CSlot) -> None:
    """The line keeps a copy of the cap, so that its badge says which line it was."""
    cap_delete_one(s, (IRQ_NODE, irq))
    cap_insert(s, cap, src, (IRQ_NODE, irq))
