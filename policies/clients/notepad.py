"""Edits files, and may open none: it asks the user for them."""

from typing import Any

from capkernel.protocols.failures import Failure, ServerDied
from capkernel.protocols.files import READ_WRITE
from capkernel.protocols.powerbox import Powerbox
from capkernel.user.loop import PD
from policies.clients.exchange import Party
from policies.clients.trying import works

report: int = 0

POWERBOX = 310
EDITS, WROTE, RIGHTS, REFUSED = range(4)
"""Words of the report: how often it was given a file; how often it could write it; with which rights; failures."""
PAUSE, SESSIONS = 100_000, 3


class Program:
    """The client."""

    async def init(self, pd: PD) -> None:
        """Ask for the same again and again, as each time when it is started."""
        me, words = Party(pd, report), [0] * 4
        powerbox: Any = me.at(Powerbox, POWERBOX)
        while words[EDITS] < SESSIONS:
            try:
                file = await powerbox.ask("to save your letter", READ_WRITE)
                words[RIGHTS] = (await file.info()).rights
                words[WROTE] += await works(file.write(0, b"from notepad"))
                words[EDITS] += 1
                await file.drop()
            except ServerDied:
                pass
            except Failure:
                words[REFUSED] += 1
            await me.tell(*words)
            await pd.compute(PAUSE)

    async def notified(self, pd: PD, ch: int) -> None:
        """Nobody does."""
