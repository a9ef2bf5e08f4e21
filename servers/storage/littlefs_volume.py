"""littlefs on a disk: a file system that survives a loss of power at any moment (C library, through littlefs-python).

littlefs calls back for each access to the disk, in the middle of its own functions. Those calls become requests to the
driver, for which this thread waits (``capkernel.user.bridge``). Four rules of the binding shape this module. A callback
must not raise: what it raised is raised again when littlefs has returned. A read cannot even fail, and must give just
the bytes that were asked for: after an error it gives those of an erased disk, and nothing is written any more until
littlefs has returned. A file is closed once, whatever comes of it. And littlefs ends the process if it is used wrongly,
for instance if a file is read that was opened for writing.

Nor does littlefs check twice what it has read: given other bytes than before it ends the process, too. So a checksum is
kept of each sector since the volume was mounted, and one that is another is an error of the disk.

After an error of the disk nobody knows what littlefs still believes in memory; used further, it may end the process.
So the volume is then mounted anew, from what is on the disk: what was not synced is lost, of whatever file, and who
syncs it is told; what was synced is there. Want of room in the middle of an operation would be as bad, so one for which
there may not be enough is not begun (``servers.storage.room``). With ``keeps_reserve`` some of it is kept back.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final
from zlib import crc32

from attrs import evolve

from capkernel.protocols.block import SECTOR
from capkernel.protocols.failures import (
    AlreadyExists,
    Corrupt,
    DeviceError,
    Failure,
    Malformed,
    NoSpace,
    NotEmpty,
    NotFound,
    NotPermitted,
    TooLarge,
    WrongKind,
)
from capkernel.protocols.files import Entry, Kind, Space
from capkernel.user.bridge import run_blocking, wait
from servers.storage.cache import CachedDisk
from servers.storage.room import BLOCK, PAIR, RESERVE_BYTES, Room, blocks_of, check_reserve
from servers.storage.unsynced import Unsynced

try:
    from littlefs import LittleFSError, lfs
    from littlefs.context import UserContext
except ImportError:
    AVAILABLE = False
else:
    AVAILABLE = True

_BLOCK_SECTORS: Final = BLOCK // SECTOR
_INPUT_OUTPUT_ERROR: Final = -5
_NO_SPACE: Final = -28
_NAME_TOO_LONG: Final = -36
_LONGEST_NAME: Final = 255
"""Bytes."""
_LOOKAHEAD: Final = 64
OPEN_LIMIT: Final = 16
"""Files that littlefs has open at a time; each takes a buffer of 4 KiB."""
_TYPE_DIRECTORY: Final = 2
_FAILURES: Final[dict[int, type[Failure]]] = {
    -2: NotFound, -17: AlreadyExists, -20: WrongKind, -21: WrongKind, -39: NotEmpty, -28: NoSpace, -12: NoSpace,
    -27: TooLarge, -36: TooLarge, -84: Corrupt, -22: Malformed, -5: DeviceError,
}  # fmt: skip
_WORDS: Final = {
    -39: "there is something in this directory", -28: "the disk is full", -27: "the file would be too large",
    -36: "the name is too long", -84: "what is on the disk is no intact littlefs",
}
"""What the commoner errors mean."""
_IN_DOUBT: Final = (DeviceError, NoSpace, Corrupt)
"""After these what littlefs has in memory is not to be relied on."""


class LittlefsVolume:
    """A littlefs file system on a disk. Use ``open`` first."""

    def __init__(self, disk: CachedDisk, *, keeps_reserve: bool = False) -> None:
        if not AVAILABLE:
            raise RuntimeError("littlefs is not installed: pip install 'capkernel[fs]'")
        self.disk = disk
        self.keeps_reserve = keeps_reserve
        self.is_mounted = False
        self.may_format = False
        self._files: dict[str, Any] = {}
        self._unsynced = Unsynced()
        self._room = Room(0)
        self._is_in_doubt = False
        self._fs: Any = None
        self._config: Any = None
        self._context = _Context(disk)

    async def open(self, *, may_format: bool = True) -> None:
        """Mount the file system. An empty disk is formatted, if that is allowed. Raises Corrupt, DeviceError."""
        self.may_format = may_format
        await self._mount()

    async def _mount(self) -> None:
        """Begin from what is on the disk, which may be another one than before."""
        await self.disk.open()
        if self.keeps_reserve:
            check_reserve(self.disk.sectors * SECTOR)
        self._context.seen.clear()
        self._begin()
        is_blank = not any(await self.disk.read(0, 2 * _BLOCK_SECTORS))
        if is_blank and self.may_format and not self.disk.is_read_only:
            await run_blocking(self._guarded, lambda: lfs.format(self._fs, self._config))
            self._begin()
        await run_blocking(self._guarded, lambda: lfs.mount(self._fs, self._config))
        self.is_mounted = True

    def _begin(self) -> None:
        self._config = self._configuration()
        self._fs = lfs.LFSFilesystem()
        self._files = {}
        reserve = RESERVE_BYTES // BLOCK if self.keeps_reserve else 0
        self._room = self._context.room = Room(self._config.block_count, reserve)

    def _configuration(self) -> Any:
        return lfs.LFSConfig(
            context=self._context, block_size=BLOCK, block_count=self.disk.sectors // _BLOCK_SECTORS, read_size=SECTOR,
            prog_size=SECTOR, cache_size=BLOCK, lookahead_size=_LOOKAHEAD, block_cycles=-1,
        )  # fmt: skip

    async def _run(self, work: Callable[[], Any]) -> Any:
        """Run littlefs until it returns. Raises a failure; after one ``_IN_DOUBT`` the next operation mounts anew."""
        if not self.is_mounted:
            await self._mount()
        try:
            return await run_blocking(self._guarded, work)
        except _IN_DOUBT:
            self._is_in_doubt = True
            raise
        finally:
            if self._is_in_doubt:
                self._is_in_doubt = self.is_mounted = False
                self._files = {}
                self._unsynced.lose()

    def _guarded(self, work: Callable[[], Any]) -> Any:
        self._context.error = None
        # littlefs itself keeps none of these alive, and uses them until it returns.
        held = self._fs, self._config, self._files
        try:
            return work()
        except LittleFSError as error:
            words = _WORDS.get(error.code, f"littlefs: {error}")
            raise _FAILURES.get(error.code, Corrupt)(words) from None
        except UnicodeError as error:
            raise Corrupt(f"a name on the disk is no text: {error}") from None
        finally:
            del held
            cause = self._context.error
            if isinstance(cause, Exception):
                raise DeviceError(str(cause)) from cause
            if cause is not None:
                # The program is being given up; littlefs has ended, and now so does everything else.
                raise cause

    # What a tree asks (servers.storage.tree.Volume)

    async def info(self, path: str) -> tuple[Kind, int] | None:
        """What is there."""
        if not path:
            return Kind.DIRECTORY, 0
        if path in self._files:
            return Kind.FILE, await self._run(lambda: lfs.file_size(self._fs, self._files[path]))
        try:
            found = await self._run(lambda: lfs.stat(self._fs, path))
        except NotFound:
            return None
        return (Kind.DIRECTORY, 0) if found.type == _TYPE_DIRECTORY else (Kind.FILE, found.size)

    async def read(self, path: str, offset: int, size: int) -> bytes:
        """Bytes of a file."""

        def work() -> bytes:
            file = self._file(path)
            if offset >= lfs.file_size(self._fs, file):
                return b""
            lfs.file_seek(self._fs, file, offset, 0)
            return lfs.file_read(self._fs, file, size)

        return bytes(await self._run(work))

    async def write(self, path: str, offset: int, data: bytes, *, into_reserve: bool = False) -> None:
        """Change a file."""
        self._need_writable()

        def work() -> None:
            file = self._file(path)
            lfs.file_seek(self._fs, file, offset, 0)
            lfs.file_write(self._fs, file, data)

        if data:
            await self._change(path, offset, offset + len(data), work, into_reserve)

    async def resize(self, path: str, size: int, *, into_reserve: bool = False) -> None:
        """Cut off, or add zeros."""
        self._need_writable()
        await self._change(path, size, size, lambda: lfs.file_truncate(self._fs, self._file(path), size), into_reserve)

    async def _change(self, path: str, start: int, end: int, work: Callable[[], Any], into_reserve: bool) -> None:
        """Change a file from ``start`` on, up to ``end``; before that, zeros may have to be added to it."""
        old = await self._run(lambda: lfs.file_size(self._fs, self._file(path)))
        size, gap = max(old, end), min(start, old)
        if end > start or end > old:
            # Else it is cut off, for which there is always room.
            await self._need_room(blocks_of(size - gap), path, start, into_reserve=into_reserve)
        self._unsynced.changed(path)
        room, before = self._room, self._room.used
        room.owe(path, end, size)
        await self._run(work)
        room.changed()
        room.hold(path, room.used - before, size)
        if room.reserve and not into_reserve and not await self._has_room(0):
            await self._settle(path)

    async def _need_room(self, blocks: int, path: str = "", start: int = -1, *, into_reserve: bool = False) -> None:
        """Raises NoSpace unless there are so many for a change of a file, or of a directory; then nothing happens."""
        if not await self._has_room(blocks, path, start, into_reserve=into_reserve):
            raise NoSpace(_WORDS[_NO_SPACE])

    async def _has_room(self, blocks: int, path: str = "", start: int = -1, *, into_reserve: bool = False) -> bool:
        if not self._room.has(blocks, path, start, into_reserve=into_reserve):
            await self._count()
        return self._room.has(blocks, path, start, into_reserve=into_reserve)

    async def _count(self) -> None:
        """See what is in use, if anything has changed since, with another littlefs, which has no file open."""

        def work() -> int:
            other, configuration = lfs.LFSFilesystem(), self._configuration()
            lfs.mount(other, configuration)
            return lfs.fs_size(other)

        if not self._room.is_counted:
            self._room.count(await self._run(work))

    async def sync(self, path: str) -> None:
        """Make a file's content last."""
        self._unsynced.check(path)
        if path in self._files:
            await self._run(lambda: lfs.file_sync(self._fs, self._files[path]))
            self._room.settled(path)
        self._unsynced.synced(path)

    async def release(self, path: str) -> None:
        """Nobody has the file open any more."""
        try:
            await self._settle(path)
        finally:
            self._unsynced.forget(path)

    async def _settle(self, path: str) -> None:
        """Sync a file and be done with it."""
        if path in self._files:
            await self._run(lambda: self._close(path))
        self._unsynced.synced(path)

    async def list(self, path: str) -> list[Entry]:
        """What is in a directory."""

        def work() -> list[Entry]:
            directory = lfs.dir_open(self._fs, path or "/")
            found = []
            try:
                while (entry := lfs.dir_read(self._fs, directory)) is not None:
                    if entry.name not in (".", ".."):
                        found.append(self._as_open(f"{path}/{entry.name}" if path else entry.name, _entry(entry)))
            finally:
                lfs.dir_close(self._fs, directory)
            return found

        entries: list[Entry] = await self._run(work)
        return entries

    def _as_open(self, path: str, entry: Entry) -> Entry:
        """With the size that an open file has by now, which the directory does not know before it is synced."""
        file = self._files.get(path)
        return entry if file is None else evolve(entry, size=lfs.file_size(self._fs, file))

    async def create(self, path: str, kind: Kind, *, into_reserve: bool = False) -> None:
        """Make something."""
        self._need_writable()
        await self._need_room(PAIR, into_reserve=into_reserve)
        if kind is Kind.DIRECTORY:
            await self._run(lambda: lfs.mkdir(self._fs, path))
        else:
            await self._run(lambda: self._make_file(path))

    async def remove(self, path: str) -> None:
        """Remove something."""
        self._need_writable()
        await self.release(path)
        await self._run(lambda: lfs.remove(self._fs, path))
        self._unsynced.forget(path)

    async def rename(self, path: str, new_path: str) -> None:
        """Move something."""
        self._need_writable()
        await self._need_room(PAIR)
        for each in [each for each in self._files if each in (path, new_path) or each.startswith(f"{path}/")]:
            await self._settle(each)
        await self._run(lambda: lfs.rename(self._fs, path, new_path))
        self._unsynced.moved(path, new_path)

    async def space(self) -> Space:
        """Room."""
        await self._count()
        room = self._room
        return Space(room.blocks * BLOCK, room.used * BLOCK, room.available, room.reserve * BLOCK)

    async def close(self) -> None:
        """Make everything last. Raises DeviceError if that cannot be, or a loss is still to be told."""
        self._unsynced.check_all()
        for path in [*self._files]:
            await self.release(path)

    def _need_writable(self) -> None:
        if self.disk.is_read_only:
            raise NotPermitted("the disk is read-only")

    def _file(self, path: str) -> Any:
        """A file that littlefs has open; the one that was not used for longest is closed if there are too many."""
        file = self._files.pop(path, None)
        if file is None:
            while len(self._files) >= OPEN_LIMIT:
                # That one's users learn of it at their next sync; who wants this file has nothing to do with it.
                with suppress(LittleFSError):
                    self._close(next(iter(self._files)))
            file = lfs.file_open(self._fs, path, "rb" if self.disk.is_read_only else "r+b")
        self._files[path] = file
        return file

    def _make_file(self, path: str) -> None:
        try:
            lfs.file_close(self._fs, lfs.file_open(self._fs, path, "x+b"))
        except LittleFSError as error:
            if error.code == _NAME_TOO_LONG and len(path.rpartition("/")[2].encode()) <= _LONGEST_NAME:
                # littlefs takes want of room for the entry for a name that has none in any block.
                raise LittleFSError(_NO_SPACE) from None
            raise

    def _close(self, path: str) -> None:
        try:
            lfs.file_close(self._fs, self._files.pop(path))
            self._room.settled(path)
        except LittleFSError:
            self._unsynced.lose_one(path)
            self._is_in_doubt = True
            raise


def _entry(found: Any) -> Entry:
    is_directory = found.type == _TYPE_DIRECTORY
    return Entry(found.name, Kind.DIRECTORY if is_directory else Kind.FILE, 0 if is_directory else found.size)


def _checksums(first: int, data: bytes) -> Iterator[tuple[int, int]]:
    """Of each sector, with its number."""
    for place in range(0, len(data), SECTOR):
        yield first + place // SECTOR, crc32(data[place : place + SECTOR])


if AVAILABLE:

    class _Context(UserContext):
        """What littlefs calls for the disk. ``error`` is what went wrong since it was set to None."""

        def __init__(self, disk: CachedDisk) -> None:
            self.disk = disk
            self.error: BaseException | None = None
            self.room = Room(0)
            self.seen: dict[int, int] = {}
            """Checksums of sectors as littlefs knows them since it was mounted."""

        def read(self, cfg: Any, block: int, off: int, size: int) -> Any:
            """Bytes of a block."""
            data = self._do(lambda: self._read(block, off, size))
            return b"\xff" * size if data is None else data

        async def _read(self, block: int, off: int, size: int) -> bytes:
            sector, skip = divmod(off, SECTOR)
            count = -(-(skip + size) // SECTOR)
            first = block * _BLOCK_SECTORS + sector
            data = bytes(await self.disk.read(first, count))
            if len(data) != count * SECTOR:
                raise DeviceError(f"{count * SECTOR} bytes were to be read, and {len(data)} came")
            for number, checksum in _checksums(first, data):
                if self.seen.setdefault(number, checksum) != checksum:
                    raise DeviceError(f"sector {number} is not what it was: somebody below lies")
            return data[skip : skip + size]

        def prog(self, cfg: Any, block: int, off: int, data: bytes) -> int:
            """Write whole sectors of a block."""
            return self._done(lambda: self._prog(block * _BLOCK_SECTORS + off // SECTOR, bytes(data)))

        async def _prog(self, first: int, data: bytes) -> None:
            self.seen.update(_checksums(first, data))
            self.room.changed()
            await self.disk.write(first, data)

        def erase(self, cfg: Any, block: int) -> int:
            """A block is taken. A disk need not be erased before it is written."""
            self.room.taken()
            return 0

        def sync(self, cfg: Any) -> int:
            """Make what was written last."""
            return self._done(self.disk.flush)

        def _done(self, work: Callable[[], Any]) -> int:
            self._do(work)
            return 0 if self.error is None else _INPUT_OUTPUT_ERROR

        def _do(self, work: Callable[[], Any]) -> Any:
            if self.error is not None:
                return None
            try:
                return wait(work())
            except BaseException as error:
                self.error = error
                return None
