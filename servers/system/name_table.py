"""Names and what they lead to, as a table without any caps: name spaces, whose they are, and how they are written down.

A cap that is bound is known by the number of the slot in which it is held. What is written down is what can be reached
from the clients' own name spaces; the others are known only to whoever has a cap to them, and end with the server.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from attrs import define, field, frozen

from capkernel.protocols.failures import QuotaExceeded
from capkernel.protocols.names import checked_name

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
    return _written(_reachable(grounds.values()), grounds)


def views_written(grounds: Mapping[int, Space], views: Sequence[View]) -> tuple[Written, list[WrittenEntry]]:
    """These, and what can be reached from some views; and the views, as entries without a name."""
    spaces = _reachable([*grounds.values(), *(view.space for view in views)])
    numbers = {id(space): number for number, space in enumerate(spaces)}
    return _written(spaces, grounds), [_entry("", view, numbers) for view in views]


def _reachable(first: Iterable[Space]) -> list[Space]:
    """Spaces, each once, and then those that names in them lead to."""
    spaces = list({id(space): space for space in first}.values())
    for space in spaces:
        known = set(map(id, spaces))
        views = [found for found in space.entries.values() if isinstance(found, View)]
        spaces += {id(view.space): view.space for view in views if id(view.space) not in known}.values()
    return spaces


def _written(spaces: Sequence[Space], grounds: Mapping[int, Space]) -> Written:
    own = set(map(id, grounds.values()))
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
    return _grounds(saved, _spaces(saved))


def views_read_back(saved: Written, entries: Sequence[WrittenEntry]) -> tuple[dict[int, Space], list[View]]:
    """The same with views. Raises ValueError or a failure if no name server can have written this down."""
    leads = [{entry.space for entry in space.entries if not entry.slot} for space in saved.spaces]
    if any(not 0 <= number < len(leads) for number in {*set().union(*leads), *(entry.space for entry in entries)}):
        raise ValueError("a name leads to a name space that is not there")
    left = set(range(len(leads)))
    while ends := {number for number in left if not leads[number] & left}:
        left -= ends
    if left:
        raise ValueError("a name space can be reached through itself")
    spaces = _spaces(saved)
    grounds = _grounds(saved, spaces)
    if len(grounds) != sum(each.is_ground for each in saved.spaces):
        raise ValueError("a client has two name spaces of his own")
    for space, each in zip(spaces, saved.spaces, strict=True):
        if len({checked_name(entry.name) for entry in each.entries}) != len(each.entries):
            raise ValueError("a name is there twice")
        space.account.charge(0)
    return grounds, [_view(entry, spaces) for entry in entries]


def _grounds(saved: Written, spaces: Sequence[Space]) -> dict[int, Space]:
    return {each.channel: space for space, each in zip(spaces, saved.spaces, strict=True) if each.is_ground}


def _view(entry: WrittenEntry, spaces: Sequence[Space]) -> View:
    return View(spaces[entry.space], None if entry.shows_all else frozenset(entry.shown), entry.is_writable)


def _spaces(saved: Written) -> list[Space]:
    accounts = {each.channel: Account(each.channel) for each in saved.spaces}
    spaces = [Space(accounts[each.channel]) for each in saved.spaces]
    held: dict[int, Held] = {}
    for space, each in zip(spaces, saved.spaces, strict=True):
        # A client's own counts as used for ever: who closes his cap finds his names again.
        space.users += each.is_ground
        space.account.names += len(each.entries)
        for entry in each.entries:
            found = held.setdefault(entry.slot, Held(entry.slot)) if entry.slot else _view(entry, spaces)
            space.put(entry.name, found)
    return spaces


def slots_of(grounds: Mapping[int, Space], others: Iterable[Space] = ()) -> set[int]:
    """The slots of all caps that can be reached from the clients' own name spaces, and from others."""
    names = [found for space in _reachable([*grounds.values(), *others]) for found in space.entries.values()]
    return {found.slot for found in names if isinstance(found, Held)}
