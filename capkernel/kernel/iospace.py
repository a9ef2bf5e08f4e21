"""IOSpaces: which memory a device may reach, as tables in RAM that the IOMMU walks (after seL4's x86 kernel).

``state.io_contexts`` maps a device's request id to its domain and root table; the machine is told of each change.
"""

from capkernel.abi.iospace import IO_LEVELS, IO_PT_INDEX_BITS, IO_READ, IO_WRITE
from capkernel.abi.objects import PAGE_BITS
from capkernel.abi.words import MASK
from capkernel.kernel.caps import FrameCap, IOPageTableCap, IOSpaceCap
from capkernel.kernel.state import State

LEAF_LEVEL = IO_LEVELS - 1


def io_pte(paddr: int, permissions: int) -> int:
    """An entry that lets a device read and/or write, or leads on to the next table."""
    return paddr | permissions


def lookup_io_slot(state: State, root: int, ioaddr: int) -> tuple[int, int]:
    """Address and level (0: root) of the lowest existing entry for an I/O address."""
    table = root
    level = 0
    while True:
        shift = PAGE_BITS + IO_PT_INDEX_BITS * (LEAF_LEVEL - level)
        slot = table + 8 * (ioaddr >> shift & MASK[IO_PT_INDEX_BITS])
        pte = state.machine.read_word(slot)
        if level == LEAF_LEVEL or pte == 0:
            return slot, level
        table = pte & ~MASK[PAGE_BITS]
        level += 1


def set_context(state: State, request_id: int, domain_id: int, root: int) -> None:
    """Attach a device to a root table."""
    state.io_contexts[request_id] = (domain_id, root)
    state.machine.iommu_set_context(request_id, domain_id, root, IO_LEVELS)
    state.machine.iommu_invalidate(domain_id)


def _clear_context(state: State, request_id: int) -> None:
    domain_id, _ = state.io_contexts.pop(request_id, (0, 0))
    if domain_id:
        state.machine.iommu_set_context(request_id, domain_id, None, IO_LEVELS)
        state.machine.iommu_invalidate(domain_id)


def write_io_pte(state: State, slot: int, pte: int, domain_id: int) -> None:
    """Store an entry and make the IOMMU forget what it knew of the domain."""
    state.machine.write_word(slot, pte)
    state.machine.iommu_invalidate(domain_id)


def unmap_frame(state: State, cap: FrameCap) -> None:
    """Remove a frame from the IOSpace that it is mapped in, if it still is (unmapIOPage)."""
    if cap.io is None or cap.io[1] not in state.io_contexts:
        return
    domain_id, root = state.io_contexts[cap.io[1]]
    slot, level = lookup_io_slot(state, root, cap.vaddr)
    pte = state.machine.read_word(slot)
    if level == LEAF_LEVEL and pte & (IO_READ | IO_WRITE) and pte & ~MASK[PAGE_BITS] == cap.paddr:
        write_io_pte(state, slot, 0, domain_id)


def finalise_page_table(state: State, cap: IOPageTableCap) -> None:
    """Take a table out of its tree, or the whole tree away from the device (deleteIOPageTable)."""
    if cap.io is None or cap.io[1] not in state.io_contexts:
        return
    domain_id, table = state.io_contexts[cap.io[1]]
    if cap.level == 0:
        if table == cap.paddr:
            _clear_context(state, cap.io[1])
        return
    for level in range(cap.level):
        shift = PAGE_BITS + IO_PT_INDEX_BITS * (LEAF_LEVEL - level)
        slot = table + 8 * (cap.ioaddr >> shift & MASK[IO_PT_INDEX_BITS])
        table = state.machine.read_word(slot) & ~MASK[PAGE_BITS]
        if table == 0:
            return
    if table == cap.paddr:
        write_io_pte(state, slot, 0, domain_id)


def finalise_io_space(state: State, cap: IOSpaceCap) -> None:
    """The last cap to a device's IOSpace is gone: the device reaches nothing any more."""
    if cap.request_id:
        _clear_context(state, cap.request_id)
