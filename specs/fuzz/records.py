"""The operations that a record can mean, one class for each form of step: bytes to a step, and a step to bytes.

Writing fills in the operands by looking them up in the tables; what only says how the parts go together (``FORM``) is
then found by trying. So whatever is written reads as the step that it was written for.
"""

from collections.abc import Callable, Sequence
from operator import getitem
from typing import Protocol

from capkernel.abi import syscalls as sc
from capkernel.abi.labels import InvocationSpec
from specs.fuzz import operands
from specs.fuzz.operands import CARRIED, CHANNELS, DESTINATIONS, LITERALS, REPLY_OBJECTS, Table
from specs.generate import ACCESSES, IO_ADDRESSES, LINES, OFFSETS, PAGES, TICKS
from specs.programs.layout import TEST_BITS
from specs.programs.model import Access, Compute, Dma, Interrupt, Step, Syscall

RECORD = 16
"""Bytes."""
OPERATION, CAP, WORDS, CAPS, RECEIVE, FORM, THREAD = 0, 1, 2, 10, 13, 14, 15
"""Where what stands in a record."""
_REPLY, _DEST = WORDS + 6, WORDS + 7
"""Of a message the last two words are the reply object and the other destination."""
_MOST_WORDS, _MESSAGE_WORDS, _MOST_CAPS = 8, 6, 3
_THREADS = 248
"""From here on the last byte of a record says which thread is to take the step: -1, 0, 1, …"""
_HAS_PATH = 128
"""From here on the receive byte says into which slot a cap is received."""
_NO_PATH = 0, 0, 0

Path = tuple[int, int, int]
Fields = tuple[
    int, int, int, tuple[int, ...], tuple[int, ...], int | None, int | None, int, int, Path, int | None
]  # fmt: skip
"""The fields of a ``Syscall``, in its order: what is read of one, as making the record itself takes longer."""
Own = Sequence[int]
"""The program's own words."""


class InexpressibleError(ValueError):
    """There are no bytes for this program."""


class Pen:
    """Writes operands; words that a table lacks become the program's own, as long as there is room for them."""

    def __init__(self, own: Sequence[int] = ()) -> None:
        self.own = list(own)

    def copy(self) -> "Pen":
        """Another that has written the same."""
        return Pen(self.own)

    def byte(self, table: Table, word: int) -> int:
        """The first byte that means a word. Raises InexpressibleError."""
        if word in table and word >= 0:
            return table.index(word)
        if word not in self.own:
            if len(self.own) == LITERALS or not 0 <= word < 1 << 64:
                raise InexpressibleError(f"no room for the word {word:#x}")
            self.own.append(word)
        return table.index(self.own.index(word) - LITERALS)

    def words(self) -> list[int]:
        """All of the program's own words."""
        return self.own + [0] * (LITERALS - len(self.own))


class Operation(Protocol):
    """What a record's first byte means."""

    name: str

    def read(self, record: bytes, own: Own) -> Fields | Step:
        """The step that a record means; of a system call its fields."""

    def write(self, step: Step, pen: Pen) -> bytearray | None:
        """A record with the step's operands; None if the step is none of this kind. Raises InexpressibleError."""


def _thread(record: bytes) -> int | None:
    byte = record[THREAD]
    return None if byte < _THREADS else byte - _THREADS - 1


def _thread_byte(thread: int | None) -> int:
    if thread is None:
        return 0
    if not -1 <= thread < 255 - _THREADS:
        raise InexpressibleError(f"thread {thread}")
    return thread + 1 + _THREADS


def _blank(step: Step) -> bytearray:
    record = bytearray(RECORD)
    record[THREAD] = _thread_byte(getattr(step, "thread", None))
    return record


def _put(record: bytearray, start: int, tables: Sequence[Table], words: Sequence[int], pen: Pen) -> None:
    for offset, (table, word) in enumerate(zip(tables, words, strict=True)):
        record[start + offset] = pen.byte(table, word)


class Invocation:
    """An invocation of the table, by Call or by another system call, its message whole or cut."""

    _NUMBERS = (sc.CALL,) * 12 + (sc.SEND, sc.NBSEND, sc.REPLY_RECV, sc.NBSEND_RECV)
    """By the low four bits of the form."""
    _SHORT = 12
    _FEW = 13
    _EMPTY = 14
    _LONG = 15
    """The high four bits: the message info says a word less, a cap less, nothing, 127 words; below: what is there."""

    def __init__(self, spec: InvocationSpec) -> None:
        self.name = spec.name
        self.label = spec.label
        self.cap = operands.invoked(spec.cap_type)
        self.words = tuple(operands.word_table(name) for name in spec.words)
        self.caps = tuple(operands.extra(name) for name in spec.caps)
        self.read = self._reader()

    def _reader(self) -> Callable[[bytes, Own], Fields | Step]:
        """A function, not a method, as it is asked for each step: ``map`` ends with the tables."""
        label, cap_table, word_tables, cap_tables, unusual = self.label, self.cap, self.words, self.caps, self._unusual

        def read(record: bytes, own: Own) -> Fields | Step:
            cap = cap_table[record[CAP]]
            words = tuple(map(getitem, word_tables, record[WORDS:CAPS]))
            caps = tuple(map(getitem, cap_tables, record[CAPS:RECEIVE])) if cap_tables else ()
            if max(record) >= operands.OWN_WORDS:
                cap, words, caps = _meant(cap, own), _all_meant(words, own), _all_meant(caps, own)
            form, thread = record[FORM], record[THREAD]
            if form & 15 < 12 and form < 192 and thread < _THREADS:
                return sc.CALL, cap, label, words, caps, None, None, 0, 0, _NO_PATH, None
            return unusual(record, cap, words, caps, own)

        return read

    def _unusual(
        self, record: bytes, cap: int, words: tuple[int, ...], caps: tuple[int, ...], own: Own
    ) -> Fields:  # fmt: skip
        number, how = self._NUMBERS[record[FORM] & 15], record[FORM] >> 4
        length = {self._SHORT: max(len(words) - 1, 0), self._EMPTY: 0, self._LONG: 127}.get(how)
        ncaps = max(len(caps) - 1, 0) if how == self._FEW else None
        reply = dest = 0
        if number in (sc.REPLY_RECV, sc.NBSEND_RECV):
            # The first half invokes, the second receives.
            reply = dest = cap
            cap = _meant(CHANNELS[record[RECEIVE]], own)
        return number, cap, self.label, words, caps, length, ncaps, reply, dest, _NO_PATH, _thread(record)

    def write(self, step: Step, pen: Pen) -> bytearray | None:
        """Only system calls with this label, and with as many words and caps."""
        if not isinstance(step, Syscall) or step.label != self.label:
            return None
        if (len(step.words), len(step.caps)) != (len(self.words), len(self.caps)):
            return None
        record = _blank(step)
        combined = step.number in (sc.REPLY_RECV, sc.NBSEND_RECV)
        record[CAP] = pen.byte(self.cap, step.reply if combined else step.cap)
        record[RECEIVE] = pen.byte(CHANNELS, step.cap) if combined else 0
        _put(record, WORDS, self.words, step.words, pen)
        _put(record, CAPS, self.caps, step.caps, pen)
        return record


def _meant(word: int, own: Own) -> int:
    return word if word >= 0 else own[word]


def _all_meant(words: tuple[int, ...], own: Own) -> tuple[int, ...]:
    return tuple([word if word >= 0 else own[word] for word in words])


class Message:
    """A system call on an endpoint, a notification or a reply object, of up to six words and three caps.

    Form: the number of words (7: six, said to be 127), of caps, and the label.
    """

    _LONG = 7

    def __init__(self, number: int) -> None:
        self.name = sc.NAMES[number]
        self.number = number
        self._sends = number not in (sc.RECV, sc.NBRECV, sc.WAIT, sc.NBWAIT)
        self._cap = operands.ANSWERED if number in (sc.SEND, sc.NBSEND, sc.CALL) else CHANNELS
        self._word = operands.word_table("")

    def read(self, record: bytes, own: Own) -> Fields | Step:
        """By the tables."""
        cap, receive = _meant(self._cap[record[CAP]], own), record[RECEIVE]
        reply, dest = _meant(REPLY_OBJECTS[record[_REPLY]], own), _meant(DESTINATIONS[record[_DEST]], own)
        path = (1, receive & 63, TEST_BITS) if receive >= _HAS_PATH else _NO_PATH
        if not self._sends:
            return self.number, cap, 0, (), (), None, None, reply, dest, path, _thread(record)
        form = record[FORM]
        count = min(form & 7, _MESSAGE_WORDS)
        words = _all_meant(tuple([self._word[byte] for byte in record[WORDS : WORDS + count]]), own)
        caps = _all_meant(tuple([CARRIED[byte] for byte in record[CAPS : CAPS + (form >> 3 & 3)]]), own)
        length = 127 if form & 7 == self._LONG else None
        return self.number, cap, form >> 5, words, caps, length, None, reply, dest, path, _thread(record)

    def write(self, step: Step, pen: Pen) -> bytearray | None:
        """Only calls of this number, with what fits."""
        if not isinstance(step, Syscall) or step.number != self.number:
            return None
        if len(step.words) > _MESSAGE_WORDS or len(step.caps) > _MOST_CAPS:
            raise InexpressibleError(f"{len(step.words)} words and {len(step.caps)} caps")
        record = _blank(step)
        record[CAP] = pen.byte(self._cap, step.cap)
        record[_REPLY], record[_DEST] = pen.byte(REPLY_OBJECTS, step.reply), pen.byte(DESTINATIONS, step.dest)
        record[RECEIVE] = 0 if step.receive == _NO_PATH else _HAS_PATH | step.receive[1] & 63
        _put(record, WORDS, [self._word] * len(step.words), step.words, pen)
        _put(record, CAPS, [CARRIED] * len(step.caps), step.caps, pen)
        return record


class Plain:
    """A system call that carries nothing but the cap address in a0."""

    def __init__(self, number: int) -> None:
        self.name = sc.NAMES.get(number, "unknown system call")
        self.number = number
        self._cap = operands.cap_table(tuple(range(64)))

    def read(self, record: bytes, own: Own) -> Fields | Step:
        """By the tables."""
        return self.number, _meant(self._cap[record[CAP]], own), 0, (), (), None, None, 0, 0, _NO_PATH, _thread(record)

    def write(self, step: Step, pen: Pen) -> bytearray | None:
        """Only calls of this number."""
        if not isinstance(step, Syscall) or step.number != self.number:
            return None
        record = _blank(step)
        record[CAP] = pen.byte(self._cap, step.cap)
        return record


class MemoryAccess:
    """A load, a store, a jump, or an instruction that traps; page, offset and value are the first three words.

    A page that is one of the program's own words is the whole address.
    """

    def __init__(self, op: str) -> None:
        self.name = op
        self._pages = operands.table(PAGES)
        self._values = operands.word_table("")

    def read(self, record: bytes, own: Own) -> Fields | Step:
        """By the tables."""
        page, value = self._pages[record[WORDS]], _meant(self._values[record[WORDS + 2]], own)
        address = own[page] if page < 0 else page + OFFSETS[record[WORDS + 1] % len(OFFSETS)]
        return Access(self.name, address, value, _thread(record))

    def write(self, step: Step, pen: Pen) -> bytearray | None:
        """Only accesses of this instruction."""
        if not isinstance(step, Access) or step.op != self.name:
            return None
        record = _blank(step)
        offsets = [offset for offset in OFFSETS if step.address - offset in self._pages]
        offset = offsets[0] if offsets else 0
        record[WORDS], record[WORDS + 1] = pen.byte(self._pages, step.address - offset), OFFSETS.index(offset)
        record[WORDS + 2] = pen.byte(self._values, step.value)
        return record


class Computing:
    """Computing for a while; how long is the first word."""

    name = "compute"

    def __init__(self) -> None:
        self._ticks = operands.table(TICKS)

    def read(self, record: bytes, own: Own) -> Fields | Step:
        """By the table; what takes a thread years is cut."""
        return Compute(_meant(self._ticks[record[WORDS]], own) & 0xFFFFFF, _thread(record))

    def write(self, step: Step, pen: Pen) -> bytearray | None:
        """Only computing."""
        if not isinstance(step, Compute):
            return None
        record = _blank(step)
        record[WORDS] = pen.byte(self._ticks, step.ticks)
        return record


class Device:
    """A device's doing: an interrupt line, the first word; or memory access, address and direction the first two."""

    name = "device"

    def __init__(self) -> None:
        self._lines, self._addresses = operands.table(LINES), operands.table(IO_ADDRESSES)

    def read(self, record: bytes, own: Own) -> Fields | Step:
        """By the tables; the form says which of them."""
        if record[FORM] & 1:
            return Dma(_meant(self._addresses[record[WORDS]], own), bool(record[WORDS + 1] & 1))
        line = _meant(self._lines[record[WORDS]], own)
        return Interrupt(line if line in LINES else LINES[0])

    def write(self, step: Step, pen: Pen) -> bytearray | None:
        """Only these two."""
        record = bytearray(RECORD)
        if isinstance(step, Interrupt):
            record[WORDS] = pen.byte(self._lines, step.irq)
        elif isinstance(step, Dma):
            record[WORDS], record[WORDS + 1] = pen.byte(self._addresses, step.iova), int(step.write)
        else:
            return None
        return record


INSTRUCTIONS = tuple(dict.fromkeys(ACCESSES))
