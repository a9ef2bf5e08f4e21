"""Computes for so many milliseconds of processor time (1000 if it is not told), and says when it is done."""

from capkernel.user.process import Process
from servers.programs.telling import MISSING, tell

TICKS_PER_MS = 10_000


async def main(process: Process) -> int:
    """Compute."""
    text = process.arguments[0] if process.arguments else "1000"
    if not text.isdecimal():
        await tell(process, f"spin: {text!r} is no number of milliseconds")
        return MISSING
    for _ in range(int(text)):
        await process.compute(TICKS_PER_MS)
    await tell(process, f"spin: {text} ms are over")
    return 0
