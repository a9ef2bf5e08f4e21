"""Which sources a result belongs to: when they change, what was found with them says nothing of the new ones."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
"""Of the project."""
KERNEL: Final = ("capkernel/abi", "capkernel/kernel")


def digest(places: Iterable[str] = KERNEL) -> str:
    """Of every Python file below these directories of the project."""
    return digest_of(sorted(file for place in places for file in (ROOT / place).rglob("*.py")))


def digest_of(files: Iterable[Path]) -> str:
    """Of these files of the project, by name and content."""
    found = hashlib.sha256()
    for file in files:
        found.update(file.relative_to(ROOT).as_posix().encode() + b"\0" + file.read_bytes())
    return found.hexdigest()
