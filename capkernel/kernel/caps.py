"""Capabilities: immutable values that say what their holder may do, and the algebra of those values.

A cap is never changed, only replaced. Rights are plain ints (``abi.rights``). The algebra answers: is it the
same object, does one region hold the other, what is left after masking rights, what does a badge make of it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from capkernel.abi import objects as obj
from capkernel.abi import rights as rt
from capkernel.abi.iospace import (
    CAP_IO_PAGE_TABLE,
    CAP_IO_SPACE,
    FIRST_DOMAIN,
    IO_PAGE_TABLE_BITS,
    OBJECT_IO_PAGE_TABLE,
)
from capkernel.abi.words import MASK
from capkernel.kernel.objects import (
    NULL,
    TCB,
    ASIDPool,
    Cap,
    CNode,
    Endpoint,
    Notification,
    NullCap,
    Reply,
    SchedContext,
    SlotContainer,
)


@dataclass(eq=False, slots=True)
class UntypedCap(Cap):
    """Unused memory; ``free_offset`` bytes from its start are used up (the watermark)."""

    paddr: int
    size_bits: int
    is_device: bool
    free_offset: int


@dataclass(eq=False, slots=True)
class EndpointCap(Cap):
    """To send, receive, and grant through an endpoint; the badge tells the receiver which cap was used."""

    endpoint: Endpoint
    badge: int
    rights: int


@dataclass(eq=False, slots=True)
class NotificationCap(Cap):
    """To signal (write) or wait (read); the badge is OR-ed into the notification's word."""

    notification: Notification
    badge: int
    rights: int


@dataclass(eq=False, slots=True)
class ReplyCap(Cap):
    """To answer whoever called through this reply object."""

    reply: Reply
    can_grant: bool


@dataclass(eq=False, slots=True)
class CNodeCap(Cap):
    """To address and rearrange the slots of a CNode, behind a guard."""

    cnode: CNode
    radix: int
    guard: int
    guard_size: int


@dataclass(eq=False, slots=True)
class ThreadCap(Cap):
    """Full control of a thread."""

    tcb: TCB


@dataclass(eq=False, slots=True)
class ZombieCap(Cap):
    """A CNode or TCB that is being destroyed; ``number`` of its slots may still hold caps."""

    container: SlotContainer
    number: int
    size_bits: int


@dataclass(eq=False, slots=True)
class IRQControlCap(Cap):
    """To issue interrupt handler caps."""


@dataclass(eq=False, slots=True)
class IRQHandlerCap(Cap):
    """To receive and acknowledge one interrupt."""

    irq: int


@dataclass(eq=False, slots=True)
class DomainCap(Cap):
    """To set a thread's domain and the domain schedule."""


@dataclass(eq=False, slots=True)
class SchedContextCap(Cap):
    """A scheduling context: the right to run, for whoever it is bound to."""

    sched_context: SchedContext
    size_bits: int


@dataclass(eq=False, slots=True)
class SchedControlCap(Cap):
    """To fill scheduling contexts with time on one core."""

    core: int


@dataclass(eq=False, slots=True)
class FrameCap(Cap):
    """Memory that can be mapped; ``asid`` 0 means that this cap has not mapped it.

    ``io`` is set when it is mapped for a device instead: the (domain, request id) of its IOSpace.
    """

    paddr: int
    size_bits: int
    rights: int
    is_device: bool
    asid: int = 0
    vaddr: int = 0
    io: tuple[int, int] | None = None


@dataclass(eq=False, slots=True)
class PageTableCap(Cap):
    """A page table; a mapped one at the root of an ASID is a VSpace."""

    paddr: int
    is_mapped: bool = False
    asid: int = 0
    vaddr: int = 0


@dataclass(eq=False, slots=True)
class ASIDControlCap(Cap):
    """To make ASID pools."""


@dataclass(eq=False, slots=True)
class ASIDPoolCap(Cap):
    """To give address spaces an identifier."""

    pool: ASIDPool
    base: int


@dataclass(eq=False, slots=True)
class IOSpaceCap(Cap):
    """To map memory for one device; request id 0 is the master, from which the others are minted."""

    domain_id: int
    request_id: int


@dataclass(eq=False, slots=True)
class IOPageTableCap(Cap):
    """A level of an I/O page table tree; ``level`` 0 is the root."""

    paddr: int
    io: tuple[int, int] | None = None
    level: int = 0
    ioaddr: int = 0


KIND: dict[type[Cap], int] = {
    NullCap: obj.CAP_NULL, FrameCap: obj.CAP_FRAME, UntypedCap: obj.CAP_UNTYPED, PageTableCap: obj.CAP_PAGE_TABLE,
    EndpointCap: obj.CAP_ENDPOINT, NotificationCap: obj.CAP_NOTIFICATION, ReplyCap: obj.CAP_REPLY,
    CNodeCap: obj.CAP_CNODE, ASIDControlCap: obj.CAP_ASID_CONTROL, ThreadCap: obj.CAP_TCB,
    ASIDPoolCap: obj.CAP_ASID_POOL, IRQControlCap: obj.CAP_IRQ_CONTROL, IRQHandlerCap: obj.CAP_IRQ_HANDLER,
    ZombieCap: obj.CAP_ZOMBIE, DomainCap: obj.CAP_DOMAIN, SchedContextCap: obj.CAP_SCHED_CONTEXT,
    SchedControlCap: obj.CAP_SCHED_CONTROL, IOSpaceCap: CAP_IO_SPACE, IOPageTableCap: CAP_IO_PAGE_TABLE,
}  # fmt: skip
"""The type number that DebugCapIdentify answers."""


def region_of(cap: Cap) -> tuple[int, int] | None:
    """Base and log2 size of the memory behind a cap; None if there is none (manual, section 2.4.1)."""
    match cap:
        case UntypedCap() | FrameCap():
            return cap.paddr, cap.size_bits
        case EndpointCap():
            return cap.endpoint.paddr, obj.ENDPOINT_BITS
        case NotificationCap():
            return cap.notification.paddr, obj.NOTIFICATION_BITS
        case ReplyCap():
            return cap.reply.paddr, obj.REPLY_BITS
        case CNodeCap():
            return cap.cnode.paddr, cap.radix + obj.SLOT_BITS
        case ThreadCap():
            return cap.tcb.paddr, obj.TCB_BITS
        case ZombieCap():
            return cap.container.paddr, cap.size_bits
        case SchedContextCap():
            return cap.sched_context.paddr, cap.size_bits
        case PageTableCap():
            return cap.paddr, obj.PAGE_TABLE_BITS
        case ASIDPoolCap():
            return cap.pool.paddr, obj.ASID_POOL_BITS
        case IOPageTableCap():
            return cap.paddr, IO_PAGE_TABLE_BITS
        case _:
            return None


def within(outer: tuple[int, int], inner: tuple[int, int]) -> bool:
    """Whether one (base, size_bits) region lies inside another."""
    return outer[0] <= inner[0] and inner[0] + MASK[inner[1]] <= outer[0] + MASK[outer[1]]


def same_region_as(outer: Cap, inner: Cap) -> bool:
    """Whether ``inner`` refers to something that lies in what ``outer`` refers to (sameRegionAs)."""
    if isinstance(outer, UntypedCap):
        region = region_of(inner)
        return region is not None and within((outer.paddr, outer.size_bits), region)
    if isinstance(outer, EndpointCap):
        return isinstance(inner, EndpointCap) and outer.endpoint is inner.endpoint
    if isinstance(outer, NotificationCap):
        return isinstance(inner, NotificationCap) and outer.notification is inner.notification
    if isinstance(outer, FrameCap):
        return isinstance(inner, FrameCap) and within((outer.paddr, outer.size_bits), (inner.paddr, inner.size_bits))
    if isinstance(outer, IRQControlCap):
        return isinstance(inner, (IRQControlCap, IRQHandlerCap))
    if isinstance(outer, IOSpaceCap):
        # The master (request id 0) is the parent of every device's IOSpace.
        return isinstance(inner, IOSpaceCap) and outer.request_id in (0, inner.request_id)
    return type(outer) is type(inner) and _identity(outer) == _identity(inner)


def same_object_as(one: Cap, other: Cap) -> bool:
    """Whether both are caps to one object; an untyped or IRQ control cap is its own object (sameObjectAs)."""
    if isinstance(one, EndpointCap):
        return isinstance(other, EndpointCap) and one.endpoint is other.endpoint
    if type(one) is not type(other) or isinstance(one, (UntypedCap, IRQControlCap)):
        return False
    if isinstance(one, FrameCap) and isinstance(other, FrameCap):
        same_place = one.paddr == other.paddr and one.size_bits == other.size_bits
        return same_place and one.is_device == other.is_device
    if isinstance(one, IOSpaceCap):
        return isinstance(other, IOSpaceCap) and one.request_id == other.request_id
    return same_region_as(one, other)


def _identity(cap: Cap) -> tuple[int, int]:
    """What distinguishes objects of one kind: memory, interrupt number, or nothing at all."""
    if isinstance(cap, (NullCap, ZombieCap)):
        return id(cap), 0
    if isinstance(cap, IRQHandlerCap):
        return cap.irq, 0
    return region_of(cap) or (0, 0)


def is_revocable(new: Cap, source: Cap) -> bool:
    """Whether a cap just derived from ``source`` may itself have children (isCapRevocable)."""
    if isinstance(new, EndpointCap) and isinstance(source, EndpointCap):
        return new.badge != source.badge
    if isinstance(new, NotificationCap) and isinstance(source, NotificationCap):
        return new.badge != source.badge
    if isinstance(new, IRQHandlerCap):
        return isinstance(source, IRQControlCap)
    if isinstance(new, IOSpaceCap) and isinstance(source, IOSpaceCap):
        return new.request_id != source.request_id
    return isinstance(new, UntypedCap)


def badge_of(cap: Cap) -> int:
    """The badge; 0 for caps that have none."""
    return cap.badge if isinstance(cap, (EndpointCap, NotificationCap)) else 0


def brand_of(cap: Cap) -> int:
    """What a Mint has set: a badge, or the device of an IOSpace; 0 for a cap of which it may still be set."""
    return cap.request_id if isinstance(cap, IOSpaceCap) else badge_of(cap)


def mask_vm_rights(rights: int, mask: int) -> int:
    """Frame rights after masking: read-write, read-only, or none; write alone means nothing (maskVMRights)."""
    if not rights & mask & rt.READ:
        return 0
    return rights & mask & rt.READ_WRITE


def mask_cap_rights(mask: int, cap: Cap) -> Cap:
    """The cap with only the rights that ``mask`` leaves it (maskCapRights)."""
    match cap:
        case EndpointCap():
            return EndpointCap(cap.endpoint, cap.badge, cap.rights & mask)
        case NotificationCap():
            return NotificationCap(cap.notification, cap.badge, cap.rights & mask)
        case ReplyCap():
            return ReplyCap(cap.reply, cap.can_grant and bool(mask & rt.GRANT))
        case FrameCap():
            rights = mask_vm_rights(cap.rights, mask)
            return FrameCap(cap.paddr, cap.size_bits, rights, cap.is_device, cap.asid, cap.vaddr, cap.io)
        case _:
            return cap


def update_cap_data(cap: Cap, data: int, *, preserve: bool) -> Cap:
    """What a badge or guard word makes of a cap; ``NULL`` if it may not be set (updateCapData).

    ``preserve`` is true for Mutate and Rotate, which never set a badge.
    """
    match cap:
        case EndpointCap() | NotificationCap():
            return NULL if preserve or cap.badge else replace(cap, badge=data)
        case CNodeCap():
            size = data & 63
            return CNodeCap(cap.cnode, cap.radix, data >> 6 & MASK[size], size) if size + cap.radix <= 64 else NULL
        case IOSpaceCap():
            domain = data >> 16 & 0xFFFF
            settable = not preserve and cap.request_id == 0 and domain >= FIRST_DOMAIN
            return IOSpaceCap(domain, data & 0xFFFF) if settable else NULL
        case _:
            return cap


FIRST_CAPS: dict[int, Callable[[int, int, bool], Cap]] = {
    obj.UNTYPED: lambda paddr, bits, is_device: UntypedCap(paddr, bits, is_device, 0),
    obj.TCB: lambda paddr, bits, is_device: ThreadCap(TCB(paddr)),
    obj.ENDPOINT: lambda paddr, bits, is_device: EndpointCap(Endpoint(paddr), 0, rt.ALL),
    obj.NOTIFICATION: lambda paddr, bits, is_device: NotificationCap(Notification(paddr), 0, rt.READ_WRITE),
    obj.CNODE: lambda paddr, bits, is_device: CNodeCap(CNode(paddr, bits), bits, 0, 0),
    obj.SCHED_CONTEXT: lambda paddr, bits, is_device: SchedContextCap(SchedContext(paddr, bits), bits),
    obj.REPLY: lambda paddr, bits, is_device: ReplyCap(Reply(paddr), True),
    obj.PAGE: lambda paddr, bits, is_device: FrameCap(paddr, obj.PAGE_BITS, rt.READ_WRITE, is_device),
    obj.MEGA_PAGE: lambda paddr, bits, is_device: FrameCap(paddr, obj.MEGA_PAGE_BITS, rt.READ_WRITE, is_device),
    obj.GIGA_PAGE: lambda paddr, bits, is_device: FrameCap(paddr, obj.GIGA_PAGE_BITS, rt.READ_WRITE, is_device),
    obj.PAGE_TABLE: lambda paddr, bits, is_device: PageTableCap(paddr),
    OBJECT_IO_PAGE_TABLE: lambda paddr, bits, is_device: IOPageTableCap(paddr),
}
"""By Retype's type: the first cap to a new object, of its address, Retype's size argument, and whether it is a device.

Frames and tables have no object beside the cap: they are memory.
"""
