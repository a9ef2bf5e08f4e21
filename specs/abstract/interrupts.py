"""Interrupts (manual, section 8.1)."""

from capkernel.abi import rights as rt
from specs.abstract.caps import NotificationCap
from specs.abstract.notification import send_signal
from specs.abstract.objects import IRQ_NODE
from specs.abstract.state import IRQInactive, IRQSignal, IRQTimer, State, get_cap


def set_irq_state(s: State, irq: int, use: int) -> None:
    """Give an interrupt line a use; without one it is masked."""
    s.irq_states = (*s.irq_states[:irq], use, *s.irq_states[irq + 1 :])
    s.out.irq.append(("mask", irq, use == IRQInactive))


def deleted_irq_handler(s: State, irq: int) -> None:
    """The last cap to a line is gone: it can be issued again."""
    s.out.irq.append(("complete", irq))
    set_irq_state(s, irq, IRQInactive)


def check_interrupt(s: State) -> None:
    """Serve the interrupt that waits, if one does."""
    irq = s.answers.claim_irq()
    if irq:
        handle_interrupt(s, irq)


def handle_interrupt(s: State, irq: int) -> None:
    """Signal the handler's notification. The line stays claimed until the handler acknowledges."""
    use = s.irq_states[irq] if irq < len(s.irq_states) else IRQInactive
    if use == IRQSignal:
        cap = get_cap(s, (IRQ_NODE, irq))
        if isinstance(cap, NotificationCap) and cap.rights & rt.WRITE:
            send_signal(s, cap.ptr, cap.badge)
    elif use == IRQTimer:
        s.reprogram_timer = True
    else:
        s.out.irq += [("complete", irq), ("mask", irq, True)]
