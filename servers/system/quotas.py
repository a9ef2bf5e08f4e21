"""What the memory server and the process server give to whom, read from TOML:

[memory]            # the memory server's
size_bits = 22      # of the memory that it divides
accounts = [
    { channel = 2, pages = 512 },       # who calls on that channel has so many pages
]

[processes]         # the process server's
times = 8           # how many scheduling contexts it has, in slots from 320 on
launchers = [
    { channel = 2, pages = 256, processes = 4 },
]
"""

import tomllib
from typing import Any, Final

from attrs import frozen

from capkernel.abi import objects as obj
from capkernel.user.loop import MAX_CHANNELS
from capkernel.user.tables import WrongTable

_INTS: Final = {"accounts": ("channel", "pages"), "launchers": ("channel", "pages", "processes")}
_KEYS: Final = {"memory": ("size_bits", "accounts"), "processes": ("times", "launchers")}
_RANGES: Final = {
    "size_bits": range(obj.PAGE_BITS, 48), "times": range(1 << 12), "channel": range(MAX_CHANNELS),
    "pages": range(1 << 36), "processes": range(1 << 12),
}  # fmt: skip


class QuotaError(WrongTable):
    """The file says what cannot be."""


@frozen
class LauncherQuota:
    """What a launcher may have."""

    pages: int
    processes: int


@frozen
class Quotas:
    """All of it; by channel."""

    size_bits: int
    accounts: dict[int, int]
    times: int
    launchers: dict[int, LauncherQuota]


def read_quotas(text: str) -> Quotas:
    """The quotas. Raises QuotaError."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise QuotaError(f"this is no TOML: {error}") from None
    memory, processes = _table(data, "memory"), _table(data, "processes")
    accounts, launchers = _rows(memory, "memory", "accounts"), _rows(processes, "processes", "launchers")
    size_bits = _number(memory, "size_bits", ("memory", "size_bits"))
    given, pages = sum(row["pages"] for row in accounts), 1 << size_bits - obj.PAGE_BITS
    if given > pages:
        raise QuotaError(f"accounts have {given} pages, and there are {pages}", ("memory", "accounts"))
    return Quotas(
        size_bits, {row["channel"]: row["pages"] for row in accounts},
        _number(processes, "times", ("processes", "times")),
        {row["channel"]: LauncherQuota(row["pages"], row["processes"]) for row in launchers},
    )  # fmt: skip


def _table(data: dict[str, Any], name: str) -> dict[str, Any]:
    found = data.get(name)
    if not isinstance(found, dict) or set(found) != set(_KEYS[name]):
        raise QuotaError(f"[{name}] is to say {' and '.join(_KEYS[name])}, and nothing else", (name,))
    return found


def _number(table: dict[str, Any], key: str, at: tuple[str, ...]) -> int:
    value = table[key]
    if type(value) is not int or value not in _RANGES[key]:
        least, end = _RANGES[key].start, _RANGES[key].stop
        raise QuotaError(f"{key} is {value!r}; it is a number from {least} to {end - 1}", at)
    return value


def _rows(table: dict[str, Any], name: str, key: str) -> list[dict[str, int]]:
    at, rows = (name, key), table[key]
    for row in rows if isinstance(rows, list) else [rows]:
        if not isinstance(row, dict) or set(row) != set(_INTS[key]):
            raise QuotaError(f"each of {key} is to say {', '.join(_INTS[key])}, and nothing else", at)
        for each in row:
            _number(row, each, at)
    channels = [row["channel"] for row in rows]
    for number, channel in enumerate(channels):
        if channel in channels[:number]:
            raise QuotaError(f"two of {key} are of channel {channel}", at)
    return list(rows)
