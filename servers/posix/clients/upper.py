"""Copies its input to its output in capital letters. A filter knows two numbers, and nothing of what is behind them."""

from capkernel.protocols.posix import MAX_IO
from capkernel.user.process import Process
from servers.posix.libc import Libc


async def main(process: Process) -> int:
    """Until there is no more."""
    libc = Libc.of(process)
    while data := await libc.read(0, MAX_IO):
        await libc.write(1, data.upper())
    return 0
