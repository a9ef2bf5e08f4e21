"""Caps and the tree of what was derived from what: G1, G3–G8, G13.

Catches: caps that outlive or misdescribe their object, list surgery gone wrong (insert, move, swap, unlink), a
derivation put in the wrong place so that Revoke would miss it, rights or badges that grow on the way down, an untyped
that gives the same memory out twice, a zombie made of an object that others can still name.
"""

from itertools import chain, pairwise

from capkernel.abi import objects as obj
from capkernel.abi.words import WORD_MASK
from capkernel.kernel import caps as kc
from capkernel.kernel import objects as ko
from capkernel.kernel.objects import Cap, Slot
from specs.invariants import regions
from specs.invariants.model import Invariant, first
from specs.invariants.parts import CAPS
from specs.invariants.regions import describe
from specs.invariants.remembering import remembered_of_two
from specs.invariants.view import View, name_of

FRAME_BITS = (obj.PAGE_BITS, obj.MEGA_PAGE_BITS, obj.GIGA_PAGE_BITS)
FRAME_RIGHTS = (0, 2, 3)
"""None, read only, read and write; a frame cap never holds write alone."""
_REFERENT_KIND: dict[type[Cap], tuple[type, ...]] = {
    kc.EndpointCap: (ko.Endpoint,), kc.NotificationCap: (ko.Notification,), kc.ReplyCap: (ko.Reply,),
    kc.CNodeCap: (ko.CNode,), kc.ThreadCap: (ko.TCB,), kc.ZombieCap: (ko.CNode, ko.TCB),
    kc.SchedContextCap: (ko.SchedContext,), kc.ASIDPoolCap: (ko.ASIDPool,),
}  # fmt: skip


def _at(slot: Slot) -> str:
    return f"{name_of(slot)} {describe(slot.cap)}"


def _misfit(view: View, cap: Cap) -> str | None:
    """What a cap says that its object, or any object, cannot be."""
    target = regions.referent(cap)
    if target is not None and type(target) not in _REFERENT_KIND[type(cap)]:
        return f"refers to a {type(target).__name__}"
    match cap:
        case kc.UntypedCap():
            sized = obj.MIN_UNTYPED_BITS <= cap.size_bits <= obj.MAX_UNTYPED_BITS
            return None if sized and 0 <= cap.free_offset <= 1 << cap.size_bits else "size or watermark out of range"
        case kc.EndpointCap():
            return None if 0 <= cap.rights <= 15 and 0 <= cap.badge <= WORD_MASK else "rights or badge"
        case kc.NotificationCap():
            return None if 0 <= cap.rights <= 3 and 0 <= cap.badge <= WORD_MASK else "rights or badge"
        case kc.CNodeCap():
            fits = 0 <= cap.guard < 1 << cap.guard_size and cap.radix + cap.guard_size <= 64
            return None if fits and cap.radix == cap.cnode.radix else "radix or guard"
        case kc.ZombieCap():
            return _misfit_zombie(cap)
        case kc.FrameCap():
            fits = cap.size_bits in FRAME_BITS and cap.rights in FRAME_RIGHTS and not cap.paddr >> 56
            return None if fits and not (cap.asid and cap.io) else "size, rights or mapping"
        case kc.SchedContextCap():
            return None if cap.size_bits == cap.sched_context.size_bits else "size"
        case kc.ASIDPoolCap():
            return None if cap.base == cap.pool.base else "base"
        case kc.IRQHandlerCap():
            return None if 1 <= cap.irq <= view.config.timer_irq else "no such line"
        case kc.IOSpaceCap():
            return None if 0 <= cap.request_id < 1 << 16 and 0 <= cap.domain_id < 1 << 16 else "ids"
        case _:
            return None


def _misfit_zombie(cap: kc.ZombieCap) -> str | None:
    container = cap.container
    most = 1 << container.radix if isinstance(container, ko.CNode) else ko.TCB_SLOTS
    return None if 0 <= cap.number <= most and cap.size_bits == regions.size_bits_of(cap) else "number or size"


def valid_objs(view: View) -> str | None:
    """G1 ``valid_objs``: each cap's type, size and rights fit a live object."""
    problems = []
    for slot in view.slots_changed():
        wrong = _misfit(view, slot.cap)
        if wrong:
            problems.append(f"{_at(slot)}: {wrong}")
    return first(sorted(problems))


def mdb_cte_at(view: View) -> str | None:
    """G3 ``mdb_cte_at``: derivation links join slots that hold caps, and agree in both directions."""
    problems = [f"{name_of(slot)} holds no cap but has links or flags" for slot in view.littered]
    problems += [f"{name_of(slot)} {what}" for what, slot in view.tree.faults if "cycle" not in what]
    return first(problems)


def no_mloop(view: View) -> str | None:
    """G4 ``no_mloop``: the derivation list has no cycle."""
    return first([f"{name_of(slot)} {what}" for what, slot in view.tree.faults if "cycle" in what])


def _grown(parent: Cap, child: Cap) -> str | None:
    """What a child has that its parent had not."""
    if isinstance(parent, kc.UntypedCap) and not isinstance(child, kc.UntypedCap):
        device = getattr(child, "is_device", False)
        return "is device memory by one cap only" if device and not parent.is_device else None
    if isinstance(child, kc.UntypedCap | kc.FrameCap) and child.is_device != getattr(parent, "is_device", None):
        return "is device memory by one cap only"
    if isinstance(child, kc.EndpointCap | kc.NotificationCap | kc.FrameCap):
        extra = child.rights & ~getattr(parent, "rights", 0)
        return f"has rights {extra:#x} more" if extra else None
    if isinstance(child, kc.ReplyCap) and isinstance(parent, kc.ReplyCap):
        return "has grant" if child.can_grant and not parent.can_grant else None
    return None


def descendants_inc(view: View) -> str | None:
    """G5 ``descendants_inc``: a child's range, class and rights lie in those of what it was derived from."""
    problems = [f"{_at(slot)} stands below {_at(above)} but cannot come from it" for above, slot in view.tree.crossings]
    places = view.tree.places
    for slot in chain.from_iterable(view.tree.chains[view.tree.grown :]):
        parent = places[slot].parent
        if parent is not None:
            problems += [f"{_at(slot)} {what} its parent {_at(parent)}" for what in _exceeds(parent.cap, slot.cap)]
    return first(sorted(problems))


@remembered_of_two
def _exceeds(parent: Cap, child: Cap) -> list[str]:
    """What is wrong with a cap that was derived from another."""
    inner, outer = regions.region(child), regions.region(parent)
    outside = (inner is None) != (outer is None) or (inner and outer and not regions.inside(inner, outer))
    grown = _grown(parent, child)
    return (["lies outside"] if outside else []) + ([f"{grown} than"] if grown else [])


def _enclosing(view: View) -> list[tuple[Slot, Slot]]:
    """(untyped, other) for each cap whose memory begins inside that of an untyped cap, equal ones both ways.

    Left out are caps, other than to untypeds, that have as many untypeds above them as they begin in: these are the
    same, for the memory of what is derived lies in that of what it is derived from (G5).
    """
    places = view.tree.places
    found: list[tuple[Slot, Slot]] = []
    open_untypeds: list[tuple[int, Slot]] = []
    first_end = 0
    for slot, (start, end, is_other) in view.in_order(_extent):
        if open_untypeds:
            if first_end <= start:
                open_untypeds = [item for item in open_untypeds if item[0] > start]
                first_end = min([untyped_end for untyped_end, _ in open_untypeds], default=0)
            if not is_other or len(open_untypeds) != places[slot].untypeds:
                for _, outer in open_untypeds:
                    found.append((outer, slot))
        if not is_other:
            first_end = min(first_end, -end) if open_untypeds else -end
            open_untypeds.append((-end, slot))
    return found


def _extent(cap: Cap) -> tuple[int, int, bool] | None:
    """By which caps are put in order: where their memory begins, larger ones first, untypeds before others."""
    where = regions.region(cap)
    return None if where is None else (where[0], -where[1], type(cap) is not kc.UntypedCap)


def untyped_mdb(view: View) -> str | None:
    """G6 ``untyped_mdb``: a cap, other than to an untyped, into an untyped's range is a descendant of that untyped.

    If not, Revoke of the untyped would leave it behind, and its memory would be given out again.
    """
    return first([
        f"{_at(slot)} lies in {_at(untyped)} but is not derived from it"
        for untyped, slot in view.once(_enclosing)
        if not isinstance(slot.cap, kc.UntypedCap) and not view.tree.is_descendant(slot, untyped)
    ])  # fmt: skip


def untyped_inc(view: View) -> str | None:
    """G7 ``untyped_inc``: untypeds are nested, equal or disjoint.

    The inner one (one of two equal ones) is a descendant and lies outside the outer one's free part.
    """
    problems = []
    for outer, inner in view.once(_enclosing):
        if isinstance(inner.cap, kc.UntypedCap) and isinstance(outer.cap, kc.UntypedCap):
            problems += _check_pair(view, outer, inner)
    return first(problems)


def _check_pair(view: View, outer: Slot, inner: Slot) -> list[str]:
    big, small = view.region_of[outer], view.region_of[inner]
    if not regions.inside(small, big):
        return [f"{_at(inner)} overlaps {_at(outer)}"]
    if big == small and view.tree.is_descendant(outer, inner):
        outer, inner = inner, outer
    if not view.tree.is_descendant(inner, outer):
        return [f"{_at(inner)} lies in {_at(outer)} but is not derived from it"]
    free = big[0] + getattr(outer.cap, "free_offset", 0)
    return [f"{_at(inner)} lies in the free part of {_at(outer)}"] if small[1] > free else []


def valid_ioc(view: View) -> str | None:
    """G8 ``valid_ioc``: an original (revocable) cap is non-null; untyped and IRQControl caps are original."""
    problems = [f"{name_of(slot)} is empty but original" for slot in view.littered if slot.revocable]
    for kind in (kc.UntypedCap, kc.IRQControlCap):
        problems += [f"{_at(slot)} is not original" for slot in view.caps_by_kind[kind] if not slot.revocable]
    return first(problems)


def valid_badges(view: View) -> str | None:
    """G8b ``valid_badges``: where the badge changes along the list, a subtree of its own begins.

    If not, Revoke of one badge would take another's caps away, or leave some of its own.
    """
    problems = []
    for line in view.tree.chains[view.tree.grown :]:
        for one, other in pairwise(line):
            if other.first_badged or type(one.cap) is not type(other.cap):
                continue
            if regions.badge(other.cap) not in (0, regions.badge(one.cap)) and regions.covers(one.cap, other.cap):
                problems.append(f"{_at(other)} begins no subtree, though its badge is new")
    return first(sorted(problems))


def zombies_final(view: View) -> str | None:
    """G13 ``zombies_final``: no other cap leads to what is being destroyed."""
    problems = []
    for slot in view.caps_by_kind[kc.ZombieCap]:
        target = regions.referent(slot.cap)
        others = [other for other in view.caps_to.get(target, []) if other is not slot]
        problems += [f"{_at(slot)} is destroyed, but {_at(other)} still leads to it" for other in others]
    return first(problems)


CHECKS = (
    Invariant("G1", "valid_objs", "each cap's type, size and rights fit a live object", valid_objs, reads=CAPS),
    Invariant("G3", "mdb_cte_at", "derivation links join slots that hold caps, and agree both ways",
              mdb_cte_at, reads=CAPS),
    Invariant("G4", "no_mloop", "the derivation list has no cycle", no_mloop, reads=CAPS),
    Invariant("G5", "descendants_inc", "a child's range, class and rights lie in its parent's",
              descendants_inc, reads=CAPS),
    Invariant("G6", "untyped_mdb", "a cap into an untyped's range is a descendant of that untyped",
              untyped_mdb, reads=CAPS),
    Invariant("G7", "untyped_inc", "untypeds are nested (then derived, and not in the free part) or disjoint",
              untyped_inc, reads=CAPS),
    Invariant("G8", "valid_ioc", "original caps are non-null; untyped and IRQControl caps are original",
              valid_ioc, reads=CAPS),
    Invariant("G8b", "valid_badges", "where the badge changes, a subtree begins", valid_badges, reads=CAPS),
    Invariant("G13", "zombies_final", "no other cap leads to an object that is being destroyed",
              zombies_final, reads=CAPS),
)  # fmt: skip
