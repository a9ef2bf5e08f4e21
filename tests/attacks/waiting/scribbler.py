"""Asks for something that does not come, by way of shared memory, and then writes other words there."""

from typing import Any

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.interface import operations_of
from capkernel.protocols.network import MAX_PATIENCE, Dialer, Stream
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from capkernel.user.messages import SPILLED, to_words
from capkernel.user.syscalls import Message

orders: int = 0
region: int = 0
region_size: int = 0x1_0000
report: int = 0

DIALER = 2
OWN_CNODE, FIRST_SLOT, END_SLOT = 301, 340, 360
LIMIT = 100


class Program:
    async def init(self, pd: PD) -> None:
        connection = Connection(pd.sys, Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT)))
        stream: Any = await connect(Dialer, connection, BASE_ENDPOINT_CAP + DIALER).connect(MAX_PATIENCE)
        read = operations_of(Stream)[1]
        assert read.name == "read"
        words = to_words(read.request(limit=LIMIT, patience=MAX_PATIENCE))
        await pd.write(region, b"".join(word.to_bytes(8, "little") for word in words))
        await pd.sys.send(stream.cap, Message(read.label | SPILLED, (0, 8 * len(words))))
        await pd.write(region, b"\xff" * 8 * len(words))
        await pd.store(report, 1)

    async def notified(self, pd: PD, ch: int) -> None:
        pass
