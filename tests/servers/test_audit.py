"""The audit trail: no edit goes unnoticed, and what was acknowledged survives whatever happens to the disk."""

import json
import random
from contextlib import suppress
from typing import Any

import pytest
import typer
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import example, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from capkernel.protocols.audit import MAX_BATCH, MAX_TEXT
from capkernel.protocols.audit_trail import Chain, Kind, Record, Verdict, verify
from capkernel.protocols.entropy import Entropy
from capkernel.protocols.failures import (
    Corrupt,
    DeviceError,
    Failure,
    Gone,
    Malformed,
    NoSpace,
    QuotaExceeded,
    ServerDied,
)
from capkernel.protocols.files import INLINE, Directory
from capkernel.tools.audit import audit
from servers.storage.disk import Disk
from servers.storage.littlefs_volume import LittlefsVolume
from servers.storage.ram_volume import RamVolume
from servers.storage.tree import Tree
from servers.system.audit_server import BURST, TRIES, Auditor, AuditServant, ReaderServant, Trail
from tests.servers.fakedisk import REGION, FakeDisk
from tests.servers.shell_bench import Terminal

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()


def check(signature: bytes, data: bytes, key: Ed25519PrivateKey = KEY) -> bool:
    try:
        key.public_key().verify(signature, data)
    except InvalidSignature:
        return False
    return True


def trail_of(*batches: int, texts: str = "something happened") -> tuple[bytes, Chain]:
    """A trail with batches of so many records."""
    chain, content = Chain.begin(PUBLIC), b""
    for count in batches:
        records = [Record(chain.number + 1 + n, 1000 * n, "client", f"{texts} {n}") for n in range(count)]
        lines, chain = chain.sealed(records, KEY.sign)
        content += lines
    return content, chain


TRAIL, CHAIN = trail_of(2, 1, 3, 1, 2)
HEAD = CHAIN.head(KEY.sign)


def judged(data: bytes, head: bytes | None = HEAD, at_least: int = 0) -> Verdict:
    return verify(data, PUBLIC, check, head=head, at_least=at_least)


def test_a_trail_that_nobody_touched_is_intact() -> None:
    verdict = judged(TRAIL)
    assert verdict.is_intact
    assert (verdict.records, verdict.batches, verdict.size) == (9, 5, len(TRAIL))
    assert judged(b"", head=None).is_intact


@given(st.integers(0, len(TRAIL) - 1), st.integers(0, 255))
def test_any_changed_byte_is_found(where: int, byte: int) -> None:
    changed = TRAIL[:where] + bytes((byte,)) + TRAIL[where + 1 :]
    assert judged(changed, None).is_intact == (changed == TRAIL)


@given(st.integers(0, len(TRAIL)), st.binary(min_size=1, max_size=40) | st.sampled_from([b"\n", b"\r", b" ", b"0"]))
def test_anything_inserted_is_found(where: int, more: bytes) -> None:
    assert not judged(TRAIL[:where] + more + TRAIL[where:], None).is_intact


@given(st.integers(0, len(TRAIL) - 1), st.integers(1, 700))
def test_anything_taken_out_is_found(where: int, count: int) -> None:
    assert not judged(TRAIL[:where] + TRAIL[where + count :]).is_intact


@given(st.permutations(TRAIL.splitlines(keepends=True)))
def test_another_order_is_found(lines: list[bytes]) -> None:
    assert judged(b"".join(lines)).is_intact == (b"".join(lines) == TRAIL)


@given(st.data())
def test_a_line_that_is_doubled_or_moved_is_found(data: st.DataObject) -> None:
    lines = TRAIL.splitlines(keepends=True)
    line, to = data.draw(st.sampled_from(lines)), data.draw(st.integers(0, len(lines)))
    assert not judged(b"".join([*lines[:to], line, *lines[to:]])).is_intact


@given(st.integers(0, 8), st.booleans())
def test_who_makes_the_chain_anew_lacks_the_key(which: int, has_other_key: bool) -> None:
    """A record is changed, and all hashes behind it fit again."""
    forger = Ed25519PrivateKey.from_private_bytes(bytes(32))
    chain, content = Chain.begin(PUBLIC), b""
    seals = [line for line in TRAIL.splitlines() if line.startswith(b"S")]
    old = {int(seal.split()[1]): bytes.fromhex(seal.split()[2].decode()) for seal in seals}
    for end, count in zip(sorted(old), (2, 1, 3, 1, 2), strict=True):
        records = [
            Record(n, 1000 * (n - end + count - 1), "client", f"something {'else' * (n == which + 1)} happened")
            for n in range(end - count + 1, end + 1)
        ]
        lines, chain = chain.sealed(records, forger.sign if has_other_key else lambda data, end=end: old[end])
        content += lines
    assert judged(content, None).findings[0].kind is Kind.FORGED


@pytest.mark.parametrize(
    ("edit", "kind", "record"),
    [
        (lambda lines: [*lines[:5], lines[5].replace(b"something", b"anything"), *lines[6:]], Kind.CHANGED, 4),
        (lambda lines: [*lines[:6], *lines[7:]], Kind.MISSING, 5),
        (lambda lines: [*lines[:5], lines[6], lines[5], *lines[7:]], Kind.MISSING, 4),
        (lambda lines: [*lines[:2], lines[1], *lines[2:]], Kind.OUT_OF_ORDER, 2),
        (lambda lines: [*lines[:2], b"hello\n", *lines[2:]], Kind.CHANGED, 2),
        (lambda lines: lines[:-1], Kind.UNSEALED, 8),
        (lambda lines: lines[:-3], Kind.CUT_OFF, 8),
        (lambda lines: [*lines, b"R 10 0 client junk\n"], Kind.UNSEALED, 10),
    ],
)
def test_findings_name_the_record(edit: Any, kind: Kind, record: int) -> None:
    found = judged(b"".join(edit(TRAIL.splitlines(keepends=True)))).findings[0]
    assert (found.kind, found.record) == (kind, record), found


def test_what_is_cut_off_between_batches_is_found_with_a_head_or_a_number_only() -> None:
    shorter, chain = trail_of(2, 1, 3)
    assert judged(shorter, None).is_intact
    assert judged(shorter, chain.head(KEY.sign)).is_intact
    assert [finding.kind for finding in judged(shorter).findings] == [Kind.CUT_OFF]
    assert judged(shorter, None, at_least=7).findings[0].record == 7
    assert judged(TRAIL, chain.head(KEY.sign)).is_intact, "a trail may be longer than its head"
    other, _ = trail_of(2, 1, 3, 1, 2, texts="another past")
    assert judged(other, chain.head(KEY.sign)).findings[0].kind is Kind.OTHER_TRAIL
    assert judged(TRAIL, HEAD.replace(b"H 9", b"H 8")).findings[0].kind is Kind.OTHER_TRAIL
    assert judged(TRAIL, b"nonsense").findings[0].kind is Kind.OTHER_TRAIL


def test_the_command(tmp_path: Any) -> None:
    app = typer.Typer()
    app.command()(audit)
    file, key, head = tmp_path / "trail", tmp_path / "key", tmp_path / "head"
    file.write_bytes(TRAIL)
    key.write_text(PUBLIC.hex() + "\n")
    head.write_bytes(HEAD)

    def run(*arguments: str) -> Any:
        return CliRunner().invoke(app, [str(file), *arguments])

    assert run("--key", PUBLIC.hex()).exit_code == 0
    assert "not known" in run("--key", str(key)).output
    answer = run("--key", str(key), "--head", str(head), "--json")
    assert (answer.exit_code, json.loads(answer.output)["records"]) == (0, 9)
    file.write_bytes(TRAIL.replace(b"happened 1", b"happened 7", 1))
    answer = run("--key", str(key), "--head", str(head))
    assert (answer.exit_code, "record 2: changed" in answer.output) == (1, True), answer.output
    assert run("--key", "beef").exit_code == 2
    private = tmp_path / "private"
    private.write_text("ab" * 20)
    answer = run("--key", str(private))
    assert answer.exit_code == 2
    assert "abab" not in answer.output, "whatever else is in a file is nobody's business"
    assert run("--key", str(key), "--head", str(tmp_path)).exit_code == 2


# The server, on files


class FixedEntropy(Entropy):
    async def read(self, count: int) -> bytes:
        return bytes(range(count))


class Clock:
    """The part of a domain that the servers use."""

    def __init__(self) -> None:
        self.ticks = 0

    async def clock(self) -> int:
        self.ticks += 10_000_000
        return self.ticks


def server(directory: Directory) -> Auditor:
    return Auditor(Clock(), Trail(directory), FixedEntropy())


def on_disk(disk: FakeDisk, *, may_format: bool = True) -> Directory:
    volume = LittlefsVolume(Disk(disk, REGION))
    disk.run(volume.open(may_format=may_format))
    return Tree(volume).root_directory()


def content(disk: FakeDisk, directory: Directory, name: str) -> bytes:
    async def read() -> bytes:
        file = await directory.open(name, 1)
        parts = [await file.read(offset, 700) for offset in range(0, (await file.info()).size, 700)]
        await file.closed()
        return b"".join(parts)

    return disk.run(read())


def test_records_are_sealed_and_the_trail_goes_on_in_the_next_life() -> None:
    disk = FakeDisk(4096)
    directory = on_disk(disk)
    first = AuditServant(server(directory), "client")
    assert disk.run(first.record(["one", "two"])) == 3
    second = AuditServant(server(directory), "other name")
    with pytest.raises(Malformed):
        disk.run(second.record([]))
    assert disk.run(AuditServant(server(directory), "other").record(["thr\nee\x1b R 9 0 root you're fired"])) == 4
    data, head = content(disk, directory, "trail"), content(disk, directory, "head")
    assert judged(data, head, at_least=4).is_intact
    lines = data.decode().splitlines()
    assert lines[0].startswith("R 1 ")
    assert f"audit the trail begins; public key {PUBLIC.hex()}" in lines[0]
    assert " other thr\\nee\\x1b R 9 0 root you're fired " in lines[5 - 1] + lines[5]
    assert content(disk, directory, "public_key").decode().strip() == PUBLIC.hex()
    reader = ReaderServant(server(directory))
    assert disk.run(reader.public_key()) == PUBLIC
    info = disk.run(reader.info())
    assert (info.number, info.size, info.head) == (4, len(data), head.decode())
    assert disk.run(reader.read(0, 768)) == data[:768]
    for wrong in (reader.read(-1, 5), reader.read(0, 769), reader.read(0, -1)):
        with pytest.raises(Malformed):
            disk.run(wrong)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 3), min_size=1, max_size=4), st.integers(0, 120), st.integers(0, 8), st.integers(0, 511))
def test_what_was_acknowledged_survives_a_loss_of_power_at_any_write(
    batches: list[int], writes: int, kept: int, torn: int
) -> None:
    disk = FakeDisk(2048)
    servant = AuditServant(server(on_disk(disk)), "client")
    disk.writes_left, acknowledged = writes, 0
    for count in batches:
        try:
            acknowledged = disk.run(servant.record(["an event"] * count))
        except Failure:
            break
    disk.lose_power(kept, torn)
    directory = on_disk(disk, may_format=False)
    again = AuditServant(server(directory), "client")
    assert disk.run(again.record(["after"])) > acknowledged
    data, head = content(disk, directory, "trail"), content(disk, directory, "head")
    verdict = judged(data, head, at_least=acknowledged + 1)
    assert verdict.is_intact, verdict.findings
    assert data.count(b"an event") >= acknowledged - 1


class End(Exception):
    """A server is no more."""


class Unsynced(RamVolume):
    """Files of which a file server's death leaves what was synced; ``left`` operations until somebody dies."""

    def __init__(self) -> None:
        super().__init__(1 << 20)
        self.left = 1 << 30
        self.synced: dict[str, bytes] = {}

    def step(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise End

    async def write(self, path: str, offset: int, data: bytes, *, into_reserve: bool = False) -> None:
        self.step()
        await super().write(path, offset, data, into_reserve=into_reserve)

    async def sync(self, path: str) -> None:
        self.step()
        self.synced[path] = await self.read(path, 0, 1 << 20)

    async def lose(self) -> None:
        """The file server dies."""
        self.left = 1 << 30
        for entry in await self.list(""):
            content = self.synced.get(entry.name, b"")
            await self.resize(entry.name, 0)
            await super().write(entry.name, 0, content)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=6), st.booleans())
@example([0, 1, 4], True)
def test_whoever_dies_in_whichever_order_the_trail_is_whole_and_has_what_was_acknowledged(
    lives: list[int], files_die_first: bool
) -> None:
    """By turns it is the audit server, whose files stay as they are, and the file server, with all that is unsynced."""
    disk, volume, acknowledged = FakeDisk(8), Unsynced(), 0
    directory = Tree(volume).root_directory()
    for place, left in enumerate(lives):
        volume.left = left
        servant = AuditServant(server(directory), "client")
        with suppress(End):
            while True:
                acknowledged = disk.run(servant.record(["event"]))
        volume.left = 1 << 30
        if (place + files_die_first) % 2:
            disk.run(volume.lose())
            directory = Tree(volume).root_directory()
    disk.run(volume.lose())
    directory = Tree(volume).root_directory()
    assert disk.run(AuditServant(server(directory), "client").record(["after"])) > acknowledged
    data, head = disk.run(volume.read("trail", 0, 1 << 20)), disk.run(volume.read("head", 0, 999))
    verdict = judged(data, head, at_least=acknowledged + 1)
    assert verdict.is_intact, verdict.findings


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 60), st.integers(1, 9), st.sampled_from([ServerDied, DeviceError, NoSpace]))
def test_a_batch_is_there_once_although_files_fail_for_a_while(good: int, bad: int, kind: type[Failure]) -> None:
    class Flaky(RamVolume):
        steps = 0

        def fail(self) -> None:
            self.steps += 1
            if good < self.steps <= good + bad:
                raise kind("for a while")

        async def write(self, path: str, offset: int, data: bytes, *, into_reserve: bool = False) -> None:
            if self.steps % 2:
                await super().write(path, offset, data, into_reserve=into_reserve)
                self.fail()
            else:
                self.fail()
                await super().write(path, offset, data, into_reserve=into_reserve)

        async def sync(self, path: str) -> None:
            self.fail()

    disk, volume = FakeDisk(8), Flaky(1 << 20)
    directory = Tree(volume).root_directory()
    servant = AuditServant(server(directory), "client")
    acknowledged = []
    for number in range(24):
        try:
            disk.run(servant.record([f"event-{number}."]))
        except Failure:
            continue
        acknowledged.append(number)
    assert acknowledged[-1] == 23
    data = disk.run(volume.read("trail", 0, 1 << 20))
    assert judged(data, disk.run(volume.read("head", 0, 999))).is_intact
    counts = [data.count(f"event-{number}.".encode()) for number in acknowledged]
    assert counts == [1] * len(acknowledged)


@pytest.mark.parametrize("name", ["trail", "head", "key"])
def test_a_trail_that_was_changed_is_left_alone(name: str) -> None:
    disk, volume = FakeDisk(8), RamVolume(1 << 20)
    tree = Tree(volume)
    directory = Tree(volume).root_directory()
    disk.run(AuditServant(server(directory), "client").record(["event"]))
    before = disk.run(volume.read(name, 0, 9999))
    disk.run(volume.write(name, 0, b"?" + before[1:]))
    spoilt = disk.run(volume.read("trail", 0, 9999))
    auditor = server(tree.root_directory())
    for _ in range(3):
        with pytest.raises(Corrupt):
            disk.run(AuditServant(auditor, "client").record(["event"]))
        assert not tree.root.below, "nothing is left open"
    assert disk.run(volume.read("trail", 0, 9999)) == spoilt


def test_junk_behind_the_last_seal_is_cut_off_and_said() -> None:
    disk, volume = FakeDisk(8), RamVolume(1 << 20)
    directory = Tree(volume).root_directory()
    disk.run(AuditServant(server(directory), "client").record(["event"]))
    size = len(disk.run(volume.read("trail", 0, 9999)))
    disk.run(volume.write("trail", size, b"R 3 0 root trust me"))
    assert disk.run(AuditServant(server(directory), "client").record(["event"])) == 4
    data = disk.run(volume.read("trail", 0, 9999))
    assert b"audit 19 bytes were cut off" in data
    assert judged(data, None).is_intact


class Mortal(RamVolume):
    """Files of which what was open can be closed by a file server's death; ``deaths`` more come at the next reads."""

    def __init__(self, failure: type[Failure]) -> None:
        super().__init__(1 << 20)
        self.failure = failure
        self.deaths = 0

    async def read(self, path: str, offset: int, size: int) -> bytes:
        if path == "trail" and self.deaths:
            self.deaths -= 1
            raise self.failure("the file server died")
        return await super().read(path, offset, size)


@pytest.mark.parametrize("failure", [ServerDied, Gone])
def test_the_trail_is_read_on_although_the_file_server_died(failure: type[Failure]) -> None:
    disk, volume = FakeDisk(8), Mortal(failure)
    auditor = server(Tree(volume).root_directory())
    disk.run(AuditServant(auditor, "client").record(["an event"]))
    reader = ReaderServant(auditor)
    before = disk.run(reader.read(0, INLINE))
    for deaths in range(1, TRIES):
        volume.deaths = deaths
        assert disk.run(reader.read(0, INLINE)) == before
        assert not volume.deaths
    volume.deaths = TRIES
    with pytest.raises(DeviceError, match="again and again"):
        disk.run(reader.read(0, INLINE))
    assert disk.run(reader.read(0, INLINE)) == before
    assert (disk.run(reader.info()).size, disk.run(reader.public_key())) == (len(before), PUBLIC)


def test_the_shell_shows_the_trail_after_the_file_server_was_killed() -> None:
    terminal = Terminal()
    terminal.do("audit")
    terminal.do("kill files")
    *_, record, verdict = terminal.do("audit").splitlines()
    assert record.endswith("service files is killed")
    assert verdict == "2 records; every seal is right"


def test_who_writes_too_much_is_refused() -> None:
    disk = FakeDisk(8)
    servant = AuditServant(server(Tree(RamVolume(1 << 20)).root_directory()), "client")
    for wrong in ([], ["x"] * (MAX_BATCH + 1), ["x" * (MAX_TEXT + 1)]):
        with pytest.raises(Failure):
            disk.run(servant.record(wrong))
    servant.auditor.pd.clock = _zero
    for _ in range(BURST):
        disk.run(servant.record(["x"]))
    with pytest.raises(QuotaExceeded):
        disk.run(servant.record(["x"]))


async def _zero() -> int:
    return 0


def test_random_garbage_is_no_trail() -> None:
    chance = random.Random(1)
    for _ in range(50):
        assert not judged(chance.randbytes(300), None).is_intact
