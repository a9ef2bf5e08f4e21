"""Works now and then: when it is signalled, for a while, and writes down how long that took, in microseconds."""

from typing import Final

from capkernel.user.loop import PD


class Program:
    """The program; a subclass works longer."""

    report: int = 0
    WORK: Final = 30_000
    """Ticks."""

    def __init__(self) -> None:
        self.count = 0

    @property
    def work(self) -> int:
        """Ticks of work a signal."""
        return self.WORK

    async def init(self, pd: PD) -> None:
        """Wait."""

    async def notified(self, pd: PD, ch: int) -> None:
        """Work."""
        before = await pd.clock()
        await pd.compute(self.work)
        self.count += 1
        await pd.store(self.report + 8 * self.count, (await pd.clock() - before) // 10)
        await pd.store(self.report, self.count)
