"""Waits until it is granted a file, under the name of its argument (``file``); reads it until that is revoked."""

from capkernel.protocols.failures import Failure
from capkernel.protocols.files import INLINE, File
from capkernel.protocols.spawn import given
from capkernel.user.process import Process
from servers.programs.telling import described, tell

PAUSE = 10_000
"""Ticks of computing between two looks: a process has no clock to sleep by unless it is given one."""


async def main(process: Process) -> int:
    """Follow; the exit code is how often the content was another one."""
    name = process.arguments[0] if process.arguments else "file"
    await tell(process, f"follow: waiting for a cap {name!r}")
    while name not in process.caps:
        await process.compute(PAUSE)
        await process.refresh()
    file, last, times = given(File, process, name), None, 0
    while True:
        try:
            content = await file.read(0, INLINE)
        except Failure as failure:
            await tell(process, f"follow: {described(failure)}")
            return times
        if content != last:
            last, times = content, times + 1
            await tell(process, f"follow: {content.decode(errors='replace').rstrip()}")
        await process.compute(PAUSE)
