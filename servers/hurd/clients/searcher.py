"""Looks through others' directories: in processes of its own, within limits, and only for so long."""

from typing import Any, Final

from capkernel.protocols.files import READ, READ_WRITE
from capkernel.protocols.interface import Cap
from capkernel.protocols.spawn import spawn
from capkernel.user.loop import PD
from servers.hurd.clients.user import BEAT, ENDED, NOTIFICATION, OTHER, Being
from servers.hurd.proving import given_up

TARGETS: Final = ("tree", "mute")
NODES, DEPTH = 40, 5
PATIENCE: Final = 3
"""Beats."""


class Program(Being):
    """The client."""

    def __init__(self) -> None:
        super().__init__()
        self.home: Any = None
        self.search: Any = None
        self.output: Any = None
        self.beats = 0
        self.begun = 0
        self.targets = list(TARGETS)

    async def init(self, pd: PD) -> None:
        """Be somebody."""
        await super().init(pd)
        self.home = await (await self.user.home(READ)).underlying_directory("alice", READ_WRITE)

    async def notified(self, pd: PD, ch: int) -> None:
        """The traps are set; or the search has ended; or it is a beat."""
        if ch == OTHER and self.search is None:
            await self.begin()
        elif self.search is not None and ch == ENDED:
            await self.finish()
        elif self.search is not None and ch == BEAT:
            self.beats += 1
            if self.beats > PATIENCE:
                await self.search.kill()
                await self.finish()

    async def begin(self) -> None:
        """Look through the next directory. To look the name up is to ask the file server, not who is behind it."""
        user, self.beats, self.begun = self.user, 0, await self.user.pd.clock()
        theirs: Any = await (await user.home(READ)).underlying_directory("mallory", READ)
        target: Any = await theirs.directory(self.targets[0], READ)
        program: Any = await user.programs.open("hurd_find", READ)
        self.output = await self.home.create(f"found in {self.targets[0]}")
        caps = {"dir": target, "output": await self.output.derive()}
        self.search = await spawn(
            user.launcher, program, ["find", str(NODES), str(DEPTH)], caps, name="find", slots=True
        )
        await self.search.watch(Cap(NOTIFICATION))
        await user.notes.note(f"{self.targets[0]} memory", (await user.launcher.quota()).memory_taken)
        await given_up(program)
        # Not dropped, which would be to ask whoever is behind it.
        await target.forget()

    async def finish(self) -> None:
        """It is over, in one way or the other."""
        notes, name = self.user.notes, self.targets.pop(0)
        search, self.search = self.search, None
        await notes.note(f"{name} ended", (await search.status()).state.value)
        await notes.note(f"{name} cpu_us", (await search.info()).cpu_us)
        await notes.note(f"{name} us", (await self.user.pd.clock() - self.begun) // 10)
        await notes.tried(f"{name} found", self.output.read(0, 64))
        await search.drop()
        await self.output.drop()
        if self.targets:
            await self.begin()
            return
        await notes.note("memory left", (await self.user.launcher.quota()).memory_taken)
        await notes.over()
        await self.user.pd.notify(OTHER)
