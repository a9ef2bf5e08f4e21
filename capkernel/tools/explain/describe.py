"""Caps, threads and operations in words, and in the notation of capDL."""

from capkernel.abi import faults as flt
from capkernel.abi import labels
from capkernel.abi import rights as rt
from capkernel.abi.message import info_label
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
    SchedControlCap,
    ThreadCap,
    UntypedCap,
    ZombieCap,
)
from capkernel.kernel.objects import TCB, Cap, NullCap

KIND_NAMES: dict[str, str] = {
    "Thread": "TCB", "Null": "nothing",
}  # fmt: skip


def kind_name(cap: Cap) -> str:
    """The kind of object that a cap is to, as the table of invocations calls it."""
    name = type(cap).__name__.removesuffix("Cap")
    return KIND_NAMES.get(name, name)


def thread_name(thread: TCB) -> str:
    """A thread's name for people."""
    return f"{thread.name or 'thread'} (TCB@{thread.paddr:#x})"


def _badged(badge: int, rights: int) -> str:
    return f"rights {rt.describe(rights)}" + (f", badge {badge:#x}" if badge else ", no badge")


def in_words(cap: Cap) -> str:
    """A cap for people."""
    match cap:
        case NullCap():
            return "nothing (an empty slot)"
        case UntypedCap():
            memory = "device untyped" if cap.is_device else "untyped"
            free = (1 << cap.size_bits) - cap.free_offset
            return f"{memory} memory at {cap.paddr:#x}, 2**{cap.size_bits} bytes, {free:#x} unused"
        case EndpointCap():
            return f"Endpoint@{cap.endpoint.paddr:#x} with {_badged(cap.badge, cap.rights)}"
        case NotificationCap():
            return f"Notification@{cap.notification.paddr:#x} with {_badged(cap.badge, cap.rights)}"
        case ReplyCap():
            return f"Reply@{cap.reply.paddr:#x}" + (" with grant" if cap.can_grant else "")
        case CNodeCap():
            guard = f"guard {cap.guard:#x} of {cap.guard_size} bits"
            return f"CNode@{cap.cnode.paddr:#x} of 2**{cap.radix} slots, {guard}"
        case ThreadCap():
            return f"the thread {thread_name(cap.tcb)}"
        case ZombieCap():
            return f"a zombie: the rest of an object at {cap.container.paddr:#x} that is being destroyed"
        case IRQHandlerCap():
            return f"the handler of interrupt {cap.irq}"
        case SchedContextCap():
            return f"SchedContext@{cap.sched_context.paddr:#x}"
        case SchedControlCap():
            return f"the scheduling control of core {cap.core}"
        case FrameCap():
            return _frame(cap)
        case PageTableCap():
            where = f"mapped at {cap.vaddr:#x} in address space {cap.asid}" if cap.is_mapped else "not mapped"
            return f"the page table at {cap.paddr:#x}, {where}"
        case ASIDPoolCap():
            return f"the ASID pool at {cap.pool.paddr:#x}"
        case IOSpaceCap():
            return f"the IOSpace of device {cap.request_id:#x}" if cap.request_id else "the master IOSpace"
        case IOPageTableCap():
            return f"the I/O page table at {cap.paddr:#x}" + (", mapped" if cap.io else ", not mapped")
        case _:
            return f"the {kind_name(cap)} authority"


def _frame(cap: FrameCap) -> str:
    memory = "device frame" if cap.is_device else "frame"
    where = ", not mapped"
    if cap.io is not None:
        where = f", mapped at {cap.vaddr:#x} for device {cap.io[1]:#x}"
    elif cap.asid:
        where = f", mapped at {cap.vaddr:#x} in address space {cap.asid}"
    return f"the {memory} at {cap.paddr:#x}, 2**{cap.size_bits} bytes, rights {rt.describe(cap.rights)}{where}"


def notation(cap: Cap) -> str:
    """A cap as capDL writes it: name of the object and parameters."""
    match cap:
        case NullCap():
            return "null"
        case UntypedCap():
            return f"ut_{cap.paddr:x}"
        case EndpointCap():
            return f"ep_{cap.endpoint.paddr:x}{_parameters(cap.rights, cap.badge)}"
        case NotificationCap():
            return f"ntfn_{cap.notification.paddr:x}{_parameters(cap.rights, cap.badge)}"
        case ReplyCap():
            return f"reply_{cap.reply.paddr:x}" + (" (G)" if cap.can_grant else "")
        case CNodeCap():
            return f"cnode_{cap.cnode.paddr:x} (guard: {cap.guard:#x}, guard_size: {cap.guard_size})"
        case ThreadCap():
            return f"tcb_{cap.tcb.paddr:x}"
        case IRQHandlerCap():
            return f"irq_{cap.irq}"
        case SchedContextCap():
            return f"sc_{cap.sched_context.paddr:x}"
        case SchedControlCap():
            return f"sched_control (core: {cap.core})"
        case FrameCap():
            return f"frame_{cap.paddr:x}{_parameters(cap.rights, 0)}"
        case PageTableCap():
            return f"pt_{cap.paddr:x}"
        case ASIDPoolCap():
            return f"asid_pool_{cap.pool.paddr:x}"
        case _:
            return {"IRQControl": "irq_control", "ASIDControl": "asid_control", "Domain": "domain",
                    "IOSpace": "io_space", "IOPageTable": "io_pt", "Zombie": "zombie"}[kind_name(cap)]  # fmt: skip


def _parameters(rights: int, badge: int) -> str:
    parts = [rt.describe(rights)] if rights else []
    if badge:
        parts.append(f"badge: {badge:#x}")
    return f" ({', '.join(parts)})" if parts else ""


def invocation_name(info: int, cap: Cap) -> str:
    """What a message to this cap asks for."""
    if isinstance(cap, EndpointCap):
        return "send to Endpoint"
    if isinstance(cap, NotificationCap):
        return "signal Notification"
    if isinstance(cap, ReplyCap):
        return "reply"
    spec = labels.BY_LABEL.get(info_label(info))
    return spec.name if spec is not None else f"unknown invocation {info_label(info)}"


EXCEPTIONS: dict[int, str] = {
    flt.CAUSE_ILLEGAL_INSTRUCTION: "an illegal instruction", flt.CAUSE_BREAKPOINT: "a breakpoint",
    flt.CAUSE_LOAD_MISALIGNED: "a misaligned load", flt.CAUSE_STORE_MISALIGNED: "a misaligned store",
    0: "a misaligned jump",
}  # fmt: skip
ACCESS: dict[int, str] = {
    flt.CAUSE_FETCH_ACCESS: "X", flt.CAUSE_LOAD_ACCESS: "R", flt.CAUSE_STORE_ACCESS: "RW",
}  # fmt: skip


def object_name(thing: object) -> str:
    """The kind of a kernel object."""
    return "TCB" if isinstance(thing, TCB) else type(thing).__name__
