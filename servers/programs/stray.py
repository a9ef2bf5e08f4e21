"""Touches memory that it has not got."""

from capkernel.user.process import Process


async def main(process: Process) -> int:
    """Load from nowhere."""
    return await process.load(int(process.arguments[0], 0))
