"""A server of one object that knows others."""

from typing import Any

from capkernel.protocols.service import Service
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import PD
from capkernel.user.syscalls import Message
from policies.membrane import Side
from tests.policies.test_membrane import Thing


class Program:
    async def init(self, pd: PD) -> None:
        self.thing = Thing(Side.INSIDE)
        inbox = Inbox(pd.sys, SlotAllocator(301, 400, 500))
        self.service: Any = Service(pd, roots=lambda session: self.thing, endpoint=300, inbox=inbox)
        await self.service.open()

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        return await self.service.protected(msg)
