"""The network that a machine's card sees when the host lends it some of its own: no privilege, no TAP device.

The machine has 10.0.2.15 and finds a gateway at 10.0.2.2 that is the host (its loopback), and a name server at
10.0.2.3. As with other user-mode networks the host's kernel only sees sockets of this process: connections to
forwarded ports of the host's loopback go to the machine, and the machine's connections go to those addresses and ports
that were allowed, and nowhere else. Pings are answered by the gateway itself.

It is a `Peer` of a network card: nothing is read from the host but when the machine polls, and what is read then is the
machine's input, to be recorded. Connections cannot be taken back: restoring a snapshot leaves them as they are.

TCP towards the machine is `capkernel.runtime.hosttcp`. IP fragments and IP options are not supported: such packets are
dropped.
"""

import select
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress

from capkernel.runtime.hosttcp import ACK, RST, SYN, Segment, TcpEnd, checksum, decode, refusal
from hwmodel.stateful import Stateful

GUEST, GATEWAY, NAMESERVER = "10.0.2.15", "10.0.2.2", "10.0.2.3"
MAC = bytes.fromhex("525500000202")
"""The hardware address of all that is not the machine."""
LOOPBACK = "127.0.0.1"
MAX_CONNECTIONS = 256
FIRST_TIMEOUT, LAST_TIMEOUT, TIMEOUTS = 1.0, 8.0, 8
"""After how many seconds of the host's clock a segment is sent again, at first and at most, and how often."""

_ARP, _IP = 0x0806, 0x0800
_ICMP, _TCP, _UDP = 1, 6, 17
_CHUNK = 65536
_WAITING_FOR_ARP = 64
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)

Address = tuple[str, int]


class _Flow:
    """A connection: the machine's side, and the host's."""

    def __init__(self, end: TcpEnd, host: socket.socket, *, connecting: bool) -> None:
        self.end = end
        self.host = host
        self.connecting = connecting
        self.host_ended = self.host_shut = False
        self.progress = end.progress
        self.since = 0.0
        self.timeouts = 0

    def close(self) -> None:
        """Close the host's side, with a reset if the machine's was reset."""
        if self.end.reset:
            with suppress(OSError):
                self.host.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.host.close()

    def pump(self) -> None:
        """Carry bytes and ends both ways, as far as that goes without waiting. Raises OSError."""
        while self.end.room and not self.host_ended:
            try:
                data = self.host.recv(min(_CHUNK, self.end.room))
            except BlockingIOError:
                break
            self.end.write(data)
            if not data:
                self.host_ended = True
                self.end.finish()
        self._pump_out()

    def _pump_out(self) -> None:
        while self.end.unread:
            try:
                sent = self.host.send(self.end.peek(_CHUNK))
            except BlockingIOError:
                return
            self.end.read(sent)
        if self.end.ended and not self.host_shut:
            self.host_shut = True
            self.host.shutdown(socket.SHUT_WR)


class HostNet(Stateful):
    """A network made of the host's sockets. Close it when done."""

    __slots__ = (
        "_allowed",
        "_clock",
        "_flows",
        "_frames",
        "_listeners",
        "_mac",
        "_made",
        "_names",
        "_packets",
        "_unsent",
        "ports",
    )

    def __init__(
        self,
        *,
        forwards: Sequence[tuple[int, int]] = (),
        allowed: Iterable[Address] = (),
        names: Mapping[str, str] = {},
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`forwards` has pairs of a port of the host's loopback (0: any free one) and a port of the machine.

        `allowed` has the addresses and ports of the host side that the machine may connect to; the machine sees the
        host's loopback as 10.0.2.2. `names` are answered by the name server, with their addresses. `clock`, in
        seconds, only decides when a segment is sent again. Raises OSError if a port of the host is taken.
        """
        self.ports: dict[int, int] = {}
        """The port of the host for each forwarded port of the machine."""
        self._allowed = frozenset(allowed)
        self._names = {name.rstrip(".").lower(): address for name, address in names.items()}
        self._clock = clock
        self._flows: dict[tuple[Address, int], _Flow] = {}
        self._frames: deque[bytes] = deque()
        self._unsent: deque[bytes] = deque(maxlen=_WAITING_FOR_ARP)
        self._listeners: list[tuple[socket.socket, int]] = []
        self._mac: bytes | None = None
        self._made = 0
        self._packets = 0
        try:
            for host_port, port in forwards:
                self._forward(host_port, port)
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Close all sockets."""
        for listener, _ in self._listeners:
            listener.close()
        for flow in self._flows.values():
            flow.close()
        self._listeners.clear()
        self._flows.clear()

    # What the network card calls

    def send(self, frame: bytes) -> None:
        """Take a frame of the machine's; what is malformed or for another is lost."""
        kind = int.from_bytes(frame[12:14], "big")
        if kind == _ARP:
            self._take_arp(frame)
        elif kind == _IP and frame[:6] == MAC:
            self._mac = frame[6:12]
            self._take_packet(frame[14:])

    def receive(self, limit: int) -> list[bytes]:
        """At most `limit` frames for the machine; looks at the host's sockets first."""
        self._accept()
        for key, flow in list(self._flows.items()):
            self._serve(key, flow)
        return [self._frames.popleft() for _ in range(min(limit, len(self._frames)))]

    def wait(self, timeout: float | None) -> bool:
        """Wait until there may be something to receive, `timeout` seconds at most; whether there may be."""
        if self._frames:
            return True
        flows = self._flows.values()
        if any(flow.end.waits for flow in flows):
            timeout = min(FIRST_TIMEOUT, FIRST_TIMEOUT if timeout is None else timeout)
        readers = [listener for listener, _ in self._listeners]
        readers += [flow.host for flow in flows if flow.end.connected and flow.end.room and not flow.host_ended]
        writers = [flow.host for flow in flows if flow.connecting or flow.end.unread]
        return any(select.select(readers, writers, [], timeout))

    # The host's side

    def _forward(self, host_port: int, port: int) -> None:
        listener = socket.socket()
        self._listeners.append((listener, port))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, host_port))
        listener.listen(64)
        listener.setblocking(False)
        self.ports[port] = listener.getsockname()[1]

    def _accept(self) -> None:
        for listener, port in self._listeners:
            while len(self._flows) < MAX_CONNECTIONS:
                try:
                    host, _ = listener.accept()
                except OSError:
                    break
                self._add(((GATEWAY, self._free_port(port)), port), host, None)

    def _free_port(self, port: int) -> int:
        """A port of the gateway that has no connection with that port of the machine."""
        candidates = (49152 + (self._made + step) % 16384 for step in range(16384))
        return next(candidate for candidate in candidates if ((GATEWAY, candidate), port) not in self._flows)

    def _add(self, key: tuple[Address, int], host: socket.socket, syn: Segment | None) -> None:
        host.setblocking(False)
        with suppress(OSError):
            host.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._made += 1
        # Numbers of one connection after the other do not overlap.
        flow = _Flow(TcpEnd(self._made << 20 & 0xFFFF_FFFF, syn), host, connecting=syn is not None)
        flow.since = self._clock()
        self._flows[key] = flow

    def _serve(self, key: tuple[Address, int], flow: _Flow) -> None:
        """Do for one connection what can be done now."""
        try:
            if flow.connecting:
                self._look_whether_connected(flow)
            elif flow.end.connected:
                flow.pump()
        except OSError:
            flow.end.abort()
        self._look_whether_late(flow)
        # A connection that the host has not taken yet is not answered to the machine either.
        if not flow.connecting or flow.end.reset:
            for segment in flow.end.segments():
                self._send_segment(key, segment)
        if flow.end.reset or (flow.end.done and not flow.end.unread):
            flow.close()
            del self._flows[key]

    def _look_whether_connected(self, flow: _Flow) -> None:
        if not select.select([], [flow.host], [], 0)[1]:
            return
        flow.connecting = False
        if flow.host.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            flow.end.abort()

    def _look_whether_late(self, flow: _Flow) -> None:
        """Send again what the machine did not acknowledge in time, and give up in the end."""
        now = self._clock()
        if flow.connecting or not flow.end.waits or flow.end.progress != flow.progress:
            flow.progress, flow.since, flow.timeouts = flow.end.progress, now, 0
        elif now - flow.since >= min(FIRST_TIMEOUT * 2**flow.timeouts, LAST_TIMEOUT):
            flow.since = now
            flow.timeouts += 1
            if flow.timeouts > TIMEOUTS:
                flow.end.abort()
            else:
                flow.end.timeout()

    # The machine's side: TCP

    def _take_tcp(self, destination: str, data: bytes) -> None:
        pseudo = socket.inet_aton(GUEST) + socket.inet_aton(destination) + b"\0\x06"
        decoded = decode(data, pseudo)
        if decoded is None:
            return
        (port, host_port), segment = decoded
        key = ((destination, host_port), port)
        flow = self._flows.get(key)
        if flow is not None:
            flow.end.take(segment)
            self._serve(key, flow)
        elif segment.flags & (SYN | ACK | RST) == SYN and self._connect(key, segment):
            self._serve(key, self._flows[key])
        elif answer := refusal(segment):
            self._send_segment(key, answer)

    def _connect(self, key: tuple[Address, int], syn: Segment) -> bool:
        """Begin to connect to the host side, if that is allowed."""
        address, port = key[0]
        target = (LOOPBACK if address == GATEWAY else address, port)
        if target not in self._allowed or len(self._flows) >= MAX_CONNECTIONS:
            return False
        host = socket.socket()
        host.setblocking(False)
        try:
            host.connect(target)
        except BlockingIOError:
            pass
        except OSError:
            host.close()
            return False
        self._add(key, host, syn)
        return True

    def _send_segment(self, key: tuple[Address, int], segment: Segment) -> None:
        (address, host_port), port = key
        pseudo = socket.inet_aton(address) + socket.inet_aton(GUEST) + b"\0\x06"
        self._send_packet(address, _TCP, segment.encode((host_port, port), pseudo))

    # The machine's side: the rest

    def _take_arp(self, frame: bytes) -> None:
        """Answer for every address of the network but the machine's."""
        if len(frame) < 42 or frame[14:20] != b"\0\1\x08\0\6\4":
            return
        sender, asked = frame[28:32], frame[38:42]
        if sender != socket.inet_aton(GUEST):
            return
        self._mac = frame[22:28]
        if frame[20:22] == b"\0\1" and socket.inet_ntoa(asked) in (GATEWAY, NAMESERVER):
            answer = b"\0\1\x08\0\6\4\0\2" + MAC + asked + self._mac + sender
            self._frames.append(self._mac + MAC + _ARP.to_bytes(2, "big") + answer)
        while self._unsent:
            self._frames.append(self._mac + self._unsent.popleft())

    def _take_packet(self, packet: bytes) -> None:
        if len(packet) < 20 or packet[0] != 0x45 or checksum(packet[:20]):
            return
        size = int.from_bytes(packet[2:4], "big")
        is_fragment = int.from_bytes(packet[6:8], "big") & 0x3FFF
        if not 20 <= size <= len(packet) or is_fragment or packet[12:16] != socket.inet_aton(GUEST):
            return
        destination, data = socket.inet_ntoa(packet[16:20]), packet[20:size]
        if packet[9] == _TCP:
            self._take_tcp(destination, data)
        elif packet[9] == _UDP and destination == NAMESERVER:
            self._take_question(data)
        elif packet[9] == _ICMP and destination in (GATEWAY, NAMESERVER):
            self._take_ping(destination, data)

    def _take_ping(self, destination: str, data: bytes) -> None:
        if len(data) < 8 or data[:2] != b"\x08\0" or checksum(data):
            return
        total = checksum(bytes(4) + data[4:])
        self._send_packet(destination, _ICMP, bytes(2) + total.to_bytes(2, "big") + data[4:])

    def _take_question(self, data: bytes) -> None:
        """Answer a question to the name server."""
        if len(data) < 8 or data[2:4] != b"\0\x35" or not 8 <= int.from_bytes(data[4:6], "big") <= len(data):
            return
        pseudo = socket.inet_aton(GUEST) + socket.inet_aton(NAMESERVER) + b"\0\x11" + data[4:6]
        message = data[: int.from_bytes(data[4:6], "big")]
        if message[6:8] != bytes(2) and checksum(pseudo + message):
            return
        if answer := answer_question(message[8:], self._names):
            head = b"\0\x35" + data[:2] + (8 + len(answer)).to_bytes(2, "big")
            self._send_packet(NAMESERVER, _UDP, head + bytes(2) + answer)

    def _send_packet(self, source: str, protocol: int, data: bytes) -> None:
        self._packets += 1
        addresses = socket.inet_aton(source) + socket.inet_aton(GUEST)
        head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(data), self._packets & 0xFFFF, 0x4000, 64, protocol, 0)
        head = head[:10] + checksum(head + addresses).to_bytes(2, "big") + addresses
        rest = MAC + _IP.to_bytes(2, "big") + head + data
        if self._mac is not None:
            self._frames.append(self._mac + rest)
            return
        self._unsent.append(rest)
        question = b"\0\1\x08\0\6\4\0\1" + MAC + socket.inet_aton(GATEWAY) + bytes(6) + socket.inet_aton(GUEST)
        self._frames.append(b"\xff" * 6 + MAC + _ARP.to_bytes(2, "big") + question)


def answer_question(message: bytes, names: Mapping[str, str]) -> bytes | None:
    """Answer a DNS message (RFC 1035) that has one question, with the IPv4 addresses in `names`; else nothing."""
    if len(message) < 12 or message[2] & 0xF8 or message[4:6] != b"\0\1":
        return None
    labels, at = [], 12
    while at < len(message) and message[at]:
        size = message[at]
        if size > 63 or at + 1 + size >= len(message):
            return None
        labels.append(message[at + 1 : at + 1 + size].decode("ascii", "replace").lower())
        at += 1 + size
    question = message[12 : at + 5]
    if len(question) != at - 7:
        return None
    address = names.get(".".join(labels))
    found = address is not None and question[-4:] == b"\0\1\0\1"
    flags = (0x8080 if address is not None else 0x8083) | (message[2] & 1) << 8
    head = message[:2] + struct.pack(">5H", flags, 1, int(found), 0, 0)
    if not found or address is None:
        return head + question
    return head + question + b"\xc0\x0c\0\1\0\1" + struct.pack(">IH", 60, 4) + socket.inet_aton(address)
