"""Works a little at each beat of the metronome, and notes how late: the client that must miss no deadline."""

from typing import ClassVar

from capkernel.user.loop import PD
from servers.neighbours import Role, Uses

report: int = 0
period: int = 100_000
"""Ticks between two beats, as in the system's description."""

METRONOME = 0
"""Channel."""
BEATS, LATEST, MISSED = 0, 8, 16
"""Offsets of the words in the report: beats so far, the greatest lateness in ticks, beats whose work came too late.

Work is to be done so many ticks after that of the beat before.
"""
DEADLINE = 10_000
"""Ticks: a millisecond."""
WORK = 500


class Program:
    """The client."""

    uses: ClassVar[Uses] = Uses(
        signals={METRONOME: Role.METRONOME}, required=frozenset({METRONOME}), needs=frozenset({"report"})
    )

    def __init__(self) -> None:
        self.beats = self.latest = self.missed = self.done = 0

    async def init(self, pd: PD) -> None:
        """Nothing before the first beat."""

    async def notified(self, pd: PD, ch: int) -> None:
        """A beat."""
        await pd.compute(WORK)
        now = await pd.clock()
        if self.beats:
            late = now - self.done - period
            self.latest, self.missed = max(self.latest, late), self.missed + (late > DEADLINE)
        self.beats, self.done = self.beats + 1, now
        await pd.store(report + BEATS, self.beats)
        await pd.store(report + LATEST, self.latest)
        await pd.store(report + MISSED, self.missed)
