"""A program whose ``main`` is a test's: its first argument names it."""

from capkernel.user.process import Process
from tests.servers import process_bench


async def main(process: Process) -> int:
    return await process_bench.MAINS[process.arguments[0]](process, *process.arguments[1:])
