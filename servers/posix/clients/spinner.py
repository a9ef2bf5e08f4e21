"""Computes until somebody ends it."""

from capkernel.user.process import Process


async def main(process: Process) -> int:
    """For ever."""
    while True:
        await process.compute(1_000)
