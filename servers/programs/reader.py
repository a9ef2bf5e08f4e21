"""Reads the file that it was given, tries to write into it, and ends with the number of bytes that it read."""

from capkernel.protocols.failures import NotPermitted
from capkernel.protocols.files import File
from capkernel.protocols.spawn import given
from capkernel.user.process import Process


async def main(process: Process) -> int:
    """Read; -1 if it could write."""
    file = given(File, process, "input")
    content = await file.read(0, 768)
    try:
        await file.write(0, b"mine")
    except NotPermitted:
        return len(content)
    return -1
