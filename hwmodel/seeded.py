"""Numbers and bytes that look random and are a function of a seed and a place: nothing to save, nothing to replay."""

import hashlib


def seeded_bytes(size: int, *labels: int | str) -> bytes:
    """Return `size` bytes that depend only on the labels (SHAKE-128)."""
    return hashlib.shake_128("/".join(map(str, labels)).encode()).digest(size)


def draw(limit: int, *labels: int | str) -> int:
    """Return a number in `range(limit)` that depends only on the labels."""
    return int.from_bytes(seeded_bytes(16, *labels), "little") % limit


def flip_bit(data: bytes, *labels: int | str) -> bytes:
    """Return `data`, which is not empty, with one bit changed; the labels say which."""
    place = draw(8 * len(data), *labels)
    changed = bytearray(data)
    changed[place >> 3] ^= 1 << (place & 7)
    return bytes(changed)
