"""Records that could not be written: the trail says itself how many, whose and from when; none is hidden or made up."""

import json
import re
import subprocess
import sys
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import typer
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import example, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from capkernel.protocols.audit_trail import OWN, Chain, Gap, Record, Verdict, verify
from capkernel.protocols.entropy import Entropy
from capkernel.protocols.failures import (
    AlreadyExists,
    Corrupt,
    DeviceError,
    Failure,
    NoSpace,
    NotPermitted,
    QuotaExceeded,
    ServerDied,
)
from capkernel.protocols.files import ALL_RIGHTS, READ, READ_WRITE
from capkernel.tools.audit import audit
from capkernel.user.channel_names import ChannelNameError
from capkernel.user.messages import SharedRegion
from hwmodel.block import RamDisk
from servers.storage.cache import CachedDisk
from servers.storage.disk import Disk
from servers.storage.fat_volume import FatVolume
from servers.storage.littlefs_volume import LittlefsVolume
from servers.storage.ram_volume import RamVolume
from servers.storage.tree import Tree
from servers.storage.volume_server import read_reserved
from servers.system.audit_gap import MissingRecords
from servers.system.audit_server import BURST, Auditor, AuditServant, ReaderServant, Trail
from servers.system.pages import open_or_create, read_all
from tests.servers.fakedisk import REGION, FakeDisk
from tests.servers.shell_bench import Terminal

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
GAP = Gap(3, ["shell", "broker"], 1200, 3400)


def check(signature: bytes, data: bytes) -> bool:
    try:
        KEY.public_key().verify(signature, data)
    except InvalidSignature:
        return False
    return True


class FixedEntropy(Entropy):
    async def read(self, count: int) -> bytes:
        return bytes(range(count))


class Clock:
    """Time passes when somebody looks; ``step`` microseconds each time."""

    def __init__(self, step: int = 1_000_000) -> None:
        self.now, self.step = 0, step

    async def clock(self) -> int:
        self.now += self.step
        return 10 * self.now


class Failing(RamVolume):
    """Files that fail, before or after they have done what was asked: ``failures`` says how at each write and sync."""

    def __init__(self) -> None:
        super().__init__(1 << 20)
        self.failures: list[tuple[type[Failure] | None, bool]] = []

    async def _do(self, work: Coroutine[Any, Any, None]) -> None:
        kind, is_done = self.failures.pop(0) if self.failures else (None, True)
        if is_done:
            await work
        else:
            work.close()
        if kind is not None:
            raise kind("for a while")

    async def write(self, path: str, offset: int, data: bytes, *, into_reserve: bool = False) -> None:
        await self._do(super().write(path, offset, data, into_reserve=into_reserve))

    async def sync(self, path: str) -> None:
        await self._do(super().sync(path))


class Bench:
    """An audit server on files that fail, with memory that outlives it."""

    def __init__(self, step: int = 1_000_000) -> None:
        self.disk, self.volume, self.clock = FakeDisk(8), Failing(), Clock(step)
        self.writer: Any = None
        self.reader: Any = None
        self.start()

    def start(self) -> None:
        """The server's next life."""
        missing = MissingRecords(SharedRegion(REGION.vaddr, 0x2000))
        self.disk.run(missing.load())
        pd: Any = self.clock
        auditor = Auditor(pd, Trail(Tree(self.volume).root_directory()), FixedEntropy(), missing)
        self.writer, self.reader = AuditServant(auditor, "client"), ReaderServant(auditor)

    def record(self, *texts: str) -> bool:
        """Whether it was acknowledged."""
        try:
            self.disk.run(self.writer.record(list(texts)))
        except Failure:
            return False
        return True

    def fail(self, kind: type[Failure], *, is_done: bool = False) -> None:
        """From here on everything fails."""
        self.volume.failures = [(kind, is_done)] * 1000

    def mend(self) -> None:
        self.volume.failures = []

    @property
    def trail(self) -> bytes:
        return self.disk.run(self.volume.read("trail", 0, 1 << 20))

    @property
    def verdict(self) -> Verdict:
        return verify(self.trail, PUBLIC, check, head=self.disk.run(self.volume.read("head", 0, 999)))


@pytest.mark.parametrize("kind", [NoSpace, DeviceError])
def test_the_trail_says_how_many_records_are_missing_whose_and_from_when(kind: type[Failure]) -> None:
    bench = Bench()
    assert bench.record("one")
    bench.fail(kind)
    before = bench.clock.now
    assert not bench.record("two", "three")
    assert not bench.record("four")
    after = bench.clock.now
    bench.mend()
    assert bench.record("five")
    ((number, gap),) = bench.verdict.gaps
    assert (bench.verdict.is_intact, number) == (True, 3)
    assert (gap.count, gap.authors) == (3, ["client"])
    assert before < gap.first_us < gap.last_us <= after
    lines = bench.trail.decode().splitlines()
    assert " audit records missing before this one: 3, of client" in lines[-3]
    assert " client five " in lines[-2]
    assert bench.disk.run(bench.reader.info()).missing == 0
    assert bench.record("six")
    assert bench.verdict.missing == 3, "it is said once"


def test_who_reads_the_trail_of_a_full_disk_is_told_how_many_records_are_missing() -> None:
    bench = Bench()
    assert bench.record("one")
    bench.volume.limit = bench.volume.used
    assert not bench.record("two", "three")
    info = bench.disk.run(bench.reader.info())
    assert (info.number, info.missing) == (2, 2)
    assert bench.verdict.is_intact
    assert not bench.verdict.gaps


def test_who_reads_the_trail_later_finds_the_gap_in_it_though_nobody_writes_any_more() -> None:
    bench = Bench()
    assert bench.record("one")
    bench.fail(NoSpace)
    assert not bench.record("two")
    bench.mend()
    assert bench.disk.run(bench.reader.info()).missing == 0
    assert bench.verdict.missing == 1


def test_the_servers_next_life_knows_what_is_missing() -> None:
    bench = Bench()
    assert bench.record("one")
    bench.fail(NoSpace)
    assert not bench.record("two")
    bench.start()
    assert not bench.record("three")
    bench.mend()
    bench.start()
    assert bench.record("four")
    assert bench.verdict.missing == 2


def test_records_that_are_there_after_all_are_not_missing() -> None:
    """The last thing that was seen of them is a failure of the head's sync, or of the trail's."""
    for good in range(1, 5):
        bench = Bench()
        assert bench.record("one")
        bench.volume.failures = [(None, True)] * good + [(DeviceError, True)] * 1000
        assert not bench.record("two") or good == 4
        bench.mend()
        assert bench.record("three")
        assert bench.verdict.missing == 0
        assert bench.trail.count(b" client two ") == 1


class Noting(Failing):
    """Files that note what was synced."""

    def __init__(self) -> None:
        super().__init__()
        self.synced: set[str] = set()

    async def write(self, path: str, offset: int, data: bytes, *, into_reserve: bool = False) -> None:
        self.synced.discard(path)
        await super().write(path, offset, data, into_reserve=into_reserve)

    async def sync(self, path: str) -> None:
        await super().sync(path)
        self.synced.add(path)


@pytest.mark.parametrize("good", range(8))
def test_who_is_told_that_a_record_is_there_finds_the_key_to_it_on_the_disk_too(good: int) -> None:
    """Whenever the life before ended: what it had written is there, and need not last."""
    bench = Bench()
    bench.volume = volume = Noting()
    bench.start()
    volume.failures = [(None, True)] * good + [(DeviceError, False)] * 1000
    bench.record("one")
    bench.mend()
    bench.start()
    assert bench.record("two")
    assert volume.synced >= {"trail", "head", "key", "public_key"}


def test_what_came_too_fast_is_missing_as_well() -> None:
    bench = Bench(step=0)
    for _ in range(BURST):
        assert bench.record("x")
    with pytest.raises(QuotaExceeded):
        bench.disk.run(bench.writer.record(["y", "z"]))
    bench.clock.step = 1_000_000
    assert bench.record("x")
    assert bench.verdict.missing == 2


class Machine:
    """A file server and an audit server on a disk, and a client who fills it."""

    def __init__(self, kind: Any = LittlefsVolume, *, keeps_reserve: bool) -> None:
        self.disk, self.kind, self.keeps_reserve, self.records = FakeDisk(8 * 32), kind, keeps_reserve, 0
        self.root: Any = None
        self.writer: Any = None
        self.auditor: Any = None
        self.accepted: set[int] = set()
        self.boot()

    def boot(self) -> None:
        """Power is there again; nothing in memory is left."""
        self.mount()
        with suppress(AlreadyExists):
            self.disk.run(self.root.make_directory("audit"))
        self.serve(MissingRecords())

    def mount(self) -> None:
        """Another life of the file server."""
        volume = self.kind(CachedDisk(Disk(self.disk, REGION)), keeps_reserve=self.keeps_reserve)
        self.disk.run(volume.open())
        self.root = Tree(volume).root_directory(ALL_RIGHTS)

    def serve(self, missing: MissingRecords) -> None:
        """Another life of the audit server, with that in its memory."""
        pd: Any = Clock()
        directory = self.disk.run(self.root.directory("audit", ALL_RIGHTS))
        self.auditor = Auditor(pd, Trail(directory), FixedEntropy(), missing)
        self.writer = AuditServant(self.auditor, "client")
        with suppress(Failure):
            self.disk.run(self.auditor.ready())

    def record(self) -> None:
        """A record is asked for, and answered."""
        self.records += 1
        with suppress(Failure):
            self.disk.run(self.writer.record([f"event-{self.records}. {'x' * 300}"]))
        if not self.disk.failing:
            self.accepted.add(self.records)

    def fill(self, number: int, size: int) -> None:
        """An ordinary client writes until there is no room."""

        async def work() -> None:
            plain = await self.root.restrict(READ_WRITE)
            file = await open_or_create(plain, f"file {number}")
            await file.resize(0)
            try:
                for offset in range(0, 200_000, size):
                    await file.write(offset, b"x" * size)
            finally:
                await file.sync()

        with suppress(Failure):
            self.disk.run(work())

    def free(self, number: int) -> None:
        with suppress(Failure):
            self.disk.run(self.root.remove(f"file {number}"))

    def lose_power(self, kept: int) -> None:
        self.disk.lose_power(kept)
        self.boot()

    def check(self) -> None:
        """Every record that was answered is in the trail, or a gap is where it would be."""

        async def contents() -> tuple[bytes, bytes]:
            directory = await self.root.directory("audit", READ)
            trail, head = [await directory.open(name, READ) for name in ("trail", "head")]
            return await read_all(trail), await read_all(head)

        trail, head = self.disk.run(contents())
        verdict = verify(trail, PUBLIC, check, head=head)
        assert verdict.is_intact, verdict.findings
        places = re.findall(r"^R (\d+) .* event-(\d+)\.", trail.decode(), re.MULTILINE)
        found = {int(number): int(place) for place, number in places}
        gaps = [number for number, _ in (*verdict.gaps, *([verdict.open_gap] if verdict.open_gap else []))]
        lost = sorted(self.accepted - set(found))
        for number in lost:
            before = max((place for each, place in found.items() if each < number), default=0)
            behind = min((place for each, place in found.items() if each > number), default=verdict.records + 1)
            assert any(before < gap < behind for gap in gaps), f"{number} is missing in silence"
        assert verdict.is_missing_more or verdict.missing >= len(lost)


STEPS = st.one_of(
    st.tuples(st.just("fill"), st.integers(0, 3), st.sampled_from([300, 2000, 4000, 9000])),
    st.tuples(st.just("fill"), st.integers(0, 3), st.sampled_from([300, 2000, 4000, 9000])),
    st.tuples(st.just("free"), st.integers(0, 3), st.just(0)),
    st.tuples(st.just("record"), st.integers(1, 24), st.just(0)),
    st.tuples(st.just("record"), st.integers(1, 24), st.just(0)),
    st.tuples(st.sampled_from(["die", "files die"]), st.just(0), st.just(0)),
    st.tuples(st.just("cut"), st.integers(0, 40), st.integers(0, 9)),
    st.tuples(st.just("off"), st.just(0), st.just(0)),
)  # fmt: skip


def lived(machine: Machine, steps: list[tuple[str, int, int]]) -> Machine:
    """After these steps; a cut of power lets so many writes happen in the steps after it."""
    for what, number, more in steps:
        match what:
            case "fill":
                machine.fill(number, more)
            case "free":
                machine.free(number)
            case "record":
                for _ in range(number):
                    machine.record()
            case "die":
                machine.serve(machine.auditor.missing)
            case "files die":
                machine.mount()
                machine.serve(machine.auditor.missing)
            case "cut":
                machine.disk.writes_left = number
                machine.record()
                machine.lose_power(more)
                machine.check()
            case "off":
                machine.lose_power(0)
                machine.check()
    machine.lose_power(0)
    machine.check()
    return machine


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([LittlefsVolume, FatVolume]), st.lists(STEPS, min_size=2, max_size=14))
@example(LittlefsVolume, [("fill", 0, 300), ("record", 2, 0)])
def test_no_record_is_lost_in_silence_however_full_the_disk_is_and_whoever_dies_or_the_power_goes(
    kind: Any, steps: list[tuple[str, int, int]]
) -> None:
    lived(Machine(kind, keeps_reserve=True), steps)


@pytest.mark.parametrize("kind", [LittlefsVolume, FatVolume])
def test_a_gap_that_is_open_when_the_file_server_dies_is_closed_when_there_is_room(kind: Any) -> None:
    machine = Machine(kind, keeps_reserve=True)
    lived(machine, [("record", 1, 0), ("fill", 0, 300), ("record", 40, 0)])
    assert machine.auditor.trail.open_gap is not None
    missing = machine.auditor.missing
    for _ in range(2):
        machine.mount()
        machine.serve(missing)
        machine.record()
    assert machine.auditor.trail.open_gap is not None
    machine.free(0)
    machine.mount()
    machine.serve(missing)
    machine.record()
    assert machine.auditor.trail.open_gap is None
    machine.check()


def test_without_the_reserve_records_are_lost_in_silence() -> None:
    fills = [("record", 1, 0), ("fill", 3, 300), ("fill", 2, 9000), ("fill", 3, 4000), ("fill", 3, 4000)]
    with pytest.raises(AssertionError, match="in silence"):
        lived(Machine(keeps_reserve=False), [*fills, ("record", 40, 0)])


@pytest.mark.parametrize("size", [300, 2000, 4000])
def test_a_gap_is_opened_before_the_power_goes_and_closed_with_at_least_so_many_after_it(size: int) -> None:
    machine = lived(Machine(keeps_reserve=True), [("record", 1, 0), ("fill", 0, size), ("record", 40, 0)])
    assert machine.auditor.trail.open_gap is not None
    machine.free(0)
    machine.boot()
    assert machine.auditor.trail.open_gap is None
    machine.check()


FAILURES = st.lists(
    st.tuples(st.sampled_from([None, None, ServerDied, NoSpace, DeviceError]), st.booleans()), max_size=12
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 3), FAILURES, st.booleans()), min_size=1, max_size=8))
@example([(1, [], False), (2, [(None, True), (DeviceError, True)], True)])
def test_every_record_is_in_the_trail_once_or_counted_as_missing(
    requests: list[tuple[int, list[tuple[type[Failure] | None, bool]], bool]],
) -> None:
    """``requests``: how many records, how the files fail meanwhile, whether the server is started anew after it."""
    bench = Bench()
    tried, acknowledged = 0, []
    for count, failures, is_last in requests:
        texts = [f"event-{tried + n}." for n in range(count)]
        bench.volume.failures = [(kind, kind is None or is_done) for kind, is_done in failures]
        if bench.record(*texts):
            acknowledged += texts
        tried += count
        bench.mend()
        if is_last:
            bench.start()
    assert bench.record("the end")
    verdict, trail = bench.verdict, bench.trail.decode()
    assert verdict.is_intact, verdict.findings
    found = [trail.count(f"event-{n}.") for n in range(tried)]
    assert max(found) <= 1
    assert sum(found) + verdict.missing == tried
    assert all(text in trail for text in acknowledged)


def with_gap(author: str, text: str = GAP.text) -> bytes:
    chain = Chain.begin(PUBLIC)
    first, chain = chain.sealed([Record(1, 0, "client", "one")], KEY.sign)
    second, chain = chain.sealed([Record(2, 5, author, text), Record(3, 5, "client", "two")], KEY.sign)
    return first + second


def test_nobody_but_the_server_can_say_that_something_is_missing() -> None:
    assert verify(with_gap(OWN), PUBLIC, check).gaps == [(2, GAP)]
    assert verify(with_gap("client"), PUBLIC, check).gaps == []
    assert verify(with_gap(OWN, f"{GAP.text} or so"), PUBLIC, check).gaps == []
    unsealed = with_gap(OWN).rpartition(b"S ")[0]
    assert verify(unsealed, PUBLIC, check).gaps == []


def test_the_command_says_that_a_gap_is_open_at_the_end(tmp_path: Any) -> None:
    app = typer.Typer()
    app.command()(audit)
    file, chain = tmp_path / "trail", Chain.begin(PUBLIC)
    file.write_bytes(chain.sealed([Record(1, 5, OWN, GAP.announcement)], KEY.sign)[0])
    answer = CliRunner().invoke(app, [str(file), "--key", PUBLIC.hex()])
    assert answer.exit_code == 3
    assert f"{file}: record 1: {GAP.announcement}; no later record says how many" in answer.output
    assert "at least 3 records are missing" in answer.output
    data = json.loads(CliRunner().invoke(app, [str(file), "--key", PUBLIC.hex(), "--json"]).output)
    assert (data["missing"], data["missing_is_at_least"], data["gaps"][0]["is_open"]) == (3, True, True)


def test_the_command_says_what_is_missing_and_it_is_neither_intact_in_silence_nor_changed(tmp_path: Any) -> None:
    app = typer.Typer()
    app.command()(audit)
    file = tmp_path / "trail"
    file.write_bytes(with_gap(OWN))
    answer = CliRunner().invoke(app, [str(file), "--key", PUBLIC.hex()])
    assert answer.exit_code == 3
    assert f"{file}: record 2: {GAP.text}" in answer.output
    assert "3 records are missing: they were not written" in answer.output
    data = json.loads(CliRunner().invoke(app, [str(file), "--key", PUBLIC.hex(), "--json"]).output)
    assert (data["intact"], data["missing"], data["gaps"][0]["record"]) == (True, 3, 2)
    file.write_bytes(with_gap(OWN).replace(b"before this one: 3", b"before this one: 1"))
    answer = CliRunner().invoke(app, [str(file), "--key", PUBLIC.hex()])
    assert (answer.exit_code, "record 2: changed" in answer.output) == (1, True)


@pytest.mark.parametrize(
    ("file", "key", "says"),
    [
        ("trail", "", "the name is empty"), ("trail", "g" * 5000, "64 hex digits, or a file with them; 'ggg"),
        ("trail", "directory", "directory is a"), ("trail", "empty", "what is in empty is not"),
        ("trail", "/dev/zero", "/dev/zero is a device, and no file"), ("/dev/zero", PUBLIC.hex(), "is a device"),
        ("", PUBLIC.hex(), "the name is empty"), ("directory", PUBLIC.hex(), "directory is a"),
        ("missing", PUBLIC.hex(), "missing cannot be read: No such"), ("x" * 5000, PUBLIC.hex(), "File name too long"),
    ],
)  # fmt: skip
def test_what_is_no_trail_or_no_key_is_wrong_usage(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, file: str, key: str, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trail").write_bytes(with_gap(OWN))
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "directory").mkdir()
    app = typer.Typer()
    app.command()(audit)
    answer = CliRunner().invoke(app, [file, "--key", key])
    said = " ".join(answer.output.replace("│", " ").split())
    assert (answer.exit_code, says in said) == (2, True), said


def test_of_an_empty_file_it_is_said_that_nothing_was_verified(tmp_path: Any) -> None:
    app = typer.Typer()
    app.command()(audit)
    (tmp_path / "trail").write_bytes(b"")
    answer = CliRunner().invoke(app, [str(tmp_path / "trail"), "--key", PUBLIC.hex()])
    assert (answer.exit_code, "is empty: there is nothing in it that could be verified" in answer.output) == (0, True)


@pytest.mark.parametrize("kind", [LittlefsVolume, FatVolume])
def test_who_has_the_right_still_writes_when_the_disk_is_full_for_all_others(kind: Any) -> None:
    disk = FakeDisk(8 * 48)
    volume = kind(CachedDisk(Disk(disk, REGION)), keeps_reserve=True)
    disk.run(volume.open())
    root = Tree(volume).root_directory(ALL_RIGHTS)

    async def story() -> None:
        plain = await root.restrict(READ_WRITE)
        file = await plain.create("file")

        async def fill() -> None:
            for offset in range(0, 1 << 20, 1000):
                await file.write(offset, b"x" * 1000)

        async def make_directories() -> None:
            for number in range(1000):
                await (await plain.make_directory(f"directory {number}")).closed()

        with pytest.raises(NoSpace):
            await fill()
        await file.sync()
        with pytest.raises(NoSpace):
            await make_directories()
        with pytest.raises(NotPermitted, match="use what is kept back"):
            await plain.open("file", ALL_RIGHTS)
        space = await root.space()
        assert space.reserve == 32 << 10
        assert space.total - space.used >= space.reserve
        mine = await root.create("mine")
        for offset in range(0, 6000, 500):
            await mine.write(offset, b"y" * 500)
        await mine.sync()
        await root.remove("file")
        await (await plain.create("file again")).write(0, b"z" * 9000)

    disk.run(story())


@pytest.mark.parametrize("kind", [LittlefsVolume, FatVolume])
def test_a_disk_that_is_too_small_to_keep_a_reserve_is_refused_and_left_as_it_is(kind: Any) -> None:
    disk = FakeDisk(8 * 23)
    with pytest.raises(Corrupt, match="98304 bytes at least, not 94208"):
        disk.run(kind(CachedDisk(Disk(disk, REGION)), keeps_reserve=True).open())
    assert not any(disk.durable)


def test_only_a_client_who_may_write_can_be_given_the_reserve() -> None:
    assert read_reserved('[reserve]\n5 = "audit"') == {5}
    assert read_reserved("") == frozenset()
    for channel in (0, 6, 11):
        with pytest.raises(ChannelNameError, match=f"channel {channel} is no client"):
            read_reserved(f'[reserve]\n{channel} = "audit"')


def played(image: Path, place: Path, *lines: str) -> str:
    """What `capkernel shell` puts out for a script."""
    script = place / "script"
    script.write_text("\n".join([*lines, "exit", ""]))
    command = [sys.executable, "-m", "capkernel", "shell", "--seed", "1"]
    files = ["--disk", str(image), "--script", str(script)]
    return subprocess.run([*command, *files], check=True, capture_output=True, text=True, timeout=200).stdout


@pytest.mark.slow
def test_a_disk_that_was_full_until_the_machine_was_switched_off_has_its_mark(tmp_path: Path) -> None:
    image, x = tmp_path / "disk.img", "x" * 400
    image.write_bytes(bytes(256 << 10))
    copies = [f"cp a {name}{number}" for number in range(14) for name in "bce"]
    small = [f"append f{number} {x}" for number in range(8)]
    said = played(image, tmp_path, *[f"append a {x}"] * 6, *copies, *small, "kill timer")
    assert "this could not be written down: NoSpace" in said
    played(image, tmp_path, *[f"rm b{number}" for number in range(8)], "kill timer")
    disk = FakeDisk(512)
    disk.durable[:] = image.read_bytes()
    volume = LittlefsVolume(CachedDisk(Disk(disk, REGION)))
    disk.run(volume.open(may_format=False))
    for name in ("trail", "public_key"):
        (tmp_path / name).write_bytes(disk.run(volume.read(f"audit/{name}", 0, 1 << 20)))
    app = typer.Typer()
    app.command()(audit)
    answer = CliRunner().invoke(app, [str(tmp_path / "trail"), "--key", str(tmp_path / "public_key")])
    assert answer.exit_code == 3
    assert "at least 1 records are missing: they were not written, as the trail says" in answer.output
    assert "records missing before this one: at least 1, of shell" in answer.output


@pytest.mark.slow
def test_a_full_disk_leaves_its_mark_in_the_shells_trail() -> None:
    terminal = Terminal(disk=RamDisk(256 << 10))
    for _ in range(6):
        terminal.do(f"append a {'x' * 150}")
    files = fillers = 0
    while not terminal.do(f"cp a b{files}"):
        files += 1
    while not terminal.do(f"append filler{fillers} {'x' * 400}"):
        fillers += 1
    assert "0 are available, 32768 are kept back" in terminal.do("df")
    for service in ("timer", "audit", "timer"):
        assert "could not be written down" in terminal.do(f"kill {service}")
    assert "MISSING: at least 3 records" in terminal.do("audit")
    for number in range(files):
        terminal.do(f"rm b{number}")
    terminal.do("kill timer")
    *_, gap, record, missing, verdict = terminal.do("audit").splitlines()
    assert "audit    records missing before this one: 3, of shell, from " in gap
    assert record.endswith("service timer is killed")
    assert missing.startswith("MISSING: 3 records")
    assert verdict == "4 records; every seal is right"
