"""Puts hostile translators on nodes of its own, and waits for somebody who looks there."""

from typing import Any, Final

from capkernel.protocols.files import READ, READ_WRITE
from capkernel.user.loop import PD
from servers.hurd.clients.user import BEAT, OTHER, Being

TRAPS: Final = {"tree": "hurd_endless", "mute": "hurd_mute"}
MEANWHILE: Final = 1
"""The beat at which it looks whether the file server serves others."""


class Program(Being):
    """The attacker."""

    def __init__(self) -> None:
        super().__init__()
        self.beats = 0

    async def init(self, pd: PD) -> None:
        """Set the traps."""
        await super().init(pd)
        user = self.user
        mine: Any = await (await user.home(READ)).underlying_directory("mallory", READ_WRITE)
        for place, (name, program) in enumerate(TRAPS.items(), 1):
            await (await mine.make_directory(name)).drop()
            await user.notes.tried(name, mine.attach(name, await user.start(place, mine, name, [program])))
        await pd.notify(OTHER)

    async def notified(self, pd: PD, ch: int) -> None:
        """The victim has come to its end; or a beat."""
        user = self.user
        if ch == BEAT:
            self.beats += 1
            if self.beats == MEANWHILE:
                theirs = await (await user.home(READ)).underlying_directory("alice", READ)
                await user.notes.tried("meanwhile", user.read(theirs, "greeting"))
            return
        usage = await user.starter.usage(user.uid)
        await user.notes.note("memory", usage.memory)
        await user.notes.note("objects", usage.objects)
        await user.notes.note("cpu_us", usage.cpu_us)
        await user.starter.stop(0)
        await user.notes.note("processes after", (await user.starter.usage(user.uid)).processes)
        await user.notes.over()
