"""What is printed when a thread of machine code stops for a fault that nobody handles."""

from collections.abc import Iterator

from capkernel.abi import registers as reg
from capkernel.kernel.caps import PageTableCap
from capkernel.kernel.objects import TCB
from capkernel.runtime.machine_code import MachineCodeSystem
from capkernel.tools.explain.explanation import Explanation

_COLUMNS = 4
_SHOWN = tuple(index for index, name in enumerate(reg.NAMES) if name not in ("zero", "pc", "next_pc"))


def report(system: MachineCodeSystem, thread: TCB, explanation: Explanation) -> str:
    """Where it stopped, its registers, and why."""
    return "\n".join([f"{where(system, thread)}", *registers(thread), explanation.text()])


def where(system: MachineCodeSystem, thread: TCB) -> str:
    """The pc, with the name of the function if the code is the root task's."""
    pc = thread.registers[reg.FAULT_IP]
    name = thread.name or "thread"
    found = system.program.symbol_at(pc) if _runs_root_image(system, thread) else None
    symbol = f" <{found[0]}+{found[1]:#x}>" if found else ""
    return f"{name} (TCB@{thread.paddr:#x}) stopped at pc {pc:#x}{symbol}"


def _runs_root_image(system: MachineCodeSystem, thread: TCB) -> bool:
    mine, root = thread.vspace_slot.cap, system.state.initial.vspace_slot.cap
    return isinstance(mine, PageTableCap) and isinstance(root, PageTableCap) and mine.paddr == root.paddr


def registers(thread: TCB) -> Iterator[str]:
    """The integer registers, four a line."""
    words = [f"{reg.NAMES[index]:>4} {thread.registers[index]:#018x}" for index in _SHOWN]
    for start in range(0, len(words), _COLUMNS):
        yield "  " + "  ".join(words[start : start + _COLUMNS])
