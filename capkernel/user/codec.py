"""The wire format of typed messages: exact, one encoding for each value, in whole 64-bit words.

| type            | words                                                                       |
|-----------------|-----------------------------------------------------------------------------|
| ``int``         | one, two's complement: -2**63 to 2**63 - 1                                  |
| ``Word``        | one, unsigned: 0 to 2**64 - 1                                               |
| ``bool``        | one, 0 or 1                                                                 |
| ``float``       | one, IEEE 754 double                                                        |
| ``bytes``       | their number, then the bytes padded with zeros to whole words               |
| ``str``         | as its UTF-8 bytes                                                          |
| an ``Enum``     | as its value, which is of one of the types above                            |
| ``X | None``    | 0, or 1 and then X                                                          |
| ``list[X]``     | their number, then each; ``tuple[X, ...]`` likewise                         |
| an attrs class  | its fields in order                                                         |
"""

import enum
import math
import struct
from collections.abc import Callable, Sequence
from functools import cache
from types import NoneType, UnionType
from typing import Any, NewType, Union, get_args, get_origin, get_type_hints

import attrs

Word = NewType("Word", int)
"""An unsigned word: a badge, an address, a set of bits."""

_INT_MIN, _INT_MAX, _WORD_MAX = -(1 << 63), (1 << 63) - 1, (1 << 64) - 1
_NAN = 0x7FF8 << 48


class MessageError(ValueError):
    """A value does not fit its type, words are no encoding of a type, or a type cannot travel; says where."""


class Reader:
    """Words being decoded."""

    def __init__(self, words: Sequence[int]) -> None:
        self.words = words
        self.position = 0

    def take(self, where: str) -> int:
        """The next word."""
        if self.position >= len(self.words):
            raise MessageError(f"{where}: the message ends after {len(self.words)} words, before this")
        self.position += 1
        return self.words[self.position - 1]

    def take_bytes(self, where: str) -> bytes:
        """A number of bytes, and the bytes."""
        size = self.take(where)
        count = (size + 7) // 8
        if count > len(self.words) - self.position:
            raise MessageError(f"{where}: {size} bytes are announced, but the message has not so many left")
        data = struct.pack(f"<{count}Q", *self.words[self.position : self.position + count])
        self.position += count
        if any(data[size:]):
            raise MessageError(f"{where}: the padding behind {size} bytes is not zero")
        return data[:size]


Encode = Callable[[Any, list[int], str], None]
"""Append the words of a value (already taken apart by cattrs) to a list; the string says where we are."""
Decode = Callable[[Reader, str], Any]
Codec = tuple[Encode, Decode]


def _expect(value: Any, kind: type, where: str) -> None:
    if type(value) is not kind:
        raise MessageError(f"{where}: expected {kind.__name__}, got {type(value).__name__} {value!r}")


def _bounded(low: int, high: int) -> Encode:
    def encode(value: Any, out: list[int], where: str) -> None:
        _expect(value, int, where)
        if not low <= value <= high:
            raise MessageError(f"{where}: {value} does not lie between {low} and {high}")
        out.append(value & _WORD_MAX)

    return encode


def _decode_int(reader: Reader, where: str) -> int:
    word = reader.take(where)
    return word - (1 << 64) if word >> 63 else word


def _encode_bool(value: Any, out: list[int], where: str) -> None:
    _expect(value, bool, where)
    out.append(int(value))


def _decode_bool(reader: Reader, where: str) -> bool:
    word = reader.take(where)
    if word > 1:
        raise MessageError(f"{where}: {word} stands where only 0 or 1 can")
    return bool(word)


def _encode_float(value: Any, out: list[int], where: str) -> None:
    _expect(value, float, where)
    # All numbers that are no numbers are one, so that equal values have equal words.
    out.append(_NAN if math.isnan(value) else struct.unpack("<Q", struct.pack("<d", value))[0])


def _decode_float(reader: Reader, where: str) -> float:
    word = reader.take(where)
    value = float(struct.unpack("<d", struct.pack("<Q", word))[0])
    if math.isnan(value) and word != _NAN:
        raise MessageError(f"{where}: {word:#x} is not the one word for 'not a number'")
    return value


def _encode_bytes(value: Any, out: list[int], where: str) -> None:
    _expect(value, bytes, where)
    count = (len(value) + 7) // 8
    out.append(len(value))
    out.extend(struct.unpack(f"<{count}Q", value.ljust(8 * count, b"\0")))


def _encode_str(value: Any, out: list[int], where: str) -> None:
    _expect(value, str, where)
    try:
        _encode_bytes(value.encode(), out, where)
    except UnicodeEncodeError as error:
        raise MessageError(f"{where}: the text cannot be written as UTF-8: {error.reason}") from None


def _decode_str(reader: Reader, where: str) -> str:
    try:
        return reader.take_bytes(where).decode()
    except UnicodeDecodeError as error:
        raise MessageError(f"{where}: the bytes are not UTF-8: {error.reason}") from None


_PLAIN: dict[Any, Codec] = {
    int: (_bounded(_INT_MIN, _INT_MAX), _decode_int),
    Word: (_bounded(0, _WORD_MAX), lambda reader, where: reader.take(where)),
    bool: (_encode_bool, _decode_bool),
    float: (_encode_float, _decode_float),
    bytes: (_encode_bytes, lambda reader, where: reader.take_bytes(where)),
    str: (_encode_str, _decode_str),
}


def codec_of(kind: Any) -> Codec:
    """How values of a type are written and read. Raises MessageError if they cannot travel."""
    try:
        return _codec_of(kind)
    except RecursionError:
        raise MessageError(f"{kind} contains itself; such values cannot travel in a message") from None
    except TypeError:
        raise MessageError(f"{kind} is no type that can travel in a message; see the table of {__name__}") from None


@cache
def _codec_of(kind: Any) -> Codec:
    plain = _PLAIN.get(kind)
    if plain is not None:
        return plain
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType) and len(args) == 2 and NoneType in args:
        return _optional(args[0] if args[1] is NoneType else args[1])
    if origin is list or (origin is tuple and len(args) == 2 and args[1] is Ellipsis):
        return _sequence(args[0])
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return _enum(kind)
    if isinstance(kind, type) and attrs.has(kind):
        return _record(kind)
    raise MessageError(f"values of type {kind} cannot travel in a message; see the table of {__name__}")


def _optional(item: Any) -> Codec:
    encode_item, decode_item = codec_of(item)

    def encode(value: Any, out: list[int], where: str) -> None:
        out.append(int(value is not None))
        if value is not None:
            encode_item(value, out, where)

    def decode(reader: Reader, where: str) -> Any:
        return decode_item(reader, where) if _decode_bool(reader, where) else None

    return encode, decode


def _sequence(item: Any) -> Codec:
    encode_item, decode_item = codec_of(item)

    def encode(value: Any, out: list[int], where: str) -> None:
        if not isinstance(value, list | tuple):
            raise MessageError(f"{where}: expected a list, got {type(value).__name__} {value!r}")
        out.append(len(value))
        for index, each in enumerate(value):
            encode_item(each, out, f"{where}[{index}]")

    def decode(reader: Reader, where: str) -> list[Any]:
        count = reader.take(where)
        # An item may take no words (a class without fields), but a message could not have meant more than these.
        if count > len(reader.words):
            raise MessageError(f"{where}: {count} items are announced in a message of {len(reader.words)} words")
        return [decode_item(reader, f"{where}[{index}]") for index in range(count)]

    return encode, decode


def _enum(kind: type[enum.Enum]) -> Codec:
    types = {type(member.value) for member in kind}
    if len(types) != 1:
        raise MessageError(f"the values of {kind.__name__} must be of one type to travel")
    encode, decode_value = codec_of(types.pop())

    def decode(reader: Reader, where: str) -> Any:
        value = decode_value(reader, where)
        if value not in [member.value for member in kind]:
            raise MessageError(f"{where}: {value!r} is no {kind.__name__}; there are {[m.value for m in kind]}")
        return value

    return encode, decode


def _hints(kind: type) -> dict[str, Any]:
    """The types of an attrs class's fields. Raises MessageError if one cannot be known or be given by place."""
    for field in attrs.fields(kind):
        if field.kw_only or not field.init:
            how = "keyword-only" if field.kw_only else "not an argument of the class"
            raise MessageError(f"{kind.__name__}.{field.name} is {how}; a message fills fields by their order")
    try:
        return get_type_hints(kind)
    except (NameError, TypeError) as error:
        raise MessageError(f"{kind.__name__}: the type of a field is not known: {error}") from None


def _record(kind: type) -> Codec:
    hints = _hints(kind)
    fields = [(field.name, *codec_of(hints[field.name])) for field in attrs.fields(kind)]

    def encode(value: Any, out: list[int], where: str) -> None:
        if not isinstance(value, tuple) or len(value) != len(fields):
            raise MessageError(f"{where}: expected {kind.__name__}, got {value!r}")
        for (name, encode_field, _), part in zip(fields, value, strict=True):
            encode_field(part, out, f"{where}.{name}")

    def decode(reader: Reader, where: str) -> tuple[Any, ...]:
        return tuple(decode_field(reader, f"{where}.{name}") for name, _, decode_field in fields)

    return encode, decode
