"""A client whose story is a test's."""

from capkernel.user.loop import PD
from tests.servers import process_bench

report: int = 0


class Program:
    async def init(self, pd: PD) -> None:
        await process_bench.play_client(pd)
