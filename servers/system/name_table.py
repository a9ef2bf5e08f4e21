"""Names and what they lead to, as a table without any caps: name spaces, whose they are, and how they are written down.

A cap that is bound is known by the number of the slot in which it is held. What is written down is what can be reached
from the clients' own name spaces; the others are known only to whoever has a cap to them, and end with the server.
"""

from collections.abc import Mapping
from typing import Final

from attrs import define, field, frozen

from capkernel.protocols.failures import QuotaExceeded

MAX_NAMES: Final = 96
"""Of one client, in all his name spaces."""


@define(eq=False)
class Account:
    """What a client uses, who is known by his channel."""

    channel: int = 0
    names: int = 0

    def charge(self, count: int) -> None:
        """Use up so much. Raises QuotaExceeded."""
        if self.names + count > MAX_NAMES:
            raise QuotaExceeded(f"{self.names} names are bound already, of {MAX_NAMES}; unbind some")
        self.names += count


@define(eq=False)
class Held:
    """A cap that the server holds, as long as a name leads to it."""

    slot: int
    users: int = 0


@define(eq=False)
class Space:
    """Names, and what they lead to; who pays for them; how many caps and names lead here."""

    account: Account
    entries: "dict[str, Held | View]" = field(factory=dict)
    users: int = 0

    def put(self, name: str, found: "Held | View") -> None:
        """A name for something. The account was charged."""
        self.entries[name] = found
        (found.space if isinstance(found, View) else found).users += 1


@frozen
class View:
    """A space as a cap shows it: all names or some of them, to be changed or not."""

    space: Space
    names: frozenset[str] | None = None
    is_writable: bool = True

    def shows(self, name: str) -> bool:
        """Whether this name belongs to it."""
        return self.names is None or name in self.names

    def reaches(self, space: Space) -> bool:
        """Whether a space can be entered from here."""
        return self.space is space or any(
            isinstance(found, View) and found.reaches(space) for found in self.space.entries.values()
        )


@frozen
class WrittenEntry:
    """A name for the cap in ``slot``; or, if that is 0, for space number ``space``, of which ``shown`` are seen."""

    name: str
    slot: int
    space: int
    shows_all: bool
    shown: list[str]
    is_writable: bool


@frozen
class WrittenSpace:
    """The spaces are numbered as they come. ``is_ground`` says that it is its client's own."""

    channel: int
    is_ground: bool
    entries: list[WrittenEntry]


@frozen
class Written:
    """All of it, to be kept."""

    spaces: list[WrittenSpace]


def written(grounds: Mapping[int, Space]) -> Written:
    """The clients' own name spaces, by channel, and what can be reached from them."""
    spaces = list(grounds.values())
    own = set(map(id, spaces))
    for space in spaces:
        known = set(map(id, spaces))
        views = [found for found in space.entries.values() if isinstance(found, View)]
        spaces += {id(view.space): view.space for view in views if id(view.space) not in known}.values()
    numbers = {id(space): number for number, space in enumerate(spaces)}
    return Written([
        WrittenSpace(
            space.account.channel, id(space) in own,
            [_entry(name, found, numbers) for name, found in space.entries.items()],
        )
        for space in spaces
    ])  # fmt: skip


def _entry(name: str, found: Held | View, numbers: Mapping[int, int]) -> WrittenEntry:
    if isinstance(found, Held):
        return WrittenEntry(name, found.slot, 0, True, [], True)
    return WrittenEntry(
        name, 0, numbers[id(found.space)], found.names is None, sorted(found.names or ()), found.is_writable
    )  # fmt: skip


def read_back(saved: Written) -> dict[int, Space]:
    """The same read back, with everything counted anew."""
    accounts = {each.channel: Account(each.channel) for each in saved.spaces}
    spaces = [Space(accounts[each.channel]) for each in saved.spaces]
    held: dict[int, Held] = {}
    for space, each in zip(spaces, saved.spaces, strict=True):
        # A client's own counts as used for ever: who closes his cap finds his names again.
        space.users += each.is_ground
        space.account.names += len(each.entries)
        for entry in each.entries:
            shown = None if entry.shows_all else frozenset(entry.shown)
            found = (
                held.setdefault(entry.slot, Held(entry.slot)) if entry.slot
                else View(spaces[entry.space], shown, entry.is_writable)
            )  # fmt: skip
            space.put(entry.name, found)
    return {each.channel: space for space, each in zip(spaces, saved.spaces, strict=True) if each.is_ground}


def slots_of(grounds: Mapping[int, Space]) -> set[int]:
    """The slots of all caps that can be reached."""
    seen: set[int] = set()
    slots: set[int] = set()
    left = list(grounds.values())
    while left:
        space = left.pop()
        if id(space) not in seen:
            seen.add(id(space))
            slots |= {found.slot for found in space.entries.values() if isinstance(found, Held)}
            left += [found.space for found in space.entries.values() if isinstance(found, View)]
    return slots
