"""Beats time: signals its listeners at the start of each of its periods. It needs no device, only a budget."""

from typing import ClassVar

from capkernel.user.loop import PD
from servers.neighbours import Role, Uses

MAX_LISTENERS, SUPERVISOR = 8, 8
"""Channels 0 to 7, those that there are; who asks for signs of life, which the beats are."""


class Program:
    """The metronome."""

    uses: ClassVar[Uses] = Uses(
        signals=dict.fromkeys(range(MAX_LISTENERS), Role.ANY) | {SUPERVISOR: Role.SUPERVISOR},
        plays=dict.fromkeys(range(MAX_LISTENERS), Role.METRONOME),
    )

    async def init(self, pd: PD) -> None:
        """A thread that yields has its budget again when the next period begins."""
        listeners = [channel for channel in range(MAX_LISTENERS) if pd.values.notifications >> channel & 1]
        while True:
            for channel in listeners:
                await pd.notify(channel)
            await pd.sys.yield_()
