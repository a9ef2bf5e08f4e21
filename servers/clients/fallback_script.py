"""A policy script: after the third crash of the disk's driver the RAM disk takes over, and an alert is raised.

It decides about drivers and holds no device. What it must not do it tries, once, and notes how that was answered.
"""

from collections.abc import Awaitable, Callable
from typing import ClassVar

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import Failure, ServerDied
from capkernel.protocols.supervision import Order, Supervision
from capkernel.user import lifecycle
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from capkernel.user.syscalls import Message
from servers.neighbours import Asks, Uses

report: int = 0

SUPERVISOR = 0
DISK, RAM_DISK, CRASHES = "disk", 1, 3
ALERT, DENIED, TRIED = 0, 8, 16
"""Offsets of the words in the report: 1 after the alert; attempts that were refused; attempts."""


class Program:
    """The script."""

    uses: ClassVar[Uses] = Uses(asks={BASE_ENDPOINT_CAP + SUPERVISOR: Asks(Supervision)}, needs=frozenset({"report"}))

    def __init__(self) -> None:
        self.tried = self.denied = 0

    async def init(self, pd: PD) -> None:
        """Wait for what happens, and decide."""
        supervision = connect(Supervision, Connection(pd.sys), BASE_ENDPOINT_CAP + SUPERVISOR)
        await self._try_what_is_not_allowed(pd, supervision)
        seen = 0
        while True:
            try:
                event = await supervision.next_event(seen)
            except ServerDied:
                continue
            seen = event.number
            if event.label == DISK:
                await self._decide(pd, supervision, event.incarnation)

    async def _decide(self, pd: PD, supervision: Supervision, incarnation: int) -> None:
        is_enough = incarnation >= CRASHES
        try:
            await supervision.order(DISK, Order.RESTART, RAM_DISK if is_enough else 0)
        except Failure as failure:
            await pd.print(f"script: {failure}\n")
            return
        if is_enough:
            await pd.store(report + ALERT, 1)
            await pd.print(f"script: ALERT: the disk's driver stopped {incarnation} times; the RAM disk takes over\n")

    async def _try_what_is_not_allowed(self, pd: PD, supervision: Supervision) -> None:
        attempts: list[Callable[[], Awaitable[None]]] = [
            lambda: supervision.restart(DISK), lambda: supervision.update(DISK, RAM_DISK),
            lambda: supervision.order("supervisor", Order.STOP, 0), lambda: supervision.order(DISK, Order.RESTART, 7),
        ]  # fmt: skip
        for attempt in attempts:
            self.tried += 1
            try:
                await attempt()
            except Failure:
                self.denied += 1
        for operation in lifecycle.Operation:
            self.tried += 1
            reply = await pd.sys.call(BASE_ENDPOINT_CAP + SUPERVISOR, Message(operation))
            self.denied += reply.label != 0
        await pd.store(report + TRIED, self.tried)
        await pd.store(report + DENIED, self.denied)
