"""Scenario MA-1, the holder: sends through a copied right, then uses each send-once right that it is given; or dies."""

from typing import Any

from capkernel.protocols.failures import Failure
from capkernel.protocols.mach_msg import answer, move_send_once, receive, send
from capkernel.protocols.mach_ports import DEFAULT_LIMIT
from capkernel.user.loop import PD
from servers.mach.tasks import connection_of, task_of

report: int = 0

COPIED, TWICE, REFUSED = 0, 8, 16
"""Offsets: 1 when the copied right was used; tries to use a send-once right again or to copy it; those refused."""


async def init(pd: PD) -> None:
    """Use whatever right comes: a copied send right for a friend who waits for an answer, or a send-once right."""
    task = task_of(connection_of(pd))
    port: Any = await task.allocate(DEFAULT_LIMIT)
    await task.check_in("holder", await port.make_send())
    while True:
        mail = await receive(task, port)
        (right,) = mail.rights
        if mail.reply is not None:
            await send(right, 1, bytes([1]))
            await pd.store(report + COPIED, 1)
            await answer(mail, 1)
            await mail.release()
            continue
        again: Any = await right.derive()
        await send(right, 100, mail.data)
        await _try_again(pd, again)


async def _try_again(pd: PD, again: Any) -> None:
    """Use it once more, through another cap to it; and send it along with itself."""
    for rights in ([], [move_send_once(again)]):
        await pd.store(report + TWICE, await pd.load(report + TWICE) + 1)
        try:
            await send(again, 101, rights=rights)
        except Failure:
            await pd.store(report + REFUSED, await pd.load(report + REFUSED) + 1)
    await again.forget()
