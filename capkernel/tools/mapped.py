"""Memory as a thread finds it, looked at and changed from outside: by its page tables, whatever its rights are."""

from capkernel.kernel.caps import PageTableCap
from capkernel.kernel.objects import TCB
from hwmodel.machine import Machine
from hwmodel.sv39 import walk


def read_mapped(machine: Machine, thread: TCB, vaddr: int, size: int) -> bytes | None:
    """The bytes at an address, within one page; None if the thread has no RAM there."""
    paddr = _physical(machine, thread, vaddr)
    return None if paddr is None else machine.read_bytes(paddr, size)


def write_mapped(machine: Machine, thread: TCB, vaddr: int, data: bytes) -> None:
    """Put bytes at an address, within one page; nothing is done if the thread has no RAM there."""
    paddr = _physical(machine, thread, vaddr)
    if paddr is not None:
        machine.write_bytes(paddr, data)


def _physical(machine: Machine, thread: TCB, vaddr: int) -> int | None:
    vspace = thread.vspace_slot.cap
    page = walk(machine.memory, vspace.paddr, vaddr) if isinstance(vspace, PageTableCap) else None
    if page is None or not machine.memory.contains(page.paddr, page.size):
        return None
    return page.paddr + vaddr % page.size
