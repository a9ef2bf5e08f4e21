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

_INTS: Final = {"accounts": ("channel", "pages"), "launchers": ("channel", "pages", "processes")}
_KEYS: Final = {"memory": ("size_bits", "accounts"), "processes": ("times", "launchers")}


class QuotaError(ValueError):
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
    accounts, launchers = _rows(memory, "accounts"), _rows(processes, "launchers")
    return Quotas(
        _number(memory, "size_bits"), {row["channel"]: row["pages"] for row in accounts},
        _number(processes, "times"),
        {row["channel"]: LauncherQuota(row["pages"], row["processes"]) for row in launchers},
    )  # fmt: skip


def _table(data: dict[str, Any], name: str) -> dict[str, Any]:
    found = data.get(name)
    if not isinstance(found, dict) or set(found) != set(_KEYS[name]):
        raise QuotaError(f"[{name}] is to say {' and '.join(_KEYS[name])}, and nothing else")
    return found


def _number(table: dict[str, Any], key: str) -> int:
    value = table[key]
    if type(value) is not int or value < 0:
        raise QuotaError(f"{key} is {value!r}, not a number")
    return value


def _rows(table: dict[str, Any], name: str) -> list[dict[str, int]]:
    rows = table[name]
    for row in rows if isinstance(rows, list) else [rows]:
        if not isinstance(row, dict) or set(row) != set(_INTS[name]):
            raise QuotaError(f"each of {name} is to say {', '.join(_INTS[name])}, and nothing else")
        for key in row:
            _number(row, key)
    return list(rows)
