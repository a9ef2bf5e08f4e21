"""Requests that nobody should send, made from an interface's definition: the same ones for the same seed."""

import enum
import struct
from collections.abc import Collection, Iterator
from random import Random
from types import NoneType, UnionType
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

import attrs

from capkernel.abi.message import MSG_MAX_LENGTH
from capkernel.abi.words import WORD_MASK
from capkernel.protocols.interface import FIRST_OF_ALL, Interface, Operation, operations_of
from capkernel.user.codec import Word
from capkernel.user.messages import SPILLED, to_words
from capkernel.user.syscalls import Message

NUMBERS: Final = (0, 1, -1, 2, 7, 4096, 1 << 31, 1 << 32, (1 << 63) - 1, -(1 << 63))
TEXTS: Final = ("", ".", "..", "/", "../..", "a/b", "x" * 300, "\0", "\n", "\x1b[2J", "é\ud7ff", "0 0 ERROR kernel")
_NO_UTF8: Final = struct.unpack("<Q", b"\xff\xfe\xc0\x80\xed\xa0\x80\xff")[0]
_PLACES: Final = (0, 8, 4096, 1 << 16, 1 << 40, WORD_MASK - 7)
_OTHER: Final = 0x7FFF
"""No interface has this number."""


def value_of(kind: Any, chance: Random) -> Any:
    """A value of a type that can travel. Raises ValueError for another type."""
    if kind is bool:
        return chance.random() < 0.5
    if kind is int:
        return chance.choice((*NUMBERS, chance.randrange(5000)))
    if kind is Word:
        return chance.choice((0, 1, WORD_MASK, chance.getrandbits(64)))
    if kind is float:
        return chance.choice((0.0, -1.5, float("inf"), float("nan")))
    if kind is str:
        return chance.choice(TEXTS)
    if kind is bytes:
        return chance.randbytes(chance.choice((0, 1, 7, 8, 100)))
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        inner = next(arg for arg in args if arg is not NoneType)
        return None if chance.random() < 0.5 else value_of(inner, chance)
    if origin in (list, tuple):
        return origin(value_of(args[0], chance) for _ in range(chance.choice((0, 1, 3))))
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return chance.choice(list(kind))
    if isinstance(kind, type) and attrs.has(kind):
        hints = get_type_hints(kind)
        return kind(*(value_of(hints[field.name], chance) for field in attrs.fields(kind)))
    raise ValueError(f"{kind} is no type that can travel")


def request_of(operation: Operation, chance: Random) -> Message:
    """A request with arguments that can travel, whatever they mean."""
    values = {parameter.name: value_of(parameter.kind, chance) for parameter in operation.data}
    return Message(operation.label, to_words(operation.request(**values))[:MSG_MAX_LENGTH])


def malformed(interface: type[Interface], chance: Random) -> Iterator[tuple[str, Message]]:
    """Requests that no server of the interface may carry out, and what is wrong with each."""
    operations = operations_of(interface)
    for number in range(FIRST_OF_ALL):
        if number not in operations and (number < 40 or number % 16 == 0):
            yield f"operation {number}", Message(interface.number << 8 | number, (1, 2, 3))
    for label in (0, _OTHER << 8 | 1, interface.number + 1 << 8 | 0xE0, 1 << 40, (1 << 51) - 1):
        yield f"label {label:#x}", Message(label, (0, 0))
    for operation in operations.values():
        yield from _damaged(operation, chance)


def _damaged(operation: Operation, chance: Random) -> Iterator[tuple[str, Message]]:
    name, label = operation.name, operation.label
    words = list(request_of(operation, chance).words)
    for end in {0, len(words) // 2, len(words) - 1}:
        if 0 <= end < len(words):
            yield f"{name}, cut off after {end} words", Message(label, words[:end])
    if len(words) < MSG_MAX_LENGTH:
        yield f"{name}, with a word too many", Message(label, [*words, 0])
    full = [chance.getrandbits(64) | 1 << 63 for _ in range(MSG_MAX_LENGTH)]
    yield f"{name}, of {MSG_MAX_LENGTH} words of noise", Message(label, full)
    for place in _PLACES[1:]:
        yield f"{name}, said to lie at {place:#x}", Message(label | SPILLED, (place, 1 << 20))
    yield f"{name}, said to have a place and no size", Message(label | SPILLED, (0,))
    if any(parameter.kind is str for parameter in operation.data):
        is_first = operation.data[0].kind is str
        yield f"{name}, not in UTF-8", Message(label, [8, _NO_UTF8, *([] if is_first else words)])


def odd(interface: type[Interface], chance: Random, count: int, left_out: Collection[str] = ()) -> Iterator[Message]:
    """Requests that can be read, and that may be carried out or not; none of the operations that are left out."""
    operations = [each for each in operations_of(interface).values() if each.name not in left_out]
    for _ in range(count if operations else 0):
        message = request_of(chance.choice(operations), chance)
        words = list(message.words)
        if words and chance.random() < 0.3:
            words[chance.randrange(len(words))] = chance.choice((WORD_MASK, 1 << 63, chance.getrandbits(64)))
        yield Message(message.label, words)
