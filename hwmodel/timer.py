"""Virtual time and the kernel's own timer.

Time is a count of ticks of 100 ns (10 MHz, the RISC-V `time` CSR of this platform). It moves only
when the machine is told that it does.
"""

from hwmodel.stateful import Stateful

NEVER = (1 << 64) - 1
"""A deadline at this tick or later is never reached."""


class KernelTimer(Stateful):
    """The clock and one deadline, like `mtime` and `stimecmp` (RISC-V Sstc).

    `now` is the current tick; only the owner of the clock moves it. The timer interrupt is a level:
    it is asserted while the deadline has passed, so only a new deadline ends it.
    """

    __slots__ = ("deadline", "last_taken", "masked", "now")
    STATE = ("deadline", "last_taken", "masked", "now")

    def __init__(self) -> None:
        self.now = 0
        self.deadline = NEVER
        self.masked = False
        self.last_taken = -1
        """The tick at which an interrupt was last taken."""

    def set_deadline(self, tick: int | None) -> None:
        """Raise the timer interrupt from `tick` on; None or `NEVER` turns it off."""
        self.deadline = NEVER if tick is None else min(tick, NEVER)

    def timer_pending(self) -> bool:
        """Say whether the deadline has passed and the interrupt is not masked."""
        return self.now >= self.deadline and not self.masked

    def next_event(self) -> int | None:
        """Return the tick at which the timer interrupt is raised, or None if it is off."""
        return None if self.masked or self.deadline >= NEVER else self.deadline
