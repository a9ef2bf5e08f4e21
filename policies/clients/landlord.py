"""Lends through membranes, and cuts one of them after a while."""

from typing import Any

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import NotFound, ServerDied
from capkernel.protocols.membranes import MembraneControl
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD

report: int = 0

DONE, ASKED, ANSWERED, OBJECTS, UNKNOWN = range(5)
"""Words of the report: the end; when the cut was asked for, and answered; through how many objects the membrane led
when it was asked last; whether a membrane that there is not could not be cut.
"""
BEATS, TICKS_PER_US = 2, 10


class Program:
    """The client."""

    def __init__(self) -> None:
        self.beats = 0

    async def notified(self, pd: PD, ch: int) -> None:
        """Time passes; when enough has passed, cut."""
        self.beats += 1
        if self.beats != BEATS:
            return
        control: Any = connect(MembraneControl, Connection(pd.sys), BASE_ENDPOINT_CAP)
        words = [0] * 5
        words[ASKED] = await pd.clock() // TICKS_PER_US
        while not words[ANSWERED]:
            try:
                words[OBJECTS] = (await control.info("borrower")).objects
                await control.cut("borrower")
                words[ANSWERED] = await pd.clock() // TICKS_PER_US
                await control.cut("nobody")
            except ServerDied:
                continue
            except NotFound:
                words[UNKNOWN] = 1
        words[DONE] = 1
        for place, word in enumerate(words):
            await pd.store(report + 8 * place, word)

    async def init(self, pd: PD) -> None:
        """Nothing to be done yet."""
