"""Caps as values, and what can be said of one or two of them without any state.

The names (``same_region_as``, ``should_be_parent_of``, ``update_cap_data``) are those of seL4's proofs.
"""

from typing import Final, NamedTuple

from capkernel.abi import iospace as io
from capkernel.abi import objects as obj
from capkernel.abi import rights as rt
from specs.abstract.objects import Ptr

IOPlace = tuple[int, int]
"""An IOSpace: (domain, request id)."""


class NullCap(NamedTuple):
    """No authority."""

    kind: str = "null"


class UntypedCap(NamedTuple):
    """Memory; what lies below ``free_index`` (bytes) is used up."""

    ptr: Ptr
    size_bits: int
    is_device: bool
    free_index: int


class EndpointCap(NamedTuple):
    """To send, receive and grant."""

    ptr: Ptr
    badge: int
    rights: int


class NotificationCap(NamedTuple):
    """To signal and wait."""

    ptr: Ptr
    badge: int
    rights: int


class ReplyCap(NamedTuple):
    """To answer a call."""

    ptr: Ptr
    can_grant: bool


class CNodeCap(NamedTuple):
    """To name the slots of a CNode, behind a guard of ``guard_size`` bits."""

    ptr: Ptr
    radix: int
    guard: int
    guard_size: int


class ThreadCap(NamedTuple):
    """To control a thread."""

    ptr: Ptr


class Zombie(NamedTuple):
    """A CNode or TCB on its way out: its slots below ``number`` may still hold caps."""

    ptr: Ptr
    size_bits: int
    number: int


class IRQControlCap(NamedTuple):
    """To issue interrupt lines."""

    kind: str = "irq control"


class IRQHandlerCap(NamedTuple):
    """One interrupt line."""

    irq: int


class DomainCap(NamedTuple):
    """To set domains and their schedule."""

    kind: str = "domain"


class SchedContextCap(NamedTuple):
    """A scheduling context."""

    ptr: Ptr
    size_bits: int


class SchedControlCap(NamedTuple):
    """To fill scheduling contexts."""

    core: int


class FrameCap(NamedTuple):
    """Memory to be mapped, and where this cap has mapped it: ASID 0 and no IOSpace mean nowhere."""

    ptr: Ptr
    size_bits: int
    rights: int
    is_device: bool
    asid: int = 0
    vaddr: int = 0
    io: IOPlace | None = None


class PageTableCap(NamedTuple):
    """A page table, and the (ASID, address) where it stands, if anywhere."""

    ptr: Ptr
    mapped: tuple[int, int] | None = None


class ASIDControlCap(NamedTuple):
    """To make ASID pools."""

    kind: str = "asid control"


class ASIDPoolCap(NamedTuple):
    """To give out 512 ASIDs from ``base`` on."""

    ptr: Ptr
    base: int


class IOSpaceCap(NamedTuple):
    """To map for a device; request id 0 is the master."""

    domain_id: int
    request_id: int


class IOPageTableCap(NamedTuple):
    """A device's table, and where it stands: IOSpace, level (0: root), I/O address."""

    ptr: Ptr
    io: IOPlace | None = None
    level: int = 0
    ioaddr: int = 0


Cap = (
    NullCap | UntypedCap | EndpointCap | NotificationCap | ReplyCap | CNodeCap | ThreadCap | Zombie | IRQControlCap
    | IRQHandlerCap | DomainCap | SchedContextCap | SchedControlCap | FrameCap | PageTableCap | ASIDControlCap
    | ASIDPoolCap | IOSpaceCap | IOPageTableCap
)  # fmt: skip
NULL: Final = NullCap()

CAP_TYPE: Final[dict[type, int]] = {
    NullCap: obj.CAP_NULL, FrameCap: obj.CAP_FRAME, UntypedCap: obj.CAP_UNTYPED, PageTableCap: obj.CAP_PAGE_TABLE,
    EndpointCap: obj.CAP_ENDPOINT, NotificationCap: obj.CAP_NOTIFICATION, ReplyCap: obj.CAP_REPLY,
    CNodeCap: obj.CAP_CNODE, ASIDControlCap: obj.CAP_ASID_CONTROL, ThreadCap: obj.CAP_TCB,
    ASIDPoolCap: obj.CAP_ASID_POOL, IRQControlCap: obj.CAP_IRQ_CONTROL, IRQHandlerCap: obj.CAP_IRQ_HANDLER,
    Zombie: obj.CAP_ZOMBIE, DomainCap: obj.CAP_DOMAIN, SchedContextCap: obj.CAP_SCHED_CONTEXT,
    SchedControlCap: obj.CAP_SCHED_CONTROL, IOSpaceCap: io.CAP_IO_SPACE, IOPageTableCap: io.CAP_IO_PAGE_TABLE,
}  # fmt: skip
"""The number of each type, as DebugCapIdentify gives it."""

_SIZE_BITS: Final[dict[type, int]] = {
    EndpointCap: obj.ENDPOINT_BITS, NotificationCap: obj.NOTIFICATION_BITS, ReplyCap: obj.REPLY_BITS,
    ThreadCap: obj.TCB_BITS, PageTableCap: obj.PAGE_TABLE_BITS, ASIDPoolCap: obj.ASID_POOL_BITS,
    IOPageTableCap: io.IO_PAGE_TABLE_BITS,
}  # fmt: skip


def cap_range(cap: Cap) -> tuple[int, int] | None:
    """The memory that a cap stands for: first byte, and first byte behind; None for none."""
    if isinstance(cap, (UntypedCap, FrameCap, Zombie, SchedContextCap)):
        return cap.ptr, cap.ptr + 2**cap.size_bits
    if isinstance(cap, CNodeCap):
        return cap.ptr, cap.ptr + 2 ** (cap.radix + obj.SLOT_BITS)
    if isinstance(cap, (EndpointCap, NotificationCap, ReplyCap, ThreadCap, PageTableCap, ASIDPoolCap, IOPageTableCap)):
        return cap.ptr, cap.ptr + 2 ** _SIZE_BITS[type(cap)]
    return None


def gen_obj_refs(cap: Cap) -> tuple[str, int] | None:
    """The thing that goes away with the last cap to it: an object, an interrupt line, a device's IOSpace."""
    if isinstance(cap, UntypedCap):
        return None
    if isinstance(cap, IRQHandlerCap):
        return "irq", cap.irq
    if isinstance(cap, IOSpaceCap):
        return "iospace", cap.request_id
    where = cap_range(cap)
    return None if where is None else ("object", where[0])


def same_object_as(one: Cap, other: Cap) -> bool:
    """Whether two caps of one type stand for the same thing."""
    refs = gen_obj_refs(one)
    if type(one) is not type(other) or isinstance(one, (UntypedCap, IRQControlCap)):
        return False
    if isinstance(one, FrameCap) and isinstance(other, FrameCap):
        return one[:2] == other[:2] and one.is_device == other.is_device
    return refs == gen_obj_refs(other)


def same_region_as(outer: Cap, inner: Cap) -> bool:
    """Whether what ``inner`` stands for is a part of what ``outer`` does."""
    if isinstance(outer, UntypedCap) or (isinstance(outer, FrameCap) and isinstance(inner, FrameCap)):
        region, part = cap_range(outer), cap_range(inner)
        return region is not None and part is not None and region[0] <= part[0] and part[1] <= region[1]
    if isinstance(outer, IRQControlCap):
        return isinstance(inner, (IRQControlCap, IRQHandlerCap))
    if isinstance(outer, IOSpaceCap) and isinstance(inner, IOSpaceCap):
        return outer.request_id in (0, inner.request_id)
    if isinstance(outer, (NullCap, Zombie)):
        return False
    return type(outer) is type(inner) and gen_obj_refs(outer) == gen_obj_refs(inner)


def cap_badge(cap: Cap) -> int:
    """The badge; 0 also for what has none."""
    return cap.badge if isinstance(cap, (EndpointCap, NotificationCap)) else 0


def should_be_parent_of(parent: Cap, parent_original: bool, child: Cap, child_original: bool) -> bool:
    """Whether a cap derived from ``parent`` becomes its child, rather than its sibling.

    Only originals have children. Caps with a badge of their own have only unchanged copies as children.
    """
    if not parent_original or not same_region_as(parent, child):
        return False
    badge = cap_badge(parent)
    return badge == 0 or (badge == cap_badge(child) and not child_original)


def is_cap_revocable(new: Cap, source: Cap) -> bool:
    """Whether a derived cap counts as an original: one that can have children of its own."""
    if isinstance(new, (EndpointCap, NotificationCap)):
        return new.badge != cap_badge(source)
    if isinstance(new, IRQHandlerCap):
        return isinstance(source, IRQControlCap)
    if isinstance(new, IOSpaceCap) and isinstance(source, IOSpaceCap):
        return new.request_id != source.request_id
    return isinstance(new, UntypedCap)


def mask_vm_rights(rights: int) -> int:
    """Rights to memory: to write is worth nothing without to read."""
    return rights & rt.READ_WRITE if rights & rt.READ else 0


def mask_cap(rights: int, cap: Cap) -> Cap:
    """A cap without the rights that ``rights`` lacks."""
    if isinstance(cap, (EndpointCap, NotificationCap)):
        return cap._replace(rights=cap.rights & rights)
    if isinstance(cap, ReplyCap):
        return cap._replace(can_grant=cap.can_grant and bool(rights & rt.GRANT))
    if isinstance(cap, FrameCap):
        return cap._replace(rights=mask_vm_rights(cap.rights & rights))
    return cap


def update_cap_data(preserve: bool, data: int, cap: Cap) -> Cap:
    """A cap with a badge or guard set from a word; the null cap if that may not be.

    ``preserve`` says that a badge, or its absence, must stay as it is.
    """
    if isinstance(cap, (EndpointCap, NotificationCap)):
        return NULL if preserve or cap.badge else cap._replace(badge=data)
    if isinstance(cap, CNodeCap):
        size = data % 64
        guard = (data >> 6) % 2**size
        return cap._replace(guard=guard, guard_size=size) if size + cap.radix <= 64 else NULL
    if isinstance(cap, IOSpaceCap):
        device = IOSpaceCap(data >> 16 & 0xFFFF, data & 0xFFFF)
        may = not preserve and cap.request_id == 0 and device.domain_id >= io.FIRST_DOMAIN
        return device if may else NULL
    return cap
