"""Processes, from the inside: what a program finds that was started while the system runs, and how it ends.

    async def main(process: Process) -> int:
        files = connect(Directory, process.connection, process.cap("files"))
        await process.print(f"{process.arguments}\n")
        return 0

A process has the caps that it was given, by name, and one by which it says that it is over. It has no endpoint, and no
slots for further caps unless it was given some. Its address space, and CSpace:

| address             | what                                                                                         |
|---------------------|----------------------------------------------------------------------------------------------|
| ``IPC_BUFFER``      | its IPC buffer, a page                                                                        |
| ``STACK_TOP``       | the end of its stack (machine code)                                                           |
| ``STARTUP``         | what it is told (``Startup``), and behind it which caps it has now; read-only                 |
| ``PROGRAM``         | the page of a Python program; machine code lies where it was linked                           |
| ``HEAP``            | as many zeros as whoever started it asked for                                                 |
| slot ``EXIT``       | to send its exit code, once; nothing else can be done with it                                 |
| from ``FIRST_CAP``  | the caps that it was given, in order                                                          |
| from ``FIRST_EMPTY``| empty slots                                                                                   |

Machine code starts with the address of what it is told in a0, its words in a1, and the end of its stack in sp.

Caps may be given, and taken away, while it runs. Then the list behind ``Startup`` is written anew: a word that is odd
while that happens and otherwise grows by 2 with each list (0: none yet), the number of words, and so many words. Who
reads it looks at the first word before and after.
"""

import struct
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final, NoReturn

from attrs import frozen

from capkernel.abi.objects import PAGE_BYTES, USER_TOP
from capkernel.abi.words import WORD_MASK
from capkernel.system.elf import ElfError as ElfError
from capkernel.system.elf import ElfSegment as ElfSegment
from capkernel.system.elf import read_program as read_program
from capkernel.system.spawnable import decode_table as decode_table
from capkernel.user import operations as ops
from capkernel.user.allocators import SlotAllocator
from capkernel.user.bootstrap import Start
from capkernel.user.inbox import Inbox
from capkernel.user.messages import from_words, to_words
from capkernel.user.syscalls import Message, Syscalls

IPC_BUFFER: Final = USER_TOP - PAGE_BYTES
STACK_TOP: Final = IPC_BUFFER - PAGE_BYTES
STARTUP: Final = USER_TOP - 0x20000
MAX_STARTUP: Final = 0x4000
PROGRAM: Final = USER_TOP - 0x40000
HEAP: Final = 0x1000_0000
MAX_HEAP: Final = 0x1000_0000
STACK_SIZE: Final = 0x4000
CSPACE_BITS: Final = 7
"""log2 of the slots of a process."""
EXIT, FIRST_CAP, FIRST_EMPTY, END_SLOT = 1, 2, 34, 1 << CSPACE_BITS
MAX_CAPS: Final = FIRST_EMPTY - FIRST_CAP
SLOTS: Final = "slots"
"""The name of the cap to its own CSpace, if it was given that: then it can receive caps into the empty slots."""
GRANTED_BYTES: Final = 8 * (2 + 1 + MAX_CAPS * 10)
"""Room for the list of caps that it has: a name has at most 64 bytes, so a cap at most 10 words."""
EXIT_LABEL: Final = 0x4558
"""Of the message by which a process says that it is over; its word is the exit code."""
EXIT_CODES: Final = range(-(1 << 31), 1 << 31)


@frozen
class NamedCap:
    """A cap that a process was given: what it is to be for the program, and the address."""

    name: str
    address: int


@frozen
class Startup:
    """What a process is told. ``heap`` is the size of the heap in bytes."""

    name: str
    arguments: list[str]
    caps: list[NamedCap]
    heap: int = 0


def encode_startup(startup: Startup) -> bytes:
    """As it lies in the process's memory. Raises ValueError if it is too much."""
    words = to_words(startup)
    if 8 * len(words) > MAX_STARTUP:
        raise ValueError(f"arguments and names take {8 * len(words)} bytes; {MAX_STARTUP} would fit")
    return struct.pack(f"<{len(words)}Q", *words)


def decode_startup(data: bytes) -> Startup:
    """The same read back."""
    return from_words(Startup, struct.unpack(f"<{len(data) // 8}Q", data))


@frozen
class _Granted:
    caps: list[NamedCap]


def encode_granted(version: int, caps: list[NamedCap]) -> bytes:
    """The list of caps as it lies behind ``Startup``. Raises ValueError if it is too much."""
    words = to_words(_Granted(caps))
    if 8 * len(words) + 16 > GRANTED_BYTES:
        raise ValueError(f"a list of caps takes {8 * len(words)} bytes; {GRANTED_BYTES - 16} would fit")
    return struct.pack(f"<{len(words) + 2}Q", version, len(words), *words)


class MissingCap(KeyError):
    """The process was given no cap of that name."""

    def __str__(self) -> str:
        """Return the message as it is; a KeyError would show it in quotation marks."""
        return str(self.args[0])


class Process:
    """A process, as its program sees it. ``caps`` are addresses by name, ``inbox`` is there if it has slots.

    ``granted`` is the address of the list of caps that is kept up to date, or 0 if there is none.
    """

    def __init__(self, startup: Startup, granted: int = 0) -> None:
        self.granted = granted
        self.name = startup.name
        self.arguments = startup.arguments
        self.caps = {cap.name: cap.address for cap in startup.caps}
        self.heap = range(HEAP, HEAP + startup.heap)
        self.sys = Syscalls(IPC_BUFFER)
        slots = self.caps.get(SLOTS)
        self.inbox = None if slots is None else Inbox(self.sys, SlotAllocator(slots, FIRST_EMPTY, END_SLOT))

    def cap(self, name: str) -> int:
        """The address of a cap. Raises MissingCap."""
        if name not in self.caps:
            raise MissingCap(f"{self.name} was given no cap {name!r}; it has {', '.join(self.caps) or 'none'}")
        return self.caps[name]

    async def refresh(self) -> None:
        """See which caps it has now: some may have been given, and some taken away, since it was started."""
        while self.granted:
            (version, count) = struct.unpack("<2Q", await ops.read(self.granted, 16))
            content = await ops.read(self.granted + 16, min(8 * count, GRANTED_BYTES - 16))
            if not version:
                return
            if not version & 1 and await ops.load(self.granted, 8) == version:
                found = from_words(_Granted, struct.unpack(f"<{count}Q", content))
                self.caps = {cap.name: cap.address for cap in found.caps}
                return

    async def exit(self, code: int) -> NoReturn:
        """End the process, with an exit code."""
        await self.sys.send(EXIT, Message(EXIT_LABEL, (code & WORD_MASK,)))
        while True:
            # Whoever hears of it takes the process apart.
            await self.sys.yield_()

    async def print(self, text: str) -> None:
        """Write to the debug console, which every thread may."""
        await self.sys.print(text)

    async def load(self, vaddr: int, size: int = 8) -> int:
        """Load a number of 1, 2, 4 or 8 bytes."""
        return await ops.load(vaddr, size)

    async def store(self, vaddr: int, value: int, size: int = 8) -> None:
        """Store the low 1, 2, 4 or 8 bytes of a word."""
        await ops.store(vaddr, value, size)

    async def read(self, vaddr: int, size: int) -> bytes:
        """Read bytes of memory."""
        return await ops.read(vaddr, size)

    async def write(self, vaddr: int, data: bytes) -> None:
        """Write bytes to memory."""
        await ops.write(vaddr, data)

    async def compute(self, ticks: int) -> None:
        """Work for so many ticks of 100 ns."""
        await ops.compute(ticks)

    async def clock(self) -> int:
        """The time in ticks of 100 ns."""
        return await ops.clock()


def process_program(name: str, load: Callable[[], ModuleType]) -> Any:
    """A program for processes, for a CPU's table of programs; ``load`` gives a fresh module with ``main(process)``."""

    def start_process(start: Start) -> Any:
        return _run(load(), start)

    start_process.__qualname__ = name
    return start_process


async def _run(module: ModuleType, start: Start) -> NoReturn:
    address, words = start.arguments[:2]
    told = decode_startup(await ops.read(address, 8 * min(words, MAX_STARTUP // 8)))
    process = Process(told, address + 8 * words)
    code = await module.main(process)
    if type(code) is not int or code not in EXIT_CODES:
        raise TypeError(f"{process.name}: main() returned {code!r}; it is to return an exit code")
    await process.exit(code)
