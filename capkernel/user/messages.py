"""Typed messages: values of attrs classes, sent in registers, in the IPC buffer, or in a frame that both sides map.

cattrs takes a value apart and puts it together again, with all validators of its class; ``codec`` turns the parts
into words. A value of up to 120 words is the message itself. A longer one is written to the shared region, and the
message says only where: its label has ``SPILLED`` set, its two words are offset and number of bytes.
"""

import struct
from typing import Any, Final, TypeVar

import attrs
import cattrs

from capkernel.abi.message import LABEL_BITS, MSG_MAX_LENGTH
from capkernel.user.codec import MessageError, Reader, Word, codec_of
from capkernel.user.operations import read, write
from capkernel.user.syscalls import Message

SPILLED: Final = 1 << LABEL_BITS - 1
"""Bit of a label: the value lies in the shared region."""
T = TypeVar("T")


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(unstruct_strat=cattrs.UnstructureStrategy.AS_TUPLE)
    converter.register_structure_hook(Word, lambda value, _: value)
    return converter


_CONVERTER: Final = _converter()


def to_words(value: Any) -> list[int]:
    """The words of a value of an attrs class. Raises MessageError, with the path to what cannot travel."""
    kind = type(value)
    out: list[int] = []
    codec_of(kind)[0](_CONVERTER.unstructure(value, unstructure_as=kind), out, kind.__name__)
    return out


def from_words(kind: type[T], words: "list[int] | tuple[int, ...]") -> T:
    """The value of an attrs class in these words, all of them. Raises MessageError."""
    reader = Reader(words)
    parts = codec_of(kind)[1](reader, kind.__name__)
    if reader.position != len(words):
        raise MessageError(f"{kind.__name__}: {len(words) - reader.position} words are left over")
    try:
        return _CONVERTER.structure(parts, kind)
    except Exception as error:
        problems = cattrs.transform_error(error, path=kind.__name__, format_exception=_format)
        raise MessageError("; ".join(problems)) from None


def _format(error: BaseException, kind: type | None) -> str:
    return str(error) or type(error).__name__


@attrs.frozen
class SharedRegion:
    """Memory that both sides map, ``size`` bytes at ``vaddr`` in ours; used by one message at a time."""

    vaddr: int
    size: int


async def pack(value: Any, label: int = 0, region: SharedRegion | None = None) -> Message:
    """A message with a value; a long one is put into the region first. Raises MessageError."""
    words = to_words(value)
    if len(words) <= MSG_MAX_LENGTH:
        return Message(_checked(label), words)
    size, name = 8 * len(words), type(value).__name__
    if region is None:
        raise MessageError(f"{name}: {len(words)} words, but a message has {MSG_MAX_LENGTH} and no region is shared")
    if size > region.size:
        raise MessageError(f"{name}: {size} bytes are more than the {region.size} of the shared region")
    await write(region.vaddr, struct.pack(f"<{len(words)}Q", *words))
    return Message(_checked(label) | SPILLED, (0, size))


async def unpack(kind: type[T], message: Message, region: SharedRegion | None = None) -> T:
    """The value in a message. Raises MessageError; whatever the other side sent, nothing else.

    A value in shared memory is copied once and then looked at, so the other side cannot change it under our eyes. The
    copy takes the place of what the message said of it: whoever looks into the message again sees the same.
    """
    if not message.label & SPILLED:
        return from_words(kind, tuple(message.words))
    if region is None:
        raise MessageError(f"{kind.__name__}: the message says it lies in a shared region, and none is shared")
    if len(message.words) != 2:
        raise MessageError(f"{kind.__name__}: two words say where in the region it lies, not {len(message.words)}")
    offset, size = message.words
    if size % 8 or offset > region.size or size > region.size - offset:
        raise MessageError(f"{kind.__name__}: {size} bytes at {offset} do not lie in the region of {region.size} bytes")
    data = await read(region.vaddr + offset, size)
    message.label, message.words = label_of(message), struct.unpack(f"<{size // 8}Q", data)
    return from_words(kind, message.words)


def label_of(message: Message) -> int:
    """A message's label without the mark that its value was spilled."""
    return message.label & ~SPILLED


def _checked(label: int) -> int:
    if not 0 <= label < SPILLED:
        raise MessageError(f"a typed message's label is below 2**{LABEL_BITS - 1}, not {label:#x}")
    return label
