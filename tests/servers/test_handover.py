"""Files that move to another disk and another file system, and the caps that go on leading to them."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capkernel.protocols.failures import DeviceError, Failure, Gone, Malformed, NoSpace, NotPermitted
from capkernel.protocols.files import READ, READ_WRITE, Kind
from capkernel.protocols.interface import Interface
from capkernel.protocols.service import Entry, Service
from capkernel.user.kept import KeptValue
from capkernel.user.loop import PD
from capkernel.user.messages import SharedRegion
from capkernel.user.pdimage import PDValues
from servers.storage.cache import CachedDisk
from servers.storage.disk import Disk
from servers.storage.fat_volume import FatVolume
from servers.storage.handover import KeptCaps, keep_caps, restore_caps
from servers.storage.homes import RESERVED, Home, LabelledDisk, copy_all, open_home
from servers.storage.littlefs_volume import LittlefsVolume
from servers.storage.ram_volume import RamVolume
from servers.storage.tree import Tree, Volume
from tests.servers.fakedisk import REGION, FakeDisk
from tests.servers.storage_bench import STEPS

LITTLEFS, FAT = 0, 1
KINDS = (LittlefsVolume, FatVolume)
PLANNED = st.lists(
    st.tuples(st.integers(0, 9), STEPS | st.sampled_from([("derive",), ("drop",), ("revoke",)])), max_size=30
)


class TwoDisks:
    """A disk for each kind of file system; they share the memory of the first."""

    def __init__(self, sectors: int = 512) -> None:
        self.disks = [FakeDisk(sectors), FakeDisk(sectors)]
        self.disks[1].memory = self.disks[0].memory

    def open(self, own: int) -> Any:
        homes = [Home(LabelledDisk(disk, REGION), kind) for disk, kind in zip(self.disks, KINDS, strict=True)]
        return self.run(open_home(homes, own))

    def run(self, awaitable: Any) -> Any:
        return self.disks[0].run(awaitable)

    def cut_after(self, count: int | None) -> None:
        """Let the power go after so many writes of both."""
        for disk in self.disks:
            disk.writes_left = count

    def lose_power(self, survivors: list[bool]) -> None:
        for disk in self.disks:
            disk.lose_some(survivors)


async def everything(volume: Volume, path: str = "") -> dict[str, bytes | None]:
    found: dict[str, bytes | None] = {}
    for entry in await volume.list(path):
        below = f"{path}/{entry.name}" if path else entry.name
        if entry.kind is Kind.DIRECTORY:
            found |= {below: None, **await everything(volume, below)}
        else:
            found[below] = await volume.read(below, 0, entry.size)
    return found


async def fill(volume: Volume, number: int) -> None:
    for name in ("one", "a directory"):
        if await volume.info(name) is None:
            await volume.create(name, Kind.DIRECTORY if " " in name else Kind.FILE)
    await volume.write("one", 0, bytes((number,)) * 3000)
    await volume.sync("one")
    path = f"a directory/file {number}"
    await volume.create(path, Kind.FILE)
    await volume.write(path, 0, path.encode() * 100)
    await volume.sync(path)


def test_the_files_are_brought_there_and_back_and_the_newest_count() -> None:
    disks = TwoDisks()
    expected: dict[str, bytes | None] = {}
    for number, own in enumerate((LITTLEFS, FAT, FAT, LITTLEFS, FAT)):
        volume = disks.open(own)
        assert isinstance(volume, KINDS[own])
        assert disks.run(everything(volume)) == expected
        disks.run(fill(volume, number))
        expected = disks.run(everything(volume))


@pytest.mark.parametrize("survivors", [[False], [True], [True, False], [False, True, True]], ids=str)
def test_a_cut_while_they_are_brought_leaves_them_all_in_one_place(survivors: list[bool]) -> None:
    before = TwoDisks()
    disks_run = before.run
    disks_run(fill(before.open(LITTLEFS), 1))
    expected = disks_run(everything(before.open(LITTLEFS)))
    for writes in range(0, 60, 2):
        disks = TwoDisks()
        for disk, other in zip(disks.disks, before.disks, strict=True):
            disk.durable[:] = other.durable
        disks.cut_after(writes)
        try:
            disks.open(FAT)
        except DeviceError:
            disks.lose_power(survivors)
        disks.cut_after(None)
        for own in (writes // 2 % 2, FAT):
            assert disks.run(everything(disks.open(own))) == expected, writes


def test_what_does_not_fit_there_stays_where_it_was() -> None:
    disks = TwoDisks()
    volume = disks.open(LITTLEFS)
    disks.run(fill(volume, 1))
    disks.run(volume.create("what: FAT has no such name", Kind.FILE))
    expected = disks.run(everything(volume))
    with pytest.raises(Malformed):
        disks.open(FAT)
    assert disks.run(everything(disks.open(LITTLEFS))) == expected


def test_a_disk_that_is_too_small_stays_empty_of_consequence() -> None:
    disks = TwoDisks(2048)
    disks.disks[FAT] = FakeDisk(256)
    disks.disks[FAT].memory = disks.disks[LITTLEFS].memory
    volume = disks.open(LITTLEFS)
    disks.run(fill(volume, 1))
    disks.run(volume.write("one", 0, b"large" * 40_000))
    disks.run(volume.close())
    with pytest.raises(NoSpace):
        disks.open(FAT)
    assert len(disks.run(everything(disks.open(LITTLEFS)))["one"] or b"") == 200_000


def test_the_label_is_not_within_the_file_system() -> None:
    disk = FakeDisk(512)
    labelled = LabelledDisk(disk, REGION)
    disk.run(labelled.open())
    assert labelled.sectors == 512 - RESERVED
    assert disk.run(labelled.label()) == 0
    disk.run(labelled.set_label(7))
    assert disk.run(labelled.label()) == 7
    disk.durable[-512] ^= 1
    assert disk.run(labelled.label()) == 0


# Caps


def server(tree: Tree, life: int) -> Service:
    return Service(PD(PDValues(name="files"), life=life), roots=lambda session: tree.root_directory())


class Caps:
    """A file server whose clients' requests are made by hand: each through a cap, with what comes of it as a cap."""

    def __init__(self, volume: Volume, life: int, disk: FakeDisk) -> None:
        self.disk = disk
        self.tree = Tree(volume)
        self.service = server(self.tree, life)
        self.badges: list[int] = [2, 3]

    def do(self, which: int, step: tuple[Any, ...]) -> Any:
        badge, (name, *args) = self.badges[which % len(self.badges)], step
        try:
            entry = self.service._find(badge)
            return self.disk.run(self._do(entry, name, args))
        except Failure as failure:
            return type(failure)

    async def _do(self, entry: Entry, name: str, args: list[Any]) -> Any:
        if name in ("drop", "revoke"):
            if name == "drop":
                self.service._lift(entry)
            closed = self.service._close(entry) if name == "drop" else self.service._close_below(entry)
            await self.service._tell_closed(closed)
            return None
        if name == "derive":
            return self._given(entry.servant, entry, is_derived=True)
        method = getattr(entry.servant, name, None)
        if method is None or name == "closed":
            return "no such operation"
        if name == "rename":
            args = [args[0], self.service._find(self.badges[args[1] % len(self.badges)]).servant, args[2]]
        if name == "info" and not hasattr(entry.servant, "create"):
            args = []
        result = await method(*args)
        return self._given(result, entry) if isinstance(result, Interface) else result

    def _given(self, servant: Interface, entry: Entry, *, is_derived: bool = False) -> str:
        new = self.service._add(servant, entry, is_derived=is_derived)
        self.badges.append(new.badge)
        return "a cap"

    def seen(self) -> list[Any]:
        """Everything that can be told of the caps."""
        entries = sorted(self.service.entries(), key=lambda entry: (entry.number, entry.session))
        return [
            (
                entry.number, entry.session, entry.parent.number if entry.parent else None, entry.is_derived,
                entry.servant.rights, entry.servant.node.is_removed or entry.servant.node.path,
            )
            for entry in entries if entry.number
        ]  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(PLANNED, PLANNED)
def test_every_cap_does_after_the_move_what_it_would_have_done_without(
    before: list[tuple[int, tuple[Any, ...]]], after: list[tuple[int, tuple[Any, ...]]]
) -> None:
    """The same steps with a server that goes on, and with one that gives way to one for FAT in the middle."""
    disk, stayed = FakeDisk(4096), Caps(RamVolume(1 << 21), 1, FakeDisk(8))
    moving = Caps(RamVolume(1 << 21), 1, disk)
    for which, step in before:
        assert stayed.do(which, step) == moving.do(which, step)
    moved = handed_over(moving, disk)
    assert moved.seen() == stayed.seen()
    for which, step in after:
        assert stayed.do(which, step) == moved.do(which, step), step


def handed_over(caps: Caps, disk: FakeDisk) -> Caps:
    """What the next program makes of it, by way of memory that outlives both."""
    memory = FakeDisk(8)
    memory.memory = bytearray(1 << 17)
    kept = KeptValue(KeptCaps, SharedRegion(REGION.vaddr, 1 << 16))
    memory.run(kept.save(keep_caps(caps.service)))
    volume = FatVolume(CachedDisk(Disk(disk, REGION)))
    disk.run(volume.open())
    disk.run(copy_all(caps.tree.volume, volume))
    after = Caps(volume, caps.service.pd.life + 1, disk)
    after.badges = list(caps.badges)
    found = memory.run(kept.load())
    assert found is not None
    restore_caps(found, after.tree, after.service)
    return after


def test_no_cap_comes_to_life_that_no_former_life_gave_out() -> None:
    disk = FakeDisk(8)
    caps = Caps(RamVolume(1 << 16), 2, disk)
    caps.do(0, ("create", "file"))
    kept = keep_caps(caps.service)
    tree = Tree(RamVolume(1 << 16))
    for life in (1, 2):
        with pytest.raises(ValueError, match="no former life"):
            restore_caps(kept, tree, server(tree, life))
    service = server(tree, 3)
    restore_caps(kept, tree, service)
    with pytest.raises(ValueError, match="no former life"):
        restore_caps(kept, tree, service)


def test_a_closed_cap_stays_closed_and_a_weak_one_weak() -> None:
    disk = FakeDisk(2048)
    caps = Caps(RamVolume(1 << 16), 1, disk)
    caps.do(0, ("create", "file"))
    caps.do(0, ("open", "file", READ))
    caps.do(0, ("open", "file", READ_WRITE))
    caps.do(4, ("drop",))
    after = handed_over(caps, disk)
    assert after.do(2, ("write", 0, b"new")) is None
    assert after.do(3, ("write", 0, b"x")) is NotPermitted
    assert after.do(3, ("read", 0, 3)) == b"new"
    assert after.do(4, ("read", 0, 3)) is Gone
