"""Faults that are not about caps: memory accesses, exceptions, unknown system calls, used-up budgets."""

from attrs import frozen

from capkernel.abi import faults as flt
from capkernel.abi import objects as obj
from capkernel.abi import syscalls as sc
from capkernel.abi.flags import TCB_FPU_DISABLED
from capkernel.abi.words import MASK, signed
from capkernel.kernel import vspace
from capkernel.kernel.caps import FrameCap, PageTableCap
from capkernel.kernel.objects import TCB, SchedContext, Slot, UserException, VMFault
from capkernel.kernel.state import State
from capkernel.kernel.vspace import INDEX_BITS, LEVELS, PTE_EXECUTE, PTE_READ, PTE_VALID, PTE_WRITE
from capkernel.tools.explain.case import state_of
from capkernel.tools.explain.census import slots_of
from capkernel.tools.explain.describe import ACCESS, EXCEPTIONS
from capkernel.tools.explain.missing import Mapped, Missing, Nothing, Time
from capkernel.tools.explain.walk import holds_nothing

_ACCESS_VERB = {flt.CAUSE_FETCH_ACCESS: "fetch", flt.CAUSE_LOAD_ACCESS: "load", flt.CAUSE_STORE_ACCESS: "store"}


@frozen
class Entry:
    """One entry of a page table on the way to an address."""

    table: int
    index: int
    bits: int
    pte: int

    def __str__(self) -> str:
        where = f"table {self.table:#x}[{self.index:#x}] (2**{self.bits} bytes)"
        if not self.pte & PTE_VALID:
            return f"{where}: empty"
        if vspace.is_table_pte(self.pte):
            return f"{where}: table at {vspace.pte_paddr(self.pte):#x}"
        return f"{where}: frame at {vspace.pte_paddr(self.pte):#x}, {permissions(self.pte)}"


def permissions(pte: int) -> str:
    """The letters RWX of an entry."""
    letters = ((PTE_READ, "R"), (PTE_WRITE, "W"), (PTE_EXECUTE, "X"))
    return "".join(letter for bit, letter in letters if pte & bit) or "-"


def table_walk(state: State, root: int, vaddr: int) -> list[Entry]:
    """The entries that the hardware looks at for an address."""
    entries: list[Entry] = []
    table, bits = root, obj.PAGE_BITS + INDEX_BITS * (LEVELS - 1)
    while True:
        index = vaddr >> bits & MASK[INDEX_BITS]
        pte = state.machine.read_word(table + 8 * index)
        entries.append(Entry(table, index, bits, pte))
        if not vspace.is_table_pte(pte) or bits == obj.PAGE_BITS:
            return entries
        table, bits = vspace.pte_paddr(pte), bits - INDEX_BITS


def vm_operation(fault: VMFault) -> str:
    """What the thread tried."""
    return f"{_ACCESS_VERB[fault.status]} at {fault.address:#x}"


def explain_vm_fault(state: State, thread: TCB, fault: VMFault) -> tuple[Missing, list[Entry], Slot | None]:
    """What is missing for a memory access, the entries walked, and the slot of the frame cap concerned."""
    slot = thread.vspace_slot
    cap = slot.cap
    if not isinstance(cap, PageTableCap) or vspace.vspace_root(state, cap.asid) != cap.paddr:
        return holds_nothing(slot, "PageTable", that="that is the root of a live address space"), [], slot
    if fault.address >= obj.USER_TOP:
        why = f"user space ends at {obj.USER_TOP:#x}; no address above can be mapped"
        return Nothing(why), [], None
    entries = table_walk(state, cap.paddr, fault.address)
    last, wanted = entries[-1], ACCESS[fault.status]
    frame = vspace.pte_paddr(last.pte) if last.pte & PTE_VALID else None
    held = permissions(last.pte) if frame is not None else ""
    mapping = mapping_of(state, cap.asid, fault.address)
    if frame is not None and set(wanted) <= set(held):
        return Nothing(f"the page allows {wanted}, but the machine has no such memory at {frame:#x}"), entries, mapping
    # What is allowed now is to stay allowed.
    letters = "".join(letter for letter in "RWX" if letter in wanted + held)
    if letters == "X" or letters == "WX":
        letters = "R" + letters
    found = f"allowed {held}" if frame is not None else "empty"
    return Mapped(cap.paddr, fault.address, last.bits, found, letters, frame), entries, mapping


def mapping_of(state: State, asid: int, vaddr: int) -> Slot | None:
    """The slot of the frame cap that says it is mapped around an address, whatever the page tables say."""
    for slot in slots_of(state):
        cap = slot.cap
        if not isinstance(cap, FrameCap) or cap.io is not None or cap.asid != asid:
            continue
        if cap.vaddr <= vaddr <= cap.vaddr + MASK[cap.size_bits]:
            return slot
    return None


def explain_exception(thread: TCB, fault: UserException) -> Missing:
    """What an exception that is no memory access asks for."""
    what = EXCEPTIONS.get(fault.number, f"exception {fault.number}")
    if fault.number in (flt.CAUSE_LOAD_MISALIGNED, flt.CAUSE_STORE_MISALIGNED):
        return Nothing(f"{what}: the address must be a multiple of the size of the access")
    if fault.number == flt.CAUSE_ILLEGAL_INSTRUCTION and thread.flags & TCB_FPU_DISABLED:
        found = "disabled by the thread's flags (if the instruction is a floating point one)"
        return state_of(thread, thread.paddr, "floating point", found, "enabled", "TCB_SetFlags")
    return Nothing(f"{what} in user mode; only the fault handler can go on from there")


def explain_unknown(number: int) -> Missing:
    """A system call number that the kernel does not know."""
    why = f"there is no system call {signed(number)}"
    if sc.DEBUG_NAME_THREAD <= signed(number) <= sc.DEBUG_PUT_CHAR:
        return Nothing(f"{why} in a kernel without debug system calls ({sc.NAMES[signed(number)]})")
    return Nothing(why, tuple(name for value, name in sc.NAMES.items() if value >= sc.YIELD))


def explain_timeout(state: State, sc_object: SchedContext) -> Missing:
    """A budget that was used up before its period."""
    budget = sum(refill.amount for refill in sc_object.refills)
    head = sc_object.refills[0].time if sc_object.refills else state.time
    return Time(sc_object.paddr, budget, sc_object.period, head)
