"""What the stack's server is told at its start, in TOML: the machine's place in the network, and who may do what.

address = "10.0.2.15/24"
gateway = "10.0.2.2"
nameserver = "10.0.2.3"
seed = 1              # decides sequence numbers, ports, and the numbers of questions to the name server

[[client]]
channel = 3           # of the server
gives = "dialer"      # or network, listener, datagrams, pinger, resolver
address = "10.0.2.2"  # for a dialer, datagrams, a pinger
port = 7              # for a dialer, datagrams, a listener
local_port = 0        # for datagrams: 0 is any
shared = true         # the client shares 64 KiB with the server, at its place in the regions
streams = 16          # that it may have open at a time
"""

import tomllib
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Interface
from typing import Any, Final

from attrs import field, frozen

from capkernel.user.tables import WrongTable

CLIENTS: Final = range(2, 14)
"""Channels of the server's clients."""
STREAMS: Final = 16
_KEYS: Final = {
    "channel": int, "gives": str, "address": str, "port": int, "local_port": int, "shared": bool, "streams": int,
}  # fmt: skip
_RANGES: Final = {
    "channel": CLIENTS, "port": range(1, 1 << 16), "local_port": range(1 << 16), "streams": range(1 << 16),
}  # fmt: skip
_NEEDS: Final = {
    "network": (), "listener": ("port",), "dialer": ("address", "port"), "datagrams": ("address", "port"),
    "pinger": ("address",), "resolver": (),
}  # fmt: skip


class PolicyError(WrongTable):
    """The policy says what cannot be; says where."""


@frozen
class Client:
    """A client as the policy has it."""

    channel: int
    gives: str
    address: str = ""
    port: int = 0
    local_port: int = 0
    shared: bool = False
    streams: int = STREAMS


@frozen
class Policy:
    """All of it."""

    address: str
    gateway: str
    nameserver: str
    seed: int = 0
    clients: tuple[Client, ...] = field(default=())


def read_policy(text: str) -> Policy:
    """The policy in a text. Raises PolicyError."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(f"the policy is no TOML: {error}") from None
    entries = data.pop("client", [])
    wrong = set(data) - {"address", "gateway", "nameserver", "seed"}
    if wrong or not isinstance(entries, list):
        unknown = sorted(wrong) or ["client"]
        raise PolicyError(f"unknown: {', '.join(unknown)}", unknown[:1])
    seed = data.get("seed", 0)
    if type(seed) is not int or not 0 <= seed < 1 << 64:
        raise PolicyError(f"seed is a number of 64 bits, not {seed!r}", ["seed"])
    clients = tuple(_client(number, entry) for number, entry in enumerate(entries, 1))
    channels = [client.channel for client in clients]
    for number, channel in enumerate(channels, 1):
        if channel in channels[: number - 1]:
            raise PolicyError("two clients have the same channel", ("client", number, "channel"))
    kinds = {"address": IPv4Interface, "gateway": IPv4Address, "nameserver": IPv4Address}
    address, gateway, nameserver = (_address(data.get(key), key, kind) for key, kind in kinds.items())
    return Policy(address, gateway, nameserver, seed, clients)


def _address(said: Any, key: str, kind: Callable[[Any], object], where: str = "", at: tuple[Any, ...] = ()) -> str:
    if not isinstance(said, str):
        raise PolicyError(f"{where}{key} is missing, or no text; it is IPv4", (*at, key))
    try:
        return str(kind(said))
    except ValueError as error:
        raise PolicyError(f"{where}{key} is IPv4: {error}", (*at, key)) from None


def _client(number: int, entry: Any) -> Client:
    where, at = f"client {number}", ("client", number)
    if not isinstance(entry, dict):
        raise PolicyError(f"{where} is no table", ("client",))
    for key, value in entry.items():
        if key not in _KEYS or type(value) is not _KEYS[key]:
            raise PolicyError(f"{where}: {key} = {value!r} makes no sense", (*at, key))
        if key in _RANGES and value not in _RANGES[key]:
            least, end = _RANGES[key].start, _RANGES[key].stop
            raise PolicyError(f"{where}: {key} is {value}; it is {least} to {end - 1}", (*at, key))
    if "gives" not in entry:
        raise PolicyError(f"{where}: gives is missing", at, f"there is {', '.join(_NEEDS)}")
    if "address" in entry:
        _address(entry["address"], "address", IPv4Address, f"{where}: ", at)
    gives = entry["gives"]
    if gives not in _NEEDS:
        raise PolicyError(f"{where} gives {gives!r}; there is {', '.join(_NEEDS)}", (*at, "gives"))
    missing = [key for key in ("channel", *_NEEDS[gives]) if key not in entry]
    if missing:
        raise PolicyError(f"{where}: {missing[0]} is missing", at)
    return Client(**entry)
