"""Why a CPU stopped running user code."""

from typing import Final, NamedTuple

ECALL: Final = 0
"""A system call; the restart pc is the ``ecall``, the next pc the instruction behind it."""
EXCEPTION: Final = 1
"""An exception with a RISC-V cause, which is no memory access that failed."""
PAGE_FAULT: Final = 2
"""A memory access that failed: cause and address."""
HOST: Final = 3
"""The program speaks to whoever drives the machine, not to the kernel; ``value`` is what it says."""
INTERRUPTED: Final = 4
"""Time is up: the next event of the machine is due."""


class Trap(NamedTuple):
    """``kind`` is one of the constants above; ``cause`` and ``value`` depend on it."""

    kind: int
    cause: int = 0
    value: int = 0


STOP_ECALL: Final = Trap(ECALL)
STOP_INTERRUPTED: Final = Trap(INTERRUPTED)

FETCH_CAUSES: Final = (1, 12)
"""Causes of instructions that cannot be fetched."""

MISALIGNED: Final = (0, 4, 6)
"""Causes of accesses that fail by their address alone, before any translation: fetch, load, store or atomic."""


def access_trap(cause: int, vaddr: int) -> Trap:
    """The trap of an access that failed: to a kernel a misaligned one is an exception, any other a page fault."""
    return Trap(EXCEPTION if cause in MISALIGNED else PAGE_FAULT, cause, vaddr)
