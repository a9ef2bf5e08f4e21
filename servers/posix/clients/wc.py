"""Counts the bytes of its input, and writes the number."""

from capkernel.user.process import Process
from servers.posix.libc import Libc


async def main(process: Process) -> int:
    """Count."""
    libc = Libc.of(process)
    await libc.write(1, str(len(await libc.read_all(0))).encode())
    return 0
