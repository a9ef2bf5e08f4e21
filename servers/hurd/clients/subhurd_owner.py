"""A user without privileges runs a subhurd out of its own quota, and waits for its end."""

from typing import Any

from capkernel.protocols.files import READ
from capkernel.protocols.interface import Cap
from capkernel.protocols.spawn import Share, spawn
from capkernel.user.loop import PD
from servers.hurd.clients import subhurd_none
from servers.hurd.clients.user import ENDED, NOTIFICATION

MEMORY, PROCESSES, ACCOUNT = 0x6_0000, 4, 0x8000
"""Of its quota, what the subhurd may have besides its first process."""


class Program(subhurd_none.Program):
    """The client."""

    def __init__(self) -> None:
        super().__init__()
        self.subhurd: Any = None
        self.account: Any = None

    async def caps(self) -> dict[str, Any]:
        """What the subhurd is given besides its quota."""
        return {}

    async def begin(self) -> None:
        """Boot it."""
        user = self.user
        self.account = await user.account.split(1, ACCOUNT)
        caps = {
            "launcher": Share(MEMORY, PROCESSES), "account": self.account, "programs": await user.programs.derive(),
            **await self.caps(),
        }  # fmt: skip
        program = await user.programs.open("hurd_subhurd", READ)
        self.subhurd = await spawn(user.launcher, program, ["subhurd"], caps, slots=True)
        await self.subhurd.watch(Cap(NOTIFICATION))

    async def notified(self, pd: PD, ch: int) -> None:
        """It has ended; or a beat."""
        if ch != ENDED or self.subhurd is None:
            return
        status = await self.subhurd.status()
        await self.user.notes.note("ended", status.state.value)
        await self.user.notes.note("code", status.code)
        await self.subhurd.drop()
        self.subhurd = None
        await self.account.close()
        left = (await self.user.launcher.quota()).memory_taken, (await self.user.account.info()).given
        await self.user.notes.note("left", left)
        await self.user.notes.over()
