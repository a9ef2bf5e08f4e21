"""Rules for CNode operations, interrupts and untyped memory (see ``case``)."""

from capkernel.abi import errors as err
from capkernel.abi import labels
from capkernel.abi import objects as obj
from capkernel.abi import rights as rt
from capkernel.abi.iospace import IO_PAGE_TABLE_BITS, OBJECT_IO_PAGE_TABLE
from capkernel.abi.words import WORD_BITS
from capkernel.kernel.caps import (
    CNodeCap,
    EndpointCap,
    IOPageTableCap,
    IOSpaceCap,
    IRQControlCap,
    NotificationCap,
    PageTableCap,
    UntypedCap,
    ZombieCap,
    badge_of,
)
from capkernel.kernel.objects import NULL, Slot
from capkernel.kernel.slots import has_children
from capkernel.kernel.state import IRQ_INACTIVE
from capkernel.tools.explain.case import GUARD_SIZE_MASK, Case, Verdicts, guard_too_long, state_of
from capkernel.tools.explain.census import children, place_of
from capkernel.tools.explain.missing import (
    Argument,
    Distinct,
    Memory,
    Missing,
    NoChildren,
    Nothing,
    Right,
)
from capkernel.tools.explain.walk import holds_nothing


def revoke_first(slot: Slot) -> NoChildren:
    """The cap in the slot must have no children."""
    return NoChildren(place_of(slot), tuple(place_of(child) for child in children(slot)))


def single_target(case: Case) -> Verdicts:
    """CNode_Revoke, CNode_Delete, CNode_CancelBadgedSends."""
    yield from case.too_short()
    dest = case.target(case.slot, "index", "depth", "target slot")
    yield from case.not_found(dest)
    slot = dest.slot
    if case.spec.label == labels.CNODE_CANCEL_BADGED_SENDS and slot is not None:
        yield from case.not_kind(slot, err.ILLEGAL_OPERATION, "Endpoint", that="with all rights")
        if isinstance(slot.cap, EndpointCap) and slot.cap.rights != rt.ALL:
            yield err.ILLEGAL_OPERATION, Right(place_of(slot), slot.cap.rights, rt.ALL)


def insert(case: Case) -> Verdicts:
    """CNode_Copy, CNode_Mint, CNode_Move, CNode_Mutate."""
    yield from case.too_short(2, 0)
    dest = case.target(case.slot, "dest_index", "dest_depth", "destination slot")
    yield from case.not_found(dest)
    yield from case.too_short(4, 1)
    yield from case.not_empty(dest.slot)
    found = case.target(case.extra("src_root"), "src_index", "src_depth", "source slot")
    yield from case.not_found(found)
    source = found.slot
    if source is None:
        return
    if source.cap is NULL:
        yield err.FAILED_LOOKUP, holds_nothing(source)
    yield from case.too_short()
    if case.spec.label in (labels.CNODE_COPY, labels.CNODE_MINT):
        yield from _not_derivable(case, source)
    if case.spec.label in (labels.CNODE_MINT, labels.CNODE_MUTATE):
        preserve = case.spec.label == labels.CNODE_MUTATE
        yield from data_not_settable(case, source, case.word("badge"), preserve=preserve, name="badge")


def _not_derivable(case: Case, source: Slot) -> Verdicts:
    """Some caps cannot be copied, or not in their present state."""
    cap = source.cap
    if isinstance(cap, ZombieCap | IRQControlCap):
        why = f"a cap of this kind ({type(cap).__name__.removesuffix('Cap')}) exists once and cannot be copied"
        yield err.ILLEGAL_OPERATION, Nothing(why, ("CNode_Move",))
    if isinstance(cap, UntypedCap) and has_children(source):
        yield err.REVOKE_FIRST, revoke_first(source)
    if isinstance(cap, PageTableCap) and not cap.is_mapped:
        what = state_of("PageTable", cap.paddr, "mapping", "none", "mapped, or a root", "PageTable_Map")
        yield err.ILLEGAL_OPERATION, what
    if isinstance(cap, IOPageTableCap) and cap.io is None:
        what = state_of("IOPageTable", cap.paddr, "mapping", "none", "mapped", "IOPageTable_Map")
        yield err.ILLEGAL_OPERATION, what


def data_not_settable(case: Case, source: Slot, data: int, *, preserve: bool, name: str) -> Verdicts:
    """A badge can be set once, and only when minting; a guard must fit beside the radix."""
    cap = source.cap
    if isinstance(cap, EndpointCap | NotificationCap):
        if preserve:
            yield err.ILLEGAL_OPERATION, Nothing("this operation never sets a badge", ("CNode_Mint", "CNode_Move"))
        elif badge_of(cap):
            kind = "Endpoint" if isinstance(cap, EndpointCap) else "Notification"
            yield err.ILLEGAL_OPERATION, holds_nothing(source, kind, that="without badge")
    if isinstance(cap, CNodeCap) and (data & GUARD_SIZE_MASK) + cap.radix > WORD_BITS:
        yield err.ILLEGAL_OPERATION, guard_too_long(name, data, cap)
    if isinstance(cap, IOSpaceCap):
        if preserve or cap.request_id:
            yield err.ILLEGAL_OPERATION, holds_nothing(source, "IOSpace", that="that is the master")
        yield err.ILLEGAL_OPERATION, Argument(name, data, 1 << 16, 0xFFFFFFFF)


def rotate(case: Case) -> Verdicts:
    """CNode_Rotate. The source is looked up before the pivot."""
    yield from case.too_short(2, 0)
    dest = case.target(case.slot, "dest_index", "dest_depth", "destination slot")
    yield from case.not_found(dest)
    yield from case.too_short()
    found = case.target(case.extra("src_root"), "src_index", "src_depth", "source slot")
    yield from case.not_found(found)
    turned = case.target(case.extra("pivot_root"), "pivot_index", "pivot_depth", "pivot slot")
    yield from case.not_found(turned)
    source, pivot = found.slot, turned.slot
    if source is None or pivot is None:
        return
    if pivot is source:
        yield err.ILLEGAL_OPERATION, Distinct("pivot_index", "src_index")
    if pivot is dest.slot:
        yield err.ILLEGAL_OPERATION, Distinct("pivot_index", "dest_index")
    if source is not dest.slot:
        yield from case.not_empty(dest.slot)
    for slot in (source, pivot):
        if slot.cap is NULL:
            yield err.FAILED_LOOKUP, holds_nothing(slot)
    yield from data_not_settable(case, source, case.word("pivot_badge"), preserve=True, name="pivot_badge")
    yield from data_not_settable(case, pivot, case.word("dest_badge"), preserve=True, name="dest_badge")


def issue_handler(case: Case) -> Verdicts:
    """IRQControl_Get, IRQControl_GetTrigger."""
    yield from case.too_short()
    state, irq = case.state, case.word("irq")
    timer = state.config.timer_irq
    if not 1 <= irq <= timer:
        # The timer's own line lies in the range that the kernel checks, but is never issued.
        yield err.RANGE_ERROR, Argument("irq", irq, 1, timer - 1)
    if state.irq_states[irq] != IRQ_INACTIVE:
        yield err.REVOKE_FIRST, _used_line(irq, timer)
    dest = case.target(case.extra("root"), "index", "depth", "destination slot")
    yield from case.not_found(dest)
    yield from case.not_empty(dest.slot)


def _used_line(irq: int, timer: int) -> Missing:
    if irq == timer:
        return Nothing(f"interrupt {irq} is the kernel's own timer")
    what = f"issued: a handler cap of interrupt {irq} exists"
    return state_of("IRQ", irq, "line", what, "not issued", "CNode_Delete of the handler caps", "IRQHandler")


def set_notification(case: Case) -> Verdicts:
    """IRQHandler_SetNotification."""
    yield from case.too_short()
    slot = case.extra("notification")
    yield from case.not_kind(slot, err.INVALID_CAPABILITY, "Notification", that="with right W")
    if isinstance(slot.cap, NotificationCap) and not slot.cap.rights & rt.WRITE:
        yield err.INVALID_CAPABILITY, Right(place_of(slot), slot.cap.rights, slot.cap.rights | rt.WRITE)


def retype(case: Case) -> Verdicts:
    """Untyped_Retype."""
    yield from case.too_short()
    yield from _bad_size(case)
    depth, root = case.word("node_depth"), case.extra("root")
    node = root
    if depth:
        found = case.target(root, "node_index", "node_depth", "destination CNode")
        yield from case.not_found(found)
        assert found.slot is not None
        node = found.slot
    yield from case.not_kind(node, err.FAILED_LOOKUP, "CNode")
    yield from _bad_window(case, node)
    yield from _no_memory(case)


_LEAST_SIZE = {obj.CNODE: 1, obj.UNTYPED: obj.MIN_UNTYPED_BITS, obj.SCHED_CONTEXT: obj.MIN_SCHED_CONTEXT_BITS}


def _bad_size(case: Case) -> Verdicts:
    kind, bits = case.word("type"), case.word("size_bits")
    if kind == OBJECT_IO_PAGE_TABLE and case.state.config.has_iommu:
        return
    yield from case.outside("type", 0, obj.OBJECT_TYPE_COUNT - 1, err.INVALID_ARGUMENT)
    least = _LEAST_SIZE.get(kind, 0)
    most = 63 if kind in obj.FIXED_SIZE_BITS else obj.MAX_UNTYPED_BITS - (obj.SLOT_BITS if kind == obj.CNODE else 0)
    if bits > most:
        yield err.RANGE_ERROR, Argument("size_bits", bits, least, most)
    if bits < least:
        yield err.INVALID_ARGUMENT, Argument("size_bits", bits, least, most)


def _bad_window(case: Case, node: Slot) -> Verdicts:
    """The slots that the new caps go to must exist and be empty."""
    assert isinstance(node.cap, CNodeCap)
    size = 1 << node.cap.radix
    offset, count = case.word("node_offset"), case.word("num_objects")
    yield from case.outside("node_offset", 0, size - 1)
    yield from case.outside("num_objects", 1, min(case.state.config.retype_fan_out_limit, size - offset))
    held = node.cap.cnode.slots
    for index in range(offset, offset + count):
        yield from case.not_empty(held.get(index))


def _no_memory(case: Case) -> Verdicts:
    cap, kind = case.cap, case.word("type")
    assert isinstance(cap, UntypedCap)
    io_table = kind == OBJECT_IO_PAGE_TABLE
    bits = IO_PAGE_TABLE_BITS if io_table else obj.object_size_bits(kind, case.word("size_bits"))
    free = (1 << cap.size_bits) - (cap.free_offset if has_children(case.slot) else 0)
    wanted = case.word("num_objects") << bits
    if free >> bits < case.word("num_objects"):
        yield err.NOT_ENOUGH_MEMORY, Memory(place_of(case.slot), free, wanted, (wanted - 1).bit_length())
    if cap.is_device and kind not in obj.FRAME_TYPES and kind != obj.UNTYPED:
        yield err.INVALID_ARGUMENT, holds_nothing(case.slot, "Untyped", that="that is not device memory")
