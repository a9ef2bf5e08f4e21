"""A program that is interrupted in the middle of what it does to chosen memory, and a count of what that memory did.

A program's own computing takes no time, and a copy of many bytes is one operation, so nobody gets in between. Yet each
access to memory is an operation that the program's coroutine hands to the CPU. A generator around the coroutine takes
those on chosen memory apart, word by word, and computes for a while before some of the words: interrupts come, the
kernel schedules, and whoever is due runs. The program notices nothing but that time has passed.
"""

from collections import Counter
from collections.abc import Callable, Collection, Generator, Sequence
from enum import Enum
from random import Random
from typing import Any, Final

from attrs import define, field

from capkernel.abi import syscalls as sc
from capkernel.abi.words import WORD_MASK
from capkernel.runtime.described import DescribedSystem
from capkernel.runtime.mixed import MixedGlue
from capkernel.runtime.programs import PythonProgram
from capkernel.tools.mapped import read_mapped
from hwmodel.cpu import program as ops
from hwmodel.cpu.operations import check_operation
from hwmodel.cpu.program import PAGE_SIZE, Operation, Program, Resumable, Start, name_of

WORD_BYTES: Final = 8
EVERY: Final = 4
"""Words that a program gets through until it is interrupted, at most."""
LONGEST: Final = 6_000
"""Ticks of an interruption, at most."""
RECEIVES: Final = frozenset(
    number & WORD_MASK
    for number in (sc.RECV, sc.NBRECV, sc.REPLY_RECV, sc.NBSEND_RECV, sc.NBSEND_WAIT, sc.WAIT, sc.NBWAIT)
)
"""System calls that end with the next request, or with none."""
CALLS: Final = RECEIVES | {sc.CALL & WORD_MASK}
"""The same for memory in which answers are found: each call is followed by another one."""
Look = Callable[[int, int], bytes]
"""What stands at an address now, so many bytes."""
Steps = Generator[Operation, Any, Any]


class Event(Enum):
    """What may come of a request: whatever the program does from one receive to the next is one."""

    READ = "read the memory"
    TORN = "the memory changed while it was copied"
    AGAIN = "read a byte that it had read before"
    CHANGED = "that byte was then another one"


@define
class Account:
    """What became of a program's accesses to the memory: ``requests`` with an event, words that were read or written,
    interruptions.
    """

    requests: Counter[Event] = field(factory=Counter)
    words: int = 0
    interruptions: int = 0


@define
class Interrupter:
    """Runs a program and interrupts it. ``places`` are the addresses that count, ``look`` is the memory there."""

    places: Sequence[range]
    look: Look
    chance: Random
    account: Account
    every: int = EVERY
    longest: int = LONGEST
    ends: frozenset[int] = RECEIVES
    """The system calls with which a request ends."""
    _left: int = field(init=False)
    """Words until the next interruption."""
    _seen: dict[int, int] = field(init=False, factory=dict)
    """The bytes that were read in this request, by address; what the program wrote itself does not count."""
    _noted: set[Event] = field(init=False, factory=set)

    def __attrs_post_init__(self) -> None:
        """Draw when the first interruption is to be."""
        if self.every < 1 or self.longest < 1:
            raise ValueError("a program is interrupted after one word or more, for one tick or more")
        self._left = self.chance.randint(1, self.every)

    def run(self, inner: Resumable) -> "Interrupted":
        """The program as the CPU is to run it."""
        return Interrupted(inner, self._steps(inner))

    def _steps(self, inner: Resumable) -> Steps:
        step: Callable[[Any], Operation] = inner.send
        value: Any = None
        while True:
            try:
                operation = step(value)
            except StopIteration:
                return
            try:
                value = yield from self._carry_out(operation)
                step = inner.send
            except (GeneratorExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                step, value = inner.throw, error

    def _carry_out(self, operation: Operation) -> Steps:
        if operation[0] >= 0:
            found = yield operation
            if operation[0] in self.ends:
                self._seen.clear()
                self._noted.clear()
            return found
        check_operation(operation)
        match operation:
            case ops.READ, vaddr, size if self._is_chosen(vaddr, size):
                return (yield from self._read(vaddr, size))
            case ops.WRITE, vaddr, data if self._is_chosen(vaddr, len(data)):
                return (yield from self._write(vaddr, data))
            case ops.LOAD, vaddr, size if self._is_chosen(vaddr, size):
                yield from self._wait(size)
                number = yield operation
                self._saw(vaddr, number.to_bytes(size, "little"))
                return number
            case (ops.STORE | ops.AMO), vaddr, size, *_ if self._is_chosen(vaddr, size):
                yield from self._wait(size)
                self._forget(vaddr, size)
                return (yield operation)
        return (yield operation)

    def _is_chosen(self, vaddr: int, size: int) -> bool:
        return size > 0 and any(vaddr < place.stop and place.start < vaddr + size for place in self.places)

    def _read(self, vaddr: int, size: int) -> Steps:
        """A copy, of words that are each of one moment."""
        data, before = b"", b""
        while len(data) < size:
            place = vaddr + len(data)
            count = yield from self._wait(vaddr + size - place, place)
            now = self.look(vaddr, size)
            if data and now != before:
                self._note(Event.TORN)
            before = now
            data += yield ops.READ, place, count
        self._saw(vaddr, data)
        return data

    def _write(self, vaddr: int, data: bytes) -> Steps:
        done = 0
        while done < len(data):
            count = yield from self._wait(len(data) - done, vaddr + done)
            yield ops.WRITE, vaddr + done, data[done : done + count]
            done += count
        self._forget(vaddr, len(data))

    def _wait(self, size: int, vaddr: int = 0) -> Steps:
        """Be interrupted if it is time; returns how many of the bytes can be accessed then, in whole words."""
        if not self._left:
            self._left = self.chance.randint(1, self.every)
            self.account.interruptions += 1
            yield ops.COMPUTE, self.chance.randint(1, self.longest)
        count = min(size, self._left * WORD_BYTES - vaddr % WORD_BYTES)
        words = -(-(vaddr % WORD_BYTES + count) // WORD_BYTES)
        self.account.words += words
        self._left -= words
        return count

    # Counting

    def _note(self, event: Event) -> None:
        """Once for each request."""
        if event not in self._noted:
            self._noted.add(event)
            self.account.requests[event] += 1

    def _saw(self, vaddr: int, data: bytes) -> None:
        self._note(Event.READ)
        for place, byte in enumerate(data, vaddr):
            former = self._seen.get(place)
            if former is not None:
                self._note(Event.AGAIN)
            if former not in (None, byte):
                self._note(Event.CHANGED)
            self._seen[place] = byte

    def _forget(self, vaddr: int, size: int) -> None:
        for place in range(vaddr, vaddr + size):
            self._seen.pop(place, None)


class Interrupted:
    """A program that is interrupted. Whoever gives it up gives up the program itself."""

    def __init__(self, inner: Resumable, steps: Steps) -> None:
        self.inner = inner
        self.send = steps.send
        self.throw = steps.throw

    def close(self) -> None:
        """Give up."""
        self.inner.close()


def interrupt(
    system: DescribedSystem,
    pd: str,
    regions: Collection[str],
    seed: int,
    *,
    every: int = EVERY,
    longest: int = LONGEST,
    ends: frozenset[int] = RECEIVES,
) -> Account:
    """Let a domain be interrupted, in all its lives, in what it does to memory regions that it maps.

    To be called before the system runs. Raises ValueError if it maps none of them, or its program is machine code,
    which can be interrupted anyway.
    """
    maps = [each for domain in system.system.protection_domains if domain.name == pd for each in domain.maps]
    places = [range(m.vaddr, m.vaddr + system.system.region(m.region).size) for m in maps if m.region in regions]
    programs = [program for program in system.programs[pd] if isinstance(program, PythonProgram)]
    if not places or len(programs) < len(system.programs[pd]):
        raise ValueError(f"{pd} maps none of {', '.join(sorted(regions))}, or is machine code")
    account, chance = Account(), Random(f"{seed} {pd}")

    def look(vaddr: int, size: int) -> bytes:
        thread, found = system.threads.get(pd), b""
        while thread is not None and size > len(found):
            place = vaddr + len(found)
            room = min(size - len(found), PAGE_SIZE - place % PAGE_SIZE)
            found += read_mapped(system.machine, thread, place, room) or bytes(room)
        return found

    def around(program: Program) -> Program:
        def begin(start: Start) -> Resumable:
            return Interrupter(places, look, chance, account, every, longest, ends).run(program(start))

        begin.__qualname__ = name_of(program)
        return begin

    cpu = system.cpu.coroutines.cpu if isinstance(system.cpu, MixedGlue) else system.cpu.cpu
    for program in programs:
        cpu.programs.wrap(program.number, around)
    return account
