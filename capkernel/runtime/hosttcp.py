"""One end of a TCP connection (RFC 9293), as a value that takes segments and bytes and gives segments and bytes.

It knows neither sockets nor a clock. It keeps to the peer's window and announces its own, answers FIN and RST in any
order, and takes segments in order only: what comes too early is dropped and asked for again by the acknowledgement.
`timeout`, called when nothing was acknowledged for a while, sends everything again. No options but the segment size.
"""

import attrs

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
WINDOW = 65535
"""How many bytes from the peer are kept until they are read."""
QUEUE = 262_144
"""How many bytes for the peer are kept until they are acknowledged."""
MSS = 1460

_MOD = 1 << 32


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071); 0 over data that contains its own."""
    if len(data) % 2:
        data += b"\0"
    return (0xFFFF - int.from_bytes(data, "big") % 0xFFFF) % 0xFFFF


def _before(one: int, other: int) -> bool:
    """Whether a sequence number comes before another one."""
    return 0 < (other - one) % _MOD < _MOD // 2


@attrs.frozen
class Segment:
    """A TCP segment without its ports."""

    seq: int
    ack: int
    flags: int
    window: int
    payload: bytes = b""
    mss: int | None = None

    @property
    def length(self) -> int:
        """What it takes of the sequence numbers."""
        return len(self.payload) + bool(self.flags & SYN) + bool(self.flags & FIN)

    def encode(self, ports: tuple[int, int], pseudo: bytes) -> bytes:
        """The bytes on the wire; `pseudo` is the pseudo header up to the protocol."""
        option = b"\x02\x04" + self.mss.to_bytes(2, "big") if self.mss is not None else b""
        head = b"".join(
            value.to_bytes(size, "big")
            for value, size in zip(
                (*ports, self.seq, self.ack, (20 + len(option)) // 4 << 4, self.flags, self.window, 0, 0),
                (2, 2, 4, 4, 1, 1, 2, 2, 2),
                strict=True,
            )
        )
        whole = head + option + self.payload
        total = checksum(pseudo + len(whole).to_bytes(2, "big") + whole)
        return whole[:16] + total.to_bytes(2, "big") + whole[18:]


def decode(data: bytes, pseudo: bytes) -> tuple[tuple[int, int], Segment] | None:
    """The ports and the segment, or nothing if it is malformed."""
    header = (data[12] >> 4) * 4 if len(data) >= 20 else 0
    if not 20 <= header <= len(data) or checksum(pseudo + len(data).to_bytes(2, "big") + data):
        return None
    source, destination, seq, ack, window = (
        int.from_bytes(data[at : at + size], "big") for at, size in ((0, 2), (2, 2), (4, 4), (8, 4), (14, 2))
    )
    return (source, destination), Segment(seq, ack, data[13], window, data[header:], _offered_mss(data[20:header]))


def _offered_mss(options: bytes) -> int | None:
    """The segment size among the options."""
    at = 0
    while at < len(options) and options[at]:
        if options[at] == 1:
            at += 1
            continue
        size = options[at + 1] if at + 1 < len(options) else 0
        if size < 2:
            return None
        if options[at] == 2 and size == 4 and at + 4 <= len(options):
            return int.from_bytes(options[at + 2 : at + 4], "big")
        at += size
    return None


def refusal(segment: Segment) -> Segment | None:
    """The answer to a segment for which there is no connection."""
    if segment.flags & RST:
        return None
    if segment.flags & ACK:
        return Segment(segment.ack, 0, RST, 0)
    return Segment(0, (segment.seq + segment.length) % _MOD, RST | ACK, 0)


class TcpEnd:
    """One end of a connection. After each call, `segments` has what is to be sent."""

    def __init__(self, iss: int, syn: Segment | None = None) -> None:
        """Connect, or answer the peer's `syn`. `iss` is the initial sequence number."""
        self.connected = False
        """Whether both sides have agreed to the connection."""
        self.reset = False
        """Whether it was refused or broken off, by either side."""
        self.ended = False
        """Whether the peer's FIN arrived; bytes may still be unread."""
        self._una = self._next = self._newest = iss
        self._syn_acked = self._finishing = self._fin_acked = False
        self._knows_peer = syn is not None
        self._window = 0
        self._mss = 536
        self._queue = bytearray()
        self._unread = bytearray()
        self._expected = 0
        self._announced = 0
        self._must_answer = False
        self._out: list[Segment] = []
        if syn is not None:
            self._meet(syn)

    # What the owner does

    @property
    def room(self) -> int:
        """How many bytes `write` takes."""
        return 0 if self._finishing or self.reset else QUEUE - len(self._queue)

    @property
    def unread(self) -> int:
        """How many bytes `read` can return."""
        return len(self._unread)

    @property
    def waits(self) -> bool:
        """Whether the peer has something to acknowledge, or must open its window first."""
        return not self.reset and (self._una != self._newest or bool(self._queue) or self._owes_fin)

    @property
    def progress(self) -> int:
        """The first sequence number that is not acknowledged; while it stands still, `timeout` is due some day."""
        return self._una

    @property
    def done(self) -> bool:
        """Whether nothing more will be sent or received."""
        return self.reset or (self.ended and self._fin_acked)

    def write(self, data: bytes) -> None:
        """Queue bytes for the peer, at most `room`."""
        self._queue += data[: self.room]

    def finish(self) -> None:
        """Queue a FIN: no more bytes will be written."""
        self._finishing = True

    def peek(self, limit: int) -> bytes:
        """Bytes of the peer's, which stay unread."""
        return bytes(self._unread[:limit])

    def read(self, limit: int) -> bytes:
        """Take bytes of the peer's."""
        data = bytes(self._unread[:limit])
        del self._unread[:limit]
        # A window that was nearly shut is announced again as soon as two segments fit.
        if data and not self.ended and self._announced < 2 * MSS <= WINDOW - len(self._unread):
            self._must_answer = True
        return data

    def abort(self) -> None:
        """Break the connection off."""
        if self.reset:
            return
        self.reset = True
        if self._knows_peer or self._newest != self._una:
            self._out.append(Segment(self._next, self._expected, RST | ACK if self._knows_peer else RST, 0))

    def timeout(self) -> None:
        """Send again what is not acknowledged; into a shut window, a byte."""
        self._next = self._una
        if not self._window:
            self._window = 1

    def segments(self) -> list[Segment]:
        """What is to be sent now."""
        if not self.reset:
            self._send()
        out, self._out = self._out, []
        return out

    # What the peer does

    def take(self, segment: Segment) -> None:
        """Take a segment of the peer's."""
        if self.reset:
            return
        if not self._knows_peer:
            self._take_first(segment)
        elif segment.flags & RST:
            # RFC 5961: only the very next number resets.
            self.reset = segment.seq == self._expected
            self._must_answer = not self.reset
        elif segment.flags & SYN or not segment.flags & ACK or not self._take_ack(segment):
            self._must_answer = True
        else:
            self._take_bytes(segment)

    def _take_first(self, segment: Segment) -> None:
        """The answer to our SYN."""
        answers = bool(segment.flags & ACK) and segment.ack == self._newest and self._newest != self._una
        if answers and segment.flags & RST:
            self.reset = True
        elif answers and segment.flags & SYN:
            self._meet(segment)
            self._take_ack(segment)
        elif segment.flags & ACK and (answer := refusal(segment)):
            self._out.append(answer)

    def _meet(self, syn: Segment) -> None:
        self._knows_peer = True
        self._expected = (syn.seq + 1) % _MOD
        self._mss = min(MSS, max(64, syn.mss if syn.mss is not None else 536))
        self._window = syn.window
        self._must_answer = True

    def _take_ack(self, segment: Segment) -> bool:
        """Whether the acknowledgement makes sense."""
        advance = (segment.ack - self._una) % _MOD
        if _before(self._newest, segment.ack):
            return False
        if advance < _MOD // 2:
            self._acknowledged(advance, segment.ack)
        if not _before(segment.seq, self._expected) or segment.length == 0:
            if not self._window:
                self._next = self._una  # What was sent into the shut window is lost.
            self._window = segment.window
        return True

    def _acknowledged(self, advance: int, ack: int) -> None:
        if advance and not self._syn_acked:
            self._syn_acked = self.connected = True
            advance -= 1
        taken = min(advance, len(self._queue))
        del self._queue[:taken]
        self._fin_acked |= advance > taken
        self._una = ack
        if _before(self._next, ack):
            self._next = ack

    def _take_bytes(self, segment: Segment) -> None:
        if segment.length == 0:
            # A keep-alive has an old number and wants an answer; one to each number that is not the next never ends.
            self._must_answer |= _before(segment.seq, self._expected)
            return
        self._must_answer = True
        skipped = (self._expected - segment.seq) % _MOD
        if skipped >= _MOD // 2 or self.ended or skipped > len(segment.payload):
            return
        fresh = segment.payload[skipped:]
        taken = fresh[: WINDOW - len(self._unread)]
        self._unread += taken
        self._expected = (self._expected + len(taken)) % _MOD
        if segment.flags & FIN and len(taken) == len(fresh):
            self._expected = (self._expected + 1) % _MOD
            self.ended = True

    # What goes to the peer

    @property
    def _owes_fin(self) -> bool:
        return self._finishing and not self._fin_acked

    def _send(self) -> None:
        if not self._syn_acked:
            if self._next == self._una:
                self._emit(SYN | (ACK if self._knows_peer else 0), mss=MSS)
            self._must_answer = False
            return
        while self._send_some():
            pass
        if self._must_answer:
            self._emit(ACK)

    def _send_some(self) -> bool:
        """Send one segment with bytes or a FIN, if there is one and the window is open."""
        at = (self._next - self._una) % _MOD
        left = len(self._queue) - at
        if left < 0:
            return False
        size = max(0, min(left, self._mss, self._window - at))
        # Less than a segment is worth sending only at the end, or if nothing else is under way (RFC 9293, 3.8.6.2.1).
        if size < min(left, self._mss) and at:
            return False
        last = size == left and self._owes_fin and (self._window > at + size or not at + size)
        if not size and not last:
            return False
        flags = ACK | (FIN if last else 0) | (PSH if size == left else 0)
        self._emit(flags, bytes(self._queue[at : at + size]))
        return not last

    def _emit(self, flags: int, payload: bytes = b"", mss: int | None = None) -> None:
        self._announced = WINDOW - len(self._unread)
        segment = Segment(self._next, self._expected, flags, self._announced, payload, mss)
        self._out.append(segment)
        self._next = (self._next + segment.length) % _MOD
        if _before(self._newest, self._next):
            self._newest = self._next
        self._must_answer = False
