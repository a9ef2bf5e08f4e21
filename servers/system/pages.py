"""A file as the servers here append to it: in pieces that fit into messages, found again when its server was anew."""

from capkernel.protocols.client import Stub
from capkernel.protocols.failures import Failure, NotFound
from capkernel.protocols.files import INLINE, READ_WRITE, Directory, File


async def open_or_create(directory: Directory, name: str, rights: int = READ_WRITE) -> File:
    """A file, empty if it is new; that one has the rights of the directory's cap."""
    try:
        return await directory.open(name, rights)
    except NotFound:
        return await directory.create(name)


async def write_all(file: File, offset: int, data: bytes) -> None:
    """Write, however much it is."""
    for start in range(0, len(data), INLINE):
        await file.write(offset + start, data[start : start + INLINE])


async def read_all(file: File, offset: int = 0) -> bytes:
    """Everything from an offset on."""
    parts: list[bytes] = []
    while piece := await file.read(offset, INLINE):
        parts.append(piece)
        offset += len(piece)
    return b"".join(parts)


async def close(file: File) -> None:
    """Close a file, also one whose server died."""
    try:
        await file.drop()
    except Failure:
        if isinstance(file, Stub):
            await file.forget()
