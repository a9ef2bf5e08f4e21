"""File systems behind caps: littlefs, FAT and memory agree on everything, rights hold, what was synced survives."""

import random
from typing import Any

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from capkernel.protocols.block import SECTOR
from capkernel.protocols.failures import (
    Corrupt,
    DeviceError,
    Gone,
    Malformed,
    NoSpace,
    NotEmpty,
    NotFound,
    NotPermitted,
    WrongKind,
)
from capkernel.protocols.files import READ, READ_WRITE, WRITE, Entry, File, Kind
from servers.storage import littlefs_volume
from servers.storage.disk import Disk
from servers.storage.fat_volume import FatVolume
from servers.storage.littlefs_volume import LittlefsVolume
from servers.storage.ram_volume import RamVolume
from servers.storage.tree import Tree
from tests.servers.fakedisk import REGION, FakeDisk
from tests.servers.storage_bench import FILES, STEPS, Bench, mounted, save_until_power_goes

VOLUMES = {"littlefs": LittlefsVolume, "fat": FatVolume}
volumes = pytest.mark.parametrize("kind", VOLUMES.values(), ids=VOLUMES)


def littlefs(sectors: int = 512) -> Bench:
    return mounted(LittlefsVolume, FakeDisk(sectors))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), STEPS), max_size=40))
@example(steps=[(0, ("create", "a")), (1, ("resize", 1)), (0, ("list", 0))])
@volumes
def test_volumes_and_memory_answer_alike(kind: Any, steps: list[tuple[int, tuple[Any, ...]]]) -> None:
    one, other = mounted(kind, FakeDisk(4096)), Bench(FakeDisk(8), RamVolume(1 << 21))
    for which, step in steps:
        assert one.do(which, step) == other.do(which, step), step
        assert len(one.open) == len(other.open)


POWER_CUTS = (FILES, FILES, st.integers(0, 60))


@settings(max_examples=60, deadline=None)
@given(*POWER_CUTS, st.integers(0, 40), st.integers(0, 511))
def test_littlefs_keeps_what_was_synced_though_a_sector_is_torn(
    before: dict[str, bytes], after: dict[str, bytes], writes: int, kept: int, torn: int
) -> None:
    disk = FakeDisk(512)
    synced, begun = save_until_power_goes(mounted(LittlefsVolume, disk), before, after, writes)
    disk.lose_power(kept, torn)
    check_synced(mounted(LittlefsVolume, disk, may_format=False), synced, begun, after)


@settings(max_examples=60, deadline=None)
@given(*POWER_CUTS, st.lists(st.booleans(), min_size=1, max_size=40))
@volumes
def test_what_was_synced_survives_a_loss_of_power_whichever_sectors_are_lost(
    kind: Any, before: dict[str, bytes], after: dict[str, bytes], writes: int, survivors: list[bool]
) -> None:
    disk = FakeDisk(512)
    synced, begun = save_until_power_goes(mounted(kind, disk), before, after, writes)
    disk.lose_some(survivors)
    check_synced(mounted(kind, disk, may_format=False), synced, begun, after)


def check_synced(bench: Bench, synced: dict[str, bytes], begun: str | None, after: dict[str, bytes]) -> None:
    for name, data in synced.items():
        content = bench.disk.run(bench.tree.volume.read(name, 0, 20000))
        assert content == data or (name == begun and content == after[name]), name


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), STEPS), max_size=30), st.integers(0, 200), st.integers(1, 5))
@volumes
def test_a_disk_that_fails_for_a_while_harms_nothing_that_was_synced(
    kind: Any, steps: list[tuple[int, tuple[Any, ...]]], good: int, bad: int
) -> None:
    """In the middle of anything the disk fails; the server goes on, and the files of before are whole afterwards."""
    bench = mounted(kind, FakeDisk(512))
    root = bench.open[0]

    async def prepare() -> None:
        file = await root.create("kept")
        await file.write(0, b"precious" * 700)
        await file.sync()

    bench.disk.run(prepare())
    start = bench.disk.requests
    for which, step in steps:
        bench.disk.failing = good < bench.disk.requests - start < good + 20 * bad
        bench.do(which, step)
    bench.disk.failing = False
    assert bench.disk.run(bench.tree.volume.read("kept", 0, 9000)) == b"precious" * 700


@volumes
def test_a_sync_after_a_loss_says_so_once_and_the_file_is_as_it_was_synced(kind: Any) -> None:
    bench = mounted(kind, FakeDisk(512))
    root = bench.open[0]

    async def story() -> None:
        file = await root.create("file")
        await file.write(0, b"synced" * 1000)
        await file.sync()
        await file.write(0, b"lost" * 3000)
        bench.disk.failing = True
        with pytest.raises(DeviceError):
            await root.make_directory("directory")
        bench.disk.failing = False
        with pytest.raises(DeviceError, match="told"):
            await bench.tree.volume.close()
        await root.rename("file", root, "moved")
        with pytest.raises(DeviceError, match="lost"):
            await file.sync()
        await file.sync()
        assert await file.read(0, 9000) == b"synced" * 1000
        await file.write(6000, b"more")
        await file.sync()
        assert await file.read(5994, 100) == b"syncedmore"

    bench.disk.run(story())


def test_rights_only_shrink_and_hold_for_what_is_opened() -> None:
    bench = littlefs()
    root = bench.open[0]

    async def story() -> None:
        inner = await root.make_directory("inner")
        await (await inner.create("file")).write(0, b"text")
        reader = await root.restrict(READ)
        below = await reader.directory("inner", READ)
        file = await below.open("file", READ)
        assert await file.read(0, 10) == b"text"
        for refused in (
            below.open("file", READ_WRITE), reader.create("x"), below.remove("file"), reader.restrict(READ_WRITE),
            below.rename("file", root, "y"), inner.rename("file", below, "y"), file.write(0, b""), file.resize(0),
            reader.make_directory("d"), file.restrict(WRITE),
        ):  # fmt: skip
            with pytest.raises(NotPermitted):
                await refused
        blind = await root.restrict(WRITE)
        for refused in (blind.list(0), blind.info(""), blind.open("inner", READ)):
            with pytest.raises((NotPermitted, WrongKind)):
                await refused

    bench.disk.run(story())


def test_an_open_file_is_found_where_it_was_moved_and_gone_when_removed() -> None:
    bench = littlefs()
    root = bench.open[0]

    async def story() -> None:
        one, other = await root.make_directory("one"), await root.make_directory("other")
        deep = await one.make_directory("deep")
        file = await deep.create("file")
        await file.write(0, b"here")
        await one.rename("deep", other, "moved")
        await file.write(4, b" still")
        assert await file.read(0, 20) == b"here still"
        with pytest.raises(Malformed, match="into itself"):
            await other.rename("moved", deep, "loop")
        with pytest.raises(NotEmpty):
            await other.remove("moved")
        await deep.remove("file")
        for refused in (file.read(0, 1), file.write(0, b"x"), file.sync(), file.info()):
            with pytest.raises(Gone):
                await refused
        await file.closed()
        await other.remove("moved")
        with pytest.raises(Gone):
            await deep.create("again")

    bench.disk.run(story())


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/", "../kept", "x\0y", "n" * 256, "ä" * 128])
def test_there_is_no_way_up_nor_along_a_path(name: str) -> None:
    bench = littlefs()
    with pytest.raises(Malformed):
        bench.disk.run(bench.open[0].create(name))
    for refused in (bench.open[0].open(name, READ), bench.open[0].remove(name)):
        with pytest.raises(Malformed):
            bench.disk.run(refused)


@pytest.mark.parametrize("how", ["open another", "move it"])
def test_what_cannot_be_written_when_littlefs_closes_a_file_is_told_to_who_syncs_it(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It closes the one that was not used for longest if too many are open, and those that are moved."""
    bench = littlefs()
    root = bench.open[0]
    closed = littlefs_volume.lfs.file_close

    def full(fs: Any, file: Any) -> None:
        monkeypatch.setattr(littlefs_volume.lfs, "file_close", closed)
        closed(fs, file)
        raise littlefs_volume.LittleFSError(-28)

    async def story() -> None:
        others = [await root.create(f"other{number}") for number in range(littlefs_volume.OPEN_LIMIT)]
        file = await root.create("file")
        await file.write(0, b"text")
        monkeypatch.setattr(littlefs_volume.lfs, "file_close", full)
        if how == "move it":
            with pytest.raises(NoSpace):
                await root.rename("file", root, "moved")
        else:
            for other in others:
                await other.write(0, b"other")
            await others[-1].sync()
        # What littlefs believes is not to be relied on any more, so what was not synced of others is lost, too; but not
        # what was written after that.
        for each in [file, *(others[:-1] if how == "open another" else ())]:
            with pytest.raises(DeviceError, match="is lost"):
                await each.sync()
        for each in [file, *others]:
            await each.write(0, b"again")
            await each.sync()
            assert await each.read(0, 9) == b"again"

    bench.disk.run(story())


@volumes
@pytest.mark.parametrize("seed", range(3))
def test_a_full_disk_is_used_on_and_keeps_what_was_synced(kind: Any, seed: int) -> None:
    """littlefs by itself ends the process at one of the next writes."""
    bench, chance = mounted(kind, FakeDisk(512)), random.Random(seed)
    root, synced, refused = bench.open[0], dict[str, bytes | None](), 0

    async def change(name: str) -> None:
        if name in synced and chance.random() < 0.2:
            await root.remove(name)
            del synced[name]
            return
        file = await (root.open(name, READ_WRITE) if name in synced else root.create(name))
        data = chance.randbytes(chance.randint(0, 1500))
        # Until it is synced it may be as before, as now, or anything between.
        synced[name] = None
        try:
            await file.resize(0)
            await file.write(0, data)
            await file.sync()
            synced[name] = data
        finally:
            await file.closed()

    async def story() -> None:
        nonlocal refused
        for _ in range(600):
            try:
                await change(f"file{chance.randrange(300)}")
            except (NoSpace, DeviceError):
                refused += 1
        for name, data in synced.items():
            file = await root.open(name, READ)
            assert await file.read(0, 2000) == data or data is None, name
            await file.closed()

    bench.disk.run(story())
    assert refused > 20
    assert len([data for data in synced.values() if data]) > 20


DEEDS = ("make", "create", "write", "write", "write", "append", "resize", "sync", "remove", "rename")


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1 << 32), st.integers(8, 48))
@volumes
def test_whoever_finds_no_room_costs_nobody_what_he_has_not_synced(kind: Any, seed: int, blocks: int) -> None:
    disk, chance = FakeDisk(8 * blocks), random.Random(seed)
    bench = mounted(kind, disk)
    root, files, contents = bench.open[0], dict[tuple[int, str], File](), dict[tuple[int, str], bytes]()
    directories, refused = [root], 0

    def somewhere() -> tuple[int, str]:
        return chance.randrange(len(directories)), f"{chance.randrange(20)}" * chance.choice([1, 100])

    async def step() -> None:
        at, name = place = somewhere()
        match chance.choice(DEEDS):
            case "make" if len(directories) < 4:
                directories.append(await root.make_directory(f"directory {len(directories)}"))
            case "create" if place not in files:
                files[place] = await directories[at].create(name)
                contents[place] = b""
            case "remove" if place in files:
                await files.pop(place).closed()
                del contents[place]
                await directories[at].remove(name)
            case "rename" if place in files:
                other = somewhere()
                if other not in files:
                    await directories[at].rename(name, directories[other[0]], other[1])
                    files[other], contents[other] = files.pop(place), contents.pop(place)
            case "resize" if place in files:
                size = chance.choice([0, 1, 500, 5000, 20_000])
                try:
                    await files[place].resize(size)
                except NoSpace:
                    assert size > len(contents[place])
                    raise
                contents[place] = contents[place][:size].ljust(size, b"\0")
            case "sync" if place in files:
                await files[place].sync()
            case ("write" | "append") as how if place in files:
                data = chance.randbytes(chance.choice([1, 400, 600, 5000, 14_000]))
                old = contents[place]
                offset = len(old) if how == "append" else chance.randint(0, len(old) + 100)
                await files[place].write(offset, data)
                contents[place] = old.ljust(offset, b"\0")[:offset] + data + old[offset + len(data) :]

    async def story() -> None:
        nonlocal refused
        for _ in range(150):
            try:
                await step()
            except NoSpace:
                refused += 1
            if files:
                place = chance.choice([*files])
                assert await files[place].read(0, 1 << 20) == contents[place]
        for place, file in files.items():
            assert await file.read(0, 1 << 20) == contents[place]
            await file.sync()

    async def found(at: int, name: str) -> bytes:
        again = mounted(kind, disk, may_format=False).open[0]
        directory = await again.directory(f"directory {at}", READ) if at else again
        return await (await directory.open(name, READ)).read(0, 1 << 20)

    bench.disk.run(story())
    event(f"refused: {min(refused, 3)}")
    disk.lose_power()
    for place, content in contents.items():
        assert disk.run(found(*place)) == content


def test_a_fat_file_that_was_synced_is_emptied_and_synced() -> None:
    disk = FakeDisk(512)
    bench = mounted(FatVolume, disk)

    async def story() -> None:
        file = await bench.open[0].create("file")
        for text in (b"text" * 1000, b"", b"more"):
            await file.resize(0)
            await file.write(0, text)
            await file.sync()
            assert [entry.size for entry in await bench.open[0].list(0)] == [len(text)]

    bench.disk.run(story())
    again = mounted(FatVolume, disk).open[0]
    assert disk.run(disk.run(again.open("file", READ)).read(0, 9)) == b"more"


class Fickle(FakeDisk):
    """Reads something else once in a while, and a moment later the right bytes again."""

    chance = random.Random(0)
    rate = 0.0

    async def read(self, sector: int, count: int, offset: int) -> None:
        await super().read(sector, count, offset)
        if self.chance.random() < self.rate:
            at = offset + self.chance.randrange(count * SECTOR)
            self.memory[at : at + 4] = self.chance.randbytes(4)


@pytest.mark.parametrize("seed", range(20))
def test_a_disk_that_reads_something_else_is_an_error_and_littlefs_is_not_led_astray(seed: int) -> None:
    """It would end the process: it looks at what it reads once, and then believes it."""
    disk = Fickle(512)
    volume = LittlefsVolume(Disk(disk, REGION))
    disk.run(volume.open())
    disk.chance, wrong = random.Random(seed), 0

    async def story() -> None:
        nonlocal wrong
        for number in range(60):
            name = f"file{number % 7}"
            disk.rate = 0.02 * (number % 2)
            try:
                if await volume.info(name) is None:
                    await volume.create(name, Kind.FILE)
                await volume.write(name, number * 100, bytes([number]) * 3000)
                await volume.sync(name)
                await volume.list("")
                await volume.release(name)
            except DeviceError as failure:
                wrong += "is not what it was" in str(failure)
            except (Corrupt, NotFound, NoSpace):
                continue

    disk.run(story())
    assert wrong


def test_a_name_on_a_littlefs_that_is_no_text_is_an_error_of_the_disk_and_of_nobody_else() -> None:
    bench = littlefs()
    root = bench.open[0]
    bench.disk.run(root.create("other"))

    def create(name: bytes) -> None:
        """As another program may have."""
        littlefs_volume.lfs.FILENAME_ENCODING = "latin-1"
        try:
            bench.disk.run(bench.tree.volume.create(name.decode("latin-1"), Kind.FILE))
        finally:
            littlefs_volume.lfs.FILENAME_ENCODING = encoding

    encoding = littlefs_volume.lfs.FILENAME_ENCODING
    create(b"\xf7")
    with pytest.raises(Corrupt, match="no text"):
        bench.disk.run(root.list(0))
    assert bench.disk.run(root.info("other")).size == 0


def test_a_full_disk_is_said_and_leaves_what_was_synced() -> None:
    bench = littlefs(sectors=16 * 8)
    root = bench.open[0]

    async def fill(file: File) -> None:
        for offset in range(0, 100_000, 4000):
            await file.write(offset, b"2" * 4000)

    async def story() -> None:
        first = await root.create("first")
        await first.write(0, b"1" * 8000)
        await first.sync()
        second = await root.create("second")
        with pytest.raises(NoSpace):
            await fill(second)
        assert await first.read(0, 9000) == b"1" * 8000
        with pytest.raises(NotFound):
            await root.remove("third")

    bench.disk.run(story())


def test_a_large_directory_is_read_once_for_all_parts_of_its_list_unless_it_changes() -> None:
    class Counting(RamVolume):
        lists = 0

        async def list(self, path: str) -> list[Entry]:
            self.lists += 1
            return await super().list(path)

    volume = Counting(1 << 20)
    tree = Tree(volume)
    root = tree.root_directory()

    run = FakeDisk(8).run
    for number in range(100):
        run(root.create(f"{number:03}"))

    def listed() -> list[Entry]:
        found: list[Entry] = []
        while more := run(root.list(len(found))):
            found += more
        return found

    assert [entry.name for entry in listed()] == [f"{number:03}" for number in range(100)]
    assert volume.lists == 1
    file = run(root.open("099", READ_WRITE))
    assert run(root.list(0))
    run(file.write(0, b"more"))
    rest = run(root.list(99))
    assert (rest[0].name, rest[0].size, volume.lists) == ("099", 4, 3)
    run(root.remove("000"))
    assert run(root.list(98))[0].name == "099"
