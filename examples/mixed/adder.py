"""A client in Python of a server in C, `examples/c/pd/sums.c`, and a reader of what that writes down."""

from capkernel.user.loop import PD
from capkernel.user.syscalls import Message

ledger: int = 0

SUMS = 0


async def init(pd: PD) -> None:
    pass


async def notified(pd: PD, ch: int) -> None:
    """The other client is done."""
    answer = await pd.ppcall(SUMS, Message(0, range(1, 101)))
    await pd.print(f"adder: Python, 1 to 100 make {answer[0]}; calls so far: {await pd.load(ledger)}\n")
