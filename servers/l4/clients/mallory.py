"""A client that gets in between: it sends the second part of transfers that others have begun."""

from typing import Final

from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from capkernel.user.syscalls import Message
from servers.l4.clients.teller import COMMIT, DONE
from servers.l4.ipc import Ipc

report: int = 0

TELLER: Final = 0
COUNT: Final = 60
TRIED, ACCEPTED, BLOCKED = 0, 8, 16
"""Offsets in the report: messages that it sent, those that were taken for somebody's, and the longest that one took."""
OWN_ACCOUNT: Final = 666
FIRST: Final = 3
"""Calls after which the server does not wait for Alice as such any more, but in her dialogues."""
PAUSE = 500


async def init(pd: PD) -> None:
    """Call, again and again; now and then with a label that is no message's."""
    ipc = Ipc(pd)
    accepted = longest = 0
    for number in range(1, COUNT + 1):
        start = await pd.clock()
        if number % 8 == 0:
            await pd.sys.call(BASE_ENDPOINT_CAP + TELLER, Message(1 << 40 | COMMIT, (OWN_ACCOUNT,)))
        else:
            accepted += (await ipc.call(TELLER, COMMIT, (OWN_ACCOUNT,))).label == DONE
        if number > FIRST:
            longest = max(longest, await pd.clock() - start)
        await pd.store(report + ACCEPTED, accepted)
        await pd.store(report + BLOCKED, longest)
        await pd.store(report + TRIED, number)
        await pd.compute(PAUSE)
