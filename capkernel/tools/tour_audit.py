"""Looking at the attacker from outside: what she holds and what she can reach, from kernel state and page tables.

Nothing here asks a program of the system. Two inventories, taken when all domains have been started and at the end,
are compared; and the memory that counts is compared with that of a run in which the attacker did nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen

from capkernel.kernel.caps import CNodeCap, EndpointCap, FrameCap, NotificationCap, PageTableCap, badge_of, region_of
from capkernel.kernel.objects import INACTIVE, NULL, TCB, Cap
from capkernel.runtime.described import DescribedSystem
from hwmodel.sv39 import PTE_W, PTE_X, mappings
from hwmodel.sv39 import Mapping as Page

Place = tuple[int, int]
"""A CNode's physical address, and a slot."""


@frozen
class Inventory:
    """The caps that a domain can name, and the pages that its page tables map, by virtual address."""

    caps: dict[Place, str]
    pages: dict[int, Page]


@frozen
class Finding:
    """One thing that was looked at: what should be, whether it is, and if not what is instead."""

    claim: str
    holds: bool
    detail: str = ""


def take_inventory(system: DescribedSystem, name: str) -> Inventory:
    """What a domain holds and can reach now."""
    thread = system.threads[name]
    caps = {place: describe(cap) for place, cap in caps_of(thread)}
    return Inventory(caps, {page.vaddr: page for page in pages_of(system, thread)})


def caps_of(thread: TCB) -> Iterator[tuple[Place, Cap]]:
    """Every cap that the thread can name, through all the CNodes that its root leads to."""
    root = thread.cspace_slot.cap
    waiting = [root.cnode] if isinstance(root, CNodeCap) else []
    seen = set()
    while waiting:
        cnode = waiting.pop()
        if cnode.paddr in seen:
            continue
        seen.add(cnode.paddr)
        for index, slot in sorted(cnode.slots.items()):
            if slot.cap is not NULL:
                yield (cnode.paddr, index), slot.cap
            if isinstance(slot.cap, CNodeCap):
                waiting.append(slot.cap.cnode)


def describe(cap: Cap) -> str:
    """Kind, memory, badge and rights of a cap."""
    text = type(cap).__name__.removesuffix("Cap")
    region, badge = region_of(cap), badge_of(cap)
    if region is not None:
        text += f"@{region[0]:#x}"
    if badge:
        text += f" badge {badge:#x}"
    if isinstance(cap, EndpointCap | NotificationCap | FrameCap):
        text += f" rights {cap.rights:#x}"
    return text


def pages_of(system: DescribedSystem, thread: TCB) -> Iterator[Page]:
    """The pages that a thread's page tables map."""
    vspace = thread.vspace_slot.cap
    if isinstance(vspace, PageTableCap):
        yield from mappings(system.machine.memory, vspace.paddr)


def audit(
    system: DescribedSystem, quiet: DescribedSystem, name: str, before: Inventory, regions: Sequence[str]
) -> list[Finding]:
    """Compare with the inventory taken at the start, and with a run in which the domain did nothing."""
    now = take_inventory(system, name)
    return [
        _same("she holds the caps that she held at the start, and no other", before.caps, now.caps),
        _same("her page tables map what they mapped at the start", before.pages, now.pages),
        _nothing_shared(system, name, now),
        *(_same_region(system, quiet, region) for region in regions),
        _programs_unchanged(system, quiet, name),
        _all_alive(system),
    ]


def _same(claim: str, before: Mapping[Any, Any], now: Mapping[Any, Any]) -> Finding:
    """Whether two inventories agree; if not, how much is new, gone or changed, and the first such thing."""
    places = sorted(place for place in before.keys() | now.keys() if before.get(place) != now.get(place))
    if not places:
        return Finding(claim, True)
    first = now.get(places[0]) or before[places[0]]
    return Finding(claim, False, f"{len(places)} differ, the first is {first}")


def _nothing_shared(system: DescribedSystem, name: str, now: Inventory) -> Finding:
    """Whatever page she can write, nobody else can write or execute."""
    mine = {page.paddr for page in now.pages.values() if page.flags & PTE_W}
    shared = [
        f"{other} has {page.paddr:#x} at {page.vaddr:#x}"
        for other, thread in system.threads.items() if other != name
        for page in pages_of(system, thread) if page.paddr in mine and page.flags & (PTE_W | PTE_X)
    ]  # fmt: skip
    return Finding("what she can write, no other domain can write or execute", not shared, "; ".join(shared))


def _same_region(system: DescribedSystem, quiet: DescribedSystem, region: str) -> Finding:
    claim = f"the memory region '{region}' is byte for byte what it is without her"
    other = quiet.read_region(region)
    try:
        one = system.read_region(region)
    except KeyError as gone:
        return Finding(claim, False, f"it is not where it was: {gone.args[0]}")
    changed = sum(a != b for a, b in zip(one, other, strict=True))
    return Finding(claim, not changed, f"{changed} bytes differ")


def _programs_unchanged(system: DescribedSystem, quiet: DescribedSystem, name: str) -> Finding:
    changed = [
        other for other in system.threads
        if other != name and _code(system, other) != _code(quiet, other)
    ]  # fmt: skip
    return Finding("the other domains' programs are unchanged", not changed, ", ".join(changed))


def _code(system: DescribedSystem, name: str) -> list[bytes]:
    pages = pages_of(system, system.threads[name])
    return [system.machine.read_bytes(page.paddr, page.size) for page in pages if page.flags & PTE_X]


def _all_alive(system: DescribedSystem) -> Finding:
    stopped = [name for name, thread in system.threads.items() if thread.state is INACTIVE]
    complaints = [f"{name} is stopped" for name in stopped]
    complaints += [f"{name}: {fault}" for name, fault in system.faults]
    complaints += [crash.report.strip().splitlines()[-1] for crash in system.crashes]
    claim = "every domain is alive, and no fault reached the monitor"
    return Finding(claim, not complaints, "; ".join(complaints))
