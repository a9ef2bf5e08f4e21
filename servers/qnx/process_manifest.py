"""Which servers a process manager looks after, and who is connected to them: read from TOML.

[[server]]
name = "adder"      # what clients call it
child = 0           # the number with which its faults come
lifecycle = 330     # slot of the lifecycle cap
endpoint = 340      # slot of a cap to receive in its place; 0: there is none
channel = 10        # to signal it, when it is sent a pulse; its ring is ``pulses_0`` for the first server, …

[[client]]
channel = 2         # of the process manager, to this client
server = "adder"
connection = 3      # number of the client's channel at that server
priority = 100      # of the pulses that say that it gave up waiting; 0 when not said
"""

import tomllib
from typing import Any, Final, TypeVar

import cattrs
from attrs import frozen

T = TypeVar("T")
_CONVERTER: Final = cattrs.Converter(forbid_extra_keys=True)


class ManifestError(ValueError):
    """The manifest says what cannot be; says where."""


@frozen
class Server:
    """A server, and by what the process manager reaches it."""

    name: str
    child: int
    lifecycle: int
    endpoint: int = 0
    channel: int = 0


@frozen
class Client:
    """A client's connection to a server."""

    channel: int
    server: str
    connection: int
    priority: int = 0


@frozen
class ProcessManifest:
    """All of it."""

    servers: tuple[Server, ...]
    clients: tuple[Client, ...]


def read_process_manifest(text: str) -> ProcessManifest:
    """The manifest in a text. Raises ManifestError."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ManifestError(f"this is no TOML: {error}") from None
    servers = tuple(_entry(Server, entry) for entry in data.pop("server", []))
    clients = tuple(_entry(Client, entry) for entry in data.pop("client", []))
    if data:
        raise ManifestError(f"there are servers and clients, and no {', '.join(sorted(data))}")
    names = [server.name for server in servers]
    for client in clients:
        if client.server not in names:
            raise ManifestError(f"client {client.channel}: there is no server {client.server!r}")
    return ProcessManifest(servers, clients)


def _entry(kind: type[T], entry: dict[str, Any]) -> T:
    name = kind.__name__.lower()
    try:
        return _CONVERTER.structure(entry, kind)
    except Exception as error:
        problems = cattrs.transform_error(error, path=name)
        raise ManifestError("; ".join(problems)) from None
