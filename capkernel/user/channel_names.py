"""Names for channels, read from a table of TOML: ``3 = "log"`` says what channel 3 is called, or is to be given."""

import re
import tomllib
from typing import Final

from capkernel.user.loop import MAX_CHANNELS
from capkernel.user.tables import WrongTable

NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")


class ChannelNameError(WrongTable):
    """The table says what cannot be; says where."""


def read_channel_names(text: str, table: str) -> dict[int, str]:
    """The names in a table, by channel; other tables are for others. Raises ChannelNameError."""
    try:
        entries = tomllib.loads(text).get(table, {})
    except tomllib.TOMLDecodeError as error:
        raise ChannelNameError(f"this is no TOML: {error}") from None
    if not isinstance(entries, dict):
        raise ChannelNameError(f"{table} is no table", (table,))
    names: dict[int, str] = {}
    for key, name in entries.items():
        if not key.isdecimal() or int(key) >= MAX_CHANNELS:
            raise ChannelNameError(f"{table}: {key!r} is no channel; they are 0 to {MAX_CHANNELS - 1}", (table, key))
        if not isinstance(name, str) or not NAME.fullmatch(name):
            what = f"{table}: {name!r} is no name of 1 to 32 letters, digits, '-' and '_'"
            raise ChannelNameError(what, (table, key))
        names[int(key)] = name
    return names
