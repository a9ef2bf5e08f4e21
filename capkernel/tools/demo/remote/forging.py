"""What an attacker makes of tokens: forgeries, and pieces of genuine ones put together. No secret of others is used.

A token is a protocol buffer (field 2: the first block, 3: the further ones, 4: the proof), and so is each block in it.
"""

import importlib
import re
from base64 import urlsafe_b64encode
from typing import Any, Final

_biscuit: Any = importlib.import_module("biscuit_auth")
_HOLDER: Final = re.compile(r"holder\(hex:[0-9a-f]+\)")
_BLOCK: Final = 3


def forged(data: bytes, holder: bytes, secret: bytes) -> bytes:
    """A token that says what another says, but for another holder, signed with a key of the attacker's own."""
    seen = _biscuit.UnverifiedBiscuit.from_base64(urlsafe_b64encode(data).decode())
    source = _HOLDER.sub(f"holder(hex:{holder.hex()})", seen.block_source(0))
    key = _biscuit.PrivateKey.from_bytes(secret, _biscuit.Algorithm.Ed25519)
    return bytes(_biscuit.BiscuitBuilder(source).build(key).to_bytes())


def stripped(data: bytes) -> bytes:
    """A token without its last block, and with it without what that forbids; the proof is that of the whole."""
    fields = _fields(data)
    last = max(place for place, (number, _) in enumerate(fields) if number == _BLOCK)
    return b"".join(piece for place, (_, piece) in enumerate(fields) if place != last)


def grafted(data: bytes, other: bytes) -> bytes:
    """A token with the last block of another one on top."""
    block = [piece for number, piece in _fields(other) if number == _BLOCK][-1]
    fields = _fields(data)
    proof = fields.pop()[1]
    return b"".join(piece for _, piece in fields) + block + proof


def _fields(data: bytes) -> list[tuple[int, bytes]]:
    """The fields of a protocol buffer: the number of each, and all its bytes."""
    found, at = [], 0
    while at < len(data):
        start = at
        key, at = _varint(data, at)
        if key & 7 == 2:
            size, at = _varint(data, at)
            at += size
        else:
            _, at = _varint(data, at)
        found.append((key >> 3, data[start:at]))
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if not data[at - 1] & 0x80:
            return value, at
