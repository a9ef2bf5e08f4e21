"""What the tests of volumes share: trees that do the same steps, and files that are saved while the power may go."""

from typing import Any

from hypothesis import strategies as st

from capkernel.protocols.failures import DeviceError, Failure
from capkernel.protocols.files import READ_WRITE, File
from servers.storage.cache import CachedDisk
from servers.storage.disk import Disk
from servers.storage.tree import Tree
from tests.servers.fakedisk import REGION, FakeDisk

NAMES = st.sampled_from(["a", "b", "c"])
SMALL = st.integers(0, 9000)
STEPS = st.one_of(
    st.tuples(st.just("create"), NAMES),
    st.tuples(st.just("make_directory"), NAMES),
    st.tuples(st.just("open"), NAMES, st.integers(0, 3)),
    st.tuples(st.just("directory"), NAMES, st.integers(0, 3)),
    st.tuples(st.just("remove"), NAMES),
    st.tuples(st.just("rename"), NAMES, st.integers(0, 9), NAMES),
    st.tuples(st.just("info"), NAMES | st.just("")),
    st.tuples(st.just("list"), st.integers(0, 2)),
    st.tuples(st.just("write"), SMALL, st.binary(max_size=6000)),
    st.tuples(st.just("read"), SMALL, SMALL),
    st.tuples(st.just("resize"), SMALL),
    st.tuples(st.just("sync")),
    st.tuples(st.just("closed")),
)
FILES = st.dictionaries(NAMES, st.binary(min_size=1, max_size=9000), min_size=1)


class Bench:
    """A tree, and the caps that are open in it, the root first."""

    def __init__(self, disk: FakeDisk, volume: Any) -> None:
        self.disk = disk
        self.tree = Tree(volume)
        self.open: list[Any] = [self.tree.root_directory()]

    def do(self, which: int, step: tuple[Any, ...]) -> Any:
        """Do a step with one of the caps; what comes of it in words that can be compared."""
        index = which % len(self.open)
        cap, (name, *args) = self.open[index], step
        if name == "rename":
            args[1] = self.open[args[1] % len(self.open)]
        method = getattr(cap, name, None)
        if method is None or (name == "closed" and index == 0):
            return "no such operation"
        if name == "info" and isinstance(cap, File):
            args = []
        try:
            result = self.disk.run(method(*args))
        except Failure as failure:
            return type(failure)
        if name == "closed":
            del self.open[index]
        if hasattr(result, "restrict"):
            self.open.append(result)
            return "a cap"
        return result


def mounted(kind: Any, disk: FakeDisk, *, may_format: bool = True, limit: int = 16) -> Bench:
    """A tree of a kind of volume on a disk."""
    volume = kind(CachedDisk(Disk(disk, REGION), limit=limit))
    disk.run(volume.open(may_format=may_format))
    return Bench(disk, volume)


async def save(root: Any, name: str, data: bytes) -> None:
    """Put content into a file, in place of what it has, and sync it."""
    try:
        file = await root.create(name)
    except Failure:
        file = await root.open(name, READ_WRITE)
    await file.resize(0)
    await file.write(0, data)
    await file.sync()
    await file.closed()


def save_until_power_goes(
    bench: Bench, before: dict[str, bytes], after: dict[str, bytes], writes: int
) -> tuple[dict[str, bytes], str | None]:
    """Save files, then others until so many writes were made: what was synced, and what was begun."""
    root, synced = bench.open[0], {}
    for name, data in before.items():
        bench.disk.run(save(root, name, data))
        synced[name] = data
    bench.disk.writes_left = writes
    for name, data in after.items():
        try:
            bench.disk.run(save(root, name, data))
        except DeviceError:
            return synced, name
        synced[name] = data
    return synced, None
