"""The timer on a device that counts down 32 bits (docs/hwmodel.md); the present tick is the processor's."""

from capkernel.user.loop import PD
from servers.drivers.timer import Comparator, TimerProgram

registers: int = 0

_LOAD, _CONTROL, _EOI = 0x00, 0x08, 0x0C
_OFF, _ENABLE = 0, 1
_LONGEST = (1 << 32) - 1


class CountdownTimer:
    """The device."""

    def __init__(self, pd: PD, base: int) -> None:
        self.pd = pd
        self.base = base

    async def now(self) -> int:
        """The processor's clock."""
        return await self.pd.clock()

    async def arm(self, tick: int | None) -> None:
        """Count down from here."""
        await self.pd.store(self.base + _CONTROL, _OFF, 4)
        if tick is not None:
            left = tick - await self.now()
            await self.pd.store(self.base + _LOAD, min(max(left, 1), _LONGEST), 4)
            await self.pd.store(self.base + _CONTROL, _ENABLE, 4)

    async def acknowledge(self) -> None:
        """Clear the interrupt."""
        await self.pd.load(self.base + _EOI, 4)


class Program(TimerProgram):
    """The driver."""

    def make_comparator(self, pd: PD) -> Comparator:
        """The device."""
        return CountdownTimer(pd, registers)
