"""From a CPU's trap to the abstract kernel's event."""

from hwmodel.cpu import trap as traps
from hwmodel.cpu.trap import Trap
from specs.abstract import Event
from specs.abstract.syscall import EXCEPTION, INTERRUPT, SYSCALL, VM_FAULT

_KIND = {
    traps.ECALL: SYSCALL, traps.EXCEPTION: EXCEPTION, traps.PAGE_FAULT: VM_FAULT, traps.INTERRUPTED: INTERRUPT,
}  # fmt: skip


def event_of(trap: Trap, context: tuple[int, ...]) -> Event:
    """The event that a trap is, with the registers of the thread that ran."""
    return Event(_KIND[trap.kind], context, trap.cause, trap.value)
