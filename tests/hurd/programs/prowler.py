"""Tries again and again to get at what is another's, in the hope that a server is not itself for a moment."""

from collections.abc import Awaitable
from typing import Any

from capkernel.protocols.failures import Failure
from capkernel.protocols.files import READ, READ_WRITE
from capkernel.protocols.hurd_auth import Ids
from capkernel.user.loop import PD
from servers.hurd.clients.attacker import Attacker
from servers.hurd.clients.user import User

ROUNDS = 25
PAUSE = 5_000


class Program(Attacker):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    async def init(self, pd: PD) -> None:
        self.user = User(pd, self.report)

    async def attack(self) -> None:
        for _ in range(ROUNDS):
            await self.tried(self.prowl())
            await self.user.pd.compute(PAUSE)
        await self.user.notes.note("seen", ", ".join(sorted(self.seen)))

    async def prowl(self) -> None:
        user = self.user
        await user.log_in()
        self.seen.add(str((await user.root.ids()).uids))
        home = await user.home(READ)
        theirs: Any = await home.underlying_directory("alice", READ)
        await self.tried(user.read(theirs, "diary"))
        await self.tried(home.underlying_directory("alice", READ_WRITE))
        await self.tried(theirs.underlying("diary", READ))
        await self.tried(theirs.set_passive("quiet", []))
        await self.tried(user.auth.make(Ids((1000,))))

    async def tried(self, attempt: Awaitable[Any]) -> None:
        try:
            found = await attempt
        except Failure as failure:
            self.seen.add(type(failure).__name__)
        else:
            if found is not None:
                self.seen.add(f"got {found!r}")
