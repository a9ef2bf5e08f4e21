"""Deleting and revoking (manual, section 3.1; proofs: Finalise, CSpace).

With the last cap to it an object goes away. Of a CNode or TCB a zombie remains in the slot, which goes when the slots
of the object have been emptied one after the other; each may hold the last cap to something else. Between two steps the
operation can be preempted; it is then made again, and goes on with the zombies that it finds.
"""

from specs.abstract import iospace
from specs.abstract.budget import preemption_point
from specs.abstract.caps import (
    NULL,
    ASIDPoolCap,
    Cap,
    CNodeCap,
    EndpointCap,
    FrameCap,
    IOPageTableCap,
    IOSpaceCap,
    IRQHandlerCap,
    NotificationCap,
    NullCap,
    PageTableCap,
    ReplyCap,
    SchedContextCap,
    ThreadCap,
    Zombie,
)
from specs.abstract.cdt import cap_swap, children, empty_slot, is_final_cap, set_cap
from specs.abstract.interrupts import deleted_irq_handler
from specs.abstract.ipc import cancel_all_ipc
from specs.abstract.ipc_cancel import cancel_ipc
from specs.abstract.notification import cancel_all_signals, unbind_maybe_notification, unbind_notification
from specs.abstract.objects import IRQ_NODE, BlockedOnReply, Ptr, slot_count
from specs.abstract.reply import reply_remove
from specs.abstract.schedcontext import (
    complete_yield_to,
    sched_context_unbind_all,
    sched_context_unbind_ntfn,
    sched_context_unbind_tcb,
)
from specs.abstract.scheduler import set_sched_context
from specs.abstract.state import CSlot, State, get_cap, get_notification, get_reply, get_sched_context, get_tcb
from specs.abstract.thread import suspend
from specs.abstract.vspace import delete_asid, delete_asid_pool, unmap_page, unmap_page_table, vspace_for_asid


def cap_revoke(s: State, slot: CSlot) -> None:
    """Delete all that was derived from a cap, but not the cap. Raises Interrupted."""
    while below := children(s, slot):
        cap_delete(s, below[0])
        preemption_point(s)


def cap_delete(s: State, slot: CSlot, exposed: bool = True) -> None:
    """Empty a slot. Raises Interrupted.

    A slot that is not ``exposed``, as it lies in an object that is being destroyed itself, may keep a zombie.
    """
    while slot in s.caps:
        remainder = finalise_cap(s, slot)
        if cap_removable(remainder, slot):
            empty_slot(s, slot)
            return
        assert isinstance(remainder, Zombie)
        set_cap(s, remainder, slot)
        if _is_cyclic(remainder, slot) and not exposed:
            return
        _reduce_zombie(s, remainder, slot, exposed)
        preemption_point(s)


def cap_removable(cap: Cap, slot: CSlot) -> bool:
    """Whether nothing remains to be emptied, but perhaps the slot in which a zombie lies itself."""
    if isinstance(cap, Zombie):
        return cap.number == 0 or (cap.number == 1 and _is_cyclic(cap, slot))
    return isinstance(cap, NullCap)


def _is_cyclic(cap: Zombie, slot: CSlot) -> bool:
    """A zombie may lie in the first slot of the very object that it is what remains of."""
    return slot == (cap.ptr, 0)


def _reduce_zombie(s: State, zombie: Zombie, slot: CSlot, exposed: bool) -> None:
    """One step: empty the last slot, or, where the zombie must not stay, move it into its own first slot."""
    if not exposed:
        first = zombie.ptr, 0
        cap_swap(s, get_cap(s, first), first, zombie, slot)
        return
    cap_delete(s, (zombie.ptr, zombie.number - 1), exposed=False)
    if get_cap(s, slot) == zombie:
        set_cap(s, zombie._replace(number=zombie.number - 1), slot)


def cap_delete_one(s: State, slot: CSlot) -> None:
    """Empty a slot whose cap needs no long operation."""
    if slot in s.caps:
        remainder = finalise_cap(s, slot)
        assert isinstance(remainder, NullCap)
        empty_slot(s, slot)


def finalise_cap(s: State, slot: CSlot) -> Cap:
    """Undo what a cap stands for before it goes; returns what must stay in the slot, a zombie or nothing."""
    cap = get_cap(s, slot)
    if isinstance(cap, Zombie):
        return cap
    if isinstance(cap, FrameCap):
        # Every frame cap has a mapping of its own, so that is undone whether it is the last cap or not.
        if cap.io is not None:
            iospace.unmap_io_page(s, cap)
        elif cap.asid:
            unmap_page(s, cap)
        return NULL
    return _finalise_object(s, cap) if is_final_cap(s, slot) else NULL


def _finalise_object(s: State, cap: Cap) -> Cap:
    match cap:
        case EndpointCap():
            cancel_all_ipc(s, cap.ptr)
        case NotificationCap():
            _finalise_notification(s, cap.ptr)
        case ReplyCap():
            _finalise_reply(s, cap.ptr)
        case SchedContextCap():
            _finalise_sched_context(s, cap.ptr)
        case CNodeCap() | ThreadCap():
            if isinstance(cap, ThreadCap):
                _finalise_thread(s, cap.ptr)
            count, size_bits = slot_count(s.kheap[cap.ptr])
            return Zombie(cap.ptr, size_bits, count)
        case IRQHandlerCap(irq):
            cap_delete_one(s, (IRQ_NODE, irq))
            deleted_irq_handler(s, irq)
        case PageTableCap():
            _finalise_page_table(s, cap)
        case ASIDPoolCap():
            delete_asid_pool(s, cap.base, cap.ptr)
        case IOPageTableCap():
            iospace.delete_io_page_table(s, cap)
        case IOSpaceCap():
            if cap.request_id:
                iospace.clear_context(s, cap.request_id)
        case _:
            pass
    return NULL


def _finalise_notification(s: State, ntfn: Ptr) -> None:
    sc = get_notification(s, ntfn).sched_context
    if sc is not None:
        sched_context_unbind_ntfn(s, sc)
    unbind_maybe_notification(s, ntfn)
    cancel_all_signals(s, ntfn)


def _finalise_reply(s: State, reply: Ptr) -> None:
    """A caller that waits for this answer waits in vain; a receiver must name another reply object."""
    thread = get_reply(s, reply).tcb
    if thread is None:
        return
    if isinstance(get_tcb(s, thread).state, BlockedOnReply):
        reply_remove(s, thread, reply)
    else:
        cancel_ipc(s, thread)


def _finalise_thread(s: State, thread: Ptr) -> None:
    unbind_notification(s, thread)
    sc = get_tcb(s, thread).sched_context
    if sc is not None:
        sched_context_unbind_tcb(s, sc)
        complete_yield_to(s, get_sched_context(s, sc).yield_from)
    suspend(s, thread)


def _finalise_sched_context(s: State, sc_ptr: Ptr) -> None:
    sched_context_unbind_all(s, sc_ptr)
    complete_yield_to(s, get_sched_context(s, sc_ptr).yield_from)
    set_sched_context(s, sc_ptr, refill_max=0, sporadic=False)


def _finalise_page_table(s: State, cap: PageTableCap) -> None:
    if cap.mapped is None:
        return
    asid, _ = cap.mapped
    if vspace_for_asid(s, asid) == cap.ptr:
        delete_asid(s, asid, cap.ptr)
    else:
        unmap_page_table(s, cap)
