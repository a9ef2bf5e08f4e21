"""What was written, and went with the file server before it was made to last, is told at the next ``fsync`` of each who
has the file open, once; whoever wrote it, and whoever noticed.
"""

from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capkernel.protocols import posix as px
from capkernel.protocols.failures import ServerDied
from capkernel.protocols.interface import Interface
from servers.posix.calls import Calls
from servers.posix.table import Entry
from servers.posix.world import World
from servers.storage.cache import CachedDisk
from servers.storage.disk import Disk
from servers.storage.littlefs_volume import LittlefsVolume
from servers.storage.tree import Tree
from tests.servers.fakedisk import REGION, FakeDisk

EIO = -px.Errno.EIO
OPEN = px.O_RDWR | px.O_CREAT


class Server:
    """A file server on a disk. When it dies it is started anew at once; caps from before lead nowhere."""

    def __init__(self, disk: FakeDisk) -> None:
        self.disk = disk
        self.life = 0
        self.asked, self.dies_at = 0, -1
        """Requests, and the one at which it dies, before it is done or after."""
        self.is_done_first = False
        self.root: Any = None
        self.start()

    def start(self) -> None:
        volume = LittlefsVolume(CachedDisk(Disk(self.disk, REGION)))
        self.disk.run(volume.open())
        self.root = Tree(volume).root_directory()

    def die(self) -> None:
        self.life += 1
        self.disk.lose_power()
        self.start()


class Cap:
    """What a client has of a server: a cap to the root works in any life, what is opened through it in that life."""

    def __init__(self, server: Server, to: Any = None) -> None:
        self._server, self._to, self._life = server, to, server.life

    def __getattr__(self, operation: str) -> Any:
        async def ask(*arguments: Any) -> Any:
            server = self._server
            if self._to is not None and self._life != server.life:
                raise ServerDied("it died meanwhile")
            to = server.root if self._to is None else self._to
            given = [(each._to or server.root) if isinstance(each, Cap) else each for each in arguments]
            server.asked += 1
            is_dying = server.asked == server.dies_at
            if not is_dying or server.is_done_first:
                found = await getattr(to, operation)(*given)
            if is_dying:
                server.die()
                raise ServerDied("it died over it")
            return Cap(server, found) if isinstance(found, Interface) else found

        return ask


class Starter:
    """Starts a program if it can read it."""

    async def start(self, entry: Entry, program: Any, arguments: list[str]) -> Any:
        assert await program.read(0, 9) == b"program"
        return self


class Stage:
    """The calls of a process, and the server that dies under it."""

    def __init__(self) -> None:
        self.disk = FakeDisk(512)
        self.server = Server(self.disk)
        root: Any = Cap(self.server)
        self.world = World(root, Starter())
        self.disk.run(self.world.open())
        self.calls = Calls(self.world, self.world.table.entries[1])

    def do(self, call: Coroutine[Any, Any, Any]) -> Any:
        return self.disk.run(call)

    def open(self, path: str = "/a") -> int:
        fd = self.do(self.calls.open(path, OPEN))
        assert isinstance(fd, int)
        return fd

    def write(self, fd: int) -> None:
        assert self.do(self.calls.write(fd, b"text")) == 4

    def close(self, fd: int) -> None:
        assert self.do(self.calls.close(fd)) == 0

    def sync(self, fd: int) -> int:
        answer = self.do(self.calls.fsync(fd))
        assert isinstance(answer, int)
        return answer


def test_fsync_fails_once_if_the_server_died_with_what_was_written() -> None:
    stage = Stage()
    fd = stage.open()
    stage.write(fd)
    stage.server.die()
    assert [stage.sync(fd), stage.sync(fd)] == [EIO, 0]
    assert stage.do(stage.calls.stat("/a")).size == 0
    assert stage.do(stage.calls.lseek(fd, 0, px.SEEK_SET)) == 0
    stage.write(fd)
    assert stage.sync(fd) == 0
    stage.server.die()
    assert stage.sync(fd) == 0
    assert stage.do(stage.calls.stat("/a")).size == 4


def test_every_open_description_is_told_once_whoever_wrote() -> None:
    stage = Stage()
    writer, reader, other = stage.open(), stage.open(), stage.open("/b")
    same = stage.do(stage.calls.dup(reader, -1))
    stage.write(writer)
    stage.server.die()
    assert stage.sync(reader) == EIO
    assert stage.sync(same) == 0
    assert [stage.sync(writer), stage.sync(writer)] == [EIO, 0]
    assert stage.sync(other) == 0


def test_whoever_asks_anything_notices_the_loss_for_all() -> None:
    stage = Stage()
    writer, reader = stage.open(), stage.open()
    stage.write(writer)
    stage.server.die()
    assert stage.do(stage.calls.read(reader, 4)).data == b""
    stage.server.die()
    assert [stage.sync(writer), stage.sync(reader), stage.sync(writer), stage.sync(reader)] == [EIO, EIO, 0, 0]


def lost_and_closed() -> Stage:
    """What was written to ``/a`` is lost, and nobody who had it open was told."""
    stage = Stage()
    fd = stage.open()
    stage.write(fd)
    stage.server.die()
    stage.close(fd)
    return stage


@pytest.mark.parametrize("is_moved", [False, True])
def test_what_nobody_was_told_is_told_to_who_opens_the_file_next(is_moved: bool) -> None:
    stage = lost_and_closed()
    if is_moved:
        assert stage.do(stage.calls.mkdir("/d")) == 0
        assert stage.do(stage.calls.rename("/a", "/d/a")) == 0
        assert stage.do(stage.calls.rename("/d", "/e")) == 0
    path = "/e/a" if is_moved else "/a"
    assert [stage.sync(stage.open(path)), stage.sync(stage.open(path))] == [EIO, 0]


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_another_file_of_the_same_name_has_lost_nothing(how: str) -> None:
    stage = lost_and_closed()
    if how == "removed":
        assert stage.do(stage.calls.unlink("/a")) == 0
    else:
        stage.close(stage.open("/b"))
        assert stage.do(stage.calls.rename("/b", "/a")) == 0
    assert stage.sync(stage.open()) == 0
    assert len(stage.world.inodes) == 1


def test_what_was_written_and_closed_lasts() -> None:
    stage = Stage()
    fd = stage.open()
    stage.write(fd)
    stage.close(fd)
    stage.server.die()
    assert stage.sync(stage.open()) == 0
    assert stage.do(stage.calls.stat("/a")).size == 4


def test_a_disk_that_fails_is_told_to_each_as_well() -> None:
    stage = Stage()
    one, other = stage.open(), stage.open()
    stage.write(one)
    stage.disk.failing = True
    assert stage.sync(other) == EIO
    stage.disk.failing = False
    assert stage.sync(one) == EIO


ASKED_AGAIN = {
    "open": lambda calls: calls.open("/d/a", px.O_RDWR),
    "read": lambda calls: calls.read(0, 7),
    "write": lambda calls: calls.write(0, b"program"),
    "lseek": lambda calls: calls.lseek(0, 0, px.SEEK_END),
    "ftruncate": lambda calls: calls.ftruncate(0, 3),
    "fstat": lambda calls: calls.fstat(0),
    "stat": lambda calls: calls.stat("/d/a"),
    "readdir": lambda calls: calls.readdir("/d", 0),
    "chdir": lambda calls: calls.chdir("/d"),
    "spawn": lambda calls: calls.spawn("/d/a", [], [0]),
    "close": lambda calls: calls.close(0),
}  # fmt: skip


@pytest.mark.parametrize("is_done_first", [False, True])
@pytest.mark.parametrize("call", ASKED_AGAIN)
def test_whatever_may_be_asked_twice_is_if_the_server_dies_over_it(call: str, is_done_first: bool) -> None:
    """At each request to it in turn."""

    def play(dies_at: int) -> tuple[Any, int]:
        stage = Stage()
        assert stage.do(stage.calls.mkdir("/d")) == 0
        stage.close(stage.open("/d/b"))
        fd = stage.open("/d/a")
        assert stage.do(stage.calls.write(fd, b"program")) == 7
        assert stage.sync(fd) == 0
        assert stage.do(stage.calls.lseek(fd, 0, px.SEEK_SET)) == 0
        stage.server.asked, stage.server.dies_at = 0, dies_at
        stage.server.is_done_first = is_done_first
        return stage.do(ASKED_AGAIN[call](stage.calls)), stage.server.asked

    calm, asked = play(-1)
    assert asked
    for step in range(1, asked + 1):
        assert play(step)[0] == calm, step


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["open", "close", "write", "sync", "die"]), st.integers(0, 3)), max_size=30))
def test_each_loss_is_told_once_to_each_description(steps: list[tuple[str, int]]) -> None:
    """Against a model in which a loss is entered with whoever has the file open, and with nobody if nobody has."""
    stage = Stage()
    untold: dict[int, bool] = {}
    is_dirty, nobody_knows = False, False
    for step, which in steps:
        if step == "open" and len(untold) < 6:
            untold[stage.open()] = nobody_knows
        elif step == "die":
            stage.server.die()
            if is_dirty:
                untold, is_dirty, nobody_knows = dict.fromkeys(untold, True), False, True
        elif untold:
            fd = sorted(untold)[which % len(untold)]
            if step == "close":
                stage.close(fd)
                del untold[fd]
                is_dirty &= bool(untold)
            elif step == "write":
                stage.write(fd)
                is_dirty = True
            elif step == "sync":
                assert (stage.sync(fd) == EIO) == untold[fd]
                nobody_knows &= not untold[fd]
                untold[fd] = is_dirty = False
    assert bool(stage.world.inodes) == (bool(untold) or nobody_knows)
