"""Making up byte strings at random: afresh, or near one that is known."""

import random
from collections.abc import Callable, Iterator, Sequence

from specs.fuzz.decoder import HEADER
from specs.fuzz.records import RECORD

PROGRAM_STEPS = 120
"""The most steps of a program that is made up at random."""


def strings(seed: int, corpus: Sequence[bytes]) -> Iterator[bytes]:
    """Byte strings without end: half of them made up, half changed from one of the corpus (which may grow)."""
    source = random.Random(seed)
    while True:
        if corpus and source.random() < 0.5:
            yield mutated(source.choice(corpus), source, corpus)
        else:
            yield source.randbytes(HEADER + RECORD * source.randint(1, PROGRAM_STEPS))


def mutated(data: bytes, source: random.Random, corpus: Sequence[bytes]) -> bytes:
    """A byte string near another: bytes changed, records taken out, doubled, moved, or put in from elsewhere."""
    header = bytearray(data[:HEADER].ljust(HEADER, b"\0"))
    body = data[HEADER:]
    records = [body[start : start + RECORD] for start in range(0, len(body), RECORD)]
    for _ in range(source.randint(1, 8)):
        choice: Callable[[list[bytes], random.Random, Sequence[bytes]], None] = source.choice(_MUTATIONS)
        choice(records, source, corpus)
    return bytes(header) + b"".join(record.ljust(RECORD, b"\0") for record in records[: 2 * PROGRAM_STEPS])


def _change(records: list[bytes], source: random.Random, corpus: Sequence[bytes]) -> None:
    if records:
        where, place = source.randrange(len(records)), source.randrange(RECORD)
        record = bytearray(records[where].ljust(RECORD, b"\0"))
        record[place] = source.randrange(256)
        records[where] = bytes(record)


def _drop(records: list[bytes], source: random.Random, corpus: Sequence[bytes]) -> None:
    if records:
        del records[source.randrange(len(records))]


def _double(records: list[bytes], source: random.Random, corpus: Sequence[bytes]) -> None:
    if records:
        records.insert(source.randrange(len(records) + 1), source.choice(records))


def _insert(records: list[bytes], source: random.Random, corpus: Sequence[bytes]) -> None:
    records.insert(source.randrange(len(records) + 1), source.randbytes(RECORD))


def _splice(records: list[bytes], source: random.Random, corpus: Sequence[bytes]) -> None:
    other = source.choice(corpus)[HEADER:]
    if len(other) >= RECORD:
        start = source.randrange(len(other) // RECORD) * RECORD
        end = start + RECORD * source.randint(1, 8)
        where = source.randrange(len(records) + 1)
        records[where:where] = [other[at : at + RECORD] for at in range(start, min(end, len(other)), RECORD)]


_MUTATIONS = (_change, _change, _change, _change, _drop, _double, _insert, _splice, _splice)
