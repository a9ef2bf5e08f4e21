"""What is outside of the machine, without the host: another stack at the far end of the cable, with servers of its own.

It answers pings, gives out names, sends bytes back on port 10007 and a page on port 10080. Its clock is the machine's.
"""

import random
from collections.abc import Callable, Mapping
from typing import Any

import dns.flags
import dns.message
import dns.rrset
import h11

from capkernel.tools.demo.stage import Stage
from hwmodel.faults import FaultPlan
from hwmodel.stateful import Stateful
from hwmodel.virtio import virtio_net
from hwmodel.virtio.transport import VirtioMmio
from servers.net.lwip.stack import Connection, Stack, UdpSocket
from tests.servers.net.wire import SERVER

ECHO, WEB, NAMES = 10007, 10080, 53
PAGE = random.Random(4).randbytes(100_000)
ADDRESSES = {"files.test": SERVER, "elsewhere.test": "10.0.2.9"}


class Outside(Stateful):
    """The far end of a cable. ``tamper`` sees every frame for the machine, and says what arrives in its place."""

    def __init__(self, addresses: Mapping[str, str] = ADDRESSES, page: bytes = PAGE) -> None:
        self.now = 0
        self.waiting: list[bytes] = []
        self.tamper: Callable[[bytes], list[bytes]] = lambda frame: [frame]
        self.taken = 0
        self.stack = Stack(
            b"\2\0\0\0\0\x07", lambda: self.now, lambda frame: self.waiting.extend(self.tamper(frame)),
            address=f"{SERVER}/24", seed=3,
        )  # fmt: skip
        self.addresses = addresses
        self.page = page
        self.listeners = {port: self.stack.listen(port) for port in (ECHO, WEB)}
        self.names = Nameserver(self, "10.0.2.3")
        self.serving: list[Callable[[], bool]] = []
        """Called at each poll, until they say that they are done."""

    def send(self, frame: bytes) -> None:
        """A frame of the machine's."""
        self.taken += 1
        self.stack.input(frame)
        self.names.stack.input(frame)

    def receive(self, limit: int) -> list[bytes]:
        """Frames for the machine."""
        self.stack.poll()
        self.names.go_on()
        while connection := self.listeners[ECHO].accept():
            self.serving.append(Echo(connection).go_on)
        while connection := self.listeners[WEB].accept():
            self.serving.append(Responder(connection, self.page).go_on)
        self.serving = [go_on for go_on in self.serving if not go_on()]
        taken, self.waiting[:limit] = self.waiting[:limit], []
        return taken

    def close(self) -> None:
        self.stack.close()
        self.names.stack.close()


class Nameserver:
    """A name server at an address of its own."""

    def __init__(self, outside: Outside, address: str) -> None:
        self.outside = outside
        self.stack = Stack(
            b"\2\0\0\0\0\x08", lambda: outside.now, lambda frame: outside.waiting.extend(outside.tamper(frame)),
            address=f"{address}/24", seed=4,
        )  # fmt: skip
        self.socket: UdpSocket = self.stack.udp(NAMES)
        self.asked = 0
        self.answer: Callable[[bytes], list[bytes]] = self.right_answer
        """What is sent back for a question; a test may put another in its place."""

    def go_on(self) -> None:
        self.stack.poll()
        while found := self.socket.receive():
            self.asked += 1
            for answer in self.answer(found[0]):
                self.socket.send(answer, found[1].address, found[1].port)

    def right_answer(self, question: bytes) -> list[bytes]:
        query = dns.message.from_wire(question)
        response = dns.message.make_response(query)
        name = query.question[0].name
        address = self.outside.addresses.get(name.to_text(omit_final_dot=True))
        if address is None:
            response.set_rcode(3)
        else:
            response.answer.append(dns.rrset.from_text(name, 60, "IN", "A", address))
        return [response.to_wire()]


class Echo:
    """Sends back what it gets."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.held = b""

    def go_on(self) -> bool:
        connection = self.connection
        if connection.error is not None:
            return True
        if not self.held:
            self.held = connection.receive()
        self.held = self.held[connection.send(self.held) :] if self.held else b""
        if connection.at_end and not self.held:
            connection.close()
        return connection.closed


class Responder:
    """Answers one request with a page."""

    def __init__(self, connection: Connection, page: bytes) -> None:
        self.connection = connection
        self.protocol = h11.Connection(h11.SERVER)
        self.page = page
        self.out = b""

    def go_on(self) -> bool:
        connection = self.connection
        if connection.error is not None:
            return True
        if not self.out and (data := connection.receive()):
            self.protocol.receive_data(data)
            if isinstance(self.protocol.next_event(), h11.Request):
                length = [("content-length", str(len(self.page))), ("connection", "close")]
                for event in (h11.Response(status_code=200, headers=length), h11.Data(self.page), h11.EndOfMessage()):
                    self.out += self.protocol.send(event) or b""
        if self.out:
            self.out = self.out[connection.send(self.out) :]
            if not self.out:
                connection.close()
        return connection.closed


class Played:
    """A system with a card whose cable leads to an ``Outside``."""

    def __init__(self, name: str = "network", *, plan: FaultPlan | None = None, **options: Any) -> None:
        self.outside = Outside()
        self.stage = Stage(name, devices={"virtio1": virtio_net(self.outside, plan=plan)}, **options)

    @property
    def card(self) -> VirtioMmio:
        """The card as the machine has it."""
        device = self.stage.system.machine.devices["virtio1"]
        assert isinstance(device, VirtioMmio)
        return device

    def run(self, until: Callable[[], object], longest_ms: int = 20_000) -> bool:
        """Run until something is so, looked at each millisecond of virtual time; false if it never was."""
        machine = self.stage.system.machine
        self.stage.booted.boot()
        for _ in range(longest_ms):
            if until():
                return True
            if self.stage.system.run(time_us=1000) != "time":
                break
            self.outside.now = machine.now() // 10_000
            machine.poll_input()
        return bool(until())

    def close(self) -> None:
        self.stage.close()
        self.outside.close()
