"""Byte strings that are worth keeping: a directory of files, one a string, as libFuzzer has them."""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

from specs.fuzz.coverage import Kind

SEEN = Callable[[bytes], frozenset[Kind]]
"""Runs a byte string; returns the kinds of kernel entries that it had."""


def load(folder: Path) -> list[bytes]:
    """All strings of a corpus, by the names of their files; none if there is no such directory."""
    if not folder.is_dir():
        return []
    return [path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()]


def keep(folder: Path, data: bytes) -> Path:
    """Put a string into a corpus, under a name that follows from what it is. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / hashlib.sha1(data, usedforsecurity=False).hexdigest()
    path.write_bytes(data)
    return path


def minimised(strings: Iterable[bytes], seen: SEEN) -> list[bytes]:
    """As few of the strings as have all kinds of kernel entries that all of them have: those first that add most."""
    kinds = {data: seen(data) for data in strings}
    left = frozenset[Kind]().union(*kinds.values()) if kinds else frozenset[Kind]()
    chosen: list[bytes] = []
    while left:
        best = max(kinds, key=lambda data: (len(kinds[data] & left), -len(data), data))
        chosen.append(best)
        left -= kinds.pop(best)
    return chosen
