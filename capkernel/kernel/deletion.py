"""Deleting and revoking caps, and what happens to an object when its last cap goes (manual, section 3.1).

The only place that recurses: a CNode or TCB whose last cap is deleted becomes a zombie, whose slots are emptied
one by one, each of which may hold the last cap of another. Between any two steps the operation can be preempted;
the zombie then remembers how far it came.
"""

from capkernel.abi.objects import SLOT_BITS, TCB_BITS
from capkernel.kernel import endpoint as endpoints
from capkernel.kernel import iospace, notification, schedcontext, slots, vspace
from capkernel.kernel import reply as replies
from capkernel.kernel.budget import preemption_point, units_until_check
from capkernel.kernel.cancel import cancel_ipc
from capkernel.kernel.caps import (
    ASIDPoolCap,
    CNodeCap,
    EndpointCap,
    FrameCap,
    IOPageTableCap,
    IOSpaceCap,
    IRQHandlerCap,
    NotificationCap,
    PageTableCap,
    ReplyCap,
    SchedContextCap,
    ThreadCap,
    ZombieCap,
)
from capkernel.kernel.interrupts import release_irq
from capkernel.kernel.objects import (
    NULL,
    TCB,
    TCB_SLOTS,
    BlockedOnReply,
    Cap,
    KernelBug,
    Notification,
    Reply,
    SchedContext,
    Slot,
)
from capkernel.kernel.state import State
from capkernel.kernel.thread import suspend


def revoke(state: State, slot: Slot) -> None:
    """Delete everything derived from the cap in a slot, but not the cap itself (cteRevoke). Raises Preempted."""
    while slot.next is not None and slots.is_parent_of(slot, slot.next):
        delete(state, slot.next)
        preemption_point(state)


def delete(state: State, slot: Slot, *, exposed: bool = True) -> None:
    """Empty a slot, destroying the object if this was its last cap (cteDelete). Raises Preempted.

    A slot that is ``exposed`` can be reached by users; one inside a zombie is not, and may stay as that zombie.
    """
    while slot.cap is not NULL:
        zombie = _finalise(state, slot)
        if zombie is None or _is_spent(zombie, slot):
            slots.unlink(slot)
            return
        slot.cap = zombie
        if not exposed and _holds_itself(zombie, slot):
            return
        _reduce_zombie(state, slot, zombie, exposed=exposed)


def delete_one(state: State, slot: Slot) -> None:
    """Empty a slot whose cap is known to need no long operation (cteDeleteOne)."""
    if slot.cap is not NULL:
        if _finalise(state, slot) is not None:
            raise KernelBug("delete_one of a cap that leaves a zombie")
        slots.unlink(slot)


def _is_spent(zombie: ZombieCap, slot: Slot) -> bool:
    """No slot is left, or only the one in which the zombie itself lies (capRemovable)."""
    return zombie.number == 0 or (zombie.number == 1 and _holds_itself(zombie, slot))


def _holds_itself(zombie: ZombieCap, slot: Slot) -> bool:
    """Whether a zombie lies in the first slot of what it is a zombie of (capCyclicZombie)."""
    return zombie.container is slot.container and slot.index == 0


def _reduce_zombie(state: State, slot: Slot, zombie: ZombieCap, *, exposed: bool) -> None:
    """One step towards an empty zombie, then a preemption point (reduceZombie)."""
    if not exposed:
        # This slot will itself be deleted: swap, so that the zombie lies in its own first slot and can wait there.
        first = zombie.container.slot(0)
        slots.swap(first.cap, first, slot.cap, slot)
        preemption_point(state)
        return
    last = _last_used(state, zombie)
    skipped = zombie.number - 1 - last
    if skipped:
        slot.cap = ZombieCap(zombie.container, zombie.number - skipped, zombie.size_bits)
        preemption_point(state, skipped)
        return
    delete(state, zombie.container.slot(last), exposed=False)
    now = slot.cap
    if isinstance(now, ZombieCap) and now.container is zombie.container and now.number == zombie.number:
        slot.cap = ZombieCap(zombie.container, zombie.number - 1, zombie.size_bits)
    preemption_point(state)


def _last_used(state: State, zombie: ZombieCap) -> int:
    """The last slot of a zombie that may hold a cap, going no further than the next preemption point.

    Slots that were never touched cost at most a look, but count as the units of work that they are.
    """
    index = zombie.number - 1
    limit = max(0, index - units_until_check(state))
    held = zombie.container.slots
    if len(held) < index - limit:
        return max([n for n, slot in held.items() if limit < n <= index and slot.cap is not NULL], default=limit)
    while index > limit and (index not in held or held[index].cap is NULL):
        index -= 1
    return index


def _finalise(state: State, slot: Slot) -> ZombieCap | None:
    """Prepare a cap for deletion; returns the zombie that remains in the slot, if one does (finaliseCap)."""
    cap = slot.cap
    if isinstance(cap, FrameCap):
        _unmap_frame(state, cap)
        return None
    if isinstance(cap, ZombieCap):
        return cap
    return _finalise_last(state, cap) if slots.is_final(slot) else None


def _unmap_frame(state: State, cap: FrameCap) -> None:
    """Every frame cap stands for its own mapping, so that goes with it, final or not."""
    if cap.io is not None:
        iospace.unmap_frame(state, cap)
    elif cap.asid:
        vspace.unmap_page(state, cap)


def _finalise_last(state: State, cap: Cap) -> ZombieCap | None:
    """The object's last cap goes: disconnect the object from everything."""
    match cap:
        case EndpointCap():
            endpoints.cancel_all_ipc(state, cap.endpoint, _pause(state))
        case NotificationCap():
            _finalise_notification(state, cap.notification)
        case ReplyCap():
            _finalise_reply(state, cap.reply)
        case CNodeCap():
            return ZombieCap(cap.cnode, 2**cap.radix, cap.radix + SLOT_BITS)
        case ThreadCap():
            _finalise_tcb(state, cap.tcb)
            return ZombieCap(cap.tcb, TCB_SLOTS, TCB_BITS)
        case SchedContextCap():
            _finalise_sched_context(state, cap.sched_context)
        case IRQHandlerCap():
            delete_one(state, state.irq_slots.slot(cap.irq))
            release_irq(state, cap.irq)
        case PageTableCap() if cap.is_mapped:
            _finalise_page_table(state, cap)
        case ASIDPoolCap():
            vspace.delete_asid_pool(state, cap.base, cap.pool)
        case IOPageTableCap():
            iospace.finalise_page_table(state, cap)
        case IOSpaceCap():
            iospace.finalise_io_space(state, cap)
        case _:
            pass
    return None


def _pause(state: State) -> notification.Pause | None:
    """What comes between two threads of a queue that is emptied: nothing, as in seL4, unless it is to be mended."""
    return preemption_point if state.config.fix_atomic_cancel else None


def _finalise_notification(state: State, gone: Notification) -> None:
    if gone.sched_context is not None:
        schedcontext.unbind_notification(gone.sched_context)
    if gone.bound_tcb is not None:
        notification.unbind(gone.bound_tcb)
    notification.cancel_all_signals(state, gone, _pause(state))


def _finalise_reply(state: State, reply: Reply) -> None:
    thread = reply.tcb
    if thread is None:
        return
    if isinstance(thread.state, BlockedOnReply):
        replies.remove(state, reply, thread)
    else:
        cancel_ipc(state, thread)


def _finalise_tcb(state: State, thread: TCB) -> None:
    notification.unbind(thread)
    sc = thread.sched_context
    if sc is not None:
        schedcontext.unbind_tcb(state, sc)
        schedcontext.complete_yield_to(state, sc.yield_from)
    suspend(state, thread)


def _finalise_sched_context(state: State, sc: SchedContext) -> None:
    schedcontext.unbind_all(state, sc)
    schedcontext.complete_yield_to(state, sc.yield_from)
    sc.refill_max = 0
    sc.sporadic = False


def _finalise_page_table(state: State, cap: PageTableCap) -> None:
    if vspace.vspace_root(state, cap.asid) == cap.paddr:
        vspace.delete_asid(state, cap.asid, cap.paddr)
    else:
        vspace.unmap_page_table(state, cap)
