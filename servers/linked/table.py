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
from collections.abc import Iterable, Mapping
from typing import Any, Final

from attrs import frozen

from capkernel.user.loop import BASE_ENDPOINT_CAP, MAX_CHANNELS, PD_CNODE_BITS

_NAME: Final = re.compile(r"[a-z][a-z0-9]*")
_TO: Final = re.compile(r"([a-z][a-z0-9]*) ([0-9]+)")
_KEYS: Final = {"program": str, "outside": dict, "channels": dict, "slots": dict}


class TableError(ValueError):
    """The table says what cannot be; says where."""


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


def read_table(text: str) -> list[Described]:
    """The parts, in order. Raises TableError."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TableError(f"the table of parts is no TOML: {error}") from None
    parts: list[Described] = []
    for name, entry in data.items():
        parts.append(_part(name, entry, [part.name for part in parts]))
    _need_single((end for part in parts for end in part.asks.values()), parts)
    return parts


def _part(name: str, entry: Any, above: list[str]) -> Described:
    if not _NAME.fullmatch(name):
        raise TableError(f"a part's name is small letters and digits, not {name!r}")
    if not isinstance(entry, dict):
        raise TableError(f"{name} is no table")
    for key, value in entry.items():
        if type(value) is not _KEYS.get(key):
            raise TableError(f"{name}: {key} = {value!r} makes no sense; there is {', '.join(_KEYS)}")
    if not entry.get("program"):
        raise TableError(f"{name} does not say its program")
    outside = {_number(name, key, MAX_CHANNELS): value for key, value in entry.get("outside", {}).items()}
    for value in outside.values():
        if type(value) is not int or not 0 <= value < MAX_CHANNELS:
            raise TableError(f"{name}: the domain has no channel {value!r}")
    channels = {_number(name, key, MAX_CHANNELS): _end(name, to, above) for key, to in _links(entry, "channels")}
    slots = {_number(name, key, 1 << PD_CNODE_BITS): _end(name, to, above) for key, to in _links(entry, "slots")}
    twice = set(outside) & set(channels)
    if twice:
        raise TableError(f"{name}: channel {min(twice)} leads both outside and to another part")
    asks = {BASE_ENDPOINT_CAP + channel: end for channel, end in channels.items()} | slots
    return Described(name, entry["program"], outside, channels, asks)


def _links(entry: dict[str, Any], key: str) -> Iterable[tuple[str, Any]]:
    links: dict[str, Any] = entry.get(key, {})
    return links.items()


def _number(name: str, key: str, end: int) -> int:
    if not key.isdecimal() or int(key) >= end:
        raise TableError(f"{name}: {key!r} is no number from 0 to {end - 1}")
    return int(key)


def _end(name: str, to: Any, above: list[str]) -> End:
    found = _TO.fullmatch(to) if isinstance(to, str) else None
    if found is None:
        raise TableError(f'{name}: {to!r} is no part and a channel of it, as in "disk 2"')
    part, channel = found.groups()
    if part not in above:
        raise TableError(f"{name} is to be connected with {part}, which is not above it")
    return End(part, _number(name, channel, MAX_CHANNELS))


def _need_single(ends: Iterable[End], parts: list[Described]) -> None:
    """Nobody else is at an end of a channel. Raises TableError."""
    taken = {End(part.name, channel) for part in parts for channel in (*part.outside, *part.channels)}
    for end in ends:
        if end in taken:
            raise TableError(f"{end.part}'s channel {end.channel} has two other ends")
        taken.add(end)
