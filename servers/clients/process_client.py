"""Starts processes, waits for them, and reports what came of it."""

from typing import Any

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.files import Directory, File
from capkernel.protocols.memory import Account
from capkernel.protocols.processes import Launcher
from capkernel.protocols.spawn import spawn
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD

report: int = 0

LAUNCHER, FILES, MEMORY = 0, 1, 2
OWN_CNODE, FIRST_SLOT, END_SLOT = 301, 400, 500
DONE = 0


class Program:
    """The client."""

    def __init__(self) -> None:
        self.root: Any = None

    async def init(self, pd: PD) -> None:
        """One after the other."""
        connection = Connection(pd.sys, Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT)))
        launcher = connect(Launcher, connection, BASE_ENDPOINT_CAP + LAUNCHER)
        self.root = connect(Directory, connection, BASE_ENDPOINT_CAP + FILES)
        account = connect(Account, connection, BASE_ENDPOINT_CAP + MEMORY)
        await pd.print(f"{await launcher.quota()} {await account.info()}\n")
        file = await self.program("greeter")
        child = await spawn(launcher, file, ["hello", "world"])
        await pd.print(f"{await child.wait()}\n")
        await child.drop()
        await pd.print(f"{await launcher.quota()}\n")
        await pd.store(report + DONE, 1)

    async def program(self, name: str) -> File:
        """A file that names an installed program."""
        file: File = await self.root.create(name)
        await file.write(0, f"#!capkernel {name}\n".encode())
        return file
