"""What a step may do to caps, watermarks, mappings and priorities: T3, T4, T12, and the step parts of G10 and G22.

Catches: a cap that nobody named or had, rights or badges gained on the way, a copied mapping, memory given out again
while something still lies in it, a mapping that vanished with nobody having asked for it.
"""

from capkernel.abi import labels
from capkernel.abi import rights as rt
from capkernel.kernel import caps as kc
from capkernel.kernel import objects as ko
from capkernel.kernel.objects import Cap, Slot
from specs.invariants import regions
from specs.invariants.parts import CAPS, TABLES, parts
from specs.invariants.regions import badge, describe
from specs.invariants.resolve import slot_at, slot_in
from specs.invariants.step import Step
from specs.invariants.step_model import StepInvariant
from specs.invariants.view import name_of

_SOURCES = {
    labels.CNODE_COPY: ((2, 3, 0),), labels.CNODE_MINT: ((2, 3, 0),), labels.CNODE_MOVE: ((2, 3, 0),),
    labels.CNODE_MUTATE: ((2, 3, 0),), labels.CNODE_ROTATE: ((3, 4, 0), (6, 7, 1)),
}  # fmt: skip
"""Of the CNode invocations, the sources: message words with index and depth, and which extra cap is the root."""


_MASKED = (labels.CNODE_COPY, labels.CNODE_MINT)


def named_caps(step: Step) -> list[Cap]:
    """The caps that the caller named, and those that a sender it was served named: what new caps may come from."""
    request = step.request
    found = [step.cap(request.target), *(step.cap(address) for address in request.caps)]
    for index, depth, root in _SOURCES.get(request.label, ()):
        if len(request.words) > depth and len(request.caps) > root:
            where = slot_in(step.cap(request.caps[root]), request.words[index], request.words[depth])
            found.append(step.before.cap(where))
    for sender, sent in step.queued.items():
        if not isinstance(sender.state, ko.BlockedOnSend):
            found += [step.before.cap(slot_at(sender, address)) for address in sent.caps]
    return [cap for cap in found if cap is not ko.NULL]


def _rights(cap: Cap) -> int:
    if isinstance(cap, kc.ReplyCap):
        return rt.GRANT if cap.can_grant else 0
    rights: int = getattr(cap, "rights", rt.ALL)
    return rights


def _is_same(old: Cap, new: Cap) -> bool:
    """Whether one cap is the other, save its guard, its mapping or its watermark."""
    if isinstance(old, kc.CNodeCap | kc.ThreadCap) and isinstance(new, kc.ZombieCap):
        return regions.region(old) == regions.region(new)
    if type(old) is not type(new) or regions.region(old) != regions.region(new):
        return False
    same_line = getattr(old, "irq", 0) == getattr(new, "irq", 0)
    return same_line and badge(old) == badge(new) and _rights(new) | _rights(old) == _rights(old)


def _is_unmapped(cap: Cap) -> bool:
    return not isinstance(cap, kc.FrameCap) or (cap.asid == 0 and cap.io is None)


def _is_copy(source: Cap, new: Cap) -> bool:
    """Whether ``new`` may be derived from ``source``: rights no more, badge set at most once, no mapping."""
    if type(source) is not type(new) or not regions.covers(source, new) or not _is_unmapped(new):
        return False
    if isinstance(new, kc.IOSpaceCap) and isinstance(source, kc.IOSpaceCap):
        return source.request_id in (0, new.request_id)
    return badge(source) in (0, badge(new)) and not _rights(new) & ~_rights(source)


def _is_made(source: Cap, new: Cap) -> bool:
    """Whether ``new`` is the first cap to something made from ``source``."""
    if isinstance(source, kc.IRQControlCap):
        return isinstance(new, kc.IRQHandlerCap)
    if not isinstance(source, kc.UntypedCap) or isinstance(new, kc.ZombieCap):
        return False
    return regions.covers(source, new) and badge(new) == 0 and _is_unmapped(new)


def _origin(step: Step, slot: Slot, new: Cap, named: list[Cap]) -> str | None:
    """Why a new cap is where it is; None if nothing explains it."""
    if _is_same(step.before.cap(slot), new):
        return "changed in place"
    if any(_is_copy(source, new) for source in named):
        return "copied"
    if any(_is_made(source, new) for source in named):
        return "made"
    return "moved" if any(_is_same(old, new) for old, _ in step.recapped.values()) else None


def authority_is_named(step: Step) -> str | None:
    """T3: every new cap derives from one that the caller (or a sender it was served) named.

    Its rights are no more, its badge is set at most once, and its mapping information is cleared. A cap that only
    moved, or whose mapping, guard or watermark changed in place, is not new.
    """
    changed = {slot: cap for slot, (_, cap) in step.recapped.items() if cap is not ko.NULL}
    if not changed:
        return None
    named = named_caps(step) if step.executed else []
    exceeding = _exceeds_mask(step, [cap for old, cap in step.recapped.values() if old is ko.NULL])
    if exceeding is not None:
        return exceeding
    for slot, cap in changed.items():
        if _origin(step, slot, cap, named) is None:
            return f"{name_of(slot)} now holds {describe(cap)}, which nobody named; named: " + ", ".join(
                describe(source) for source in named
            )
    return None


def _exceeds_mask(step: Step, new: list[Cap]) -> str | None:
    """A Copy or Mint whose result has rights that the call did not ask for."""
    request = step.request
    if not step.executed or request.label not in _MASKED or len(request.words) < 5:
        return None
    if not isinstance(step.cap(request.target), kc.CNodeCap):
        return None
    for cap in new:
        if hasattr(cap, "rights") and _rights(cap) & ~request.words[4]:
            return f"{describe(cap)} was made with rights {request.words[4]:#x} asked for"
    return None


def watermark_drops_only_at_reset(step: Step) -> str | None:
    """G10b: an untyped's watermark drops only while it has no children (a reset)."""
    for slot, (old, cap) in step.recapped.items():
        if not (isinstance(cap, kc.UntypedCap) and isinstance(old, kc.UntypedCap)):
            continue
        # A cap that was already there has only moved here, in exchange for another to the same memory.
        moved = any(cap is other for other in step.before.caps.values())
        if cap.paddr == old.paddr and cap.free_offset < old.free_offset and not moved:
            survivors = [
                child for child in step.after.tree.descendants(slot) if step.before.caps.get(child) is child.cap
            ]
            if survivors:
                return f"{describe(old)} was reset while {name_of(survivors[0])} lay in it"
    return None


def mappings_do_not_vanish(step: Step) -> str | None:
    """G22b: the converse of G22. A mapping goes only with a cap to its frame, a table above it, or its ASID.

    Or it is taken over by another frame cap that was mapped at the same place before (``FACTS2.md``, 3 and 4), perhaps
    without any rights, which leaves no entry.
    """
    if step.now.mapped is step.before.mapped:
        return None
    gone = [(place, paddr) for place, paddr in step.before.mapped.items() if step.now.mapped.get(place) != paddr]
    if not gone:
        return None
    touched = [old for old, _ in step.recapped.values()]
    remapped = {(cap.asid, cap.vaddr) for _, cap in step.recapped.values() if isinstance(cap, kc.FrameCap)}
    for (asid, vaddr), paddr in gone:
        replaced = (asid, vaddr) in step.now.mapped or (asid, vaddr) in remapped
        if not any(_unmaps(cap, asid, vaddr, paddr, replaced=replaced) for cap in touched):
            return f"the mapping of {paddr:#x} at {vaddr:#x} of ASID {asid} vanished"
    return None


def _unmaps(cap: Cap, asid: int, vaddr: int, paddr: int, *, replaced: bool) -> bool:
    """Whether losing or changing this cap can take a mapping away; of other memory only if it takes its place."""
    if isinstance(cap, kc.FrameCap):
        return (cap.asid, cap.vaddr) == (asid, vaddr) and (cap.paddr == paddr or replaced)
    if isinstance(cap, kc.PageTableCap):
        return cap.is_mapped and cap.asid == asid
    return isinstance(cap, kc.ASIDPoolCap) and cap.base == asid & ~511


def badges_are_set_once(step: Step) -> str | None:
    """T4: a badge is set once, from an unbadged cap only: every badge was there before, or is the one asked for.

    A word that is asked for is the sixth of a Mint, whose source has no badge.
    """
    new = [(slot, old, cap) for slot, (old, cap) in step.recapped.items() if badge(cap)]
    if not new:
        return None
    known = {(id(regions.referent(cap)), badge(cap)) for cap in step.before.caps.values() if badge(cap)}
    for slot, old, cap in new:
        if (id(regions.referent(cap)), badge(cap)) in known:
            continue
        words = step.request.words
        if old is not ko.NULL and regions.referent(old) is regions.referent(cap):
            return f"the badge of {name_of(slot)} became {badge(cap):#x}"
        if step.request.label != labels.CNODE_MINT or len(words) < 6 or words[5] != badge(cap):
            return f"{name_of(slot)} {describe(cap)} has a badge that nobody asked for"
    return None


_PRIORITIES = {
    labels.TCB_SET_PRIORITY: ("priority",), labels.TCB_SET_MC_PRIORITY: ("mcp",),
    labels.TCB_SET_SCHED_PARAMS: ("mcp", "priority"),
}  # fmt: skip
"""What invocations with an authority set, in the order of their words."""


def priorities_are_bounded(step: Step) -> str | None:
    """T12: a new priority or mcp is at most the mcp of the thread whose cap was passed as authority.

    And nothing else changes either.
    """
    target = step.cap(step.request.target) if step.executed else ko.NULL
    fields = _PRIORITIES.get(step.request.label, ())
    for thread in step.touched(ko.TCB):
        for field in ("priority", "mcp"):
            old, new = step.before.of(thread, field), getattr(thread, field)
            if old is None or old == new:
                continue
            if field not in fields or not isinstance(target, kc.ThreadCap) or target.tcb is not thread:
                return f"the {field} of {name_of(thread)} went from {old} to {new}, which nobody asked for"
            authority = step.cap(step.request.caps[0]) if step.request.caps else ko.NULL
            bound = step.before.of(authority.tcb, "mcp") if isinstance(authority, kc.ThreadCap) else None
            if bound is None or new > bound:
                return f"the {field} of {name_of(thread)} became {new}; the authority's mcp is {bound}"
    return None


CHECKS = (
    StepInvariant("T3", "authority_is_named", "every new cap derives from a cap that the caller named",
                  authority_is_named, reads=CAPS),
    StepInvariant("T4", "badges_are_set_once", "a badge is set once, from an unbadged cap only", badges_are_set_once,
                  reads=CAPS),
    StepInvariant("T12", "priorities_are_bounded", "a new priority or mcp lies within the authority's mcp",
                  priorities_are_bounded, reads=parts("TCB.priority TCB.mcp")),
    StepInvariant("G10b", "watermark_drops_only_at_reset", "the watermark drops only while there are no children",
                  watermark_drops_only_at_reset, reads=CAPS),
    StepInvariant("G22b", "mappings_do_not_vanish", "a mapping stays until somebody takes it away",
                  mappings_do_not_vanish, reads=TABLES),
)  # fmt: skip
