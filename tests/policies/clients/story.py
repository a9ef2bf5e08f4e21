"""A subject, or the operator, whose story is a test's."""

from capkernel.user.loop import PD
from tests.policies import broker_bench

report: int = 0
region: int = 0


class Program:
    async def init(self, pd: PD) -> None:
        await broker_bench.play_story(pd, region)

    async def notified(self, pd: PD, ch: int) -> None:
        pass
