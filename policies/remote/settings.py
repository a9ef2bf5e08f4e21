"""What a gateway is told: two files. ``gateway.toml`` says who is who and what is lent; the other is its secret key.

name = "c"
suites = ["encrypted"]            # how records may be protected
protocols = ["files"]             # modules of capkernel.protocols whose interfaces may pass

[[machine]]                       # whom it knows
name = "a"
key = "…"                         # public, 64 hexadecimal digits
address = "02:00:00:00:00:0a"     # of its card

[[thing]]                         # what can be offered: a cap of the gateway's, by its slot
name = "library"
slot = 310
interface = "Directory"

[[offer]]                         # what a machine gets by asking
name = "library"
machine = "a"
operations = ["Directory.list"]   # all, if this is not there
seconds = 3600                    # that a token of it is good for

[[client]]                        # what a program of this machine may ask for
channel = 2
lookup = ["c/library"]
may = ["issue", "accept", "withdraw"]
"""

import importlib
import re
import tomllib
from collections.abc import Callable
from typing import Any, Final, TypeVar

from attrs import frozen

from capkernel.protocols.interface import Interface, interfaces
from policies.remote.handshake import Suite
from policies.remote.objects import LONGEST, Offer
from policies.remote.sessions import Machine
from policies.remote.tokens import Identity

T = TypeVar("T")
MAY: Final = frozenset({"issue", "accept", "withdraw"})
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")
_SUITES: Final = {suite.name.lower(): int(suite) for suite in Suite}


class SettingsError(ValueError):
    """The settings say what cannot be; says where."""


@frozen
class NamedThing:
    """An object that offers mean: the gateway's cap to it is in a slot."""

    name: str
    slot: int
    interface: type[Interface]


@frozen
class Client:
    """What a program of this machine may ask its gateway for."""

    channel: int
    lookup: frozenset[str]
    may: frozenset[str]


@frozen
class Settings:
    """All of it."""

    name: str
    suites: tuple[int, ...]
    machines: dict[str, Machine]
    things: list[NamedThing]
    offers: list[Offer]
    clients: dict[int, Client]


def read_settings(text: str) -> Settings:
    """The settings in a text of TOML. Raises SettingsError."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"this is no TOML: {error}") from None
    for module in _field(data, "protocols", list, "the settings"):
        _imported(module)
    suites = [_SUITES.get(each, 0) for each in _field(data, "suites", list, "the settings")]
    if not suites or not all(suites):
        raise SettingsError(f"suites is a list of {', '.join(_SUITES)}")
    machines = _each(data, "machine", _machine)
    things = _each(data, "thing", _thing)
    offers = _each(data, "offer", _offer)
    for offer in offers:
        if offer.name not in [thing.name for thing in things] or offer.machine not in [each.name for each in machines]:
            raise SettingsError(f"{offer.name!r} cannot be offered to {offer.machine!r}: one of the two is not known")
    clients = _each(data, "client", _client)
    return Settings(
        _name(data, "the settings"), tuple(suites), {each.name: each for each in machines}, things, offers,
        {client.channel: client for client in clients},
    )  # fmt: skip


def read_identity(name: str, text: str) -> Identity:
    """A gateway's keys, from the 64 hexadecimal digits of its secret one. Raises SettingsError."""
    return Identity(name, _hexadecimal(text.strip(), 32, "the secret key"))


def _each(data: dict[str, Any], table: str, read: Callable[[dict[str, Any]], T]) -> list[T]:
    entries = data.get(table, [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise SettingsError(f"each {table} is written [[{table}]]")
    return [read(entry) for entry in entries]


def _machine(entry: dict[str, Any]) -> Machine:
    name = _name(entry, "a machine")
    key = _hexadecimal(_field(entry, "key", str, name), 32, f"the key of {name}")
    address = _hexadecimal(_field(entry, "address", str, name).replace(":", ""), 6, f"the address of {name}")
    return Machine(name, key, address)


def _thing(entry: dict[str, Any]) -> NamedThing:
    name, spoken = _name(entry, "a thing"), _field(entry, "interface", str, "a thing")
    for interface in interfaces():
        if interface.__name__ == spoken:
            return NamedThing(name, _field(entry, "slot", int, name), interface)
    raise SettingsError(f"{name} speaks {spoken!r}, which is no interface of the protocols that are listed")


def _offer(entry: dict[str, Any]) -> Offer:
    name, seconds = _name(entry, "an offer"), _field(entry, "seconds", int, "an offer")
    if not 0 < seconds <= LONGEST:
        raise SettingsError(f"the offer of {name} is for 1 to {LONGEST} seconds, not {seconds}")
    operations = _field(entry, "operations", list, name) if "operations" in entry else None
    return Offer(name, _field(entry, "machine", str, name), operations, seconds)


def _client(entry: dict[str, Any]) -> Client:
    channel = _field(entry, "channel", int, "a client")
    may = frozenset(_field(entry, "may", list, f"client {channel}"))
    if not may <= MAY:
        raise SettingsError(f"client {channel} may {', '.join(sorted(MAY))}, and nothing else")
    return Client(channel, frozenset(_field(entry, "lookup", list, f"client {channel}")), may)


def _field(data: dict[str, Any], name: str, kind: type[T], where: str) -> T:
    value = data.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise SettingsError(f"{where}: {name} is missing, or of another type than {kind.__name__}")
    return value


def _name(data: dict[str, Any], where: str) -> str:
    name = _field(data, "name", str, where)
    if not _NAME.fullmatch(name):
        raise SettingsError(f"{where}: {name!r} is no name of 1 to 32 letters, digits, '-' and '_'")
    return name


def _hexadecimal(text: str, size: int, what: str) -> bytes:
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != size:
        raise SettingsError(f"{what} has {2 * size} hexadecimal digits")
    return found


def _imported(module: str) -> None:
    if not _NAME.fullmatch(str(module)):
        raise SettingsError(f"{module!r} is no module of capkernel.protocols")
    try:
        importlib.import_module(f"capkernel.protocols.{module}")
    except ModuleNotFoundError:
        raise SettingsError(f"there is no module capkernel.protocols.{module}") from None
