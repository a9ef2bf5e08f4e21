"""What the description says about tasks: their names, their memory for messages, how often they live, who offers what.

    [tasks]                 # by the port server's channel
    2 = "server"
    3 = "client"
    [memory]                # bytes for messages to ports of the task
    server = 4096
    client = 2048
    [shared]                # bytes of memory that the task shares with the port server, at SHARED + channel * STRIDE
    server = 8192
    [lives]                 # how often a task may begin, once if it is not said; for the host
    server = 5
    [services]              # who checks in under a key; keys that are not here are for whoever comes first
    files = "server"
"""

import tomllib
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

from attrs import field, frozen

from capkernel.user.channel_names import read_channel_names
from capkernel.user.tables import Given, Wrong, WrongTable

SHARED: Final = 0x6000_0000
"""Where the port server maps the memory that it shares with tasks."""
STRIDE: Final = 0x1_0000
DEFAULT_MEMORY: Final = 2048
MAX_LIVES: Final = 1 << 15
MAX_STORE: Final = 1 << 24
TABLES: Final = ("tasks", "memory", "shared", "lives", "services")


class ConfigurationError(WrongTable):
    """The table says what cannot be; says where."""


@frozen
class Configuration:
    """Tasks by channel; bytes by channel; lives by channel; who may check in a key, by key."""

    tasks: dict[int, str]
    memory: dict[int, int] = field(factory=dict)
    shared: dict[int, int] = field(factory=dict)
    lives: dict[int, int] = field(factory=dict)
    services: dict[str, int] = field(factory=dict)


def read_configuration(text: str, store_bytes: int = MAX_STORE) -> Configuration:
    """The table. Raises ConfigurationError, also if the tasks' memory is more than the store; ChannelNameError."""
    tasks = read_channel_names(text, "tasks")
    channels: dict[str, int] = {}
    for channel, name in tasks.items():
        if name in channels:
            what = f"tasks: {channel} has the name of {channels[name]}, {name!r}"
            raise ConfigurationError(what, ("tasks", str(channel)), "each task has a name of its own")
        channels[name] = channel
    tables = tomllib.loads(text)
    for which in tables:
        if which not in TABLES:
            near = get_close_matches(which, TABLES, 1)
            hint = f"there is {near[0]}" if near else f"there are {', '.join(TABLES)}"
            raise ConfigurationError(f"nobody reads a table {which!r}", (which,), hint)

    def table(which: str) -> dict[str, object]:
        found = tables.get(which, {})
        if not isinstance(found, dict):
            raise ConfigurationError(f"{which} is no table", (which,))
        return found

    def channel_of(which: str, key: str, name: object) -> int:
        if not isinstance(name, str) or name not in channels:
            what = f"{which}: there is no task {name!r}"
            raise ConfigurationError(what, (which, key), f"tasks: {', '.join(channels) or 'none'}")
        return channels[name]

    def numbers(which: str, largest: int) -> dict[int, int]:
        found: dict[int, int] = {}
        for name, number in table(which).items():
            if not isinstance(number, int) or isinstance(number, bool) or not 0 < number <= largest:
                what = f"{which}: {name} cannot have {number!r}"
                raise ConfigurationError(what, (which, name), f"a number from 1 to {largest}")
            found[channel_of(which, name, name)] = number
        return found

    memory = dict.fromkeys(tasks, DEFAULT_MEMORY) | numbers("memory", store_bytes)
    if sum(memory.values()) > store_bytes:
        what = f"the tasks have {sum(memory.values())} bytes, and the store has {store_bytes}"
        raise ConfigurationError(what, ("memory",), f"a task of which nothing is said has {DEFAULT_MEMORY}")
    services = {key: channel_of("services", key, name) for key, name in table("services").items()}
    return Configuration(tasks, memory, numbers("shared", STRIDE), numbers("lives", MAX_LIVES), services)


def judge(given: Given) -> Iterable[Wrong]:
    """What is wrong with a table of tasks, before the boot; how large the store is, only the run shows."""
    read_configuration(given.text)
    return ()
