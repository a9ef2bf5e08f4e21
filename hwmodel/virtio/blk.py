"""A disk (VIRTIO 1.2, section 5.2): read, write, flush, identity, discard and write zeroes.

Configuration space, little endian: capacity 64 (sectors of 512 bytes), at 12 seg_max 32, at 20 blk_size 32, at 36
max_discard_sectors, max_discard_seg, discard_sector_alignment, max_write_zeroes_sectors, max_write_zeroes_seg, 32 bits
each, and at 56 write_zeroes_may_unmap 8.

A request is a header (type 32, reserved 32, sector 64), data, and a last byte for the status. Its steps: the header;
each piece of data of up to 4096 bytes, each segment of zeroes, or each 8 sectors of a flush; with the last goes the
status. If FLUSH was negotiated, writes go to a volatile cache of 1024 sectors and are durable only after a flush;
otherwise each step that writes reaches the medium.
"""

import struct
from collections.abc import Callable

from hwmodel.block import SECTOR, BlockBacking
from hwmodel.faults import PARAMETER_SEEDED, FaultInjector, FaultKind
from hwmodel.seeded import draw, flip_bit
from hwmodel.stateful import Saveable
from hwmodel.virtio.cache import WriteCache
from hwmodel.virtio.function import VirtioFunction
from hwmodel.virtio.queue import MalformedRing, Request

SEG_MAX, RO, BLK_SIZE, FLUSH = 1 << 2, 1 << 5, 1 << 6, 1 << 9
DISCARD, WRITE_ZEROES = 1 << 13, 1 << 14
"""Feature bits."""
IN, OUT, FLUSH_OUT, GET_ID, DISCARD_OUT, WRITE_ZEROES_OUT = 0, 1, 4, 8, 11, 13
"""Types of requests."""
OK, IOERR, UNSUPP = 0, 1, 2
"""Statuses."""

HEADER = struct.Struct("<IIQ")
ZEROES = struct.Struct("<QII")
_CONFIGURATION = struct.Struct("<QIIIIQIIIIIIB3x")
PIECE = 4096
FLUSH_SECTORS = 8
MAX_SEGMENTS = 254
"""Data segments in a request: a chain of 256 less header and status."""
MAX_ZERO_SECTORS = 512
MAX_ZERO_SEGMENTS = 16
UNMAP = 1
ID_BYTES = 20


class VirtioBlk(VirtioFunction):
    """The disk. `identity` is what GET_ID gives, up to 20 bytes."""

    __slots__ = ("_bad", "_cache", "_done", "_features", "_identity", "_job", "_read_only")
    STATE = ("_bad", "_done", "_features", "_job")
    DEVICE_ID = 2

    def __init__(self, medium: BlockBacking, *, read_only: bool = False, identity: bytes = b"capkernel disk") -> None:
        self._cache = WriteCache(medium)
        self._read_only = read_only
        self._identity = identity[:ID_BYTES].ljust(ID_BYTES, b"\0")
        self._features = self._done = 0
        self._job: tuple[int, int] | None = None
        self._bad: dict[int, tuple[int, str, int]] = {}

    def parts(self) -> tuple[Saveable, ...]:
        """Return the cache, with the medium."""
        return (self._cache,)

    @property
    def cached_sectors(self) -> int:
        """How many sectors a cut of the power would lose now."""
        return len(self._cache)

    @property
    def features(self) -> int:
        """The feature bits of a disk."""
        return SEG_MAX | BLK_SIZE | (RO if self._read_only else FLUSH | DISCARD | WRITE_ZEROES)

    def configuration(self) -> bytes:
        """Return the configuration space."""
        zeroes = (MAX_ZERO_SECTORS, MAX_ZERO_SEGMENTS)
        sectors = self._cache.medium.sectors
        return _CONFIGURATION.pack(sectors, 0, MAX_SEGMENTS, 0, SECTOR, 0, 0, *zeroes, 1, *zeroes, 1)

    def negotiated(self, features: int) -> None:
        """Note whether writes may wait for a flush."""
        self._features = features

    def abandon(self) -> None:
        """Forget the request in work; what it wrote so far stays written."""
        self._job = None
        self._done = 0

    def power_cut(self, survival: int, seed: tuple[int, int]) -> None:
        """Lose the cache."""
        self._cache.lose(survival, seed)

    def before_step(self, faults: FaultInjector) -> None:
        """Let a sector go bad."""
        if fault := faults.due(FaultKind.BAD_SECTOR):
            sector = fault.parameter
            if sector == PARAMETER_SEEDED:
                sector = draw(self._cache.medium.sectors, faults.plan.seed, fault.step, "sector")
            self._bad[sector] = fault.record

    # Requests

    def step(self, request: Request, faults: FaultInjector) -> int | None:
        """Do the next piece of a request."""
        if self._job is None:
            self._begin(request)
            return None
        kind = self._job[0]
        handler = _HANDLERS.get(kind)
        try:
            if faults.strikes(FaultKind.IO_ERROR):
                status: int | None = IOERR
            else:
                status = handler(self, request, faults) if handler else UNSUPP
        except OSError:
            status = IOERR
        return None if status is None else self._finish(request, kind, status)

    def _begin(self, request: Request) -> None:
        if request.writable < 1 or request.readable < HEADER.size:
            raise MalformedRing("a request without a header or without a place for its status")
        kind, _, sector = HEADER.unpack(request.read(0, HEADER.size))
        self._job = (kind, sector)

    def _finish(self, request: Request, kind: int, status: int) -> int:
        """Store the status; return how many bytes were written from the start of the writable part on."""
        data = request.writable - 1
        request.write(data, bytes((status,)))
        done = self._done if kind in (IN, GET_ID) else 0
        self._job = None
        self._done = 0
        return data + 1 if done == data else done

    def _next_piece(self, total: int) -> tuple[int, int] | None:
        """Return the first sector of the next piece and its bytes; None if the request is not possible."""
        _, sector = self._job or (0, 0)
        if total % SECTOR or sector + total // SECTOR > self._cache.medium.sectors:
            return None
        return sector + self._done // SECTOR, min(PIECE, total - self._done)

    def _read(self, request: Request, faults: FaultInjector) -> int | None:
        total = request.writable - 1
        piece = self._next_piece(total)
        if piece is None or self._hits_bad_sector(*piece, faults):
            return IOERR
        data = self._corrupted(self._cache.read(piece[0], piece[1] // SECTOR), faults)
        request.write(self._done, data)
        self._done += len(data)
        return OK if self._done == total else None

    def _write(self, request: Request, faults: FaultInjector) -> int | None:
        total = request.readable - HEADER.size
        piece = None if self._read_only else self._next_piece(total)
        if piece is None:
            return IOERR
        data = self._corrupted(request.read(HEADER.size + self._done, piece[1]), faults)
        self._done += len(data)
        if stored := self._cut_short(piece[0], data, faults):
            self._store(piece[0], stored, faults)
        return OK if self._done == total else None

    def _flush(self, request: Request, faults: FaultInjector) -> int | None:
        if len(self._cache) and faults.strikes(FaultKind.LOST_FLUSH):
            return OK
        if len(self._cache):
            self._cache.drain(FLUSH_SECTORS)
            return None
        self._cache.medium.flush()
        return OK

    def _identify(self, request: Request, faults: FaultInjector) -> int:
        data = self._identity[: request.writable - 1]
        request.write(0, data)
        self._done = len(data)
        return OK

    def _zero(self, request: Request, faults: FaultInjector) -> int | None:
        """Do one segment of a discard or of zeroes; a discarded sector reads as zero."""
        kind, _ = self._job or (0, 0)
        total = request.readable - HEADER.size
        if self._read_only or not total or total % ZEROES.size or total > ZEROES.size * MAX_ZERO_SEGMENTS:
            return IOERR
        sector, count, flags = ZEROES.unpack(request.read(HEADER.size + self._done, ZEROES.size))
        if flags & ~(UNMAP if kind == WRITE_ZEROES_OUT else 0):
            return UNSUPP
        if count > MAX_ZERO_SECTORS or sector + count > self._cache.medium.sectors:
            return IOERR
        self._done += ZEROES.size
        if count:
            self._store(sector, bytes(count * SECTOR), faults)
        return OK if self._done == total else None

    # Storing, and what may go wrong with it

    def _store(self, sector: int, data: bytes, faults: FaultInjector) -> None:
        for number in range(sector, sector + len(data) // SECTOR) if self._bad else ():
            self._bad.pop(number, None)
        caching = bool(self._features & FLUSH)
        if (fault := faults.due(FaultKind.REORDERED_WRITE)) and (len(self._cache) or not caching):
            faults.activate(fault)
            caching = not caching
            if not caching:
                self._cache.write_through(sector, data)
                return
        if caching:
            self._cache.write(sector, data)
        else:
            self._cache.write_through(sector, data)
            self._cache.drain(len(self._cache))

    def _cut_short(self, sector: int, data: bytes, faults: FaultInjector) -> bytes:
        """Return what a write stores in its sectors: the data, or a part and then what was there, or nothing."""
        fault = faults.due(FaultKind.LOST_WRITE) or faults.due(FaultKind.TORN_WRITE)
        if fault is None:
            return data
        kept = 0 if fault.kind is FaultKind.LOST_WRITE else fault.parameter
        if kept == PARAMETER_SEEDED:
            kept = draw(len(data), faults.plan.seed, fault.step, "torn")
        left = data[:kept] + self._cache.read(sector, len(data) // SECTOR)[kept:]
        if left != data:
            faults.activate(fault)
        return left if kept else b""

    def _corrupted(self, data: bytes, faults: FaultInjector) -> bytes:
        if data and faults.strikes(FaultKind.CORRUPT_DATA):
            return flip_bit(data, faults.plan.seed, faults.steps)
        return data

    def _hits_bad_sector(self, sector: int, size: int, faults: FaultInjector) -> bool:
        hit = [self._bad[number] for number in range(sector, sector + size // SECTOR) if number in self._bad]
        faults.activated.extend(record for record in hit if record not in faults.activated)
        return bool(hit)


_HANDLERS: dict[int, Callable[[VirtioBlk, Request, FaultInjector], int | None]] = {
    IN: VirtioBlk._read,
    OUT: VirtioBlk._write,
    FLUSH_OUT: VirtioBlk._flush,
    GET_ID: VirtioBlk._identify,
    DISCARD_OUT: VirtioBlk._zero,
    WRITE_ZEROES_OUT: VirtioBlk._zero,
}
