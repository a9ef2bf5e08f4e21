"""Two stacks on one cable, in virtual time; the cable loses, doubles and delays frames as a seed says."""

import hashlib
import heapq
import random
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import attrs
import pytest

from servers.net.lwip import AVAILABLE, WHY_NOT
from servers.net.lwip.stack import Connection, Listener, Stack, Use

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl on this machine: NOT RUN")
"""The host's own: a client that we did not write."""
needs_lwip = pytest.mark.skipif(not AVAILABLE, reason=WHY_NOT)

CLIENT, SERVER = "10.0.2.15", "10.0.2.2"


@attrs.frozen
class Faults:
    """What happens to frames: probabilities, and delays in ms; different delays reorder."""

    loss: float = 0.0
    duplication: float = 0.0
    least_delay: int = 1
    most_delay: int = 1


class Wire:
    """The cable, the clock, and a stack at each end."""

    def __init__(self, seed: int = 0, faults: Faults = Faults(), limits: Mapping[str, int] = {}) -> None:
        self.now = 0
        self.faults = faults
        self.frames = 0
        self.digest = hashlib.sha256()
        self.tamper: Callable[[bytes], bytes] = lambda frame: frame
        self._random = random.Random(seed)
        self._flying: list[tuple[int, int, int, bytes]] = []
        self.client = self._stack(0, CLIENT, seed, limits)
        self.server = self._stack(1, SERVER, seed + 1, limits)
        self.ends = (self.client, self.server)

    def _stack(self, end: int, address: str, seed: int, limits: Mapping[str, int]) -> Stack:
        def send(frame: bytes) -> None:
            self._sent(end, frame)

        mac = bytes((2, 0, 0, 0, 0, end + 1))
        return Stack(mac, self._clock, send, address=f"{address}/24", seed=seed, limits=limits)

    def _clock(self) -> int:
        return self.now

    def _sent(self, end: int, frame: bytes) -> None:
        self.digest.update(b"%d %d %d " % (self.now, end, len(frame)) + frame)
        chance = self._random.random
        copies = 1 + (chance() < self.faults.duplication)
        for _ in range(copies):
            if chance() < self.faults.loss:
                continue
            due = self.now + self._random.randint(self.faults.least_delay, self.faults.most_delay)
            self.frames += 1
            heapq.heappush(self._flying, (due, self.frames, 1 - end, self.tamper(frame)))

    def step(self, limit: int) -> bool:
        """Go on to the next time at which something happens, `limit` at the latest; whether there was something."""
        dues = [self.now + due for stack in self.ends if (due := stack.poll()) is not None]
        dues += [self._flying[0][0]] if self._flying else []
        if not dues or min(dues) > limit:
            self.now = max(self.now, limit)
            return False
        self.now = max(self.now, min(dues))
        while self._flying and self._flying[0][0] <= self.now:
            _, _, end, frame = heapq.heappop(self._flying)
            self.ends[end].input(frame)
        return True

    def run(self, until: Callable[[], bool] = lambda: False, limit: int = 3_600_000) -> bool:
        """Go on until something holds, or nothing is left to happen, or `limit` ms have passed; whether it holds."""
        end = self.now + limit
        while not until():
            if not self.step(end):
                return until()
        return True

    def carry(self, *senders: "Sender", limit: int = 36_000_000) -> bool:
        """Go on until each sender has sent and received all."""
        return self.run(lambda: sum(sender.go_on() for sender in senders) == len(senders), limit)

    def connected(self, port: int = 80) -> tuple[Connection, Connection, Listener]:
        """A new connection of the client to the server: both its ends, and the listener."""
        listener = self.server.listen(port)
        for _ in range(5):
            ours = self.client.connect(SERVER, port)
            self.run(lambda: bool(listener._waiting), 60_000)
            if (theirs := listener.accept()) and ours.connected:
                return ours, theirs, listener
            # The server forgets who does not answer in 20 s, and if answers are lost the client does not know.
            ours.abort()
        raise AssertionError("five attempts to connect failed")

    def close(self) -> None:
        for stack in self.ends:
            stack.close()


@contextmanager
def wire(seed: int = 0, faults: Faults = Faults(), limits: Mapping[str, int] = {}) -> Iterator[Wire]:
    """A cable whose stacks are closed at the end."""
    made = Wire(seed, faults, limits)
    try:
        yield made
    finally:
        made.close()


def used(stack: Stack) -> dict[str, int]:
    """What is used of each pool."""
    return {name: use.used for name, use in stack.statistics().items()}


def refused(stack: Stack) -> list[str]:
    """The pools that were empty when something was wanted of them."""
    uses: dict[str, Use] = stack.statistics()
    return [name for name, use in uses.items() if use.refused]


class Sender:
    """Sends a stream as room comes, then a FIN; receives until the peer's."""

    def __init__(self, connection: Connection, data: bytes, chunk: int = 65535) -> None:
        self.connection = connection
        self.data = data
        self.chunk = chunk
        self.sent = 0
        self.received = bytearray()
        self.shut = False

    def go_on(self) -> bool:
        """Do what can be done now; whether all was sent and received."""
        while self.sent < len(self.data):
            size = self.connection.send(self.data[self.sent : self.sent + self.chunk])
            if not size:
                break
            self.sent += size
        if self.sent == len(self.data) and not self.shut:
            self.connection.shutdown()
            self.shut = True
        while data := self.connection.receive(self.chunk):
            self.received += data
        return self.shut and self.connection.at_end
