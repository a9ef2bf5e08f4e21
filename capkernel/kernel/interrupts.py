"""Interrupts: a line is issued once, and its handler cap says which notification is signalled (manual, 8.1).

A line is claimed when it fires and completed when its handler acknowledges it, so that a level-triggered device
cannot interrupt again before its driver has looked at it.
"""

from capkernel.abi import rights as rt
from capkernel.kernel.caps import NotificationCap
from capkernel.kernel.notification import send_signal
from capkernel.kernel.state import IRQ_INACTIVE, IRQ_SIGNAL, IRQ_TIMER, State


def set_irq_state(state: State, irq: int, irq_state: int) -> None:
    """Give a line a new use; an unused line is masked (setIRQState)."""
    state.irq_states[irq] = irq_state
    state.machine.mask_irq(irq, irq_state == IRQ_INACTIVE)


def release_irq(state: State, irq: int) -> None:
    """The last handler cap is gone: the line may be issued again (deletedIRQHandler)."""
    state.machine.complete_irq(irq)
    set_irq_state(state, irq, IRQ_INACTIVE)


def handle_pending(state: State) -> None:
    """Serve the interrupt that waits, if one does (checkInterrupt)."""
    irq = state.machine.claim_irq()
    if irq:
        _handle_interrupt(state, irq)


def _handle_interrupt(state: State, irq: int) -> None:
    use = state.irq_states[irq] if irq < len(state.irq_states) else IRQ_INACTIVE
    if use == IRQ_SIGNAL:
        cap = state.irq_slots.slot(irq).cap
        if isinstance(cap, NotificationCap) and cap.rights & rt.WRITE:
            send_signal(state, cap.notification, cap.badge)
    elif use == IRQ_TIMER:
        state.reprogram = True
    else:
        # In this order: a controller ignores the completion of a line that is masked.
        state.machine.complete_irq(irq)
        state.machine.mask_irq(irq, True)
