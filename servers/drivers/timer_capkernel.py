"""The timer on the board's own device: a counter of 64 bits and a comparator (docs/hwmodel.md)."""

from capkernel.user.loop import PD
from servers.drivers.timer import Comparator, TimerProgram

registers: int = 0

_COUNT, _COMPARE, _PERIOD, _CONTROL, _STATUS = 0x00, 0x08, 0x10, 0x14, 0x18
_OFF, _ENABLE_WITH_INTERRUPT = 0, 3
_EXPIRED = 1
_LAST = (1 << 64) - 1


class CapkernelTimer:
    """The device."""

    def __init__(self, pd: PD, base: int) -> None:
        self.pd = pd
        self.base = base

    async def now(self) -> int:
        """The counter."""
        return await self.pd.load(self.base + _COUNT, 8)

    async def arm(self, tick: int | None) -> None:
        """Set the comparator."""
        await self.pd.store(self.base + _CONTROL, _OFF, 4)
        if tick is not None:
            await self.pd.store(self.base + _PERIOD, 0, 4)
            await self.pd.store(self.base + _COMPARE, min(tick, _LAST), 8)
            await self.pd.store(self.base + _CONTROL, _ENABLE_WITH_INTERRUPT, 4)

    async def acknowledge(self) -> None:
        """Clear the interrupt."""
        await self.pd.store(self.base + _STATUS, _EXPIRED, 4)


class Program(TimerProgram):
    """The driver."""

    def make_comparator(self, pd: PD) -> Comparator:
        """The device."""
        return CapkernelTimer(pd, registers)
