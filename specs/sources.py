"""Which sources a result belongs to: when they change, what was found with them says nothing of the new ones."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
KERNEL: Final = ("capkernel/abi", "capkernel/kernel")


def digest(places: Iterable[str] = KERNEL) -> str:
    """Of every Python file below these directories of the project, by name and content."""
    found = hashlib.sha256()
    for file in sorted(file for place in places for file in (ROOT / place).rglob("*.py")):
        found.update(f"{file.relative_to(ROOT)}\n".encode() + file.read_bytes())
    return found.hexdigest()
