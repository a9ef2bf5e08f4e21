"""Which kind of file a file is, by its first bytes: so that who gives a command the wrong one is told the right one."""

import re
from enum import Enum
from pathlib import Path
from typing import Final

_FIRST: Final = 4096
_ELF: Final = b"\x7fELF"
_CAPDL: Final = re.compile(rb"(\s|--[^\n]*\n|/\*.*?\*/)*arch\s+\w", re.DOTALL)
_XML: Final = re.compile(rb"(\xef\xbb\xbf)?\s*<[?!A-Za-z]")


class Kind(Enum):
    """What commands take; the value says what to do with it."""

    SYSTEM = "a system description: `capkernel run` boots it, `capkernel check` judges it"
    PROGRAM = "a program of machine code: `capkernel boot` boots it as a root task, or a .system file names it"
    CAPDL = "a capDL specification: `capkernel capdl boot` builds it, `capkernel capdl check` judges it"
    PYTHON = "a Python program: `python` runs it if it is whole, or a .system file names it"


def kind_of(path: Path) -> Kind | None:
    """None if it is none of these, or cannot be read."""
    try:
        with path.open("rb") as file:
            data = file.read(_FIRST)
    except OSError:
        return None
    if data.startswith(_ELF):
        return Kind.PROGRAM
    if _XML.match(data):
        return Kind.SYSTEM
    if _CAPDL.match(data):
        return Kind.CAPDL
    return Kind.PYTHON if path.suffix == ".py" else None


def is_another(path: Path, wanted: Kind) -> str:
    """What a file is if that is not what is wanted, in a sentence; empty if it is, or may be."""
    kind = kind_of(path)
    return "" if kind in (None, wanted) else f"{path} is {kind.value}"
