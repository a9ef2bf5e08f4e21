"""The same calls, of the POSIX server and of the host's own kernel: the same results, the same errors."""

import errno
import os
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capkernel.protocols import posix as px
from servers.posix.calls import Calls
from servers.posix.world import World
from servers.storage.ram_volume import RamVolume
from servers.storage.tree import Tree

pytestmark = pytest.mark.skipif(os.name != "posix" or os.uname().sysname != "Linux", reason="NOT RUN: needs Linux")

NAMES = ("a", "b", "c")
PATHS = st.one_of(
    st.sampled_from(["", "/", ".", "..", "a", "b", "a/b", "a/b/c", "/a", "/b/c", "a/", "a/.", "a/..", "./b", "../c",
                     "a//b", "nowhere/..", "a/../b", "b/../../c", "/../a", "a/b/", "b/c/..", "n" * 256]),
    st.lists(st.sampled_from([*NAMES, ".", ".."]), min_size=1, max_size=4).map("/".join),
)  # fmt: skip
FDS = st.integers(0, 5)
FLAGS = st.builds(
    lambda access, more: access | more,
    st.sampled_from([px.O_RDONLY, px.O_WRONLY, px.O_RDWR]),
    st.sampled_from([0, px.O_CREAT, px.O_CREAT | px.O_EXCL, px.O_TRUNC, px.O_CREAT | px.O_TRUNC,
                     px.O_APPEND | px.O_CREAT, px.O_DIRECTORY]),
)  # fmt: skip
CALLS = st.one_of(
    st.tuples(st.just("open"), PATHS, FLAGS),
    st.tuples(st.just("open"), st.sampled_from(NAMES), st.just(px.O_RDWR | px.O_CREAT)),
    st.tuples(st.just("close"), FDS),
    st.tuples(st.just("read"), FDS, st.integers(0, 20)),
    st.tuples(st.just("write"), FDS, st.binary(max_size=20)),
    st.tuples(st.just("lseek"), FDS, st.integers(-10, 30), st.integers(0, 3)),
    st.tuples(st.just("dup"), FDS, st.integers(-1, 5)),
    st.tuples(st.just("pipe")),
    st.tuples(st.just("stat"), PATHS),
    st.tuples(st.just("fstat"), FDS),
    st.tuples(st.just("ftruncate"), FDS, st.integers(-1, 40)),
    st.tuples(st.just("mkdir"), PATHS),
    st.tuples(st.just("mkdir"), st.sampled_from(NAMES)),
    st.tuples(st.just("rmdir"), PATHS),
    st.tuples(st.just("unlink"), PATHS),
    st.tuples(st.just("rename"), PATHS, PATHS),
    st.tuples(st.just("chdir"), PATHS),
    st.tuples(st.just("getcwd")),
    st.tuples(st.just("readdir"), PATHS),
)


def now(work: Coroutine[Any, Any, Any]) -> Any:
    """The result of something that needs to wait for nothing."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")


class Ours:
    """The POSIX server's calls, in this process, on files in memory."""

    def __init__(self) -> None:
        world = World(Tree(RamVolume(1 << 20)).root_directory())
        now(world.open())
        self.calls = Calls(world, world.table.entries[1])

    def __call__(self, name: str, *arguments: Any) -> Any:
        if name == "readdir":
            found: list[str] = []
            while True:
                part = now(self.calls.readdir(arguments[0], len(found)))
                if part.error:
                    return -part.error
                if not part.names:
                    return sorted(found)
                found += part.names
        result = now(getattr(self.calls, name)(*arguments))
        match result:
            case px.Data() | px.Ends() | px.Stat() | px.Where() if result.error:
                return -result.error
            case px.Data():
                return result.data
            case px.Ends():
                return result.reading, result.writing
            case px.Stat():
                return result.is_file, result.is_directory, result.size
            case px.Where():
                return result.path
        return result


class Host:
    """The host's calls in a directory that is the root for them; file descriptors are numbered from 0 as for a process
    that has nothing open.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cwd = ""
        self.fds: dict[int, int] = {}

    def __call__(self, name: str, *arguments: Any) -> Any:
        try:
            return getattr(self, name)(*arguments)
        except OSError as error:
            return -(error.errno or 0)

    def close_all(self) -> None:
        for fd in self.fds.values():
            os.close(fd)

    def real(self, path: str) -> str:
        """The path on the host: ``..`` in the root stays there, as it does in every root."""
        if not path:
            return ""
        words = path.split("/") if path.startswith("/") else [*self.cwd.split("/"), *path.split("/")]
        depth, kept = 0, []
        for word in words:
            depth += (word not in ("", ".", "..")) - (word == "..")
            if depth < 0:
                depth = 0
                # Whatever was gone through on the way here must be there, so it stays in the path.
                continue
            kept.append(word)
        return str(self.root) + "/" + "/".join(kept)

    def _fd(self, fd: int) -> int:
        if fd not in self.fds:
            raise OSError(errno.EBADF, "")
        return self.fds[fd]

    def _put(self, real: int, fd: int | None = None) -> int:
        if fd is None:
            fd = next(number for number in range(64) if number not in self.fds)
        self.fds[fd] = real
        return fd

    def open(self, path: str, flags: int) -> int:
        return self._put(os.open(self.real(path), flags, 0o777))

    def close(self, fd: int) -> int:
        os.close(self._fd(fd))
        del self.fds[fd]
        return 0

    def read(self, fd: int, count: int) -> bytes:
        return os.read(self._fd(fd), count)

    def write(self, fd: int, data: bytes) -> int:
        return os.write(self._fd(fd), data)

    def lseek(self, fd: int, offset: int, whence: int) -> int:
        if whence == 3:
            self._fd(fd)
            # Linux has SEEK_DATA there, which POSIX does not know.
            raise OSError(errno.ESPIPE if self._is_pipe(fd) else errno.EINVAL, "")
        return os.lseek(self._fd(fd), offset, whence)

    def _is_pipe(self, fd: int) -> bool:
        mode = os.fstat(self._fd(fd)).st_mode
        return mode & 0o170000 == 0o010000

    def dup(self, fd: int, onto: int) -> int:
        real = self._fd(fd)
        if onto == -1:
            return self._put(os.dup(real))
        if onto != fd:
            if onto in self.fds:
                os.close(self.fds[onto])
            self._put(os.dup(real), onto)
        return onto

    def pipe(self) -> tuple[int, int]:
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        return self._put(reading), self._put(writing)

    def stat(self, path: str) -> tuple[bool, bool, int]:
        return self._stat(os.stat(self.real(path)))

    def fstat(self, fd: int) -> tuple[bool, bool, int]:
        return self._stat(os.fstat(self._fd(fd)))

    def _stat(self, found: os.stat_result) -> tuple[bool, bool, int]:
        kind = found.st_mode & 0o170000
        return kind == 0o100000, kind == 0o040000, found.st_size if kind == 0o100000 else 0

    def ftruncate(self, fd: int, size: int) -> int:
        os.ftruncate(self._fd(fd), size)
        return 0

    def mkdir(self, path: str) -> int:
        os.mkdir(self.real(path))
        return 0

    def rmdir(self, path: str) -> int:
        os.rmdir(self.real(path))
        return 0

    def unlink(self, path: str) -> int:
        os.unlink(self.real(path))
        return 0

    def rename(self, old: str, new: str) -> int:
        os.rename(self.real(old), self.real(new))
        return 0

    def chdir(self, path: str) -> int:
        real = self.real(path)
        if not os.path.isdir(os.stat(real) and real):
            raise OSError(errno.ENOTDIR, "")
        self.cwd = os.path.relpath(os.path.realpath(real), self.root).replace(".", "", 1) if real else ""
        self.cwd = "" if os.path.realpath(real) == os.path.realpath(self.root) else self.cwd
        return 0

    def getcwd(self) -> str:
        return "/" + os.path.relpath(self.root / self.cwd, self.root).lstrip(".")

    def readdir(self, path: str) -> list[str]:
        return sorted(os.listdir(self.real(path)))


def compare(calls: list[tuple[Any, ...]], is_comparable: Callable[[Host, tuple[Any, ...]], bool]) -> None:
    """Make each call of both. Raises AssertionError with the calls up to the one that differs."""
    with tempfile.TemporaryDirectory() as folder:
        ours, host = Ours(), Host(Path(folder))
        try:
            made = []
            for call in calls:
                if not is_comparable(host, call):
                    continue
                made.append(call)
                assert (call, ours(*call)) == (call, host(*call)), made
        finally:
            host.close_all()


def comparable(host: Host, call: tuple[Any, ...]) -> bool:
    """What is left out: where POSIX leaves a choice, or it would wait.

    Where a directory ends is nobody's business. A pipe that is empty would be waited for. A directory in which somebody
    is may be removed or renamed on Linux; here it is busy. Names that end in a slash, or in ``.`` and ``..``, are
    refused by different errors when something is made, moved or removed.
    """
    name, *rest = call
    if name == "read" and rest[0] in host.fds and host._is_pipe(rest[0]):
        return False
    if name == "lseek" and rest[2] == px.SEEK_END and rest[0] in host.fds and host.fstat(rest[0])[1]:
        return False
    if name in ("mkdir", "rmdir", "unlink", "rename") and any(
        path.endswith(("/", ".")) or not path.strip("/.") for path in rest if isinstance(path, str)
    ):
        return False
    if name == "open" and rest[1] & px.O_CREAT and (rest[0].endswith(("/", ".")) or rest[1] & px.O_DIRECTORY):
        return False
    if name in ("rmdir", "rename") and host.cwd:
        gone = [os.path.realpath(host.real(path)) for path in rest]
        here = os.path.realpath(host.root / host.cwd)
        return not any(here == each or here.startswith(each + "/") for each in gone)
    return True


@settings(max_examples=150, deadline=None)
@given(st.lists(CALLS, max_size=30))
def test_any_calls_have_the_results_that_the_host_gives_them(calls: list[tuple[Any, ...]]) -> None:
    compare(calls, comparable)


@pytest.mark.parametrize("closed", [(), (0,), (1,), (0, 1)])
@pytest.mark.parametrize("data", [b"", b"x"])
def test_a_pipe_takes_nothing_whether_or_not_somebody_reads(closed: tuple[int, ...], data: bytes) -> None:
    """0 is the end to read from, 1 that to write to; of which some are closed."""
    compare([("pipe",), *(("close", fd) for fd in closed), ("write", 1, data), ("write", 0, data)], comparable)


@pytest.mark.campaign
@settings(max_examples=20_000, deadline=None)
@given(st.lists(CALLS, max_size=60))
def test_many_calls_have_the_results_that_the_host_gives_them(calls: list[tuple[Any, ...]]) -> None:
    compare(calls, comparable)


def test_errors_have_the_hosts_numbers() -> None:
    assert {each.name: each.value for each in px.Errno} == {each.name: getattr(errno, each.name) for each in px.Errno}
    flags = [name for name in dir(px) if name.startswith("O_") and name != "O_ACCMODE"]
    assert {name: getattr(px, name) for name in flags} == {name: getattr(os, name) for name in flags}
