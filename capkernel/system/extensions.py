"""All that a description says beyond Microkit's format, judged together: grants, lives, and the kernel's options."""

from pathlib import Path

from attrs import field, frozen

from capkernel.system.description import SystemDescription
from capkernel.system.diagnostics import Problems
from capkernel.system.grants import Grant, read_grants
from capkernel.system.instructions import load_instructions
from capkernel.system.kernel_options import KernelOptions, read_kernel_options
from capkernel.system.lives import Alternative, Owner, read_alternatives, read_owners
from capkernel.system.spawnable import ProgramsRegion, read_programs


@frozen
class Extensions:
    """What the instructions of a description say."""

    grants: tuple[Grant, ...] = ()
    options: KernelOptions = field(factory=KernelOptions)
    alternatives: tuple[Alternative, ...] = ()
    owners: tuple[Owner, ...] = ()
    programs: tuple[ProgramsRegion, ...] = ()


def load_extensions(path: Path, system: SystemDescription) -> Extensions:
    """The extensions in a `.system` file that describes ``system``. Raises DescriptionError, with every reason."""
    problems = Problems()
    instructions = load_instructions(path, problems)
    extensions = Extensions(
        read_grants(instructions, system, problems),
        read_kernel_options(instructions, problems),
        read_alternatives(instructions, system, problems),
        read_owners(instructions, system, problems),
        read_programs(instructions, system, problems),
    )
    problems.raise_if_any()
    return extensions
