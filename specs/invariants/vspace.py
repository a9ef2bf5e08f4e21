"""What is mapped: G22–G24, G32.

Catches: memory that stays reachable after its cap is gone or was unmapped, a page with more rights than its cap, kernel
memory within a program's reach, a table or ASID that leads somewhere else than its cap says, a forgotten TLB flush.
"""

from bisect import bisect_left
from itertools import accumulate

from capkernel.abi import rights as rt
from capkernel.kernel.caps import FrameCap, PageTableCap, UntypedCap
from capkernel.kernel.objects import Cap
from hwmodel.sv39 import PTE_D, PTE_FLAGS, PTE_U
from specs.invariants import regions, spaces
from specs.invariants.model import Invariant, first
from specs.invariants.parts import CAPS, TABLES, TRANSLATIONS, parts
from specs.invariants.regions import describe
from specs.invariants.spaces import AddressSpace, Leaf
from specs.invariants.view import View, name_of


def recorded_mappings(view: View) -> dict[tuple[int, int], list[FrameCap]]:
    """(ASID, vaddr) → the frame caps that say they made a mapping there."""
    found: dict[tuple[int, int], list[FrameCap]] = {}
    for _, cap in view.frames():
        if cap.asid:
            found.setdefault((cap.asid, cap.vaddr), []).append(cap)
    return found


def backs(cap: FrameCap, leaf: Leaf) -> bool:
    """Whether a cap covers a leaf: the same memory, and no right that the cap has not."""
    if (cap.paddr, 1 << cap.size_bits) != (leaf.paddr, leaf.size):
        return False
    return bool((cap.rights & rt.READ or not leaf.readable) and (cap.rights & rt.WRITE or not leaf.writable))


def mapped_pages_have_caps(view: View) -> str | None:
    """G22 ``valid_arch_state``: each leaf under an ASID is backed by a live frame cap that records that very place.

    The converse, that a cap's mapping exists until somebody takes it away, is G22b.
    """
    recorded = recorded_mappings(view)
    problems = []
    for asid, space in view.spaces.items():
        problems += [f"ASID {asid}: a malformed entry at {entry:#x}" for entry in space.strange]
        for leaf in space.leaves.values():
            if not any(backs(cap, leaf) for cap in recorded.get((asid, leaf.vaddr), [])):
                problems.append(f"ASID {asid}: {leaf.vaddr:#x} → {leaf.paddr:#x} is mapped by no frame cap")
    return first(problems)


_USER_MEMORY = (FrameCap, UntypedCap)


def _kernel_regions(view: View) -> list[regions.Region]:
    """All memory that no program may reach, in order: objects, page tables, the kernel's image."""
    found = {view.config.kernel_image}
    tables = view.machine.board.iommu_tables
    if tables is not None:
        found.add((tables.base, tables.end))
    return sorted(found.union(view.of_caps(_kernel_region).values()))


def _kernel_region(cap: Cap) -> regions.Region | None:
    return None if type(cap) in _USER_MEMORY else regions.region(cap)


def _whose(view: View, where: regions.Region) -> str:
    """What the kernel has in a region."""
    caps = (slot.cap for slot in view.slots if view.region_of.get(slot) == where)
    found = next((describe(cap) for cap in caps if type(cap) not in _USER_MEMORY), None)
    if found is None:
        found = "the kernel's image" if where == view.config.kernel_image else "the IOMMU's tables"
    return found


def overlap(pages: list[tuple[int, int]], taken: list[regions.Region]) -> list[tuple[int, regions.Region]]:
    """Which (paddr, size) pages reach into what of ``taken``, which is sorted."""
    starts = [start for start, _ in taken]
    farthest = list(accumulate((end for _, end in taken), max))
    found = []
    for paddr, size in pages:
        before = bisect_left(starts, paddr + size)
        if before and farthest[before - 1] > paddr:
            found += [(paddr, where) for where in taken[:before] if where[1] > paddr]
    return found


def no_kernel_memory_mapped(view: View) -> str | None:
    """G23: no kernel object is ever mapped, and every mapped page is a user page."""
    taken = view.once(_kernel_regions)
    leaves = [leaf for space in view.spaces.values() for leaf in space.leaves.values()]
    pages = sorted({(leaf.paddr, leaf.size) for leaf in leaves})
    problems = [f"{at:#x} is mapped, which belongs to {_whose(view, where)}" for at, where in overlap(pages, taken)]
    problems += [f"{leaf.vaddr:#x} is no user page" for leaf in leaves if not leaf.pte & PTE_U]
    return first(problems)


def no_excess_rights(view: View) -> str | None:
    """G23b: no writable mapping of a read-only grant: some frame cap in the system allows what the entry allows.

    Corrected: "W^X where the cap says so" has nothing to look at: a frame cap does not say it. Execute-never is an
    attribute of the mapping; no check of ours looks at it yet.
    """
    writable = {(cap.paddr, 1 << cap.size_bits) for _, cap in view.frames() if cap.rights & rt.WRITE}
    problems = []
    for asid, space in view.spaces.items():
        for leaf in space.leaves.values():
            if leaf.writable and (leaf.paddr, leaf.size) not in writable:
                problems.append(f"ASID {asid}: {leaf.vaddr:#x} is writable, but no cap to {leaf.paddr:#x} is")
            if leaf.writable and not leaf.pte & PTE_D:
                problems.append(f"ASID {asid}: {leaf.vaddr:#x} would fault for ever on its first store")
    return first(problems)


def asids_agree_with_caps(view: View) -> str | None:
    """G24: ASID to address space is injective and agrees with the caps; so does every table on the way.

    The machine runs in the address space of a live ASID or in none. Corrected: not always in the current thread's:
    TCB_SetSpace on oneself takes effect at the next switch, as in seL4.
    """
    by_asid: dict[int, list[PageTableCap]] = {}
    for _, cap in view.page_tables():
        if cap.is_mapped:
            by_asid.setdefault(cap.asid, []).append(cap)
    problems = []
    roots = list(view.asids.values())
    problems += [f"table {root:#x} is the root of several ASIDs" for root in set(roots) if roots.count(root) > 1]
    for asid, root in view.asids.items():
        if asid == 0:
            problems.append("ASID 0 is in use")
        if not any(cap.paddr == root for cap in by_asid.get(asid, [])):
            problems.append(f"ASID {asid} leads to table {root:#x}, which no cap says to be its root")
    for asid, space in view.spaces.items():
        problems += _misplaced_tables(asid, space, by_asid.get(asid, []))
    for high, pool in view.state.asid_table.items():
        if pool.base != high << 9:
            problems.append(f"{name_of(pool)} of base {pool.base} is registered as {high}")
    return first(problems + _wrong_satp(view))


def _misplaced_tables(asid: int, space: AddressSpace, caps: list[PageTableCap]) -> list[str]:
    """Tables below a root that no cap says to be there."""
    known = {(cap.paddr, cap.vaddr) for cap in caps}
    return [
        f"ASID {asid}: table {table.paddr:#x} is at {table.vaddr:#x}, as no cap says"
        for table in space.tables[1:] if (table.paddr, table.vaddr) not in known
    ]  # fmt: skip


def _wrong_satp(view: View) -> list[str]:
    satp = view.machine.mmu.satp
    if not satp:
        return []
    root, asid = (satp & (1 << 44) - 1) << 12, satp >> 44 & 0xFFFF
    if view.asids.get(asid) != root:
        return [f"the machine translates by table {root:#x} as ASID {asid}, which is no live address space"]
    return []


def tlb_is_fresh(view: View) -> str | None:
    """G32: the TLB holds no translation that a fresh walk would not give."""
    problems = []
    for entry in view.machine.mmu.tlb.entries():
        root = view.asids.get(entry.asid)
        leaf = None if root is None else spaces.find_leaf(view.machine, root, entry.vaddr)[0]
        now = None if leaf is None else (leaf.vaddr, leaf.paddr, leaf.size, leaf.pte & PTE_FLAGS)
        if now != (entry.vaddr, entry.paddr, entry.size, entry.flags):
            problems.append(f"the TLB knows {entry.vaddr:#x} → {entry.paddr:#x} of ASID {entry.asid}: not so any more")
    return first(problems)


CHECKS = (
    Invariant("G22", "mapped_pages_have_caps", "each mapped page is backed by a frame cap that records that place",
              mapped_pages_have_caps, reads=CAPS | TABLES),
    Invariant("G23", "no_kernel_memory_mapped", "no kernel object is ever mapped", no_kernel_memory_mapped,
              reads=CAPS | TABLES),
    Invariant("G23b", "no_excess_rights", "no writable mapping of a read-only grant", no_excess_rights,
              reads=CAPS | TABLES),
    Invariant("G24", "asids_agree_with_caps", "ASID to address space is injective and agrees with the caps",
              asids_agree_with_caps,
              reads=CAPS | TABLES | TRANSLATIONS | parts("State.asid_table ASIDPool.base ASIDPool.roots")),
    Invariant("G32", "tlb_is_fresh", "the TLB holds no translation that a fresh walk would not give", tlb_is_fresh,
              reads=TABLES | TRANSLATIONS),
)  # fmt: skip
