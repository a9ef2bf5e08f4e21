"""Interrupts and devices' own memory accesses: G25, G31.

Catches: an interrupt line issued twice or signalled after its handler is gone, a device that still reaches memory
after the frame was unmapped, deleted or given to somebody else, an IOTLB that was not told.
"""

from capkernel.abi import rights as rt
from capkernel.abi.iospace import IO_LEVELS, IO_PT_INDEX_BITS
from capkernel.abi.objects import PAGE_BITS
from capkernel.kernel.caps import FrameCap, IOPageTableCap, IRQHandlerCap, NotificationCap
from capkernel.kernel.objects import NULL
from capkernel.kernel.state import IRQ_SIGNAL, IRQ_TIMER
from hwmodel import iommu
from hwmodel.iommu import IoMapping
from specs.invariants.model import Invariant, first
from specs.invariants.parts import CAPS, IOMMU, parts
from specs.invariants.view import View

_TRANSLATED = (1 << PAGE_BITS + IO_PT_INDEX_BITS * IO_LEVELS) - 1
"""The bits of an I/O address that the tables look at."""


def one_handler_per_line(view: View) -> str | None:
    """G25 ``valid_irq_handlers``: a handler cap means that the line was issued, once; what is signalled has a handler.

    All caps to one line's handler come from one issue: they are one original and its copies. Corrected: the original
    may be gone before its copies.
    """
    state = view.state
    originals: dict[int, int] = {}
    problems = []
    for slot in view.caps_by_kind[IRQHandlerCap]:
        irq = getattr(slot.cap, "irq", 0)
        originals[irq] = originals.get(irq, 0) + slot.revocable
        if state.irq_states[irq] != IRQ_SIGNAL:
            problems.append(f"a handler cap for line {irq} exists, which is not issued")
    problems += [f"line {irq} was issued {count} times" for irq, count in originals.items() if count > 1]
    for irq, use in enumerate(state.irq_states):
        if use == IRQ_SIGNAL and irq not in originals:
            problems.append(f"line {irq} is issued but has no handler cap")
        if (use == IRQ_TIMER) != (irq == view.config.timer_irq):
            problems.append(f"line {irq} has use {use}")
    return first(problems + _orphaned_signals(view, originals))


def _orphaned_signals(view: View, lines: dict[int, int]) -> list[str]:
    problems = []
    for irq, slot in view.state.irq_slots.slots.items():
        if slot.cap is NULL:
            continue
        if irq not in lines:
            problems.append(f"line {irq} has a notification but no handler cap")
        if not isinstance(slot.cap, NotificationCap):
            problems.append(f"line {irq} signals something that is no notification")
    return problems


def dma_is_authorised(view: View) -> str | None:
    """G31: what a device can reach is mapped in its IOSpace by a live frame cap with the rights used.

    By the tables in RAM and by what the IOMMU still believes. And every device's tables are tables by some cap.
    """
    if view.machine.iommu is None:
        return None
    problems = []
    for request_id, pages in view.io_spaces.items():
        context = view.machine.iommu.context(request_id)
        domain = context.domain_id if context else 0
        caps = _io_caps(view, request_id)
        problems += _unauthorised(request_id, pages, caps)
        if context is not None and context.root_paddr not in _io_tables(view):
            problems.append(f"device {request_id:#x} walks a table without cap at {context.root_paddr:#x}")
        known = set(pages)
        stale = [page for tag, page in view.machine.iommu.iotlb_entries() if tag == domain and page not in known]
        if _alone_in_domain(view, request_id, domain):
            problems += [f"the IOTLB knows {page.iova:#x} of domain {domain}: not so any more" for page in stale]
    return first(problems)


def _io_tables(view: View) -> set[int]:
    return {slot.cap.paddr for slot in view.caps_by_kind[IOPageTableCap] if isinstance(slot.cap, IOPageTableCap)}


def _alone_in_domain(view: View, request_id: int, domain: int) -> bool:
    unit = view.machine.iommu
    assert unit is not None
    contexts = [unit.context(other) for other in view.io_spaces if other != request_id]
    return all(context is None or context.domain_id != domain for context in contexts)


def _io_caps(view: View, request_id: int) -> dict[int, list[FrameCap]]:
    """A device's frame caps by I/O address. Tables translate its lower bits only; the kernel lets the upper ones be."""
    found: dict[int, list[FrameCap]] = {}
    for _, cap in view.frames():
        if cap.io is not None and cap.io[1] == request_id:
            found.setdefault(cap.vaddr & _TRANSLATED, []).append(cap)
    return found


def _unauthorised(request_id: int, pages: list[IoMapping], caps: dict[int, list[FrameCap]]) -> list[str]:
    return [
        f"device {request_id:#x} reaches {page.paddr:#x} at {page.iova:#x} by no cap"
        for page in pages if not any(_allows(cap, page) for cap in caps.get(page.iova, []))
    ]  # fmt: skip


def _allows(cap: FrameCap, page: IoMapping) -> bool:
    reads, writes = page.rights & iommu.READ, page.rights & iommu.WRITE
    enough = (not reads or cap.rights & rt.READ) and (not writes or cap.rights & rt.WRITE)
    return bool(cap.paddr == page.paddr and enough)


CHECKS = (
    Invariant("G25", "valid_irq_handlers", "one issue for an interrupt line; a handler cap means that it was issued",
              one_handler_per_line, reads=CAPS | parts("State.irq_states")),
    Invariant("G31", "dma_is_authorised", "all that a device can reach is mapped for it by a live frame cap",
              dma_is_authorised, reads=CAPS | IOMMU),
)  # fmt: skip
