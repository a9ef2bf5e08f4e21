"""Says hello, and what it was given."""

from capkernel.user.process import Process
from servers.programs.telling import tell


async def main(process: Process) -> int:
    """Greet."""
    await tell(process, f"hello{''.join(f', {each}' for each in process.arguments)}; I have {', '.join(process.caps)}")
    return 0
