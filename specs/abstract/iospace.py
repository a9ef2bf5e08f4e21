"""IOSpaces: what memory devices may reach, by tables that an IOMMU walks (after seL4's x86 kernel).

``io_contexts`` of the state says for each device (request id) its domain and root table.
"""

from typing import Final

from capkernel.abi import iospace as io
from capkernel.abi.objects import PAGE_BITS
from specs.abstract.caps import FrameCap, IOPageTableCap, IOSpaceCap
from specs.abstract.objects import IOPageTable, Ptr
from specs.abstract.state import State, get_io_page_table

LEAF_LEVEL: Final = io.IO_LEVELS - 1
IOEntry = tuple[int, int]
"""What an entry leads to, and the permission bits."""


def io_index(ioaddr: int, level: int) -> int:
    """The index of an I/O address in a table of this level."""
    return (ioaddr >> PAGE_BITS + io.IO_PT_INDEX_BITS * (LEAF_LEVEL - level)) % 2**io.IO_PT_INDEX_BITS


def store_io_pte(s: State, slot: tuple[Ptr, int], entry: IOEntry | None, domain_id: int) -> None:
    """Write an entry; None makes it invalid."""
    table, index = slot
    entries = {at: old for at, old in get_io_page_table(s, table).entries.items() if at != index}
    s.kheap[table] = IOPageTable(entries if entry is None else entries | {index: entry})
    s.out.iommu.append(("invalidate", domain_id))


def lookup_io_pt_slot(s: State, root: Ptr, ioaddr: int) -> tuple[tuple[Ptr, int], int]:
    """The last slot on the way down to an I/O address, and its level (0: root)."""
    table = root
    for level in range(LEAF_LEVEL):
        slot = table, io_index(ioaddr, level)
        entry = get_io_page_table(s, table).entries.get(slot[1])
        if entry is None:
            return slot, level
        table = entry[0]
    return (table, io_index(ioaddr, LEAF_LEVEL)), LEAF_LEVEL


def set_context(s: State, device: IOSpaceCap, root: Ptr) -> None:
    """Attach a device to a root table."""
    s.io_contexts[device.request_id] = device.domain_id, root
    s.out.iommu += [("context", device.request_id, device.domain_id, root), ("invalidate", device.domain_id)]


def clear_context(s: State, request_id: int) -> None:
    """A device reaches nothing any more."""
    if request_id in s.io_contexts:
        domain_id, _ = s.io_contexts.pop(request_id)
        s.out.iommu += [("context", request_id, domain_id, None), ("invalidate", domain_id)]


def unmap_io_page(s: State, cap: FrameCap) -> None:
    """Undo the mapping that a frame cap made for a device, if it is still there."""
    context = None if cap.io is None else s.io_contexts.get(cap.io[1])
    if context is None:
        return
    slot, level = lookup_io_pt_slot(s, context[1], cap.vaddr)
    entry = get_io_page_table(s, slot[0]).entries.get(slot[1])
    if level == LEAF_LEVEL and entry is not None and entry[0] == cap.ptr:
        store_io_pte(s, slot, None, context[0])


def delete_io_page_table(s: State, cap: IOPageTableCap) -> None:
    """Take a table out of a device's tree, or the whole tree away from the device, if it is still there."""
    context = None if cap.io is None else s.io_contexts.get(cap.io[1])
    if cap.io is None or context is None:
        return
    domain_id, table = context
    if cap.level == 0:
        if table == cap.ptr:
            clear_context(s, cap.io[1])
        return
    for level in range(cap.level):
        slot = table, io_index(cap.ioaddr, level)
        entry = get_io_page_table(s, table).entries.get(slot[1])
        if entry is None:
            return
        table = entry[0]
    if table == cap.ptr:
        store_io_pte(s, slot, None, domain_id)
