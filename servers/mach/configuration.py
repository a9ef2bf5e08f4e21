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
from typing import Final

from attrs import field, frozen

from capkernel.user.channel_names import read_channel_names

SHARED: Final = 0x6000_0000
"""Where the port server maps the memory that it shares with tasks."""
STRIDE: Final = 0x1_0000
DEFAULT_MEMORY: Final = 2048
MAX_LIVES: Final = 1 << 15
MAX_STORE: Final = 1 << 24


class ConfigurationError(ValueError):
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
    channels = {name: channel for channel, name in tasks.items()}
    if len(channels) < len(tasks):
        raise ConfigurationError("two tasks have the same name")
    tables = tomllib.loads(text)

    def table(which: str) -> dict[str, object]:
        found = tables.get(which, {})
        if not isinstance(found, dict):
            raise ConfigurationError(f"{which} is no table")
        return found

    def channel_of(which: str, name: object) -> int:
        if not isinstance(name, str) or name not in channels:
            raise ConfigurationError(f"{which}: there is no task {name!r}")
        return channels[name]

    def numbers(which: str, largest: int) -> dict[int, int]:
        found: dict[int, int] = {}
        for name, number in table(which).items():
            if not isinstance(number, int) or not 0 < number <= largest:
                raise ConfigurationError(f"{which}: {name} has 1 to {largest}, not {number!r}")
            found[channel_of(which, name)] = number
        return found

    memory = dict.fromkeys(tasks, DEFAULT_MEMORY) | numbers("memory", store_bytes)
    if sum(memory.values()) > store_bytes:
        raise ConfigurationError(f"the tasks have {sum(memory.values())} bytes, and the store has {store_bytes}")
    services = {key: channel_of("services", name) for key, name in table("services").items()}
    return Configuration(tasks, memory, numbers("shared", STRIDE), numbers("lives", MAX_LIVES), services)
