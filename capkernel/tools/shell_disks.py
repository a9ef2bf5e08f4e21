"""The images of disks that ``capkernel shell`` is given: opened, locked, and looked at before anything is booted.

One is a littlefs; two are the halves of a mirror. What is not there is made; what is something else is left as it is.
"""

import os
from collections.abc import Sequence
from fcntl import LOCK_EX, LOCK_NB, flock
from hashlib import blake2b
from pathlib import Path
from typing import Final

from attrs import frozen

from capkernel.protocols.failures import Corrupt
from capkernel.protocols.mirror_label import IDENTITY, TABLE_MAGIC, Label, check_pair, is_behind, label_of
from hwmodel.block import SECTOR, BlockBacking, FileDisk

NEW_DISK: Final = 16 << 20
"""Bytes of a disk image that is made."""
SMALLEST_DISK: Final = 256 << 10
SMALLEST_HALF: Final = 2 * SMALLEST_DISK
"""Of a mirror's disks half is for versions."""
SUPERBLOCKS: Final = 8192
"""Bytes at the start of an image where littlefs says that it is one, and a mirror that it is one of its halves."""
LITTLEFS_MAGIC: Final = b"littlefs"
CHANCE: Final = 16
"""Bytes."""


class DiskError(Exception):
    """An image cannot be used; says which, and why."""


@frozen
class Mirrored:
    """A mirror's two disks, and by what they are known; ``chance`` is other each time, but for who asks for a seed."""

    first: BlockBacking
    second: BlockBacking
    identity: bytes
    chance: bytes = b""


def one_disk(path: Path) -> FileDisk:
    """A disk that is a littlefs, or is to become one; made if it is not there. Raises DiskError."""
    disk = _opened(path, SMALLEST_DISK) if path.exists() else None
    if disk is not None:
        if label_of(_start(disk)) is not None:
            raise _unusable(path, "it is one half of a mirror; give the other one, too: --mirror FILE")
        if any(_start(disk)) and LITTLEFS_MAGIC not in _start(disk):
            raise _unusable(
                path, "it is neither empty nor a littlefs with blocks of 4096 bytes; it is left as it is"
            )  # fmt: skip
    return disk or _made(path, NEW_DISK)


def two_disks(paths: Sequence[Path], seed: int | None) -> Mirrored:
    """The halves of a mirror. One that is not there is made; one that is empty will get what the other one holds. If
    both are, they become a mirror with a new identity. Raises DiskError.
    """
    first, second = paths
    if first.resolve() == second.resolve() or (first.exists() and second.exists() and first.samefile(second)):
        raise DiskError(f"--disk and --mirror are the same file, {first}: a mirror needs two")
    found = [_opened(path, SMALLEST_HALF) if path.exists() else None for path in paths]
    labels = [_label(path, disk) if disk else None for path, disk in zip(paths, found, strict=True)]
    _check_labels(paths, labels)
    if not any(labels) and any(any(_start(disk)) for disk in found if disk):
        raise DiskError(f"{first} and {second}: neither says any more of which mirror it is; both are left as they are")
    sizes = [disk.sectors * SECTOR if disk else 0 for disk in found]
    for path, disk, label, size in zip(paths, found, labels, sizes[::-1], strict=True):
        if disk and label is None and any(labels) and disk.sectors * SECTOR < size:
            raise _unusable(path, f"it is empty and smaller than the other half, which has {size} bytes")
    disks = [disk or _made(path, size or NEW_DISK) for path, disk, size in zip(paths, found, sizes[::-1], strict=True)]
    identity = next((label.identity for label in labels if label), None) or new_identity(seed, paths)
    return Mirrored(disks[0], disks[1], identity, os.urandom(CHANCE) if seed is None else b"")


def new_identity(seed: int | None, paths: Sequence[Path]) -> bytes:
    """By what a new mirror is known: the host's chance, or what follows from a seed and from where its images are."""
    if seed is None:
        return os.urandom(IDENTITY)
    places = [os.fsencode(path.resolve()) for path in paths]
    # No path has a zero byte: two lists of paths are never written alike.
    return blake2b(b"\0".join((b"mirror %d" % seed, *places)), digest_size=IDENTITY).digest()


def _label(path: Path, disk: FileDisk) -> Label | None:
    """Of a half of a mirror; None if the disk is empty, or its labels are spoilt. Raises DiskError."""
    start = _start(disk)
    label = label_of(start)
    if label is None and LITTLEFS_MAGIC in start:
        raise _unusable(
            path, "it is a littlefs by itself, and no half of a mirror: a mirror begins with two files that are empty, "
            "or not there"
        )  # fmt: skip
    if label is None and any(start) and TABLE_MAGIC not in start:
        raise _unusable(
            path,
            "it is neither empty nor one half of a mirror; it is left as it is. If it was a half and its beginning is "
            "spoilt, move it away: what is not there is made anew from the other half",
        )  # fmt: skip
    return label


def _check_labels(paths: Sequence[Path], labels: Sequence[Label | None]) -> None:
    try:
        check_pair(labels)
    except Corrupt as failure:
        raise DiskError(f"{paths[0]} and {paths[1]} are no mirror: {failure}; both are left as they are") from None
    if any(labels) and all(is_behind(label, other) for label, other in zip(labels, labels[::-1], strict=True)):
        path = paths[0] if labels[0] else paths[1]
        raise DiskError(f"{path} is the half that is behind: without the other one, what was written last is missing")


def _opened(path: Path, smallest: int) -> FileDisk:
    try:
        if not path.is_file() and not path.is_block_device():
            raise ValueError("it is no file")
        image = path.open("r+b", buffering=0)
        flock(image, LOCK_EX | LOCK_NB)
        size = image.seek(0, os.SEEK_END)
        if size < smallest:
            what = "a disk" if smallest == SMALLEST_DISK else "half of a mirror"
            raise ValueError(
                f"it has {size} bytes, and {what} has at least {smallest}: name a file that is not there, and one of "
                f"{NEW_DISK >> 20} MiB is made, or make it larger (truncate -s {NEW_DISK >> 20}M)"
            )
        return FileDisk(image)
    except BlockingIOError:
        raise _unusable(path, "another machine runs with it") from None
    except OSError as error:
        raise _unusable(path, str(error.strerror)) from None
    except ValueError as error:
        raise _unusable(path, str(error)) from None


def _made(path: Path, size: int) -> FileDisk:
    try:
        with path.open("xb") as new:
            new.truncate(size)
    except OSError as error:
        raise _unusable(path, str(error.strerror)) from None
    return _opened(path, size)


def _start(disk: FileDisk) -> bytes:
    return disk.read(0, SUPERBLOCKS // SECTOR)


def _unusable(path: Path, why: str) -> DiskError:
    return DiskError(f"the disk's image cannot be used: {path}: {why}")
