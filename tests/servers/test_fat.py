"""FAT: others' tools read what it writes and the other way round; power cuts at each write; damaged images."""

import shutil
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from capkernel.protocols.failures import AlreadyExists, DeviceError, Failure, Malformed, NoSpace, NotPermitted
from capkernel.protocols.files import Kind
from servers.storage.cache import CachedDisk
from servers.storage.disk import Disk
from servers.storage.fat_layout import FAT12_END, FAT16_END, boot_sectors, plan_layout, read_layout
from servers.storage.fat_names import new_entry, read_directory, slots_of
from servers.storage.fat_volume import FatVolume
from tests.servers.fakedisk import REGION, FakeDisk

MTOOLS, DOSFSTOOLS = ("mdir", "mtype", "mcopy", "mmd"), ("mkfs.fat", "fsck.fat")
PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
MISSING = [tool for tool in (*MTOOLS, *DOSFSTOOLS) if shutil.which(tool, path=PATH) is None]
needs_tools = pytest.mark.skipif(bool(MISSING), reason=f"NOT RUN: {', '.join(MISSING)} (mtools, dosfstools) missing")


def tool(*words: object) -> str:
    """What another's tool says; fails if the tool does."""
    done = subprocess.run(
        [str(word) for word in words],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": PATH, "MTOOLS_SKIP_CHECK": "1"},
    )
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


def open_volume(disk: FakeDisk, *, may_format: bool = False) -> FatVolume:
    volume = FatVolume(CachedDisk(Disk(disk, REGION), limit=64))
    disk.run(volume.open(may_format=may_format))
    return volume


def image_of(disk: FakeDisk) -> bytes:
    """What is on the disk once it has written all."""
    disk.lose_power(len(disk.cached))
    return bytes(disk.durable)


def from_image(image: bytes) -> FakeDisk:
    disk = FakeDisk(len(image) // 512)
    disk.durable[:] = image
    return disk


async def tree_of(volume: FatVolume, path: str = "") -> dict[str, bytes | None]:
    """Everything in a volume: the content of files, None for directories."""
    found: dict[str, bytes | None] = {}
    for entry in await volume.list(path):
        below = f"{path}/{entry.name}" if path else entry.name
        if entry.kind is Kind.DIRECTORY:
            found |= {below: None, **await tree_of(volume, below)}
        else:
            found[below] = await volume.read(below, 0, entry.size)
            assert len(found[below] or b"") == entry.size
    return found


async def put(volume: FatVolume, path: str, data: bytes, offset: int = 0) -> None:
    if await volume.info(path) is None:
        await volume.create(path, Kind.FILE)
    await volume.write(path, offset, data)
    await volume.sync(path)


# Layouts and names


@given(st.integers(64, 1 << 24))
@example(4 * FAT12_END)
@example(4 * FAT16_END)
@example(1 << 26)
def test_a_new_file_system_says_what_it_is(sectors: int) -> None:
    layout = plan_layout(sectors)
    assert read_layout(boot_sectors(layout)[0], sectors) == layout
    assert layout.sector_of(layout.end - 1) + layout.cluster_sectors <= sectors
    assert (layout.clusters < FAT12_END, layout.clusters < FAT16_END) == (layout.bits == 12, layout.bits < 32)


WORDS = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=40)


@given(st.lists(WORDS, max_size=12, unique_by=str.casefold))
def test_every_name_is_read_as_it_was_written_and_short_names_are_all_different(names: list[str]) -> None:
    data, written = b"", []
    for name in names:
        taken = {each.entry.short for each in read_directory(data, 16)}
        try:
            entry, slots = slots_of(name, new_entry(Kind.FILE, 5, 6), taken)
        except Malformed:
            assert name[-1] in " ." or set(name) & (set('"*:<>?\\|\x7f') | {chr(code) for code in range(32)})
            continue
        if "/" in name or name in (".", ".."):
            continue
        assert entry.short not in taken
        data += b"".join(slots)
        written.append(name)
    assert [(each.name, each.entry.first, each.entry.size) for each in read_directory(data, 16)] == [
        (name, 5, 6) for name in written
    ]


def test_a_name_that_differs_only_in_capitals_is_another_but_cannot_be_beside_it() -> None:
    disk = FakeDisk(2048)
    volume = open_volume(disk, may_format=True)

    async def story() -> None:
        await put(volume, "Name", b"1")
        assert await volume.info("NAME") is None
        with pytest.raises(AlreadyExists):
            await volume.create("NAME", Kind.FILE)
        await volume.create("other", Kind.FILE)
        with pytest.raises(AlreadyExists):
            await volume.rename("other", "nAME")
        await volume.rename("Name", "NAME")
        assert await tree_of(volume) == {"NAME": b"1", "other": b""}

    disk.run(story())


def test_directories_grow_and_the_root_of_a_fat12_is_full_at_last() -> None:
    disk = FakeDisk(2048)
    volume = open_volume(disk, may_format=True)

    async def story() -> int:
        await volume.create("deep", Kind.DIRECTORY)
        for number in range(50):
            await volume.create(f"deep/a rather long name {number}", Kind.FILE)
        for number in range(1000):
            try:
                await volume.create("n" * 240 + str(number), Kind.FILE)
            except NoSpace:
                return number
        return 0

    assert disk.run(story()) == (512 - 2) // 20
    assert len(disk.run(tree_of(open_volume(disk)))) == 1 + 50 + 25


def test_no_space_is_said_before_anything_changes_and_nothing_is_lost_of_it() -> None:
    disk = FakeDisk(256)
    volume = open_volume(disk, may_format=True)

    async def story() -> None:
        await put(volume, "kept", b"k" * 5000)
        free = volume.store.table.free
        for refused in (volume.write("kept", 5000, bytes(1 << 20)), volume.resize("kept", 1 << 30)):
            with pytest.raises(NoSpace):
                await refused
        assert volume.store.table.free == free
        await put(volume, "all", b"a" * free * volume.store.layout.cluster_bytes)
        with pytest.raises(NoSpace):
            await volume.create("d", Kind.DIRECTORY)
        await volume.remove("all")
        assert volume.store.table.free == free
        assert await volume.read("kept", 0, 9000) == b"k" * 5000

    disk.run(story())


# Others' tools


@needs_tools
@pytest.mark.parametrize("sectors", [2048, 40_000, pytest.param(1_100_000, marks=pytest.mark.slow)])
def test_others_tools_read_what_was_written_here(tmp_path: Path, sectors: int) -> None:
    disk = FakeDisk(sectors)
    volume = open_volume(disk, may_format=True)

    async def story() -> dict[str, bytes | None]:
        await put(volume, "SHORT.TXT", b"short")
        await put(volume, "a long name, with a comma.text", b"long" * 3000)
        await volume.create("inner", Kind.DIRECTORY)
        await volume.create("inner/deeper", Kind.DIRECTORY)
        await put(volume, "inner/deeper/Größe", "ä".encode() * 700)
        await put(volume, "gone", b"x" * 9000)
        await volume.rename("inner/deeper", "moved")
        await volume.remove("gone")
        await volume.resize("SHORT.TXT", 3)
        await volume.write("SHORT.TXT", 6, b"end")
        await volume.sync("SHORT.TXT")
        return await tree_of(volume)

    found = disk.run(story())
    image = tmp_path / "image"
    image.write_bytes(image_of(disk))
    tool("fsck.fat", "-n", image)
    assert tool("mtype", "-i", image, "::a long name, with a comma.text") == "long" * 3000
    assert tool("mtype", "-i", image, "::SHORT.TXT") == "sho\0\0\0end"
    assert "moved" in tool("mdir", "-i", image, "::")
    tool("mcopy", "-i", image, "-s", "::moved", tmp_path)
    assert [each.read_bytes() for each in (tmp_path / "moved").iterdir()] == ["ä".encode() * 700]
    assert found["moved/Größe"] == "ä".encode() * 700


@needs_tools
@pytest.mark.parametrize(("bits", "kib"), [(12, 1440), (16, 16_000), pytest.param(32, 40_000, marks=pytest.mark.slow)])
def test_what_others_tools_wrote_is_read_here_and_changed_so_that_they_read_it(
    tmp_path: Path, bits: int, kib: int
) -> None:
    image, big = tmp_path / "image", tmp_path / "A big file.bin"
    big.write_bytes(bytes(range(256)) * 200)
    (tmp_path / "lower.txt").write_bytes(b"lower")
    tool("mkfs.fat", "-F", bits, "-n", "LABEL", "-C", image, kib)
    tool("mmd", "-i", image, "::sub")
    tool("mcopy", "-i", image, big, tmp_path / "lower.txt", "::sub")
    disk = from_image(image.read_bytes())
    volume = open_volume(disk)
    assert volume.store.layout.bits == bits
    assert volume.is_sound
    assert disk.run(tree_of(volume)) == {"sub": None, "sub/A big file.bin": big.read_bytes(), "sub/lower.txt": b"lower"}
    disk.run(put(volume, "sub/lower.txt", b"!", 5))
    disk.run(put(volume, "sub/A big file.bin", b"changed", 20_000))
    image.write_bytes(image_of(disk))
    tool("fsck.fat", "-n", image)
    assert tool("mtype", "-i", image, "::sub/lower.txt") == "lower!"


# Many operations, one after the other

PLACES = ("a", "b", "below/a", "below/b")
WORK = st.lists(
    st.one_of(
        st.tuples(st.just("create"), st.sampled_from(PLACES)),
        st.tuples(st.just("write"), st.sampled_from(PLACES), st.binary(min_size=1, max_size=8), st.integers(0, 5000)),
        st.tuples(st.just("sync"), st.sampled_from(PLACES)),
        st.tuples(st.just("remove"), st.sampled_from(PLACES)),
        st.tuples(st.just("rename"), st.sampled_from(PLACES), st.sampled_from(PLACES)),
    ),
    max_size=30,
)


async def do(volume: FatVolume, model: dict[str, bytes], step: tuple[Any, ...]) -> None:
    """One operation on a volume, and what it means."""
    match step:
        case ("create", path) if path not in model:
            await volume.create(path, Kind.FILE)
            model[path] = b""
        case ("write", path, data, offset) if path in model:
            await volume.write(path, offset, data)
            before = model[path].ljust(offset, b"\0")
            model[path] = before[:offset] + data + before[offset + len(data) :]
        case ("sync", path) if path in model:
            await volume.sync(path)
        case ("remove", path) if path in model:
            await volume.remove(path)
            del model[path]
        case ("rename", path, other) if path in model and path != other:
            await volume.rename(path, other)
            model[other] = model.pop(path)


@given(WORK)
@example([("create", "a"), ("write", "a", b"1", 0), ("create", "b"), ("remove", "b"), ("create", "b"), ("sync", "a")])
def test_what_was_synced_is_there_whatever_else_was_made_and_removed(work: list[tuple[Any, ...]]) -> None:
    disk = FakeDisk(512)
    volume = open_volume(disk, may_format=True)
    model: dict[str, bytes] = {}
    disk.run(volume.create("below", Kind.DIRECTORY))
    for step in [*work, *(("sync", path) for path in PLACES)]:
        disk.run(do(volume, model, step))
    assert disk.run(tree_of(volume)) == {"below": None, **model}
    later = from_image(image_of(disk))
    assert later.run(tree_of(open_volume(later))) == {"below": None, **model}


# Loss of power

Step = tuple[str, Callable[[FatVolume], Awaitable[None]]]
LONG = "a directory with a name of several pieces, for one sector is too small"
STORY: list[Step] = [
    ("a new file", lambda v: v.create("first", Kind.FILE)),
    ("its content", lambda v: put(v, "first", b"1" * 5000)),
    ("more of it", lambda v: put(v, "first", b"2" * 5000, 5000)),
    ("a directory", lambda v: v.create(LONG, Kind.DIRECTORY)),
    ("another", lambda v: v.create("other", Kind.DIRECTORY)),
    ("a file below", lambda v: v.create("other/second", Kind.FILE)),
    ("its content, too", lambda v: put(v, "other/second", b"3" * 3000)),
    ("moved up", lambda v: v.rename("other/second", "second")),
    ("a directory moved", lambda v: v.rename("other", f"{LONG}/o")),
    ("a file replaced", lambda v: v.rename("second", "first")),
    ("one cut off", lambda v: shrunk(v, "first", 1800)),
    ("one changed in one cluster", lambda v: put(v, "first", b"4" * 1500, 20)),
    ("a file removed", lambda v: v.remove("first")),
    ("made anew", lambda v: v.create("first", Kind.FILE)),
    ("of what was free", lambda v: put(v, "first", b"5" * 7000)),
    ("a directory removed", lambda v: v.remove(f"{LONG}/o")),
]  # fmt: skip
SURVIVORS = ([False], [True], [True, False], [False, True], [False, False, True])


async def shrunk(volume: FatVolume, path: str, size: int) -> None:
    await volume.resize(path, size)
    await volume.sync(path)


def states_of(disk: FakeDisk) -> Iterator[dict[str, bytes | None]]:
    """What there is before the story, and after each of its steps."""
    volume = open_volume(disk, may_format=True)
    yield disk.run(tree_of(volume))
    for _, step in STORY:
        disk.run(step(volume))
        yield disk.run(tree_of(volume))


def cut_at(writes: int, survivors: list[bool]) -> tuple[int, FakeDisk]:
    """Play the story until so many writes were made, and lose power: how many steps were answered, and the disk."""
    disk = FakeDisk(512)
    volume = open_volume(disk, may_format=True)
    disk.writes_left = writes
    done = 0
    for _, step in STORY:
        try:
            disk.run(step(volume))
        except DeviceError:
            break
        done += 1
    disk.lose_some(survivors)
    return done, disk


def writes_of_story() -> int:
    disk = FakeDisk(512)
    volume = open_volume(disk, may_format=True)
    disk.writes_left = 1 << 30
    for _, step in STORY:
        disk.run(step(volume))
    return (1 << 30) - disk.writes_left


@pytest.mark.parametrize("survivors", SURVIVORS, ids=str)
def test_after_a_cut_at_each_write_there_is_what_was_answered_or_what_was_begun(survivors: list[bool]) -> None:
    states = list(states_of(FakeDisk(512)))
    for writes in range(writes_of_story() + 1):
        done, disk = cut_at(writes, survivors)
        volume = open_volume(disk)
        assert volume.is_sound
        found = disk.run(tree_of(volume))
        assert found in states[done : done + 2], f"cut at write {writes}, in {STORY[min(done, len(STORY) - 1)][0]!r}"
        used = sum(-(-len(data or b"x") // 2048) for data in found.values() if data != b"")
        assert volume.store.table.free == volume.store.layout.clusters - used, "clusters were lost"


@needs_tools
@pytest.mark.slow
@pytest.mark.parametrize("survivors", SURVIVORS[2:4], ids=str)
def test_fsck_finds_nothing_once_a_cut_was_put_right(tmp_path: Path, survivors: list[bool]) -> None:
    image = tmp_path / "image"
    for writes in range(0, writes_of_story(), 2):
        disk = cut_at(writes, survivors)[1]
        open_volume(disk)
        image.write_bytes(image_of(disk))
        tool("fsck.fat", "-n", image)


@given(st.integers(0, 9000), st.integers(1, 9000), st.integers(0, 40), st.lists(st.booleans(), min_size=1, max_size=20))
@settings(max_examples=40, deadline=None)
def test_a_change_within_a_file_leaves_each_cluster_old_or_new(
    start: int, size: int, writes: int, survivors: list[bool]
) -> None:
    old, disk = b"o" * 10_000, FakeDisk(512)
    new = old[:start] + b"n" * size + old[start + size :]
    volume = open_volume(disk, may_format=True)
    disk.run(put(volume, "file", old))
    disk.writes_left, is_synced = writes, True
    try:
        disk.run(put(volume, "file", b"n" * size, start))
    except DeviceError:
        is_synced = False
    disk.lose_some(survivors)
    content = disk.run(tree_of(open_volume(disk)))["file"] or b""
    assert len(content) in (len(old), len(new))
    for at in range(0, len(content), 2048):
        allowed = [each[: len(content)][at : at + 2048] for each in ((new,) if is_synced else (old, new))]
        assert content[at : at + 2048] in allowed


def test_a_blank_disk_whose_formatting_was_cut_off_is_formatted_anew() -> None:
    for writes in range(12):
        disk = FakeDisk(512)
        disk.writes_left = writes
        try:
            open_volume(disk, may_format=True)
        except DeviceError:
            disk.lose_some([True, False])
        disk.writes_left = None
        assert disk.run(tree_of(open_volume(disk, may_format=True))) == {}


# Damaged images


def sample_image() -> bytes:
    disk = FakeDisk(512)
    for _ in states_of(disk):
        pass
    volume = open_volume(disk)
    disk.run(put(volume, "x" * 30, b"x" * 3000))
    return bytes(disk.durable)


SAMPLE = sample_image()
META = 40 * 512
"""The boot sector, the table and the root directory, with something of the first clusters."""


async def use_all(volume: FatVolume) -> None:
    """Read everything, and try to change it; failures are allowed, and nothing else."""
    paths, seen = [""], 0
    while paths and seen < 12:
        path, seen = paths.pop(), seen + 1
        try:
            entries = await volume.list(path)
        except Failure:
            continue
        for entry in entries[:10]:
            below = f"{path}/{entry.name}" if path else entry.name
            paths.append(below)
            for deed in (
                volume.read(below, 0, 5000), volume.write(below, 100, b"y" * 3000), volume.resize(below, 10),
                volume.sync(below), volume.rename(below, f"{below} moved"), volume.create(f"{below}+", Kind.FILE),
                volume.remove(below), volume.create(f"{below}/d", Kind.DIRECTORY), volume.space(),
            ):  # fmt: skip
                with suppress(Failure):
                    await deed


Changes = list[tuple[int, int]]
AT = st.one_of(st.integers(0, META - 1), st.integers(0, 80), st.integers(512, 1024), st.integers(19 * 512, 25 * 512))


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(AT, st.integers(0, 255)), min_size=1, max_size=12))
def test_no_damage_does_more_than_a_failure(changes: Changes) -> None:
    image = bytearray(SAMPLE)
    for at, value in changes:
        image[at] = value
    disk = from_image(bytes(image))
    try:
        volume = open_volume(disk)
    except Failure:
        return
    was_sound = volume.is_sound
    disk.run(use_all(volume))
    if not was_sound:
        assert bytes(disk.durable) == bytes(image), "what contradicts itself was changed"
        assert not disk.cached


def in_a_circle(volume: FatVolume, first: dict[str, int]) -> None:
    table = volume.store.table
    table[table[first["first"]]] = first["first"]


def into_anothers(volume: FatVolume, first: dict[str, int]) -> None:
    volume.store.table[first["x" * 30]] = first["first"]


@pytest.mark.parametrize("damage", [in_a_circle, into_anothers])
def test_what_contradicts_itself_is_read_and_not_written(damage: Callable[[FatVolume, dict[str, int]], None]) -> None:
    disk = from_image(SAMPLE)
    volume = open_volume(disk)

    async def spoil() -> None:
        root = await volume._directory(0)
        damage(volume, {named.name: named.entry.first for named in root.entries})
        await volume.store.write_table()
        await volume.store.flush()

    disk.run(spoil())
    volume = open_volume(disk)
    assert not volume.is_sound
    with pytest.raises(NotPermitted):
        disk.run(volume.create("new", Kind.FILE))
    assert {entry.name for entry in disk.run(volume.list(""))} >= {"first", "x" * 30}
    with suppress(Failure):
        disk.run(volume.read("first", 0, 9000))
