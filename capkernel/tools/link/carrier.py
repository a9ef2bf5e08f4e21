"""A network card's cable that leads to other processes: frames in TLS 1.3 records, with certificates on both sides.

Each frame goes with its length in two bytes before it. A frame goes to whoever sent one from its address, or else to
all. Nothing here waits; what finds no room is lost, as on any wire. What gateways say is sealed by themselves: this
keeps strangers off the wire and hides who speaks to whom.
"""

import socket
import ssl
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from capkernel.tools.link.certificates import OTHERS, OWN, SECRET
from hwmodel.network import MAX_FRAME
from hwmodel.stateful import Stateful

Address = tuple[str, int]
CHUNK: Final = 65536
FULL: Final = 1 << 20
"""Bytes that wait to be sent; then frames are lost."""
PATIENCE: Final = 5.0
"""Seconds of the host's clock for a connection to come about; after that it is tried again, or given up."""


class Connection:
    """One process at the other end."""

    def __init__(self, found: socket.socket, context: ssl.SSLContext, *, is_server: bool) -> None:
        found.setblocking(False)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = context.wrap_socket(found, server_side=is_server, do_handshake_on_connect=False)
        self.began = time.monotonic()
        self.is_open = False
        self.is_over = False
        self.addresses: set[bytes] = set()
        self._out = bytearray()
        self._in = bytearray()

    def send(self, frame: bytes) -> None:
        """Queue a frame, and send what can be sent."""
        if self.is_open and len(self._out) < FULL:
            self._out += len(frame).to_bytes(2, "big") + frame
            self.pump()

    def pump(self) -> None:
        """Do what can be done without waiting."""
        try:
            if not self.is_open:
                self.socket.do_handshake()
                self.is_open = True
            while self._out:
                del self._out[: self.socket.send(self._out[:CHUNK])]
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            if not self.is_open and time.monotonic() - self.began > PATIENCE:
                self.close()
        except OSError:
            self.close()

    def frames(self) -> list[bytes]:
        """Frames that have arrived."""
        self.pump()
        try:
            while self.is_open and not self.is_over:
                data = self.socket.recv(CHUNK)
                if not data:
                    self.close()
                self._in += data
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError:
            self.close()
        found = []
        while len(self._in) >= 2 and len(self._in) >= 2 + (size := int.from_bytes(self._in[:2], "big")):
            found.append(bytes(self._in[2 : 2 + size]))
            del self._in[: 2 + size]
        self.addresses |= {frame[6:12] for frame in found}
        return found

    def close(self) -> None:
        """The end of it."""
        self.is_over = True
        self.is_open = False
        self.socket.close()


class TlsPeer(Stateful):
    """The far end of a card's cable. ``folder`` has the machine's certificate and the others'; it listens at an address
    (port 0: one that is free), and connects to others, again when a connection ends. Raises OSError, ssl.SSLError.
    """

    STATE = ()

    def __init__(self, folder: Path, listen: Address | None, others: Iterable[Address]) -> None:
        self._server = _context(folder, ssl.PROTOCOL_TLS_SERVER)
        self._client = _context(folder, ssl.PROTOCOL_TLS_CLIENT)
        self._listener = None if listen is None else socket.create_server(listen)
        if self._listener is not None:
            self._listener.setblocking(False)
        self._others: dict[Address, Connection | None] = dict.fromkeys(others)
        self._tried = dict.fromkeys(self._others, -PATIENCE)
        self._accepted: list[Connection] = []

    @property
    def address(self) -> Address | None:
        """Where it listens."""
        return None if self._listener is None else self._listener.getsockname()[:2]

    @property
    def connections(self) -> list[Connection]:
        """Those that there are."""
        return [each for each in (*self._accepted, *self._others.values()) if each is not None and not each.is_over]

    @property
    def sockets(self) -> list[socket.socket]:
        """Those on which something may arrive."""
        return [each.socket for each in self.connections] + ([] if self._listener is None else [self._listener])

    def send(self, frame: bytes) -> None:
        """A frame of the machine's."""
        known = [each for each in self.connections if frame[:6] in each.addresses]
        for each in known or self.connections:
            each.send(frame)

    def receive(self, limit: int) -> list[bytes]:
        """Frames for the machine; more than the limit are lost."""
        self._accept()
        self._connect()
        found = [frame for each in self.connections for frame in each.frames() if len(frame) <= MAX_FRAME]
        return found[:limit]

    def close(self) -> None:
        """Give up all connections."""
        for each in self.connections:
            each.close()
        if self._listener is not None:
            self._listener.close()

    def _accept(self) -> None:
        self._accepted = [each for each in self._accepted if not each.is_over]
        while self._listener is not None:
            try:
                found, _ = self._listener.accept()
            except BlockingIOError:
                return
            with suppress(OSError):
                self._accepted.append(Connection(found, self._server, is_server=True))

    def _connect(self) -> None:
        for address, connection in self._others.items():
            is_there = connection is not None and not connection.is_over
            if is_there or time.monotonic() - self._tried[address] < PATIENCE / 10:
                continue
            self._tried[address] = time.monotonic()
            try:
                found = socket.create_connection(address, timeout=PATIENCE / 10)
                self._others[address] = Connection(found, self._client, is_server=False)
            except OSError:
                self._others[address] = None


def _context(folder: Path, protocol: int) -> ssl.SSLContext:
    """Both sides show a certificate, and only those are accepted that the folder names."""
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(folder / OWN, folder / SECRET)
    context.load_verify_locations(folder / OTHERS)
    return context
