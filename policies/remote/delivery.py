"""Delivery: messages arrive whole, in their order, and once, over a link that loses, doubles and reorders packets.

A message is cut into segments with numbers of their own; each goes out again until the other side says that it has all
before a number. What arrives twice is dropped by its number: that is why a question is never asked twice in a session.
Both ends are values without clock or link, one for each direction of a session's life.
"""

import struct
from collections import deque
from typing import Final

_HEADER: Final = struct.Struct("<IIB")
"""The number up to which all has arrived; a segment's number; what kind it is."""
NOTHING, MORE, LAST, PING = range(4)
"""Kinds: no segment, one of a message that goes on, the last of a message; no segment, but a word is asked for."""
SEGMENT: Final = 1300
"""Bytes of a message in one segment."""
WINDOW: Final = 32
"""Segments on their way at a time, and such that are kept though one before them is missing."""
MAX_MESSAGE: Final = 64 * 1024
MAX_NUMBER: Final = (1 << 32) - 1


class DeliveryError(Exception):
    """What the other side sends cannot be: the session is at its end."""


class Delivery:
    """One end. ``progress`` counts what shows that the other side lives and hears."""

    def __init__(self) -> None:
        self.expected = 0
        self.progress = 0
        self.owes_word = False
        """The other side has not been told yet what arrived."""
        self.sent = 0
        """All segments before this number have been sent at least once."""
        self._next = 0
        self._waiting: deque[tuple[int, int, bytes]] = deque()
        """Segments that were not acknowledged: number, kind, bytes."""
        self._fresh = 0
        """How many of those, the last ones, have never been sent."""
        self._early: dict[int, tuple[int, bytes]] = {}
        self._parts: list[bytes] = []

    @property
    def next_number(self) -> int:
        """The number of the next segment: all before it belong to messages that were put in already."""
        return self._next

    @property
    def is_idle(self) -> bool:
        """Whether all that was put in has arrived."""
        return not self._waiting

    def put(self, message: bytes) -> None:
        """Send a message. Raises ValueError if it is too long, DeliveryError if the session has run out of numbers."""
        if len(message) > MAX_MESSAGE:
            raise ValueError(f"a message has at most {MAX_MESSAGE} bytes, not {len(message)}")
        pieces = [message[at : at + SEGMENT] for at in range(0, len(message), SEGMENT)] or [b""]
        if self._next + len(pieces) > MAX_NUMBER:
            raise DeliveryError("the session has used up its numbers")
        for piece in pieces[:-1]:
            self._append(MORE, piece)
        self._append(LAST, pieces[-1])

    def packets(self, *, again: bool = False, ping: bool = False) -> list[bytes]:
        """What is to be sent now: what is new, as far as the window goes; with ``again`` what was not acknowledged;
        with ``ping`` at least something that the other side has to answer.
        """
        if again:
            self._fresh = len(self._waiting)
        already = len(self._waiting) - self._fresh
        chosen = list(self._waiting)[already:WINDOW]
        self._fresh -= len(chosen)
        if not chosen and not self.owes_word and not ping:
            return []
        self.owes_word = False
        if not chosen:
            return [_HEADER.pack(self.expected, 0, PING if ping else NOTHING)]
        self.sent = max(self.sent, chosen[-1][0] + 1)
        return [_HEADER.pack(self.expected, number, kind) + data for number, kind, data in chosen]

    def take(self, packet: bytes) -> list[bytes]:
        """The messages that a packet completes. Raises DeliveryError."""
        if len(packet) < _HEADER.size:
            raise DeliveryError("a packet of a session is longer")
        acknowledged, number, kind = _HEADER.unpack_from(packet)
        if acknowledged > self.sent:
            raise DeliveryError("what was never sent is said to have arrived")
        while self._waiting and self._waiting[0][0] < acknowledged:
            self._waiting.popleft()
            self.progress += 1
        if kind in (NOTHING, PING):
            self.owes_word |= kind == PING
            return []
        if kind not in (MORE, LAST):
            raise DeliveryError(f"there are no segments of kind {kind}")
        self.owes_word = True
        if not self.is_new(number):
            return []
        self._early[number] = kind, packet[_HEADER.size :]
        return self._completed()

    def is_new(self, number: int) -> bool:
        """Whether a segment is wanted: it has not arrived before, and is not too far ahead."""
        return self.expected <= number < self.expected + WINDOW and number not in self._early

    def _completed(self) -> list[bytes]:
        complete = []
        while self.expected in self._early:
            kind, data = self._early.pop(self.expected)
            self.expected += 1
            self.progress += 1
            self._parts.append(data)
            if sum(map(len, self._parts)) > MAX_MESSAGE:
                raise DeliveryError("a message is too long")
            if kind == LAST:
                complete.append(b"".join(self._parts))
                self._parts = []
        return complete

    def _append(self, kind: int, piece: bytes) -> None:
        self._waiting.append((self._next, kind, piece))
        self._next += 1
        self._fresh += 1
