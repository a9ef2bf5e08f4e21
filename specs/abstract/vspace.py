"""Address spaces (manual, chapter 7): page tables, ASIDs, and where a thread's IPC buffer lies.

Sv39: a root table, tables below it, and pages of 4 KiB, 2 MiB or 1 GiB, by the level of their entry.
"""

from typing import Final

from capkernel.abi import rights as rt
from capkernel.abi.objects import ASID_LOW_BITS, PAGE_BITS
from specs.abstract.caps import FrameCap, PageTableCap, mask_vm_rights
from specs.abstract.objects import IPC_BUFFER, PTE, VTABLE, PagePTE, PageTable, PageTablePTE, Ptr
from specs.abstract.state import State, get_asid_pool, get_cap, get_page_table, get_tcb

INDEX_BITS: Final = 9
TOP_BITS: Final = PAGE_BITS + 2 * INDEX_BITS
"""log2 of the bytes that an entry of the root table covers."""
PTSlot = tuple[Ptr, int]
"""A table and an index."""


def index_at(vaddr: int, bits: int) -> int:
    """The index of an address in a table whose entries cover 2**``bits`` bytes."""
    return (vaddr >> bits) % 2**INDEX_BITS


def get_pte(s: State, slot: PTSlot) -> PTE | None:
    """The entry in a slot; None for an invalid one."""
    return get_page_table(s, slot[0]).entries.get(slot[1])


def store_pte(s: State, slot: PTSlot, pte: PTE | None) -> None:
    """Write an entry; None makes it invalid."""
    table, index = slot
    entries = {at: entry for at, entry in get_page_table(s, table).entries.items() if at != index}
    s.kheap[table] = PageTable(entries if pte is None else entries | {index: pte})


def make_user_pte(paddr: int, rights: int, execute: bool) -> PagePTE | None:
    """The entry of a user's page; None, an invalid one, if it would allow nothing."""
    allowed = mask_vm_rights(rights)
    if not allowed and not execute:
        return None
    return PagePTE(paddr, bool(allowed & rt.READ), bool(allowed & rt.WRITE), execute)


def vspace_for_asid(s: State, asid: int) -> Ptr | None:
    """The root table of an ASID."""
    pool = s.asid_table.get(asid >> ASID_LOW_BITS)
    return get_asid_pool(s, pool).roots.get(asid % 2**ASID_LOW_BITS) if pool is not None and asid else None


def pt_lookup_slot(s: State, root: Ptr, vaddr: int) -> tuple[PTSlot, int]:
    """The last slot on the way down to an address, and log2 of the bytes that its entry covers."""
    bits, table = TOP_BITS, root
    while True:
        slot = table, index_at(vaddr, bits)
        pte = get_pte(s, slot)
        if bits == PAGE_BITS or not isinstance(pte, PageTablePTE):
            return slot, bits
        bits, table = bits - INDEX_BITS, pte.table


def unmap_page(s: State, cap: FrameCap) -> None:
    """Undo the mapping that a cap made, if it is still there."""
    root = vspace_for_asid(s, cap.asid)
    if root is None:
        return
    slot, bits = pt_lookup_slot(s, root, cap.vaddr)
    pte = get_pte(s, slot)
    if bits == cap.size_bits and isinstance(pte, PagePTE) and pte.paddr == cap.ptr:
        store_pte(s, slot, None)


def unmap_page_table(s: State, cap: PageTableCap) -> None:
    """Take a table out of its address space, if it is still there."""
    if cap.mapped is None:
        return
    asid, vaddr = cap.mapped
    table, bits = vspace_for_asid(s, asid), TOP_BITS
    while table is not None and bits > PAGE_BITS:
        slot = table, index_at(vaddr, bits)
        pte = get_pte(s, slot)
        if not isinstance(pte, PageTablePTE):
            return
        if pte.table == cap.ptr:
            store_pte(s, slot, None)
            return
        table, bits = pte.table, bits - INDEX_BITS


def delete_asid(s: State, asid: int, root: Ptr) -> None:
    """An address space loses its ASID."""
    pool = s.asid_table.get(asid >> ASID_LOW_BITS)
    if pool is not None and vspace_for_asid(s, asid) == root:
        old = get_asid_pool(s, pool)
        low = asid % 2**ASID_LOW_BITS
        s.kheap[pool] = old._replace(roots={at: table for at, table in old.roots.items() if at != low})
        set_vm_root(s, s.cur_thread)


def delete_asid_pool(s: State, base: int, pool: Ptr) -> None:
    """All address spaces of a pool lose their ASIDs."""
    if s.asid_table.get(base >> ASID_LOW_BITS) == pool:
        del s.asid_table[base >> ASID_LOW_BITS]
        set_vm_root(s, s.cur_thread)


def set_vm_root(s: State, thread: Ptr) -> None:
    """Let the machine translate by a thread's address space, or by an empty one."""
    cap = get_cap(s, (thread, VTABLE))
    s.out.vspace = 0, 0
    if isinstance(cap, PageTableCap) and cap.mapped and vspace_for_asid(s, cap.mapped[0]) == cap.ptr:
        s.out.vspace = cap.ptr, cap.mapped[0]


def lookup_ipc_buffer(s: State, is_receiver: bool, thread: Ptr) -> int | None:
    """Where a thread's IPC buffer lies in memory; None without one that allows this use."""
    cap = get_cap(s, (thread, IPC_BUFFER))
    if not isinstance(cap, FrameCap) or cap.is_device or not cap.rights & rt.READ:
        return None
    if is_receiver and not cap.rights & rt.WRITE:
        return None
    offset: int = get_tcb(s, thread).ipc_buffer % 2**cap.size_bits
    return cap.ptr + offset
