"""Calls the server and looks at the bill: how much of whose time did the call take?"""

from capkernel.user import stubs
from capkernel.user.loop import PD
from capkernel.user.syscalls import Message

SERVER = 0
OWN_TIME, SERVERS_TIME = 1 << 58, 2 << 58
"""Slots 1 and 2 of the root CNode: the caps of two scheduling contexts."""


async def init(pd: PD) -> None:
    for number in (3, 12):
        await bill(pd)
        answer = await pd.ppcall(SERVER, Message(words=[number]))
        mine, servers = await bill(pd)
        await pd.print(f"client: {number} squared is {answer[0]}; {mine} us on my time, {servers} us on the server's\n")


async def bill(pd: PD) -> tuple[int, int]:
    """Microseconds used since the last bill. Time is booked when a turn ends, so end ours first."""
    await pd.sys.yield_()
    mine = await stubs.sched_context_consumed(pd.sys, OWN_TIME)
    return mine, await stubs.sched_context_consumed(pd.sys, SERVERS_TIME)
