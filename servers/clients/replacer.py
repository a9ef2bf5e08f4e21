"""Replaces servers by others, one after the other, while clients use them; what was refused is tried once more.

First a disk's driver by another driver, then the server of files in memory by another kind of it, the mount server by
itself, the file server by one for another kind of file system, which brings the files to the other disk, then a server
by its next version; and back.
"""

from typing import ClassVar

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import Refused, ServerDied
from capkernel.protocols.supervision import Supervision
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD

SUPERVISOR = 0
PLAN = (
    ("disk", 1), ("disk2", 1), ("scratch", 1), ("mounts", 0), ("files", 1), ("tickets", 1),
    ("disk", 0), ("mounts", 0), ("files", 0), ("scratch", 0), ("tickets", 0), ("disk2", 0),
)  # fmt: skip
"""Services and the programs that they are to have; 0 is the ordinary one."""
REPLACED, REFUSED, DONE = 0, 8, 16
"""Offsets in the report: replacements that were made; those that came to grief; 1 at the end."""
STOP = 0
"""Offset in the orders to the clients: 1 when they are to end."""
TRIES, PAUSE, SPREAD = 3, 500, 2_000
"""Of each; ticks between two replacements, and up to so many more, as the clock has it."""


class Program:
    """The program. Another one is a subclass with another plan, and other pauses; ``lead`` is that before the first."""

    plan: ClassVar[tuple[tuple[str, int], ...]] = PLAN
    lead: ClassVar[int] = 0
    pause: ClassVar[int] = PAUSE
    spread: ClassVar[int] = SPREAD
    report: int = 0
    orders: int = 0

    async def init(self, pd: PD) -> None:
        """Carry out the plan."""
        supervision = connect(Supervision, Connection(pd.sys), BASE_ENDPOINT_CAP + SUPERVISOR)
        replaced = refused = 0
        if self.lead:
            await pd.compute(self.lead)
        for label, alternative in self.plan:
            for _ in range(TRIES):
                await pd.compute(self.pause + await pd.clock() % self.spread)
                try:
                    await supervision.update(label, alternative)
                except (Refused, ServerDied) as failure:
                    refused += 1
                    await pd.print(f"replacer: {failure}\n")
                else:
                    replaced += 1
                    break
            await pd.store(self.report + REPLACED, replaced)
            await pd.store(self.report + REFUSED, refused)
        await pd.compute(self.pause)
        await pd.store(self.orders + STOP, 1)
        await pd.store(self.report + DONE, 1)
