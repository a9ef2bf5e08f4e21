"""What is linked into a domain, and how it is connected, read from TOML:

[disk]                        # a part's name
program = "virtio_blk"        # an installed program, or a module: "bench.growing.crowd"
outside = { 0 = 0, 1 = 1 }    # the part's channels and interrupts that are the domain's, and which of the domain's

[files]
program = "file_server"
channels = { 0 = "disk 2" }   # its channel 0 leads to the disk's channel 2: it asks there, and either may notify
slots = { 310 = "disk 3" }    # so does the cap in a slot that is no channel's

A part asks only those above it, and starts when they are ready. It is given those variables of the domain whose names
begin with its own: ``disk_rings`` is what its program calls ``rings``.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from attrs import frozen

from capkernel.user.loop import BASE_ENDPOINT_CAP, MAX_CHANNELS, PD_CNODE_BITS, ChannelError
from capkernel.user.tables import WrongTable

_NAME: Final = re.compile(r"[a-z][a-z0-9]*")
_TO: Final = re.compile(r"([a-z][a-z0-9]*) ([0-9]+)")
_KEYS: Final = {"program": str, "outside": dict, "channels": dict, "slots": dict}
_HOW: Final = (
    'as in program = "virtio_blk", outside = { 0 = 1 }, channels = { 0 = "disk 2" }, slots = { 310 = "disk 3" }'
)


class TableError(WrongTable):
    """The table says what cannot be."""


class Misconnected(WrongTable, ChannelError):
    """A part, as it runs, is not connected as its program needs it."""


@frozen
class End:
    """A part's end of a channel."""

    part: str
    channel: int


@frozen
class Described:
    """A part as the table has it. ``channels`` and ``asks`` (by the address of a cap) lead to ends of others."""

    name: str
    program: str
    outside: Mapping[int, int]
    channels: Mapping[int, End]
    asks: Mapping[int, End]

    def key_of(self, cap: int) -> tuple[str, str, str]:
        """Where the table says what a cap leads to: the part, ``channels`` or ``slots``, and which."""
        channel = cap - BASE_ENDPOINT_CAP
        return (self.name, "channels", str(channel)) if channel in self.channels else (self.name, "slots", str(cap))


def named(cap: int) -> str:
    """A cap that is asked through, as a table names it."""
    channel = cap - BASE_ENDPOINT_CAP
    return f"channel {channel}" if 0 <= channel < MAX_CHANNELS else f"slot {cap}"


def read_table(text: str) -> list[Described]:
    """The parts, in order. Raises TableError."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TableError(f"the table of parts is no TOML: {error}") from None
    if not data:
        raise TableError("the table of parts is empty", hint="a part is a table with its name, as in [disk]")
    parts: list[Described] = []
    for name, entry in data.items():
        parts.append(_part(name, entry, [part.name for part in parts]))
    _need_single(parts)
    return parts


def _part(name: str, entry: Any, above: list[str]) -> Described:
    if not _NAME.fullmatch(name):
        raise TableError(f"a part's name is small letters and digits, not {name!r}", [name], "as in [disk]")
    if not isinstance(entry, dict):
        raise TableError(f"{name} is no table", [name], f"a part is a table with its name: [{name}]")
    for key, value in entry.items():
        if type(value) is not _KEYS.get(key):
            raise TableError(
                f"{name}: {key} = {value!r} makes no sense; there is {', '.join(_KEYS)}", [name, key], _HOW
            )
    if not entry.get("program"):
        raise TableError(f"{name} does not say its program", [name], 'as in program = "virtio_blk"')
    outside = {_number((name, "outside"), key, MAX_CHANNELS): to for key, to in _links(entry, "outside")}
    for key, value in outside.items():
        if type(value) is not int or not 0 <= value < MAX_CHANNELS:
            at = (name, "outside", str(key))
            raise TableError(f"{name}: the domain has no channel {value!r}", at, f"they are 0 to {MAX_CHANNELS - 1}")
    channels = {
        _number((name, "channels"), key, MAX_CHANNELS): _end((name, "channels", key), to, above)
        for key, to in _links(entry, "channels")
    }
    slots = {
        _number((name, "slots"), key, 1 << PD_CNODE_BITS): _end((name, "slots", key), to, above)
        for key, to in _links(entry, "slots")
    }
    twice = set(outside) & set(channels)
    if twice:
        what = f"{name}: channel {min(twice)} leads both outside and to another part"
        raise TableError(what, (name, "channels", str(min(twice))), "a channel has one other end")
    asks = {BASE_ENDPOINT_CAP + channel: end for channel, end in channels.items()} | slots
    return Described(name, entry["program"], outside, channels, asks)


def _links(entry: dict[str, Any], key: str) -> Iterable[tuple[str, Any]]:
    links: dict[str, Any] = entry.get(key, {})
    return links.items()


def _number(at: Sequence[str], key: str, end: int) -> int:
    if not key.isascii() or not key.isdecimal() or int(key) >= end:
        raise TableError(f"{at[0]}: {key!r} is no number from 0 to {end - 1}", (*at, key))
    return int(key)


def _end(at: Sequence[str], to: Any, above: list[str]) -> End:
    found = _TO.fullmatch(to) if isinstance(to, str) else None
    if found is None:
        raise TableError(f'{at[0]}: {to!r} is no part and a channel of it, as in "disk 2"', at)
    part, channel = found.groups()
    if part not in above:
        hint = f"above it {'is' if len(above) == 1 else 'are'} {', '.join(above)}" if above else "it is the first part"
        raise TableError(f"{at[0]} is to be connected with {part}, which is not above it", at, hint)
    return End(part, _number(at, channel, MAX_CHANNELS))


def _need_single(parts: list[Described]) -> None:
    """Nobody else is at an end of a channel. Raises TableError."""
    taken = {End(part.name, channel) for part in parts for channel in (*part.outside, *part.channels)}
    for part in parts:
        for cap, end in part.asks.items():
            if end in taken:
                what = f"{end.part}'s channel {end.channel} has two other ends"
                raise TableError(what, part.key_of(cap), "who else asks there needs another channel")
            taken.add(end)
