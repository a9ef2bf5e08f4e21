"""A timer in which whoever comes first may wait: one client can take all places."""

from capkernel.user.loop import PD
from servers.drivers.timer import Comparator, TimerProgram
from servers.drivers.timer_capkernel import CapkernelTimer

registers: int = 0


class Program(TimerProgram):
    """The driver."""

    async def init(self, pd: PD) -> None:
        """Serve, without sharing the places."""
        await super().init(pd)
        self.service.may_wait = lambda: bool(pd.spare_replies)

    def make_comparator(self, pd: PD) -> Comparator:
        """The device."""
        return CapkernelTimer(pd, registers)
