"""An attacker under POSIX: it was asked to do nothing, and does what it can to everybody.

Removes every file that it can name, climbs for a way out of the root, and ends every process whose number it can guess.
The exit code is how many files and processes there are less.
"""

from capkernel.protocols.posix import SIGKILL
from capkernel.user.process import Process
from servers.posix.libc import Libc

CLIMBS = ("/..", "/../..", "../../../..", "/./../.deleted", "/.deleted")
PIDS = range(2, 40)


async def main(process: Process) -> int:
    """Do harm."""
    libc = Libc.of(process)
    done = await _empty(libc, "/")
    for path in CLIMBS:
        try:
            done += await _empty(libc, path)
        except OSError:
            continue
    me = await libc.posix.getpid()
    for pid in PIDS:
        try:
            await libc.kill(pid, 0 if pid == me else SIGKILL)
        except OSError:
            continue
        done += pid != me
    return done


async def _empty(libc: Libc, directory: str) -> int:
    """Remove everything in a directory; how many files there were."""
    removed = 0
    for name in await libc.listdir(directory):
        path = f"{directory.rstrip('/')}/{name}"
        try:
            if (await libc.stat(path)).is_directory:
                removed += await _empty(libc, path)
                await libc.rmdir(path)
            else:
                await libc.unlink(path)
                removed += 1
        except OSError:
            continue
    return removed
