"""Address spaces: page tables in RAM, ASIDs, and where a thread's IPC buffer lies.

Sv39: three levels of 512 eight-byte entries. The kernel writes them, the machine walks them. What a cap says
about its mapping and what stands in the table can differ; an entry is only removed if it is still the cap's own.
"""

from capkernel.abi import rights as rt
from capkernel.abi.objects import ASID_LOW_BITS, PAGE_BITS
from capkernel.abi.words import MASK
from capkernel.kernel.caps import FrameCap, PageTableCap
from capkernel.kernel.objects import TCB, ASIDPool
from capkernel.kernel.state import State

PTE_VALID = 1
PTE_READ = 2
PTE_WRITE = 4
PTE_EXECUTE = 8
PTE_USER = 16
PTE_ACCESSED = 64
PTE_DIRTY = 128
PTE_LEAF = PTE_READ | PTE_WRITE | PTE_EXECUTE
PTE_KIND = PTE_VALID | PTE_LEAF
"""Of these bits, an entry that leads to another table has only ``PTE_VALID``."""
LEVELS = 3
INDEX_BITS = 9


def pte_paddr(pte: int) -> int:
    """The physical address that an entry points to."""
    return (pte >> 10 & MASK[44]) << PAGE_BITS


def is_table_pte(pte: int) -> bool:
    """Whether an entry leads to another table."""
    return pte & PTE_KIND == PTE_VALID


def table_pte(paddr: int) -> int:
    """The entry that leads to a table."""
    return paddr >> PAGE_BITS << 10 | PTE_VALID


def user_pte(paddr: int, rights: int, *, executable: bool) -> int:
    """The entry of a user page; 0, an invalid one, if nothing at all is allowed (makeUserPTE)."""
    bits = PTE_EXECUTE if executable else 0
    if rights & rt.READ:
        bits |= PTE_READ
    if rights & rt.WRITE:
        bits |= PTE_WRITE
    return paddr >> PAGE_BITS << 10 | bits | PTE_USER | PTE_ACCESSED | PTE_DIRTY | PTE_VALID if bits else 0


def asid_pool(state: State, asid: int) -> ASIDPool | None:
    """The pool that an ASID belongs to."""
    return state.asid_table.get(asid >> ASID_LOW_BITS)


def vspace_root(state: State, asid: int) -> int:
    """The root table of an ASID; 0 if it has none."""
    pool = state.asid_table.get(asid >> ASID_LOW_BITS)
    return 0 if pool is None or asid == 0 else pool.roots.get(asid & MASK[ASID_LOW_BITS], 0)


def lookup_pt_slot(state: State, root: int, vaddr: int) -> tuple[int, int]:
    """Address of the lowest existing entry for ``vaddr``, and log2 of the bytes that it covers (lookupPTSlot)."""
    bits = PAGE_BITS + INDEX_BITS * (LEVELS - 1)
    slot = root + 8 * (vaddr >> bits & MASK[INDEX_BITS])
    while bits > PAGE_BITS:
        pte = state.machine.read_word(slot)
        if pte & PTE_KIND != PTE_VALID:
            break
        bits -= INDEX_BITS
        slot = pte_paddr(pte) + 8 * (vaddr >> bits & MASK[INDEX_BITS])
    return slot, bits


def write_pte(state: State, slot: int, pte: int) -> None:
    """Store an entry and make the machine forget what it knew."""
    state.machine.write_word(slot, pte)
    state.machine.flush_all()


def unmap_page(state: State, cap: FrameCap) -> None:
    """Remove the entry of a frame cap, if it is still there and still its own (unmapPage)."""
    root = vspace_root(state, cap.asid)
    if root == 0:
        return
    slot, bits = lookup_pt_slot(state, root, cap.vaddr)
    pte = state.machine.read_word(slot)
    if bits == cap.size_bits and pte & PTE_VALID and not is_table_pte(pte) and pte_paddr(pte) == cap.paddr:
        write_pte(state, slot, 0)


def unmap_page_table(state: State, cap: PageTableCap) -> None:
    """Remove the entry that leads to a table, if it is still there (unmapPageTable)."""
    table = vspace_root(state, cap.asid)
    bits = PAGE_BITS + INDEX_BITS * (LEVELS - 1)
    while table and bits > PAGE_BITS:
        slot = table + 8 * (cap.vaddr >> bits & MASK[INDEX_BITS])
        pte = state.machine.read_word(slot)
        if not is_table_pte(pte):
            return
        table = pte_paddr(pte)
        if table == cap.paddr:
            write_pte(state, slot, 0)
            return
        bits -= INDEX_BITS


def delete_asid(state: State, asid: int, root: int) -> None:
    """An address space loses its identifier; nobody can run in it any more (deleteASID)."""
    pool = asid_pool(state, asid)
    if pool is not None and pool.roots.get(asid & MASK[ASID_LOW_BITS]) == root:
        state.machine.flush_asid(asid)
        del pool.roots[asid & MASK[ASID_LOW_BITS]]
        set_vm_root(state, state.current)


def delete_asid_pool(state: State, base: int, pool: ASIDPool) -> None:
    """All address spaces of a pool lose their identifiers (deleteASIDPool)."""
    if state.asid_table.get(base >> ASID_LOW_BITS) is pool:
        del state.asid_table[base >> ASID_LOW_BITS]
        for low in pool.roots:
            state.machine.flush_asid(base + low)
        set_vm_root(state, state.current)


def set_vm_root(state: State, thread: TCB) -> None:
    """Let user code run in the thread's address space, or in an empty one if it has none (setVMRoot)."""
    cap = thread.vspace_slot.cap
    if isinstance(cap, PageTableCap) and vspace_root(state, cap.asid) == cap.paddr:
        state.machine.set_vspace(cap.paddr, cap.asid)
    else:
        state.machine.set_vspace(0, 0)


def ipc_buffer(thread: TCB, *, for_writing: bool) -> int:
    """Physical address of the thread's IPC buffer; 0 if it has none that may be used so (lookupIPCBuffer).

    The frame cap decides, not the mapping: the user's address only says where in the frame the buffer lies.
    """
    cap = thread.buffer_slot.cap
    if not isinstance(cap, FrameCap) or cap.is_device:
        return 0
    allowed = cap.rights == rt.READ_WRITE or (not for_writing and cap.rights == rt.READ)
    return cap.paddr + (thread.ipc_buffer & MASK[cap.size_bits]) if allowed else 0
