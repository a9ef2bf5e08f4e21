"""Which installed programs may be started while the system runs: a table in a memory region, filled in before it boots.

    <?capkernel programs region="programs"?>

An entry has 64 bytes: the 16 bytes with which a page that is this program begins, and its name, padded with zeros; one
of zeros ends the table. To know these bytes is no authority: the program has the caps that it is given. Nobody but the
initial task may write there, or else what is started would be his choice.
"""

import struct
from collections.abc import Iterable, Mapping
from typing import Final

from attrs import frozen

from capkernel.system.description import Perms, Placed, SystemDescription
from capkernel.system.diagnostics import Problems
from capkernel.system.instructions import PROGRAMS, Instruction, InstructionError, note

ENTRY: Final = struct.Struct("<16s48s")
MAX_NAME: Final = 48


@frozen(kw_only=True)
class ProgramsRegion(Placed):
    """A region that holds the table."""

    region: str


def read_programs(
    instructions: Iterable[Instruction], system: SystemDescription, problems: Problems
) -> tuple[ProgramsRegion, ...]:
    """The regions that are to hold the table; wrong instructions are noted."""
    found = []
    for instruction in (found for found in instructions if found.verb == PROGRAMS):
        try:
            found.append(_region(instruction, system))
        except InstructionError as error:
            note(problems, instruction.where, error)
    return tuple(found)


def _region(instruction: Instruction, system: SystemDescription) -> ProgramsRegion:
    instruction.only("programs", ("region",))
    name = instruction.required("region")
    region = next((region for region in system.memory_regions if region.name == name), None)
    if region is None:
        known = ", ".join(sorted(region.name for region in system.memory_regions)) or "none"
        raise InstructionError(f"there is no memory region '{name}' for the programs", f"there is: {known}")
    if region.prefill is not None or region.phys_addr is not None:
        raise InstructionError(f"'{name}' is filled already, or lies at a fixed address", "give the table its own")
    for pd in system.protection_domains:
        if any(mapping.region == name and Perms.WRITE in mapping.perms for mapping in pd.maps):
            message = f"'{pd.name}' may write the table of programs '{name}'"
            raise InstructionError(message, 'map it with perms="r"')
    return ProgramsRegion(region=name, where=instruction.where)


def encode_table(images: Mapping[str, bytes]) -> bytes:
    """The bytes of the table: how each program's page begins, by name. Raises ValueError if a name is too long."""
    names = {name: name.encode() for name in images}
    long = [name for name, data in names.items() if len(data) > MAX_NAME]
    if long:
        raise ValueError(f"a program's name has at most {MAX_NAME} bytes, not as {long[0]!r}")
    return b"".join(ENTRY.pack(images[name], names[name]) for name in sorted(images)) + bytes(ENTRY.size)


def decode_table(data: bytes) -> dict[str, bytes]:
    """The programs in a table: how the page of each begins, by name."""
    images: dict[str, bytes] = {}
    for image, name in ENTRY.iter_unpack(data[: len(data) // ENTRY.size * ENTRY.size]):
        if not any(image):
            break
        images[name.rstrip(b"\0").decode()] = image
    return images
