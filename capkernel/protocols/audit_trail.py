"""What the file of an audit trail contains: writing it, and finding out whether it was changed.

Each line is chained to all before it: the *state* after a line is the SHA-256 of the state before and the line. Before
the first line it is a hash of the public key, so a trail belongs to one key.

| line                               | content                                                                       |
|------------------------------------|-------------------------------------------------------------------------------|
| ``R number time author text hash`` | a record; ``hash`` is the state after what stands before it                   |
| ``S number signature``             | a seal: Ed25519 of the state after ``S number``; all before it are vouched for |

Records that could not be written, as on a full disk, or came too fast, leave a *gap*. They never had numbers; nobody
took them out. A record of the author ``audit`` opens it before they are lost ("records missing from here on"); the next
records that can be written are sealed together with one that closes it and says how many are missing, or "at least" so
many if the machine ended meanwhile, which alone knew their number. A gap that is open when the trail ends is one of
which nobody knows how many are missing.

The *head* is a line by itself, kept elsewhere: ``H number state signature``, the state after the seal of that record.

What ``verify`` finds with the public key alone: any change in, between or before sealed records, by whoever has not
got the private key; records that are missing, added or in another order; bytes behind the last seal, which nobody
vouches for. What it cannot find so is that whole batches are missing at the end: the rest is what the trail once was.
With a head, or with the number of a record that was acknowledged, it finds that, too, up to that head or number. Two
trails of the same key that part after the head are not told apart.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final

from attrs import define, field, frozen

Sign = Callable[[bytes], bytes]
Check = Callable[[bytes, bytes], bool]
"""Whether a signature (first) of some bytes (second) is the key's."""
MAX_FINDINGS: Final = 20
_NUMBER: Final = rb"[1-9][0-9]{0,17}"
_RECORD: Final = re.compile(rb"(R (%b) (0|%b) (\S+) (.*)) ([0-9a-f]{64})\n" % (_NUMBER, _NUMBER), re.DOTALL)
_SEAL: Final = re.compile(rb"(S (%b)) ([0-9a-f]{128})\n" % _NUMBER)
_HEAD: Final = re.compile(rb"H (%b) ([0-9a-f]{64}) ([0-9a-f]{128})\n" % _NUMBER)
OWN: Final = "audit"
"""The author of what the server of a trail records itself; nobody else's name."""
_CLOSED: Final = re.compile(
    r"records missing before this one: (at least )?(%s), of (\S+), from (0|%s) to (0|%s) us; they were not written"
    % ((_NUMBER.decode(),) * 3)
)
_OPENED: Final = re.compile(
    r"records missing from here on: (at least )(%s), of (\S+), from (0|%s) to (0|%s) us; they are not written"
    % ((_NUMBER.decode(),) * 3)
)
_SEALED: Final = b"capkernel audit seal\0"
_HEADED: Final = b"capkernel audit head\0"


@frozen
class Record:
    """A record: its number, from 1 on; when it was made, in microseconds; whose it is; what it says, in one line."""

    number: int
    time_us: int
    author: str
    text: str


@frozen
class Gap:
    """Records that are missing because they were not written: how many, whose, when the first and the last came; or of
    how many, whose and when that is known.
    """

    count: int
    authors: list[str]
    first_us: int
    last_us: int
    is_at_least: bool = False

    @property
    def text(self) -> str:
        """What the record says that closes it."""
        least = "at least " if self.is_at_least else ""
        return f"records missing before this one: {least}{self._words}; they were not written"

    @property
    def announcement(self) -> str:
        """What the record says that opens it."""
        return f"records missing from here on: at least {self._words}; they are not written"

    @property
    def _words(self) -> str:
        return f"{self.count}, of {','.join(self.authors)}, from {self.first_us} to {self.last_us} us"

    @classmethod
    def closed_by(cls, record: Record) -> "Gap | None":
        """The gap that a record closes; None if it closes none."""
        return cls._said(_CLOSED, record)

    @classmethod
    def opened_by(cls, record: Record) -> "Gap | None":
        """The gap that a record opens; None if it opens none."""
        return cls._said(_OPENED, record)

    @classmethod
    def _said(cls, words: "re.Pattern[str]", record: Record) -> "Gap | None":
        found = words.fullmatch(record.text) if record.author == OWN else None
        return cls(int(found[2]), found[3].split(","), int(found[4]), int(found[5]), bool(found[1])) if found else None


@frozen
class Chain:
    """A trail up to some line: the number of its last record, and the state."""

    number: int
    state: bytes

    @classmethod
    def begin(cls, public_key: bytes) -> "Chain":
        """An empty trail."""
        return cls(0, hashlib.sha256(b"capkernel audit 1\0" + public_key).digest())

    def sealed(self, records: Sequence[Record], sign: Sign) -> "tuple[bytes, Chain]":
        """The lines of further records and their seal, and the trail with them. Authors and texts must be visible."""
        lines, state, number = b"", self.state, self.number
        for record in records:
            body = f"R {record.number} {record.time_us} {record.author} {record.text}".encode()
            state, number = _after(state, body), record.number
            lines += body + b" " + state.hex().encode() + b"\n"
        body = b"S %d" % number
        signature = sign(_SEALED + _after(state, body))
        return lines + body + b" " + signature.hex().encode() + b"\n", Chain(
            number, _after(_after(state, body), signature)
        )

    def head(self, sign: Sign) -> bytes:
        """The head of a trail that ends here, in a seal."""
        said = b"%d %s" % (self.number, self.state.hex().encode())
        return b"H " + said + b" " + sign(_HEADED + said).hex().encode() + b"\n"


class Kind(Enum):
    """What can be found."""

    CHANGED = "changed"
    MISSING = "missing"
    OUT_OF_ORDER = "out of order"
    FORGED = "forged"
    UNSEALED = "unsealed"
    CUT_OFF = "cut off"
    OTHER_TRAIL = "other trail"


@frozen
class Finding:
    """Something that is not as it was written: which record it is about, in which line of the file (0: none), what."""

    kind: Kind
    record: int
    line: int
    text: str


@define
class Verdict:
    """What became of a check. ``chain`` is the trail as far as it is vouched for: ``size`` bytes, ``batches`` seals."""

    chain: Chain
    size: int = 0
    batches: int = 0
    findings: list[Finding] = field(factory=list)
    gaps: list[tuple[int, Gap]] = field(factory=list)
    """What was not written, as the record of this number says, which closes the gap."""
    open_gap: tuple[int, Gap] | None = None
    """The gap that the record of this number opens, and none closes."""

    @property
    def missing(self) -> int:
        """How many records were not written, at least."""
        return sum(gap.count for gap in self._all_gaps)

    @property
    def is_missing_more(self) -> bool:
        """Whether more may be missing than that."""
        return any(gap.is_at_least for gap in self._all_gaps)

    @property
    def _all_gaps(self) -> list[Gap]:
        return [gap for _, gap in (*self.gaps, *([self.open_gap] if self.open_gap else []))]

    @property
    def records(self) -> int:
        """How many are vouched for."""
        return self.chain.number

    @property
    def is_intact(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    @property
    def is_unfinished(self) -> bool:
        """Whether there is nothing but something behind the last seal: what a crash leaves, or somebody added."""
        return all(finding.kind is Kind.UNSEALED for finding in self.findings)


def verify(data: bytes, public_key: bytes, check: Check, *, head: bytes | None = None, at_least: int = 0) -> Verdict:
    """Check the content of a trail's file."""
    walk = _Walk(Verdict(Chain.begin(public_key)), check)
    lines = [line + b"\n" for line in data.split(b"\n")[:-1]]
    last = max((index for index, line in enumerate(lines) if _SEAL.fullmatch(line)), default=-1)
    for line in lines[: last + 1]:
        walk.line(line)
    if walk.size < len(data):
        left = f"the last {len(data) - walk.size} bytes, after record {walk.number}"
        walk.find(Kind.UNSEALED, f"nobody vouches for {left}: they have no seal", walk.number + 1)
    if head is not None:
        walk.compare(head)
    if at_least > walk.number:
        walk.cut_off(at_least, "are known to have been acknowledged")
    return walk.verdict


class _Walk:
    """A check under way. After a finding it goes on with what the file says, to find what else there is."""

    def __init__(self, verdict: Verdict, check: Check) -> None:
        self.verdict = verdict
        self.check = check
        self.number, self.state = verdict.chain.number, verdict.chain.state
        self.seals: dict[int, bytes] = {0: self.state}
        self.lines = self.size = 0
        self.unsealed: list[tuple[int, Gap]] = []
        self.opened: tuple[int, Gap] | None = None

    def line(self, line: bytes) -> None:
        """The next line."""
        self.lines, self.size = self.lines + 1, self.size + len(line)
        record, seal = _RECORD.fullmatch(line), _SEAL.fullmatch(line)
        if record:
            self._record(record)
        elif seal:
            self._seal(seal)
        else:
            self.find(Kind.CHANGED, f"after record {self.number} stands a line that is neither a record nor a seal")

    def _record(self, found: "re.Match[bytes]") -> None:
        number, stated, expected = int(found[2]), bytes.fromhex(found[6].decode()), self.number + 1
        if number > expected:
            which = f"record {expected} is" if number == expected + 1 else f"records {expected} to {number - 1} are"
            self.find(Kind.MISSING, f"{which} missing", expected)
        elif number < expected:
            self.find(Kind.OUT_OF_ORDER, f"record {number} stands after record {self.number}", number)
        elif _after(self.state, found[1]) != stated:
            self.find(Kind.CHANGED, f"record {number}, or what stands just before it, was changed", number)
        self.number, self.state = number, stated
        text = found[5].decode(errors="replace")
        record = Record(number, int(found[3]), found[4].decode(errors="replace"), text)
        if (closed := Gap.closed_by(record)) is not None:
            self.unsealed.append((number, closed))
            self.opened = None
        elif (opened := Gap.opened_by(record)) is not None:
            self.opened = number, opened

    def _seal(self, found: "re.Match[bytes]") -> None:
        number, signature = int(found[2]), bytes.fromhex(found[3].decode())
        state = _after(self.state, found[1])
        if number != self.number:
            self.find(Kind.OUT_OF_ORDER, f"the seal of record {number} stands after record {self.number}")
        elif not self.check(signature, _SEALED + state):
            first = self.verdict.records + 1
            self.find(Kind.FORGED, f"the seal of the records {first} to {number} is not this key's", first)
        self.state = _after(state, signature)
        if not self.verdict.findings:
            self.seals[number] = self.state
            self.verdict.chain, self.verdict.size = Chain(number, self.state), self.size
            self.verdict.batches += 1
            self.verdict.gaps += self.unsealed
            self.verdict.open_gap = self.opened
            self.unsealed = []

    def compare(self, head: bytes) -> None:
        """Compare with a head."""
        found = _HEAD.fullmatch(head)
        if not found or not self.check(bytes.fromhex(found[3].decode()), _HEADED + b"%b %b" % (found[1], found[2])):
            self.find(Kind.OTHER_TRAIL, "the head is not this key's", 0)
            return
        number, state = int(found[1]), bytes.fromhex(found[2].decode())
        if number > self.number:
            self.cut_off(number, "are in the head")
        elif number <= self.verdict.records and self.seals.get(number) != state:
            self.find(Kind.OTHER_TRAIL, f"the trail up to record {number} is not the one of the head", number)

    def cut_off(self, number: int, why: str) -> None:
        """Records that there were are not there."""
        first = self.number + 1
        which = f"record {first} is" if first == number else f"records {first} to {number} are"
        self.find(Kind.CUT_OFF, f"{which} missing at the end: they {why}", first)

    def find(self, kind: Kind, text: str, record: int | None = None) -> None:
        """Note something, if not too much was found already."""
        if len(self.verdict.findings) < MAX_FINDINGS:
            self.verdict.findings.append(Finding(kind, self.number if record is None else record, self.lines, text))


def _after(state: bytes, body: bytes) -> bytes:
    return hashlib.sha256(state + body).digest()
