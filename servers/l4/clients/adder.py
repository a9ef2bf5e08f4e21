"""A server that adds what it is sent: the example of docs/l4.md."""

from capkernel.user.loop import PD
from servers.l4.ipc import Ipc

report: int = 0

ALICE, BOB, MALLORY = 2, 3, 4


async def init(pd: PD) -> None:
    """One system call a request; who only sends gets no answer."""
    ipc = Ipc(pd, partners=(ALICE, BOB, MALLORY), replies=(310, 311, 312))
    request = await ipc.wait()
    while True:
        if request.is_call:
            total = sum(request.words) % (1 << 64)
            request = await ipc.reply_and_wait(request, 0, (total,))
        else:
            request = await ipc.wait()
