"""Computes for ever."""

from capkernel.user.process import Process


async def main(process: Process) -> int:
    """Until somebody ends it."""
    while True:
        await process.compute(1000)
