"""Works a little in each of its periods, and notes how late it came: the client that must miss no deadline."""

from capkernel.user.loop import PD

report: int = 0
period: int = 50_000
"""Ticks, as in the system's description."""

BEATS, LATEST, MISSED = 0, 8, 16
"""Offsets of the words in the report: periods so far, the greatest lateness in ticks, periods begun too late."""
DEADLINE = 10_000
"""Ticks: a millisecond."""
WORK = 500


async def init(pd: PD) -> None:
    """The first period is the one in which it was started."""
    start, beats, latest, missed = await pd.clock(), 0, 0, 0
    while True:
        await pd.compute(WORK)
        await pd.sys.yield_()
        beats += 1
        late = await pd.clock() - start - beats * period
        latest, missed = max(latest, late), missed + (late > DEADLINE)
        await pd.store(report + BEATS, beats)
        await pd.store(report + LATEST, latest)
        await pd.store(report + MISSED, missed)
