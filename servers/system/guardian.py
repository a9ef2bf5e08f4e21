"""The guardian: watches over the supervisor, and over nothing else. It is small, so that it has little to fail by.

It knows only whether the supervisor lives. What the supervisor knows is in memory that outlives it.
"""

from capkernel.user import lifecycle
from capkernel.user.loop import PD
from capkernel.user.syscalls import Message

METRONOME, SUPERVISOR = 0, 1
LIFECYCLE = 330
PATIENCE = 3
"""Beats that the supervisor may be silent."""


class Program:
    """The guardian's hooks."""

    def __init__(self) -> None:
        self.silent = 0
        self.has_revived = False

    async def init(self, pd: PD) -> None:
        """Nothing is to be prepared."""

    async def notified(self, pd: PD, ch: int) -> None:
        """A beat, or the supervisor's sign of life."""
        if ch == SUPERVISOR:
            self.silent = 0
            return
        self.silent += 1
        self.has_revived = False
        if self.silent > PATIENCE:
            await self.revive(pd)
        else:
            await pd.notify(SUPERVISOR)

    async def fault(self, pd: PD, child: int, msg: Message) -> bool:
        """The supervisor came to grief. If that happens twice within a beat it stays dead until the patience ends."""
        if not self.has_revived:
            await self.revive(pd)
        return False

    async def revive(self, pd: PD) -> None:
        """Start the supervisor anew; it goes on from its table. If that fails, again at a later beat."""
        self.silent, self.has_revived = 0, True
        try:
            await lifecycle.rebuild(pd.sys, LIFECYCLE)
            await lifecycle.start(pd.sys, LIFECYCLE)
        except lifecycle.LifecycleError:
            self.silent = PATIENCE
