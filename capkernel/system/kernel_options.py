"""How a description wants the kernel configured: ``<?capkernel kernel debug="off"?>``, anywhere in a `.system` file.

| attribute | values      | meaning                                                              |
|-----------|-------------|----------------------------------------------------------------------|
| debug     | on, off     | whether the kernel answers the debug system calls; on when not said  |
"""

from collections.abc import Iterable
from pathlib import Path

from attrs import frozen

from capkernel.system.diagnostics import Problems
from capkernel.system.instructions import KERNEL, Instruction, InstructionError, load_instructions, note

_SWITCH = {"on": True, "off": False}


@frozen(kw_only=True)
class KernelOptions:
    """What a description wants of the kernel. ``debug``: whether it answers the debug system calls."""

    debug: bool = True


def load_kernel_options(path: Path) -> KernelOptions:
    """The kernel's options in a `.system` file. Raises DescriptionError."""
    problems = Problems()
    options = read_kernel_options(load_instructions(path, problems), problems)
    problems.raise_if_any()
    return options


def read_kernel_options(instructions: Iterable[Instruction], problems: Problems) -> KernelOptions:
    """The kernel's options; what is wrong with them is noted in ``problems``."""
    options, first = KernelOptions(), None
    for instruction in (found for found in instructions if found.verb == KERNEL):
        try:
            if first is not None:
                raise InstructionError(f"the kernel is configured twice, first at {first}", "delete one")
            first, options = instruction.where, _options(instruction)
        except InstructionError as error:
            note(problems, instruction.where, error)
    return options


def _options(instruction: Instruction) -> KernelOptions:
    instruction.only("a kernel instruction", ("debug",))
    debug = instruction.required("debug")
    if debug not in _SWITCH:
        raise InstructionError(f"debug is '{debug}', but must be on or off")
    return KernelOptions(debug=_SWITCH[debug])
