"""What it costs to be a server in user space: TCP through driver, stack and caps, beside the bare stack in one process.

``python -m bench.network``. In both cases the peer is a second stack in this process. For the system there are also the
virtual time and the kernel entries of one round: the same in each run, with a peer that is heard every 20 µs.
"""

from collections.abc import Callable
from pathlib import Path

from bench.timing import Figure, least, show
from capkernel.tools.demo.stage import Stage
from hwmodel.stateful import Stateful
from hwmodel.virtio import virtio_net
from servers.net.lwip import AVAILABLE, WHY_NOT
from servers.net.lwip.stack import Connection, Stack

MACHINE, OUTSIDE = "10.0.2.15", "10.0.2.2"
ECHO, WEB = 10007, 80
SIZE = 64
BODY = 65_536
ROUNDS, FETCHES = 100, 4
SLICE_US = 20
"""Virtual time between two looks at what the peer has sent."""
REQUEST = f"GET /big.bin HTTP/1.1\r\nHost: machine\r\nRange: bytes=0-{BODY - 1}\r\n\r\n".encode()


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
    """The system ``network``, with the echoing client in it."""

    def __init__(self) -> None:
        self.outside = Outside()
        folder = str(Path(__file__).parent / "echoing")
        self.stage = Stage(
            "network", variant=folder, programs={"client": "net_client.elf"},
            devices={"virtio1": virtio_net(self.outside)},
        )  # fmt: skip
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

    def fetch(self, connection: Connection) -> None:
        """One page over a connection that is kept."""
        connection.send(REQUEST)
        got = 0

        def done() -> bool:
            nonlocal got
            got += len(connection.receive())
            return got > BODY

        self.run(done)

    def cost(self, work: Callable[[], object], count: int) -> tuple[float, float]:
        """Microseconds of virtual time, and kernel entries, for each of ``count`` things."""
        system = self.stage.system
        began, entries = system.machine.now(), system.loop.entries
        work()
        return (system.machine.now() - began) / 10 / count, (system.loop.entries - entries) / count


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
        self.connection = self.near.connect(OUTSIDE, ECHO)
        while not self.connection.connected:
            self.turn()
        self.turn()
        echo(self.listener.accept, self.echoing)

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

    def fetch(self) -> None:
        """As many bytes as a page has, from the far end to the near one."""
        rest, back = bytes(BODY), 0
        while back < BODY:
            rest = rest[self.echoing[0].send(rest) :] if rest else rest
            self.turn()
            back += len(self.connection.receive())


def figures() -> list[Figure]:
    """Host time of both, with the bare stack as the floor; virtual time and kernel entries are printed."""
    system, bare = System(), Bare()
    stage, stack = system.stage, system.outside.stack
    system.run(lambda: stage.words("published", 1)[0] and stage.words("report", 1)[0])
    connection = stack.connect(MACHINE, WEB)
    system.run(lambda: connection.connected)
    system.fetch(connection)
    found = []
    for name, unit, work, floor, count in (
        ("TCP echo of 64 bytes", "round trip", lambda: system.rounds(ROUNDS), lambda: bare.rounds(ROUNDS), ROUNDS),
        (
            "HTTP GET of 64 KiB", "page", lambda: [system.fetch(connection) for _ in range(FETCHES)],
            lambda: [bare.fetch() for _ in range(FETCHES)], FETCHES,
        ),
    ):  # fmt: skip
        virtual_us, entries = system.cost(work, count)
        print(f"{name}: {virtual_us:.1f} µs of virtual time and {entries:.1f} kernel entries for each {unit}")
        found.append(Figure(name, unit, least(work, count), least(floor, count), "lwIP alone"))
    stage.close()
    return found


def main() -> None:
    """Measure and print."""
    if AVAILABLE:
        show(figures(), {})
    else:
        print(f"The network is not measured: {WHY_NOT}")


if __name__ == "__main__":
    main()
