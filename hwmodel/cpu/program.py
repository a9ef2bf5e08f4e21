"""Python programs as things in memory: how an image says which program it is, and what a program may yield.

An image is a few bytes of RAM, at whatever virtual address it is mapped for execution:

| offset | size | content                                                                      |
|-------:|-----:|------------------------------------------------------------------------------|
|      0 |    4 | ``MAGIC``, an instruction word of the custom-0 opcode                        |
|      4 |    4 | the number of the program in the CPU's ``ProgramTable``                      |
|      8 |    8 | how many values follow                                                       |
|     16 |  8 n | values: words that a loader may patch, as a linker's symbols are patched     |

It must not cross a 4 KiB page. The rest of that page is where the program's pc moves: each operation that a program
yields takes 8 bytes, as if it were two instructions, one that loads the registers and one that acts on them.

A program yields flat tuples. One that starts with a word is a system call,
``(a7, a0, a1, a2, a3, a4, a5, a6, t0)``, and is resumed with ``(a0, a1, a2, a3, a4, a5)``. The others:

| yielded                            | resumed with                                                            |
|------------------------------------|-------------------------------------------------------------------------|
| ``(LOAD, vaddr, size)``            | the 1, 2, 4 or 8 bytes there, as a number                               |
| ``(STORE, vaddr, size, value)``    | None                                                                    |
| ``(READ, vaddr, size)``            | ``size`` bytes of memory                                                |
| ``(WRITE, vaddr, data)``           | None                                                                    |
| ``(AMO, vaddr, size, value, name)``| the old value; ``name`` as in ``hwmodel.loadstore.AMO_OPERATIONS``      |
| ``(COMPUTE, ticks)``               | None, when so many ticks of the thread's own time have passed           |
| ``(CLOCK,)``                       | the time in ticks, as ``rdtime`` reads it                               |
| ``(TELL, number)``                 | None; whoever drives the machine is told the number, the kernel is not  |
"""

import struct
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, Protocol

LOAD: Final = -101
STORE: Final = -102
READ: Final = -103
WRITE: Final = -104
AMO: Final = -105
COMPUTE: Final = -106
CLOCK: Final = -107
TELL: Final = -108
SYSCALL: Final = 0
"""Not yielded: the kind of an operation that is a system call."""

MAGIC: Final = 0x4341500B
"""custom-0 (0x0b) with the letters PAC in the upper bytes: illegal on any real core without an extension."""
HEADER: Final = struct.Struct("<IIQ")
VALUES_OFFSET: Final = HEADER.size
PAGE_SIZE: Final = 4096
SLOT_SIZE: Final = 8
MAX_VALUES: Final = (PAGE_SIZE - VALUES_OFFSET - 4 * SLOT_SIZE) // 8
"""So that in a page of its own at least three operations and the jump back fit behind the image."""
WORD: Final = (1 << 64) - 1

Operation = tuple[Any, ...]


class Resumable(Protocol):
    """A generator, or a coroutine: what runs when a program runs."""

    def send(self, value: Any, /) -> Operation:
        """Go on until the next operation."""
        ...

    def throw(self, error: BaseException, /) -> Operation:
        """Go on with an error at the operation that waits."""
        ...

    def close(self) -> None:
        """Give up."""
        ...


class Start(NamedTuple):
    """What a program can see when it starts: the registers, as they were set for it, and its image's values."""

    entry: int
    arguments: tuple[int, ...]
    """a0 to a7."""
    sp: int
    gp: int
    tp: int
    values: tuple[int, ...]


Program = Callable[[Start], Resumable]
"""Makes a fresh run of a program."""


class OperationError(Exception):
    """A program yielded something that is no operation; raised inside the program, at the yield."""


class Crash(NamedTuple):
    """A program that ended, which none should: with an exception, or by returning (then ``report`` says so)."""

    program: str
    pc: int
    report: str


class ProgramTable:
    """The programs that a CPU knows, by number from 1 on. Two CPUs may share a table."""

    def __init__(self) -> None:
        self._programs: list[Program] = []

    def add(self, program: Program) -> int:
        """Enter a program; returns its number."""
        self._programs.append(program)
        return len(self._programs)

    def wrap(self, number: int, around: Callable[[Program], Program]) -> None:
        """Let what is made of a program be that program, from its next start on. Raises IndexError for no number."""
        if not 0 < number <= len(self._programs):
            raise IndexError(f"there are programs 1 to {len(self._programs)}, not {number}")
        self._programs[number - 1] = around(self._programs[number - 1])

    def find(self, number: int) -> Program | None:
        """The program of that number, or None."""
        return self._programs[number - 1] if 0 < number <= len(self._programs) else None


def image(number: int, values: Sequence[int] = ()) -> bytes:
    """The bytes of an image of program ``number``; a longer or larger list of values is a ValueError."""
    if len(values) > MAX_VALUES:
        raise ValueError(f"an image holds at most {MAX_VALUES} values, not {len(values)}")
    for index, value in enumerate(values):
        if not 0 <= value <= WORD:
            raise ValueError(f"value {index} of the image is {value:#x}, not a word of 64 bits")
    return HEADER.pack(MAGIC, number, len(values)) + struct.pack(f"<{len(values)}Q", *values)


def name_of(program: Program) -> str:
    """What to call a program in a report."""
    return getattr(program, "__qualname__", None) or type(program).__qualname__
