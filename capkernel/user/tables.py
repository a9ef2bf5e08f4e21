"""Tables of TOML that a description puts into a program's memory, and what is wrong with them, told before the boot.

A package offers a judge of a table as an entry point of the group ``capkernel.tables``: its name is the program's and
the variable's that the table's address is given to (``linked.parts``), its value a function from ``Given`` to what is
``Wrong``. A program reads its table at its start all the same: nobody has to have asked a judge.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from attrs import field, frozen

from capkernel.user.described import DescribedDomain

_HEADER: Final = re.compile(r"\s*\[(\[?)([^\[\]]+)\]")
_KEY: Final = re.compile(r"\s*([A-Za-z0-9_\-.\"']+)\s*=")
_AT_LINE: Final = re.compile(r"at line ([0-9]+)")


class WrongTable(ValueError):
    """What a program raises that finds, while it runs, that a table of its makes no sense: nothing that starts it anew
    makes that right. ``at`` are the keys that lead to where (``line_of``); ``hint`` is what would be right.
    """

    def __init__(self, message: str, at: Sequence[str | int] = (), hint: str = "") -> None:
        super().__init__(message)
        self.at = tuple(at)
        self.hint = hint


@frozen
class Given:
    """A table's text, and the names of the program's variables that the description sets.

    ``channels`` are the numbers of the domain's channels and interrupts, ``interrupts`` those that are interrupts; None
    if that is not known. ``tables`` are the texts of all tables that it is given, by the variable. ``domain`` is the
    name of its domain, ``system`` all that are described.
    """

    text: str
    variables: frozenset[str] = frozenset()
    channels: frozenset[int] | None = None
    interrupts: frozenset[int] = frozenset()
    tables: Mapping[str, str] = field(factory=dict)
    domain: str = ""
    system: Mapping[str, DescribedDomain] = field(factory=dict)


@frozen
class Wrong:
    """One thing that is wrong: in which line (0: none), what, and (``hint``) what would be right.

    ``table`` is the variable of the table that the line is of, if that is another one of the same domain.
    """

    line: int
    message: str
    hint: str = ""
    table: str = ""


Judge = Callable[[Given], Iterable[Wrong]]


def line_of(text: str, keys: Sequence[str | int]) -> int:
    """The first line of what says most of these keys, one in the other: a header, or a key's; 0 if none says any.

    Of tables in an array, as in ``[[service]]``, the key after its name is which it is, from 1 on.
    """
    best, found, table = 0, 0, list[str | int]()
    arrays = Counter[str]()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = [*_words(header[2])]
            if header[1]:
                arrays[header[2]] += 1
                table.append(arrays[header[2]])
            said = table
        elif key := _KEY.match(line):
            said = [*table, *_words(key[1])]
        else:
            continue
        common = min(len(said), len(keys))
        if common > best and list(keys[:common]) == said[:common]:
            best, found = common, number
    return found


def wrong_by(text: str, error: ValueError) -> Wrong:
    """What the reader of a table found wrong."""
    at, hint = (error.at, error.hint) if isinstance(error, WrongTable) else ((), "")
    return Wrong(line_in(str(error)) or line_of(text, at), str(error), hint)


def line_in(message: str) -> int:
    """The line that a complaint of the TOML reader names; 0 if it names none."""
    said = _AT_LINE.search(message)
    return int(said[1]) if said else 0


def _words(dotted: str) -> list[str]:
    return [word.strip().strip("\"'") for word in dotted.split(".")]
