"""Has an unsealer, and may change what comes in a box that was sealed with its brand, whoever brings it."""

from typing import Any

from capkernel.protocols.again import insist
from capkernel.protocols.failures import NotPermitted
from capkernel.protocols.files import File
from capkernel.protocols.sealing import Box, Unsealer
from capkernel.user.loop import PD
from policies.clients.exchange import Party

report: int = 0

FROM_AUTHOR, FROM_CARRIER = 312, 313
DONE, REFUSED, EDITED = range(3)
"""Words of the report: the end; boxes that others have sealed, or that were none; whether the document was as it was
written, and could be changed.
"""


class Program:
    """The client."""

    async def init(self, pd: PD) -> None:
        """Open what comes until it is the author's."""
        me, refused = Party(pd, report), 0
        unsealer = await me.take(FROM_AUTHOR, Unsealer)
        while True:
            box = await me.take(FROM_CARRIER, Box)
            try:
                opened: Any = await insist(unsealer.open, box)
                file = me.at(File, opened, is_owned=True)
                break
            except NotPermitted:
                refused += 1
        was = await file.read(0, 16)
        await file.write(len(was), b"edited")
        await me.tell(1, refused, was == b"draft " and await file.read(0, 16) == b"draft edited")

    async def notified(self, pd: PD, ch: int) -> None:
        """Nobody does."""
