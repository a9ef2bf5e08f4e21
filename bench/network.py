"""What it costs to be a server in user space: TCP through driver, stack and caps, beside the same code in one domain,
and beside the bare stack.

``python -m bench.network [--json]``. The peer is always a second stack in this process. Virtual time, kernel entries
and bytes are the same in each run, with a peer that is heard every 5 µs; host time is CPU time, the peer's included.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from time import process_time

from bench.columns import Found, Work, data, show
from capkernel.tools.demo.stage import Stage
from capkernel.tools.meter import Cost, Meter
from hwmodel.stateful import Stateful
from hwmodel.virtio import virtio_net
from servers.net.lwip import AVAILABLE, WHY_NOT
from servers.net.lwip.stack import Connection, Stack

MACHINE, OUTSIDE = "10.0.2.15", "10.0.2.2"
ECHO, WEB = 10007, 80
SIZE = 64
PAGE, BODY = 4096, 65_536
ROUNDS, FETCHES = 100, 16
SLICE_US = 5
"""Virtual time between two looks at what the peer has sent."""
HERE = Path(__file__).parent
BUILDS = {"isolated": ("network", str(HERE / "echoing")), "one domain": ("monolith_network", str(HERE / "linked"))}
WORKS = {
    "echo": Work(f"TCP echo of {SIZE} bytes"), "page": Work("HTTP GET of 4 KiB"),
    "body": Work("HTTP GET of 64 KiB", BODY),
}  # fmt: skip


def request(size: int) -> bytes:
    """What a browser says that wants the beginning of a page."""
    return f"GET /big.bin HTTP/1.1\r\nHost: machine\r\nRange: bytes=0-{size - 1}\r\n\r\n".encode()


class Outside(Stateful):
    """The far end of the card's cable: a stack that echoes."""

    def __init__(self) -> None:
        self.now = 0
        self.frames: list[bytes] = []
        self.stack = Stack(
            b"\2\0\0\0\0\x07", lambda: self.now, self.frames.append, address=f"{OUTSIDE}/24", seed=3
        )
        self.listener = self.stack.listen(ECHO)
        self.echoing: list[Connection] = []

    def send(self, frame: bytes) -> None:
        """A frame of the machine's."""
        self.stack.input(frame)

    def receive(self, limit: int) -> list[bytes]:
        """Frames for the machine."""
        self.stack.poll()
        echo(self.listener.accept, self.echoing)
        taken, self.frames[:limit] = self.frames[:limit], []
        return taken


def echo(accept: Callable[[], Connection | None], connections: list[Connection]) -> None:
    """Send back what arrived."""
    if (connection := accept()) is not None:
        connections.append(connection)
    for connection in connections:
        if data := connection.receive():
            connection.send(data)


class System:
    """A system with a web server, and the echoing client in it."""

    def __init__(self, name: str = "network", variant: str = BUILDS["isolated"][1]) -> None:
        self.outside = Outside()
        self.stage = Stage(name, variant=variant, devices={"virtio1": virtio_net(self.outside)})
        self.stage.booted.boot()

    def run(self, until: Callable[[], object]) -> None:
        """Run until something is so."""
        system = self.stage.system
        while not until():
            if system.run(time_us=SLICE_US) != "time":
                raise RuntimeError("the system stopped")
            self.outside.now = system.machine.now() // 10_000
            system.machine.poll_input()

    def rounds(self, count: int) -> None:
        """So many round trips of the client."""
        target = self.stage.words("report", 1)[0] + count
        self.run(lambda: self.stage.words("report", 1)[0] >= target)

    def fetch(self, connection: Connection, size: int) -> None:
        """The beginning of a page, over a connection that is kept."""
        connection.send(request(size))
        got = bytearray()

        def done() -> bool:
            got.extend(connection.receive())
            head, end, body = got.partition(b"\r\n\r\n")
            return bool(end) and len(body) >= size

        self.run(done)

    def ready(self) -> Connection:
        """Run until all is there; returns a connection to the web server."""
        self.run(lambda: self.stage.words("published", 1)[0] and self.stage.words("report", 1)[0])
        connection = self.opened()
        self.fetch(connection, BODY)
        return connection

    def opened(self) -> Connection:
        """Another connection to the web server."""
        connection = self.outside.stack.connect(MACHINE, WEB)
        self.run(lambda: connection.connected)
        return connection


class Bare:
    """Two stacks, each frame handed over at once."""

    def __init__(self) -> None:
        self.now = 0
        self.to_far: list[bytes] = []
        self.to_near: list[bytes] = []
        self.near = Stack(b"\2\0\0\0\0\1", lambda: self.now, self.to_far.append, address=f"{MACHINE}/24", seed=1)
        self.far = Stack(b"\2\0\0\0\0\2", lambda: self.now, self.to_near.append, address=f"{OUTSIDE}/24", seed=2)
        self.listener = self.far.listen(ECHO)
        self.echoing: list[Connection] = []
        self.connection = self.opened()

    def opened(self) -> Connection:
        """Another connection."""
        connection = self.near.connect(OUTSIDE, ECHO)
        while not connection.connected:
            self.turn()
        self.turn()
        echo(self.listener.accept, self.echoing)
        return connection

    def turn(self) -> None:
        """Carry frames; a millisecond passes when there are none."""
        if not self.to_far and not self.to_near:
            self.now += 1
            self.near.poll()
            self.far.poll()
        while self.to_far:
            self.far.input(self.to_far.pop(0))
        while self.to_near:
            self.near.input(self.to_near.pop(0))

    def rounds(self, count: int) -> None:
        """So many round trips."""
        for _ in range(count):
            self.connection.send(bytes(SIZE))
            back = 0
            while back < SIZE:
                self.turn()
                echo(self.listener.accept, self.echoing)
                back += len(self.connection.receive())

    def fetch(self, size: int) -> None:
        """As many bytes as a page has, from the far end to the near one."""
        rest, back = bytes(size), 0
        while back < size:
            rest = rest[self.echoing[0].send(rest) :] if rest else rest
            self.turn()
            back += len(self.connection.receive())


def measured(name: str, variant: str) -> dict[str, Cost]:
    """Each kind of work in a system."""
    system = System(name, variant)
    connection = system.ready()
    costs = {}
    for kind, work, count in _works(system.rounds, lambda size: system.fetch(connection, size)):
        meter = Meter(system.stage)
        work()
        costs[kind] = meter.cost(count)
    system.stage.close()
    return costs


def alone() -> dict[str, Cost]:
    """The same by two bare stacks. Nobody speaks HTTP there: a page is so many bytes."""
    bare, costs = Bare(), {}
    for kind, work, count in _works(bare.rounds, bare.fetch):
        start = process_time()
        work()
        costs[kind] = Cost((process_time() - start) * 1e6 / count)
    return costs


def _works(
    rounds: Callable[[int], None], fetch: Callable[[int], None]
) -> list[tuple[str, Callable[[], None], int]]:
    """What is done for each kind of work, and how often that does it."""
    return [
        ("echo", lambda: rounds(ROUNDS), ROUNDS), ("page", lambda: _each(fetch, PAGE), FETCHES),
        ("body", lambda: _each(fetch, BODY), FETCHES),
    ]  # fmt: skip


def _each(fetch: Callable[[int], None], size: int) -> None:
    for _ in range(FETCHES):
        fetch(size)


def found() -> Found:
    """In each build."""
    return {build: measured(*place) for build, place in BUILDS.items()} | {"lwIP alone": alone()}


def main() -> None:
    """Measure and print."""
    if sys.argv[1:] not in ([], ["--json"]):
        sys.exit("usage: python -m bench.network [--json]")
    if not AVAILABLE:
        print(f"The network is not measured: {WHY_NOT}", file=sys.stderr if sys.argv[1:] else sys.stdout)
    elif sys.argv[1:]:
        print(json.dumps(data(found())))
    else:
        show(WORKS, found())


if __name__ == "__main__":
    main()
