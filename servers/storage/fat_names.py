"""Names in a FAT directory: an entry of 32 bytes with a short name, and before it those with pieces of the long one.

A short name has eight characters and three, in capitals; other programs of old see no other. The pieces of a long name
hold 13 UTF-16 units each, the last piece first, and a checksum of the short name to which they belong.
"""

import struct
from collections.abc import Container
from typing import Final

from attrs import evolve, frozen

from capkernel.protocols.failures import Failure, Malformed
from capkernel.protocols.files import Kind, checked_name
from servers.storage.fat_layout import SLOT

_ENTRY: Final = struct.Struct("<11sBBBHHHHHHHI")
_PIECE: Final = struct.Struct("<B10sBBB12sH4s")
READ_ONLY, _VOLUME, DIRECTORY, _ARCHIVE = 0x01, 0x08, 0x10, 0x20
_LONG: Final = 0x0F
END, DELETED, _ESCAPED = 0x00, 0xE5, 0x05
_LAST_PIECE: Final = 0x40
_UNITS: Final = 13
_LOWER_BASE, _LOWER_EXTENSION = 0x08, 0x10
_DATE: Final = 0x0021
"""1 January 1980: a file server has no clock."""
_SHORT: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789$%'-_@~`!(){}^#&")
_NEVER: Final = frozenset('"*:<>?\\|') | {chr(code) for code in range(32)} | {"\x7f"}
MAX_MOVES: Final = 200
"""Moves are counted from 0 up to this, in the field for hundredths of the second of a file's creation."""


@frozen
class Entry:
    """An entry: its short name as it lies on the disk, what it leads to, how often that was moved."""

    short: bytes
    attributes: int
    first: int
    size: int
    moves: int = 0

    @property
    def kind(self) -> Kind:
        """What it leads to."""
        return Kind.DIRECTORY if self.attributes & DIRECTORY else Kind.FILE

    def pack(self) -> bytes:
        """Its 32 bytes."""
        return _ENTRY.pack(
            self.short, self.attributes, 0, self.moves % MAX_MOVES, 0, _DATE, _DATE, self.first >> 16, 0, _DATE,
            self.first & 0xFFFF, self.size,
        )  # fmt: skip


@frozen
class Named:
    """An entry with its name; its pieces and itself are in the slots from ``start`` to ``end`` (the one behind it)."""

    name: str
    entry: Entry
    start: int
    end: int


def patched(raw: bytes, first: int, size: int, moves: int) -> bytes:
    """An entry as it lies on the disk, that leads to something else; its name and its dates stay."""
    high, low = struct.pack("<H", first >> 16), struct.pack("<HI", first & 0xFFFF, size)
    return raw[:13] + bytes((moves % MAX_MOVES,)) + raw[14:20] + high + raw[22:26] + low


def new_entry(kind: Kind, first: int, size: int) -> Entry:
    """An entry without a name yet."""
    return Entry(bytes(11), DIRECTORY if kind is Kind.DIRECTORY else _ARCHIVE, first, size)


def dots(own: int, parent: int) -> bytes:
    """The first two entries of a directory: itself and what it lies in (0 if that is the root)."""
    return b"".join(Entry(name.ljust(11), DIRECTORY, first, 0).pack() for name, first in ((b".", own), (b"..", parent)))


def read_directory(data: bytes, bits: int) -> list[Named]:
    """The named entries of a directory. Pieces that belong to nothing are passed over."""
    found: list[Named] = []
    pieces: list[tuple[int, int, bytes]] = []
    for slot in range(len(data) // SLOT):
        raw = data[slot * SLOT : slot * SLOT + SLOT]
        if raw[0] == END:
            break
        if raw[0] != DELETED and raw[11] & 0x3F == _LONG:
            pieces = [*pieces, _piece(raw)] if pieces and not raw[0] & _LAST_PIECE else [_piece(raw)]
            continue
        if raw[0] != DELETED and not raw[11] & _VOLUME and raw[0] != ord("."):
            long = _long_name(pieces, checksum(raw[:11]))
            name = _speakable(long) if long is not None else None
            start = slot - (len(pieces) if long is not None else 0)
            found.append(Named(name or _short_name(raw), _read_entry(raw, bits), start, slot + 1))
        pieces = []
    return found


def _read_entry(raw: bytes, bits: int) -> Entry:
    short, attributes, _, moves, _, _, _, high, _, _, low, size = _ENTRY.unpack(raw)
    first = high << 16 | low if bits == 32 else low
    return Entry(short, attributes, first, size, moves)


def _piece(raw: bytes) -> tuple[int, int, bytes]:
    order, one, _, _, check, two, _, three = _PIECE.unpack(raw)
    return order, check, one + two + three


def _long_name(pieces: list[tuple[int, int, bytes]], check: int) -> str | None:
    """The name that all the pieces make, if they belong together and to the short name."""
    orders = [order for order, _, _ in pieces]
    if not pieces or orders != [_LAST_PIECE | len(pieces), *range(len(pieces) - 1, 0, -1)]:
        return None
    if any(each != check for _, each, _ in pieces):
        return None
    text = b"".join(units for _, _, units in reversed(pieces)).decode("utf-16-le", "replace")
    return text.split("\0", 1)[0]


def _speakable(name: str) -> str | None:
    """The name, if a client could say it."""
    try:
        return checked_name(name)
    except (Failure, UnicodeEncodeError):
        return None


def _short_name(raw: bytes) -> str:
    """The name of an entry without a long one; what cannot be in a name is "_"."""
    text = (bytes((DELETED,)) + raw[1:11] if raw[0] == _ESCAPED else raw[:11]).decode("cp437")
    base, extension = text[:8].rstrip(), text[8:].rstrip()
    base = base.lower() if raw[12] & _LOWER_BASE else base
    extension = extension.lower() if raw[12] & _LOWER_EXTENSION else extension
    name = f"{base}.{extension}" if extension else base
    return _speakable(name) or "".join("_" if each in "/\0" else each for each in name) or "_"


def checksum(short: bytes) -> int:
    """Of a short name, for the pieces of its long name."""
    total = 0
    for byte in short:
        total = ((total & 1) << 7) + (total >> 1) + byte & 0xFF
    return total


def is_same(one: str, other: str) -> bool:
    """Whether two names differ in nothing but capitals: a directory cannot have both."""
    return one.casefold() == other.casefold()


def slots_of(name: str, entry: Entry, taken: Container[bytes]) -> tuple[Entry, list[bytes]]:
    """The entry with a short name that is not ``taken``, and the slots for it and its long name.

    Raises Malformed for a name that FAT cannot have: with one of ``"*:<>?\\|`` or a control character, or with a space
    or a dot at its end.
    """
    if set(name) & _NEVER or name[-1:] in (" ", "."):
        raise Malformed(f"{name!r} is no name for FAT: it has a character that FAT has not, or ends with ' ' or '.'")
    plain = _plain(name)
    if plain is not None and plain not in taken:
        entry = evolve(entry, short=plain)
        return entry, [entry.pack()]
    entry = evolve(entry, short=_alias(name, taken))
    return entry, [*_pieces(name, checksum(entry.short)), entry.pack()]


def _plain(name: str) -> bytes | None:
    """The name as a short one, if it is one."""
    base, _, extension = name.partition(".")
    if not 0 < len(base) <= 8 or len(extension) > 3 or name.endswith(".") or not set(base + extension) <= _SHORT:
        return None
    return f"{base:8}{extension:3}".encode()


def _alias(name: str, taken: Container[bytes]) -> bytes:
    """A short name for a long one, as BASE~1.EXT."""
    stem, dot, suffix = name.rpartition(".")
    base, extension = (stem, suffix) if dot and stem.strip(".") else (name, "")
    base, extension = ("".join(each for each in text.upper() if each in _SHORT) for text in (base, extension))
    number = 1
    while True:
        tail = f"~{number}"
        short = f"{(base or 'FILE')[: 8 - len(tail)] + tail:8}{extension[:3]:3}".encode()
        if short not in taken:
            return short
        number += 1


def _pieces(name: str, check: int) -> list[bytes]:
    units = name.encode("utf-16-le")
    count = -(-len(units) // (2 * _UNITS))
    if len(units) < count * 2 * _UNITS:
        units = (units + b"\0\0").ljust(count * 2 * _UNITS, b"\xff")
    pieces = []
    for number in range(count, 0, -1):
        part = units[(number - 1) * 2 * _UNITS : number * 2 * _UNITS]
        order = number | (_LAST_PIECE if number == count else 0)
        pieces.append(_PIECE.pack(order, part[:10], _LONG, 0, check, part[10:22], 0, part[22:]))
    return pieces
