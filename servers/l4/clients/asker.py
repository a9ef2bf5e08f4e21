"""A client of an ordinary server. It looks for no error, and knows nothing of gates but an address."""

from capkernel.user.loop import PD
from capkernel.user.syscalls import Message
from servers.l4.gates import gate_address

report: int = 0

DONE, RIGHT, LABEL = 0, 8, 16
"""Offsets in the report: calls that returned, those with the right answer, the last label of a wrong one."""
COUNT, SQUARE, PAUSE = 24, 7, 400


async def init(pd: PD) -> None:
    """Ask for squares."""
    right = 0
    for number in range(1, COUNT + 1):
        answer = await pd.sys.call(gate_address(0), Message(SQUARE, (number,)))
        if tuple(answer.words) == (number * number,):
            right += 1
        else:
            await pd.store(report + LABEL, answer.label)
        await pd.store(report + RIGHT, right)
        await pd.store(report + DONE, number)
        await pd.compute(PAUSE)
