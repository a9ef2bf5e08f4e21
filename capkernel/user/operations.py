"""What a program does by itself: the flat tuples that it yields, as awaitables.

Each touches memory through the MMU in the program's own address space. An access that the page tables do not allow
is a fault of the thread, not a Python exception: the program goes on after its fault handler let it.
"""

from collections.abc import Generator
from types import coroutine
from typing import Any, Final, cast

from capkernel.abi.words import WORD_MASK

LOAD: Final = -101
STORE: Final = -102
READ: Final = -103
WRITE: Final = -104
AMO: Final = -105
COMPUTE: Final = -106
CLOCK: Final = -107
TELL: Final = -108

_STUBBORN: Final = 100
"""Times that something is told to end."""
Results = tuple[int, int, int, int, int, int]
"""a0 to a5 after a system call."""
Steps = Generator[tuple[Any, ...], Any, Any]


@coroutine
def ecall(
    number: int, a0: int = 0, a1: int = 0, a2: int = 0, a3: int = 0, a4: int = 0, a5: int = 0, a6: int = 0, t0: int = 0
) -> Generator[tuple[int, ...], Results, Results]:
    """Make a system call: ``number`` as in ``abi.syscalls``, and the registers. Returns a0 to a5 afterwards."""
    return (yield number & WORD_MASK, a0, a1, a2, a3, a4, a5, a6, t0)


@coroutine
def load(vaddr: int, size: int = 8) -> Generator[tuple[int, ...], int, int]:
    """The unsigned number of 1, 2, 4 or 8 bytes at an address; also how a device's register is read."""
    return (yield LOAD, vaddr, size)


@coroutine
def store(vaddr: int, value: int, size: int = 8) -> Generator[tuple[int, ...], None, None]:
    """Store the low 1, 2, 4 or 8 bytes of a word; also how a device's register is written."""
    yield STORE, vaddr, size, value & WORD_MASK


@coroutine
def read(vaddr: int, size: int) -> Generator[tuple[int, ...], bytes, bytes]:
    """``size`` bytes of memory, page by page."""
    return (yield READ, vaddr, size)


@coroutine
def write(vaddr: int, data: bytes) -> Generator[tuple[Any, ...], None, None]:
    """Write bytes to memory, page by page."""
    yield WRITE, vaddr, bytes(data)


@coroutine
def amo(name: str, vaddr: int, value: int, size: int = 8) -> Generator[tuple[Any, ...], int, int]:
    """An atomic memory operation (swap, add, and, or, xor, min, max, minu, maxu); returns the old value."""
    return (yield AMO, vaddr, size, value & WORD_MASK, name)


@coroutine
def compute(ticks: int) -> Generator[tuple[int, ...], None, None]:
    """Work for so many ticks of 100 ns; others may run meanwhile, whose time does not count."""
    yield COMPUTE, ticks


@coroutine
def clock() -> Generator[tuple[int, ...], int, int]:
    """The time in ticks of 100 ns since the machine was started (``rdtime``)."""
    return (yield (CLOCK,))


@coroutine
def tell_host(number: int) -> Generator[tuple[int, ...], None, None]:
    """Tell a number to whoever drives the machine; the kernel does not hear of it."""
    yield TELL, number


def give_up(steps: Steps) -> None:
    """End something that will not be stepped any more; what it says to that is lost. What it would still await in the
    end (in a ``finally``) cannot be done: each such place is ended, too, but for one that goes on whatever comes.
    """
    for _ in range(_STUBBORN):
        try:
            steps.close()
        except KeyboardInterrupt:
            raise
        except BaseException:
            continue
        return


def steps_of(awaitable: Any) -> Steps:
    """The generator inside an awaitable, to be stepped by hand. Raises TypeError if it is none."""
    if hasattr(awaitable, "__await__"):
        return cast(Steps, awaitable.__await__())
    if isinstance(awaitable, Generator):
        return awaitable
    raise TypeError(f"{awaitable!r} cannot be awaited")
