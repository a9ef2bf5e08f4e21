"""A compiler that charges for its work: Hardy's deputy (1988), who can be confused, and one who cannot.

It may write the bill, and it may write where its clients want their output. When it is told a *name* for the output, it
cannot say with which of its two authorities it opens it: the list of the bill has its own name on it. When it is given
a *cap*, the client's authority comes with the request, and the bill's cap is used for the bill alone.
"""

from typing import Any

from capkernel.protocols.client import Connection, Stub, connect
from capkernel.protocols.compiling import AclFiles, Compiler, NamingCompiler
from capkernel.protocols.files import Directory, File
from capkernel.protocols.interface import Interface
from capkernel.protocols.service import Service
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from capkernel.user.syscalls import Message

ACCOUNTS, LISTED, BY_NAME, BY_CAP = 0, 1, 2, 3
"""Channels: its own directory; the files with lists; clients who say names, and clients who hand over caps."""
ENDPOINT, OWN_CNODE, FIRST_SLOT, END_SLOT = 300, 301, 400, 500
BILL, CHARGE = "bill", b"charged\n"


def compiled(source: str) -> bytes:
    """The output: not the point here."""
    return b"object code of " + source.encode()


class DeputyByName(NamingCompiler):
    """It writes wherever it is told to."""

    def __init__(self, files: AclFiles) -> None:
        self.files = files

    async def compile(self, source: str, output: str) -> None:
        """Charge, then write the output."""
        await self.files.write(BILL, await self.files.read(BILL) + CHARGE)
        await self.files.write(output, compiled(source))

    async def charges(self) -> int:
        """On the bill."""
        return (await self.files.read(BILL)).count(CHARGE)


class DeputyByCap(Compiler):
    """It writes through what it is given."""

    def __init__(self, bill: File) -> None:
        self.bill = bill

    async def compile(self, source: str, output: File) -> None:
        """Charge, then write the output."""
        await self.bill.write((await self.bill.info()).size, CHARGE)
        await output.write(0, compiled(source))
        if isinstance(output, Stub):
            await output.forget()

    async def charges(self) -> int:
        """On the bill."""
        return (await self.bill.read(0, 512)).count(CHARGE)


class Program:
    """The compiler."""

    def __init__(self) -> None:
        self.service: Any = None

    async def init(self, pd: PD) -> None:
        """Begin both bills."""
        inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        connection = Connection(pd.sys, inbox)
        accounts = connect(Directory, connection, BASE_ENDPOINT_CAP + ACCOUNTS)
        bill = await accounts.create(BILL)
        listed = connect(AclFiles, connection, BASE_ENDPOINT_CAP + LISTED)
        roots: dict[int, Interface] = {BY_NAME: DeputyByName(listed), BY_CAP: DeputyByCap(bill)}
        self.service = Service(pd, roots=roots.get, endpoint=ENDPOINT, inbox=inbox)
        await self.service.open()

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A client asks."""
        return await self.service.protected(msg)
