"""What a byte means as an operand: tables of 256 words, one for each name in the table of invocations.

Most bytes mean something that makes sense in that place, as the grammar of ``generate`` knows it; some mean any slot,
an edge case, or one of the program's own words (``LITERALS``).
"""

from collections.abc import Sequence
from functools import cache

from specs import generate
from specs.generate import BADGES, CAPS, EDGES, ENDPOINTS, INVOKED, NOTIFICATIONS, PAGES, REPLIES, WORDS
from specs.programs.layout import FREE, OWN, TEST_BITS

Table = tuple[int, ...]
"""Byte → word. A negative word -k stands for the k-th last of the program's own words."""
LITERALS = 3
"""So many words of its own has a program; the last bytes of every table stand for them."""
_OWN = tuple(range(-LITERALS, 0))
OWN_WORDS = 256 - LITERALS
"""From here on a byte stands for one of the program's own words."""
SENSIBLE = 160
"""Below this a byte is one of the words that make sense in that place, in turn."""


def table(sensible: Sequence[int], *others: Sequence[int]) -> Table:
    """Sensible words over and over, then the others, then sensible ones again, then the program's own."""
    start = [sensible[byte % len(sensible)] for byte in range(SENSIBLE)]
    rest = [word for group in others for word in group]
    space = 256 - SENSIBLE - LITERALS
    if len(rest) > space:
        raise ValueError(f"{len(rest)} other words do not fit into {space} bytes")
    fill = [sensible[byte % len(sensible)] for byte in range(space - len(rest))]
    return (*start, *rest, *fill, *_OWN)


def _once(words: Sequence[int]) -> list[int]:
    """Each of the words once, in their order."""
    return list(dict.fromkeys(words))


_ALL_SLOTS = range(64)
_STRAY = (0x1000, 0x1001, 0x1002, 0x1003, 0x1005, 0x1006, OWN + 64, 0x2000, 0x99999, 64)
"""Cap addresses outside the test CNode: the root task's own slots, and some that lead nowhere."""
_VICTIMS = [slot for group in generate.VICTIMS for slot in group]
_DEPTHS = (TEST_BITS,) * 13 + (2, 1, 64)
_FILLED = ("dest_index", "node_offset")
"""Words that name an empty slot."""
_INDICES = ("index", "src_index", "pivot_index")


@cache
def cap_table(options: tuple[int, ...]) -> Table:
    """A cap address: mostly one of the options."""
    return table(options, _ALL_SLOTS, _STRAY)


@cache
def word_table(name: str) -> Table:
    """A message word, by its name in the table of invocations; an empty name means just any word."""
    if name in _FILLED:
        return table(FREE, _ALL_SLOTS, EDGES)
    if name in _INDICES:
        return table(_once(_VICTIMS), _ALL_SLOTS, EDGES)
    if name in ("depth", "dest_depth", "src_depth", "pivot_depth"):
        return table(_DEPTHS, _ALL_SLOTS, EDGES)
    if not name:
        return table(range(SENSIBLE), EDGES, _once((*BADGES, *PAGES)))
    sensible = _once(WORDS[name])
    near = [word for word in range(64) if word not in sensible]
    return table(sensible, near[: 256 - SENSIBLE - LITERALS - len(EDGES)], EDGES)


def invoked(cap_type: int) -> Table:
    """The invoked cap, by the kind that the invocation wants."""
    return cap_table(INVOKED[cap_type])


def extra(name: str) -> Table:
    """An extra cap, by its name in the table of invocations."""
    return cap_table(CAPS[name])


CHANNELS = cap_table((*ENDPOINTS, *ENDPOINTS, *NOTIFICATIONS))
ANSWERED = cap_table((*ENDPOINTS, *REPLIES))
REPLY_OBJECTS = cap_table(REPLIES)
DESTINATIONS = cap_table((*ENDPOINTS, *NOTIFICATIONS, *REPLIES))
CARRIED = cap_table(tuple(_once(_VICTIMS)))
