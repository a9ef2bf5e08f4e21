"""How a description says what a domain may become, and which devices live and die with it.

    <?capkernel alternative pd="disk" program="ramdisk.elf"?>
    <?capkernel owner io_address_space="disk_dma" pd="disk"?>

The n-th alternative of a domain is its program number n; 0 is its own. It gets the same authority, so it needs the same
symbols. An I/O address space that has an owner is emptied when its owner is destroyed, and filled again when it is
rebuilt; one without lasts as long as the system, whoever programs the device.
"""

from collections.abc import Iterable

from attrs import frozen

from capkernel.system.description import Placed, SystemDescription
from capkernel.system.diagnostics import Problems
from capkernel.system.instructions import ALTERNATIVE, OWNER, Instruction, InstructionError, note


@frozen(kw_only=True)
class Alternative(Placed):
    """A further program of a domain, its path as in ``program_image``."""

    pd: str
    program: str


@frozen(kw_only=True)
class Owner(Placed):
    """An I/O address space is part of a domain."""

    io_address_space: str
    pd: str


def read_alternatives(
    instructions: Iterable[Instruction], system: SystemDescription, problems: Problems
) -> tuple[Alternative, ...]:
    """The alternatives, in order; wrong ones are noted."""
    found = []
    for instruction in (found for found in instructions if found.verb == ALTERNATIVE):
        try:
            instruction.only("an alternative", ("pd", "program"))
            pd = _pd(instruction, system)
            found.append(Alternative(pd=pd, program=instruction.required("program"), where=instruction.where))
        except InstructionError as error:
            note(problems, instruction.where, error)
    return tuple(found)


def read_owners(
    instructions: Iterable[Instruction], system: SystemDescription, problems: Problems
) -> tuple[Owner, ...]:
    """Who owns which I/O address space; wrong ones are noted."""
    owners: dict[str, Owner] = {}
    for instruction in (found for found in instructions if found.verb == OWNER):
        try:
            owner = _owner(instruction, system)
            other = owners.setdefault(owner.io_address_space, owner)
            if other is not owner:
                message = f"'{owner.io_address_space}' has two owners, the first at {other.where}"
                raise InstructionError(message, "delete one")
        except InstructionError as error:
            note(problems, instruction.where, error)
    return tuple(owners.values())


def _owner(instruction: Instruction, system: SystemDescription) -> Owner:
    instruction.only("an owner", ("io_address_space", "pd"))
    space, spaces = instruction.required("io_address_space"), [space.name for space in system.io_address_spaces]
    if space not in spaces:
        known = ", ".join(sorted(spaces)) or "none"
        raise InstructionError(f"there is no I/O address space '{space}' to own", f"there is: {known}")
    return Owner(io_address_space=space, pd=_pd(instruction, system), where=instruction.where)


def _pd(instruction: Instruction, system: SystemDescription) -> str:
    name, domains = instruction.required("pd"), [pd.name for pd in system.protection_domains]
    if name not in domains:
        raise InstructionError(f"there is no protection domain '{name}'", f"there is: {', '.join(sorted(domains))}")
    return name
