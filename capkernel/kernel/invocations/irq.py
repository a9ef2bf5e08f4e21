"""Interrupt control and handlers (manual, section 8.1)."""

from functools import partial

from capkernel.abi import errors as err
from capkernel.abi import labels
from capkernel.abi import rights as rt
from capkernel.kernel import deletion, slots
from capkernel.kernel.caps import IRQControlCap, IRQHandlerCap, NotificationCap
from capkernel.kernel.cspace import lookup_cnode_slot
from capkernel.kernel.errors import SyscallError, illegal_operation, invalid_capability, range_error
from capkernel.kernel.interrupts import set_irq_state
from capkernel.kernel.invocations.call import Call, Invocation
from capkernel.kernel.objects import Slot
from capkernel.kernel.state import IRQ_INACTIVE, IRQ_SIGNAL, State


def decode_irq_control(state: State, call: Call, slot: Slot, cap: IRQControlCap) -> Invocation:
    """IRQControl_Get (irq, index, depth; root) and GetTrigger (irq, trigger, index, depth; root)."""
    if call.label == labels.IRQ_CONTROL_GET:
        call.require(3, caps=1)
        irq, index, depth = call.args(3)
        trigger = None
    elif call.label == labels.IRQ_CONTROL_GET_TRIGGER:
        call.require(4, caps=1)
        irq, edge, index, depth = call.args(4)
        trigger = bool(edge)
    else:
        raise illegal_operation()
    if not 1 <= irq <= state.config.timer_irq:
        raise range_error(1, state.config.timer_irq)
    if state.irq_states[irq] != IRQ_INACTIVE:
        raise SyscallError(err.REVOKE_FIRST)
    dest = lookup_cnode_slot(call.cap(0), index, depth)
    slots.ensure_empty(dest)
    return partial(perform_issue_handler, state, irq, trigger, slot, dest)


def perform_issue_handler(state: State, irq: int, trigger: bool | None, control: Slot, dest: Slot) -> None:
    """Issue the handler cap of a line; ``trigger`` true means edge, None leaves it (invokeIRQControl)."""
    if trigger is not None:
        state.machine.set_irq_trigger(irq, trigger)
    set_irq_state(state, irq, IRQ_SIGNAL)
    slots.insert_derived(IRQHandlerCap(irq), control, dest)


def decode_irq_handler(state: State, call: Call, slot: Slot, cap: IRQHandlerCap) -> Invocation:
    """Ack, SetNotification (notification), Clear."""
    match call.label:
        case labels.IRQ_HANDLER_ACK:
            return partial(state.machine.complete_irq, cap.irq)
        case labels.IRQ_HANDLER_SET_NOTIFICATION:
            call.require(0, caps=1)
            target = call.cap(0)
            if not isinstance(target, NotificationCap) or not target.rights & rt.WRITE:
                raise invalid_capability(0)
            return partial(perform_set_notification, state, cap.irq, target, call.extra_caps[0])
        case labels.IRQ_HANDLER_CLEAR:
            return partial(deletion.delete_one, state, state.irq_slots.slot(cap.irq))
        case _:
            raise illegal_operation()


def perform_set_notification(state: State, irq: int, cap: NotificationCap, source: Slot) -> None:
    """Signal this notification, with this cap's badge, whenever the interrupt comes."""
    target = state.irq_slots.slot(irq)
    deletion.delete_one(state, target)
    slots.insert_derived(cap, source, target)
