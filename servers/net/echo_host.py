"""A host at the other end of a network cable that sends back what it gets over TCP: for a card of a simulated machine.

It is outside of the machine, but its time is the machine's, so that a run with it goes the same way each time.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

from servers.net.lwip.stack import Connection, Stack

ADDRESS: Final = "10.0.2.2/24"
PORT: Final = 10007
_MAC: Final = bytes((2, 0, 0, 0, 0, 2))


class EchoHost:
    """The host. ``clock`` tells the time in ms; frames go in by ``send`` and come out by ``receive``."""

    def __init__(self) -> None:
        self.clock: Callable[[], int] = lambda: 0
        self._out: deque[bytes] = deque()
        self._stack = Stack(_MAC, self._now, self._out.append, address=ADDRESS, seed=2)
        self._listener = self._stack.listen(PORT)
        self._open: list[tuple[Connection, bytearray]] = []

    def _now(self) -> int:
        return self.clock()

    def send(self, frame: bytes) -> None:
        """Take a frame that the machine sends."""
        self._stack.input(frame)

    def receive(self, limit: int) -> list[bytes]:
        """Do what is due; at most ``limit`` frames for the machine."""
        self._stack.poll()
        for _ in self._stack.changes():
            pass
        while (connection := self._listener.accept()) is not None:
            self._open.append((connection, bytearray()))
        self._open = [each for each in self._open if self._goes_on(*each)]
        return [self._out.popleft() for _ in range(min(limit, len(self._out)))]

    def _goes_on(self, connection: Connection, waiting: bytearray) -> bool:
        """Send back what came; false if the connection is over."""
        if connection.error is not None:
            connection.abort()
            return False
        waiting += connection.receive()
        if waiting:
            del waiting[: connection.send(bytes(waiting))]
        if connection.at_end and not waiting:
            connection.close()
            return False
        return True

    def snapshot(self) -> tuple[object, ...]:
        """Nothing of it is part of the machine."""
        return ()

    def restore(self, saved: tuple[object, ...]) -> None:
        """Nothing of it is part of the machine."""
