"""What a state holds that capDL has no words for."""

from capkernel.kernel import vspace
from capkernel.kernel.caps import (
    FrameCap,
    IOPageTableCap,
    IOSpaceCap,
    PageTableCap,
    ReplyCap,
    UntypedCap,
    ZombieCap,
)
from capkernel.kernel.objects import (
    NTFN_ACTIVE,
    TCB,
    Blocked,
    Notification,
    Reply,
    SchedContext,
)
from capkernel.kernel.refills import MIN_REFILLS
from capkernel.kernel.slots import has_children
from capkernel.kernel.state import State
from capkernel.runtime.snapshot import save
from capkernel.tools.explain.census import place_of, slots_of
from capkernel.tools.explain.faults import table_walk

UNSAID: dict[str, str] = {
    "messages": "what threads are blocked on, and the messages, faults and callers that wait: a blocked thread is "
    "described as one that is about to make its system call",
    "registers": "registers other than pc and sp, floating point, the thread's name, thread-local storage",
    "signals": "signals that wait in a notification",
    "time": "the refills of a scheduling context, what was consumed, extra refills, whether it is sporadic",
    "donated": "scheduling contexts bound to notifications, and stacks of calls that lent their time",
    "watermark": "how much of an untyped is used up, and whether it is device memory",
    "stale": "caps whose mapping was removed from the page tables by others",
    "zombies": "objects that are being destroyed",
    "reply rights": "whether a reply cap may grant",
    "order": "the order of siblings in the derivation tree, and whether a cap without children could have some",
    "contents": "the contents of frames, and execute permission of frame caps",
    "iommu": "IOSpaces and I/O page tables (an extension of this kernel)",
    "irq": "whether an interrupt is edge or level triggered, masked, or being served",
    "kernel": "the kernel's configuration, clock, ready queues, and the current thread",
}
"""All that capDL cannot say, by topic."""


def unsaid(state: State) -> list[str]:
    """What of it this state holds, a line each."""
    found: list[str] = []
    for slot in slots_of(state):
        cap, place = slot.cap, place_of(slot)
        match cap:
            case ZombieCap():
                found.append(f"zombies: {place}")
            case IOSpaceCap() | IOPageTableCap():
                found.append(f"iommu: {place}")
            case ReplyCap() if not cap.can_grant:
                found.append(f"reply rights: the cap in {place} may not grant")
            case UntypedCap() if cap.free_offset and has_children(slot):
                found.append(f"watermark: {cap.free_offset:#x} bytes used of the untyped in {place}")
            case FrameCap() | PageTableCap() if _is_stale(state, cap):
                found.append(f"stale: the cap in {place} says that it is mapped at {cap.vaddr:#x}, but is not")
    for item, _ in save(state):
        found += _of_object(item)
    return found


def _is_stale(state: State, cap: FrameCap | PageTableCap) -> bool:
    """Whether a cap says that it is mapped where the page tables have something else, or nothing."""
    root = vspace.vspace_root(state, cap.asid)
    if not cap.asid or (isinstance(cap, PageTableCap) and (not cap.is_mapped or root == cap.paddr)):
        return False
    return root == 0 or all(vspace.pte_paddr(entry.pte) != cap.paddr for entry in table_walk(state, root, cap.vaddr))


def _of_object(item: object) -> list[str]:
    match item:
        case TCB() if isinstance(item.state, Blocked):
            return [f"messages: TCB@{item.paddr:#x} is {type(item.state).__name__}"]
        case Notification() if item.state == NTFN_ACTIVE:
            return [f"signals: Notification@{item.paddr:#x} holds {item.badge:#x}"]
        case Notification() if item.sched_context is not None:
            return [f"donated: Notification@{item.paddr:#x} has a scheduling context"]
        case Reply() if item.tcb is not None:
            return [f"messages: Reply@{item.paddr:#x} holds a caller"]
        case SchedContext() if item.refill_max > MIN_REFILLS or item.sporadic:
            return [f"time: SchedContext@{item.paddr:#x} has extra refills or is sporadic"]
        case _:
            return []
