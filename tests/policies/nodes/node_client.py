"""Hands an object of outside across a membrane, and gets it back; then the membrane is cut."""

from typing import Any

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import Failure
from capkernel.protocols.membranes import MembraneControl
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from tests.policies.test_membrane import Node


class Program:
    async def init(self, pd: PD) -> None:
        seen: dict[str, object] = {}
        self.seen = seen
        connection = Connection(pd.sys, Inbox(pd.sys, SlotAllocator(301, 330, 500)))
        root, mine = connect(Node, connection, 310), connect(Node, connection, 311)
        control = connect(MembraneControl, connection, BASE_ENDPOINT_CAP)
        seen["first"] = await root.touch()
        await root.learn(mine)
        # What was handed in comes back as what it is: the server outside knows it for its own.
        back = await root.follow(0)
        seen["back"] = await back.touch()
        await mine.learn(back)
        # Inside uses what is outside while it is asked, and hands out what it knew before.
        again = await root.swap(mine)
        seen["used"] = await again.touch()
        inner = await root.swap(back)
        seen["objects"] = (await control.info("client")).objects
        seen["memory"] = await _failure(root.frame())
        # A proxy that is handed in is the object itself there.
        await root.learn(root)
        itself = await root.follow(3)
        seen["itself"] = await itself.touch()
        seen["cut"] = await control.cut("client")
        seen["after"] = [await _failure(each.touch()) for each in (root, itself)]
        # What came back bare is outside's own, and no way in.
        seen["own"] = await inner.touch()
        seen["over"] = True

    async def notified(self, pd: PD, ch: int) -> None:
        pass


async def _failure(attempt: Any) -> str:
    try:
        await attempt
    except Failure as failure:
        return type(failure).__name__
    return ""
