"""What a cap refers to, as a key that can be named: kind, physical address (or number), and log2 size where it counts.

An untyped and the first object in it have the same address, and untypeds of several sizes can: so these have sizes.
"""

from capkernel.abi import rights as rt
from capkernel.abi.objects import ASID_LOW_BITS
from capkernel.kernel.caps import (
    ASIDControlCap,
    ASIDPoolCap,
    CNodeCap,
    DomainCap,
    EndpointCap,
    FrameCap,
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
from capkernel.kernel.objects import Cap, CNode, SlotContainer
from capkernel.system.capdl.model import Cap as Description
from capkernel.system.capdl.model import Object, make_object

Key = tuple[str, int, int]

SPECIAL_CAPS: dict[type[Cap], str] = {
    IRQControlCap: "irq_control", ASIDControlCap: "asid_control", DomainCap: "domain", SchedControlCap: "sched_control",
}  # fmt: skip


def key_of(cap: Cap) -> Key | None:
    """The key of what a cap refers to; None if capDL has no object for it."""
    match cap:
        case UntypedCap():
            return "ut", cap.paddr, cap.size_bits
        case FrameCap():
            return "frame", cap.paddr, cap.size_bits
        case EndpointCap():
            return "ep", cap.endpoint.paddr, 0
        case NotificationCap():
            return "notification", cap.notification.paddr, 0
        case ReplyCap():
            return "rtreply", cap.reply.paddr, 0
        case CNodeCap():
            return "cnode", cap.cnode.paddr, 0
        case ThreadCap():
            return "tcb", cap.tcb.paddr, 0
        case SchedContextCap():
            return "sc", cap.sched_context.paddr, 0
        case PageTableCap():
            return "pt", cap.paddr, 0
        case ASIDPoolCap():
            return "asid_pool", cap.pool.paddr, 0
        case IRQHandlerCap():
            return "irq", cap.irq, 0
        case _:
            return None


def container_key(container: SlotContainer) -> Key:
    """The key of a CNode or TCB."""
    return ("cnode" if isinstance(container, CNode) else "tcb"), container.paddr, 0


def default_name(key: Key, *, is_boot: bool) -> str:
    """A name for an object that nobody named: kind, address, size where it counts."""
    kind, paddr, bits = key
    if kind == "irq":
        return f"irq_{paddr}"
    return f"{'boot_' if is_boot else ''}{kind}_{paddr:x}" + (f"_{bits}" if bits else "")


def object_of(cap: Cap) -> Object:
    """The object behind a cap, as far as the cap tells."""
    match cap:
        case UntypedCap():
            return make_object("ut", bits=cap.size_bits, paddr=cap.paddr)
        case FrameCap():
            return make_object("frame", size=cap.size_bits, paddr=cap.paddr)
        case CNodeCap():
            return make_object("cnode", bits=cap.radix)
        case ASIDPoolCap():
            return make_object("asid_pool", asid_high=cap.base >> ASID_LOW_BITS)
        case _:
            key = key_of(cap)
            assert key is not None
            return make_object(key[0])


def describe(cap: Cap, name: str) -> Description:
    """A cap as capDL says it, without where it is mapped."""
    match cap:
        case EndpointCap() | NotificationCap():
            return Description(name, rights=cap.rights, badge=cap.badge)
        case CNodeCap():
            return Description(name, guard=cap.guard, guard_size=cap.guard_size)
        case FrameCap():
            return Description(name, rights=cap.rights & rt.READ_WRITE)
        case SchedControlCap():
            return Description(name, core=cap.core)
        case _:
            return Description(name)
