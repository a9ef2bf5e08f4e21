"""The watchers of the supervisor, as it has them replaced: the guardian, and the supervisor itself.

It asks by signals, for it has no cap to them: the warden for another guardian, the guardian for another supervisor; and
they signal what came of it. If nobody signals for some beats, whoever was asked has died over it.
"""

from typing import Final

from capkernel.protocols.failures import Malformed, Refused
from capkernel.user.loop import PD
from capkernel.user.tasks import Condition

GUARDIAN_ORDERS, SUPERVISOR_ORDERS = range(50, 54), range(54, 58)
"""Channels to the warden and to the guardian: another program for the guardian, for the supervisor; which, is the place
in the range.
"""
GUARDIAN_WORKS, GUARDIAN_FELL_BACK, WORKS, FELL_BACK = 58, 59, 60, 61
"""Channels by which warden and guardian say what came of it."""
GUARDIAN, SUPERVISOR = "guardian", "supervisor"
PATIENCE: Final = 16
"""Beats until whoever was asked must have said what came of it."""


class Watchers:
    """What was asked of them, and what came of it."""

    def __init__(self, pd: PD) -> None:
        self.pd = pd
        self.wanted: int | None = None
        """The program that is to be in this one's place as soon as all is written down."""
        self.is_next = False
        """Whether requests are taken up that were made to the program before this one."""
        self._changed = Condition()
        self._asked = ""
        self._beats = 0
        self._works: bool | None = None

    @property
    def labels(self) -> list[str]:
        """Who can be replaced here."""
        orders = {GUARDIAN: GUARDIAN_ORDERS, SUPERVISOR: SUPERVISOR_ORDERS}
        return [label for label, channels in orders.items() if self.pd.values.notifications >> channels.start & 1]

    async def update(self, label: str, program: int) -> None:
        """Have a watcher replaced. Raises Refused, Malformed."""
        if program not in range(len(SUPERVISOR_ORDERS)):
            raise Malformed(f"a watcher has the programs 0 to {len(SUPERVISOR_ORDERS) - 1}, not {program}")
        if self._asked:
            raise Refused(f"the {self._asked} is being replaced; one after the other")
        self._asked, self._beats, self._works = label, 0, None
        try:
            if label == GUARDIAN:
                await self.pd.notify(GUARDIAN_ORDERS[program])
            elif not self.is_next:
                self.wanted = program
            works = await self._outcome()
        finally:
            self._asked = ""
        if not works:
            raise Refused(f"the new program of the {label} came to grief, or it is not known whether it did")

    async def _outcome(self) -> bool:
        while (works := self._works) is None:
            await self._changed.wait()
        return works

    def told(self, channel: int) -> bool:
        """Whether a signal says what came of it."""
        if channel not in (GUARDIAN_WORKS, GUARDIAN_FELL_BACK, WORKS, FELL_BACK):
            return False
        if self._asked == (GUARDIAN if channel in (GUARDIAN_WORKS, GUARDIAN_FELL_BACK) else SUPERVISOR):
            self._end(works=channel in (GUARDIAN_WORKS, WORKS))
        return True

    def beat(self) -> None:
        """Time goes on."""
        self._beats += 1
        if self._asked and self._beats > PATIENCE:
            self.has_failed()

    def has_failed(self) -> None:
        """Nothing comes of it."""
        self._end(works=False)

    def _end(self, *, works: bool) -> None:
        self._works = works
        self._changed.notify()
