"""Program files: what is to be in a process's memory, from machine code, or from a text that names a Python program.

Whatever a file says, what comes of it is a failure, or segments that lie where programs may lie, each page in one.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Final

from attrs import frozen

from capkernel.abi.objects import PAGE_BYTES
from capkernel.protocols.failures import Corrupt, NotFound, WrongKind
from capkernel.user.process import HEAP, PROGRAM, ElfError, ElfSegment, read_program

MAGIC: Final = b"#!capkernel "
MAX_LINE: Final = 200
_ELF: Final = b"\x7fELF"


@frozen
class ProgramFile:
    """A program: where it begins, and what is to be where."""

    entry: int
    segments: tuple[ElfSegment, ...]

    @property
    def pages(self) -> list[int]:
        """The address of each page that it takes."""
        return [address for segment in self.segments for address in segment.pages]


def read_program_file(content: bytes, installed: Mapping[str, bytes]) -> ProgramFile:
    """The program in a file; ``installed`` are the Python programs that there are. Raises failures."""
    if content.startswith(MAGIC):
        return _python(content, installed)
    if content.startswith(_ELF):
        return _machine_code(content)
    raise WrongKind("this is no program: one begins with '#!capkernel ' and a name, or is an ELF file for RISC-V")


def _python(content: bytes, installed: Mapping[str, bytes]) -> ProgramFile:
    line = content[len(MAGIC) : MAX_LINE].split(b"\n")[0].strip()
    try:
        name = line.decode()
    except UnicodeDecodeError:
        raise Corrupt("the name of the program is no text") from None
    if not name:
        raise Corrupt("it does not say which program it is")
    if name not in installed:
        raise NotFound(f"no program {name!r} is installed")
    return ProgramFile(PROGRAM, (ElfSegment(PROGRAM, installed[name], PAGE_BYTES, executable=True),))


def _machine_code(content: bytes) -> ProgramFile:
    try:
        elf = read_program(content)
    except ElfError as error:
        raise Corrupt(f"the program: {error}") from None
    segments = sorted(elf.segments, key=lambda segment: segment.vaddr)
    for segment in segments:
        if not segment.vaddr >= PAGE_BYTES or segment.addresses.stop > HEAP:
            raise Corrupt(f"a segment at {segment.vaddr:#x} does not lie between {PAGE_BYTES:#x} and {HEAP:#x}")
    for one, other in pairwise(segments):
        if one.pages[-1] >= other.pages[0]:
            raise Corrupt(f"the segments at {one.vaddr:#x} and {other.vaddr:#x} share a page")
    return ProgramFile(elf.entry, tuple(segments))
