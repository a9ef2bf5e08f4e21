"""A server with a dialogue of two parts: who begins a transfer names the amount, and in the next message the account.

Between the two it waits for that client and nobody else.
"""

from typing import Any, Final

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.clocks import Timer
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from servers.l4.ipc import Ipc, IpcError, Received

ALICE, BOB, MALLORY = 2, 3, 4
REPLIES: Final = (310, 311, 312)
TIMER: Final = 1
BEGIN, COMMIT, NOTE = 1, 2, 3
DONE, REFUSED = 10, 11
"""Labels of answers."""
PATIENCE_US: Final = 2_000
TRANSFERS, STOLEN, NOTES, IN_ORDER, OUT_OF_TURN, AT_ONCE, PATIENT = range(0, 56, 8)
"""Offsets in the report: transfers that ended; of them, those whose parts are of two clients; Bob's notes, and whether
each was one more than the last; requests that were refused; ticks that a timeout of 0 took; and of ``PATIENCE_US``.
"""


class Program:
    """The server."""

    report: int = 0
    is_closed = True

    def __init__(self) -> None:
        self.counts = dict.fromkeys((TRANSFERS, STOLEN, NOTES, IN_ORDER, OUT_OF_TURN), 0)
        self.pd: Any = None

    async def init(self, pd: PD) -> None:
        """See how long waiting takes when nobody whom it waits for is there; then serve."""
        self.pd = pd
        timer = connect(Timer, Connection(pd.sys), BASE_ENDPOINT_CAP + TIMER)
        ipc = Ipc(pd, (ALICE, BOB, MALLORY), REPLIES, timer, TIMER)
        await self.time(ipc, 0, AT_ONCE)
        await self.time(ipc, PATIENCE_US, PATIENT)
        request = await ipc.wait()
        while True:
            request = await self.serve(ipc, request)

    async def time(self, ipc: Ipc, timeout_us: int, place: int) -> None:
        """How many ticks it takes until a closed wait for Alice gives up."""
        start = await self.pd.clock()
        try:
            await ipc.receive(ALICE, timeout_us)
        except IpcError:
            await self.pd.store(self.report + place, await self.pd.clock() - start)

    async def serve(self, ipc: Ipc, request: Received) -> Received:
        """Serve a request; returns the next."""
        match request:
            case Received(label=label, words=(number,), is_call=False) if label == NOTE:
                await self.count(IN_ORDER, number == self.counts[NOTES] + 1)
                await self.count(NOTES)
                return await ipc.wait()
            case Received(label=label, partner=partner, is_call=True) if label == BEGIN:
                second = await ipc.reply_and_wait(request, DONE, partner=partner if self.is_closed else None)
                return await self.commit(ipc, request, second)
            case _:
                await self.count(OUT_OF_TURN)
                return await ipc.reply_and_wait(request, REFUSED) if request.is_call else await ipc.wait()

    async def commit(self, ipc: Ipc, first: Received, second: Received) -> Received:
        """The second part; a client who does not go on with it has given the transfer up."""
        if second.label != COMMIT or not second.is_call:
            return second
        await self.count(STOLEN, second.partner != first.partner)
        await self.count(TRANSFERS)
        return await ipc.reply_and_wait(second, DONE, (*first.words, *second.words))

    async def count(self, place: int, by: int = 1) -> None:
        """Count, and write it down."""
        self.counts[place] += by
        await self.pd.store(self.report + place, self.counts[place])
