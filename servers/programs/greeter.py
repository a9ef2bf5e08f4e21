"""Says what it was told, and ends with the number of its arguments."""

from capkernel.user.process import Process


async def main(process: Process) -> int:
    """Greet."""
    await process.print(f"{process.name}: {' '.join(process.arguments)}\n")
    return len(process.arguments)
