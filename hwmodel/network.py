"""Where a network card's cable leads to, outside the machine: the other end of a loop, or a TAP device of the host.

A frame is an Ethernet frame from its destination address on, without checksum. What leaves a machine goes to
`Peer.send` at once; what comes to it is fetched with `Peer.receive` when the machine polls for input, and only then, so
that it can be recorded and a run without it is the same each time.
"""

import fcntl
import os
import struct
from typing import Protocol

from hwmodel.stateful import Saved, Stateful

MAX_FRAME = 65_550
_TUN_DEVICE = "/dev/net/tun"
_NAME_BYTES = 15
_TUNSETIFF, _IFF_TAP, _IFF_NO_PI = 0x400454CA, 0x0002, 0x1000


class Peer(Protocol):
    """The far end of a network cable."""

    def send(self, frame: bytes) -> None:
        """Take a frame that the machine sends; there is no answer and no error."""
        ...

    def receive(self, limit: int) -> list[bytes]:
        """Return at most `limit` frames that have arrived for the machine, oldest first; none means not yet."""
        ...

    def snapshot(self) -> Saved:
        """Save what can be saved."""
        ...

    def restore(self, saved: Saved) -> None:
        """Restore what can be restored."""
        ...


class NoPeer(Stateful):
    """A cable that leads nowhere."""

    __slots__ = ()

    def send(self, frame: bytes) -> None:
        """Lose the frame."""

    def receive(self, limit: int) -> list[bytes]:
        """Return nothing."""
        return []


class LoopEnd(Stateful):
    """One end of a cable; what one end sends, the other one receives. Make them with `loop`.

    Each end saves the frames that wait for it.
    """

    __slots__ = ("_inbox", "other")
    STATE = ("_inbox",)

    def __init__(self) -> None:
        self._inbox: list[bytes] = []
        self.other: LoopEnd = self

    def send(self, frame: bytes) -> None:
        """Let the other end receive the frame."""
        self.other._inbox.append(frame)

    def receive(self, limit: int) -> list[bytes]:
        """Take at most `limit` frames."""
        taken, self._inbox = self._inbox[:limit], self._inbox[limit:]
        return taken


def loop() -> tuple[LoopEnd, LoopEnd]:
    """Return both ends of a new cable: for two machines, for two cards of one, or for a card and a test."""
    one, other = LoopEnd(), LoopEnd()
    one.other, other.other = other, one
    return one, other


class TapUnavailable(OSError):
    """This host gives us no TAP device; the message says why and what to do."""


class TapPeer(Stateful):
    """The host's TAP device `name`, which is made if the host lets us. Raises `TapUnavailable`.

    What went out to the host's network cannot be taken back by restoring a snapshot.
    """

    __slots__ = ("_fd",)

    def __init__(self, name: str) -> None:
        if not 1 <= len(name.encode()) <= _NAME_BYTES:
            raise TapUnavailable(f"the name of a TAP device has 1 to {_NAME_BYTES} bytes, not {len(name.encode())}")
        try:
            self._fd = os.open(_TUN_DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise TapUnavailable(f"cannot open {_TUN_DEVICE}: {error.strerror}; it needs CAP_NET_ADMIN") from error
        try:
            fcntl.ioctl(self._fd, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI))
        except OSError as error:
            os.close(self._fd)
            raise TapUnavailable(f"the host refuses TAP device {name!r}: {error.strerror}") from error

    def send(self, frame: bytes) -> None:
        """Hand the frame to the host, or lose it if the host takes none now."""
        try:
            os.write(self._fd, frame)
        except OSError:
            return

    def receive(self, limit: int) -> list[bytes]:
        """Take at most `limit` frames that the host has sent."""
        frames: list[bytes] = []
        while len(frames) < limit:
            try:
                frames.append(os.read(self._fd, MAX_FRAME))
            except BlockingIOError:
                break
        return frames

    def close(self) -> None:
        """Give the TAP device back."""
        os.close(self._fd)
