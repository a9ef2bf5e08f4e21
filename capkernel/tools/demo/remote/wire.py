"""A wire between simulated machines: packets may be lost, doubled, late; machines may be cut off; and somebody listens.

Each machine's end is the far end of its card's cable. All that the wire does follows from its seed.
"""

from collections.abc import Callable
from random import Random

from attrs import frozen

from hwmodel.stateful import Stateful

Between = Callable[[bytes], list[bytes]]
"""Somebody on the wire: what becomes of a frame."""


@frozen
class Weather:
    """How bad the wire is: each a share of all frames, 0 to 1."""

    loss: float = 0
    double: float = 0
    late: float = 0


class WireEnd(Stateful):
    """One machine's end."""

    STATE = ()

    def __init__(self, wire: "Wire", name: str) -> None:
        self.wire = wire
        self.name = name
        self.waiting: list[bytes] = []

    def send(self, frame: bytes) -> None:
        """A frame of the machine's."""
        self.wire.carry(self.name, frame)

    def receive(self, limit: int) -> list[bytes]:
        """Frames for the machine."""
        taken, self.waiting[:limit] = self.waiting[:limit], []
        return taken


class Wire:
    """The wire; ``addresses`` are those of the machines' cards. ``seen`` is all that was ever sent."""

    def __init__(self, addresses: dict[str, bytes], seed: int, weather: Weather = Weather()) -> None:
        self.addresses = addresses
        self.random = Random(seed)
        self.weather = weather
        self.ends = {name: WireEnd(self, name) for name in addresses}
        self.cut: set[frozenset[str]] = set()
        self.seen: list[bytes] = []
        self.between: Between = lambda frame: [frame]

    def part(self, one: str, other: str) -> None:
        """Let nothing through between two machines."""
        self.cut.add(frozenset((one, other)))

    def heal(self) -> None:
        """Let everything through."""
        self.cut.clear()

    def carry(self, source: str, frame: bytes) -> None:
        """A machine sends a frame."""
        self.seen.append(frame)
        for each in self.between(frame):
            self._carry(source, each)

    def inject(self, frame: bytes) -> None:
        """Somebody on the wire sends a frame."""
        for name, address in self.addresses.items():
            if frame[:6] == address:
                self.ends[name].waiting.append(frame)

    def _carry(self, source: str, frame: bytes) -> None:
        weather = self.weather
        for name, address in self.addresses.items():
            if frame[:6] != address or name == source or frozenset((source, name)) in self.cut:
                continue
            if self.random.random() < weather.loss:
                continue
            waiting = self.ends[name].waiting
            for _ in range(1 + (self.random.random() < weather.double)):
                is_late = self.random.random() < weather.late
                waiting.insert(self.random.randrange(len(waiting) + 1) if is_late else len(waiting), frame)
