"""From bytes to a program and back: the one format that all fuzzers and the corpus share.

A program is a header and records of fixed width, one for each step. So a changed byte changes one operand of one step,
a record that is cut out or put in leaves all others as they were, and every byte string is some program.

    header    layout · 7 bytes that mean nothing · 3 words of the program's own (little endian)
    record    operation · invoked cap · 8 words · 3 extra caps · receive · form · thread

What is missing at the end counts as zero. ``encode`` is the inverse, for programs that have such bytes: it raises
``InexpressibleError`` for others.
"""

import struct
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from typing import overload

from capkernel.abi import syscalls as sc
from capkernel.abi.labels import BY_LABEL
from specs.fuzz.operands import LITERALS
from specs.fuzz.records import (
    FORM,
    INSTRUCTIONS,
    OPERATION,
    RECORD,
    Computing,
    Device,
    Fields,
    InexpressibleError,
    Invocation,
    MemoryAccess,
    Message,
    Operation,
    Own,
    Pen,
    Plain,
)
from specs.generate import ACCESSES, ALL_WITH_IO, LAYOUTS, OTHER_NUMBERS
from specs.programs.model import Layout, Program, Step, Syscall

HEADER = 32
"""Bytes."""
_HEADER = struct.Struct(f"<B7x{LITERALS}Q")
_RECEIVES = (sc.RECV, sc.NBRECV, sc.WAIT, sc.NBWAIT)
_MESSAGES = (sc.CALL, sc.SEND, sc.NBSEND, sc.REPLY_RECV, sc.NBSEND_RECV, sc.NBSEND_WAIT, *_RECEIVES)


def _operations() -> tuple[Operation, ...]:
    """What each first byte of a record means: those that ``generate`` makes up often have several."""
    invocations = {label: Invocation(spec) for label, spec in sorted(BY_LABEL.items())}
    others: list[Operation] = [Message(number) for number in _MESSAGES for _ in range(6)]
    others += [Plain(number) for number in OTHER_NUMBERS]
    accesses = {op: MemoryAccess(op) for op in INSTRUCTIONS}
    others += [accesses[op] for op in ACCESSES]
    others += [Computing()] * 6 + [Device()] * 10
    often = sorted(spec.label for spec in ALL_WITH_IO)
    left = 256 - len(others)
    return (*(invocations[often[n * len(often) // left]] for n in range(left)), *others)


OPERATIONS = _operations()
_READERS = tuple(operation.read for operation in OPERATIONS)


def layout_of(data: bytes) -> Layout:
    """In which world a byte string begins."""
    return LAYOUTS[data[0] % len(LAYOUTS) if data else 0]


class Steps(Sequence[Step]):
    """The steps of a byte string, read when they are asked for."""

    def __init__(self, data: bytes) -> None:
        header = _HEADER.unpack(data[:HEADER].ljust(HEADER, b"\0"))
        self.layout = layout_of(data)
        self.own: Own = header[1:]
        self._data = data
        self._count = -(-(len(data) - HEADER) // RECORD) if len(data) > HEADER else 0

    def __len__(self) -> int:
        return self._count

    def fields(self, number: int) -> Fields | Step:
        """A step, or a system call's fields."""
        start = HEADER + RECORD * number
        record = self._data[start : start + RECORD]
        if len(record) < RECORD:
            record = record.ljust(RECORD, b"\0")
        return _READERS[record[OPERATION]](record, self.own)

    def operation(self, number: int) -> Operation:
        """What a record's first byte means."""
        return OPERATIONS[self._data[HEADER + RECORD * number]]

    @overload
    def __getitem__(self, number: int) -> Step: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Step]: ...
    def __getitem__(self, number: int | slice) -> Step | Sequence[Step]:
        """A step, or some of them."""
        if isinstance(number, slice):
            return [self[index] for index in range(*number.indices(len(self)))]
        if not -len(self) <= number < len(self):
            raise IndexError(number)
        found = self.fields(number % len(self))
        return Syscall(*found) if isinstance(found, tuple) else found


def decode(data: bytes) -> Program:
    """The program that a byte string stands for."""
    steps = Steps(data)
    return Program(steps.layout, tuple(steps))


def encode(program: Program) -> bytes:
    """Bytes that stand for a program. Raises InexpressibleError."""
    if program.layout not in LAYOUTS:
        raise InexpressibleError("a layout that is none of those that programs begin in")
    pen = Pen()
    records = [_write(step, pen) for step in program.steps]
    # A word's byte depends only on where it stands among the program's own, so that later ones change nothing.
    return _HEADER.pack(LAYOUTS.index(program.layout), *pen.words()) + b"".join(records)


def _write(step: Step, pen: Pen) -> bytes:
    """The record that takes the fewest of the program's own words, and adds those to the pen's."""
    found: list[tuple[int, bytes, Pen]] = []
    for number in _first_bytes():
        trial = pen.copy()
        with suppress(InexpressibleError):
            record = _read_as(number, step, trial)
            if record is not None:
                found.append((len(trial.own), record, trial))
    if not found:
        raise InexpressibleError(f"no record stands for {step!r}, or there is no room for its words")
    _, best, trial = min(found, key=lambda item: item[0])
    pen.own = trial.own
    return best


def _read_as(number: int, step: Step, pen: Pen) -> bytes | None:
    operation = OPERATIONS[number]
    record = operation.write(step, pen)
    if record is None:
        return None
    record[OPERATION] = number
    for form in range(256):
        record[FORM] = form
        found = operation.read(bytes(record), pen.words())
        if step == (Syscall(*found) if isinstance(found, tuple) else found):
            return bytes(record)
    return None


@cache
def _first_bytes() -> tuple[int, ...]:
    """One byte for each operation."""
    return tuple({id(operation): number for number, operation in enumerate(OPERATIONS)}.values())
