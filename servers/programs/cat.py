"""Shows the file that it was given as ``file``; or, of a directory ``dir``, the files that its arguments name."""

from capkernel.protocols.failures import Failure
from capkernel.protocols.files import INLINE, READ, Directory, File
from capkernel.protocols.spawn import given
from capkernel.user.process import Process
from servers.programs.telling import MISSING, described, lacks, tell


async def main(process: Process) -> int:
    """Show; the exit code is how many could not be read."""
    if not process.arguments:
        if await lacks(process, "file"):
            return MISSING
        return await _show(process, given(File, process, "file"))
    if await lacks(process, "dir"):
        return MISSING
    directory, failed = given(Directory, process, "dir"), 0
    for name in process.arguments:
        try:
            file = await directory.open(name, READ)
        except Failure as failure:
            await tell(process, f"cat: {name}: {described(failure)}")
            failed += 1
            continue
        failed += await _show(process, file)
        await file.drop()
    return failed


async def _show(process: Process, file: File) -> int:
    offset = 0
    try:
        while part := await file.read(offset, INLINE):
            await tell(process, part.decode(errors="replace"))
            offset += len(part)
    except Failure as failure:
        await tell(process, f"cat: {described(failure)}")
        return 1
    return 0
