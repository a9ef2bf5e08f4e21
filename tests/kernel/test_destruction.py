"""What goes with the last cap to an object, also where that cap lies in something that is itself destroyed."""

import pytest

from capkernel.abi import bootinfo as bi
from capkernel.abi import objects as obj
from capkernel.kernel.caps import NotificationCap
from capkernel.kernel.objects import NULL
from capkernel.kernel.state import IRQ_INACTIVE, IRQ_SIGNAL
from tests.kernel.rootcalls import CNODE, Root

LINE = 10


def _handler(root: Root) -> int:
    slot = root.slot()
    root.do(bi.CAP_IRQ_CONTROL, "IRQControl_Get", LINE, slot, 64, caps=(CNODE,))
    return slot


@pytest.mark.parametrize("index", [0, 1, 3])
def test_only_the_first_slot_of_a_node_in_a_node_goes_with_the_outer_one(index: int) -> None:
    """The inner node's zombie changes places with the cap in its own first slot, and stays there, out of reach."""
    root = Root()
    outer, inner, handler = root.make(obj.CNODE, 2), root.make(obj.CNODE, 2), _handler(root)
    root.do(inner, "CNode_Move", index, 2, handler, 64, caps=(CNODE,))
    root.do(outer, "CNode_Move", 2, 2, inner, 64, caps=(CNODE,))
    root.do(CNODE, "CNode_Delete", outer, 64)
    assert root.state.irq_states[LINE] == (IRQ_SIGNAL if index else IRQ_INACTIVE)
    root.do(CNODE, "CNode_Revoke", root.untyped, 64)
    assert root.state.irq_states[LINE] == IRQ_INACTIVE
    assert _handler(root)


def test_a_notification_whose_last_cap_an_interrupt_held_goes_with_the_interrupt_s_handler() -> None:
    root = Root()
    handler, notification = _handler(root), root.make(obj.NOTIFICATION)
    cap = root.cap(notification)
    assert isinstance(cap, NotificationCap)
    root.do(bi.CAP_INIT_TCB, "TCB_BindNotification", caps=(notification,))
    root.do(handler, "IRQHandler_SetNotification", caps=(notification,))
    root.do(CNODE, "CNode_Delete", notification, 64)
    assert root.thread.bound_notification is cap.notification
    root.do(CNODE, "CNode_Delete", handler, 64)
    assert root.thread.bound_notification is None
    assert root.state.irq_slots.slot(LINE).cap is NULL
