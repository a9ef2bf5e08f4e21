"""The system of processes with a client, and processes, whose programs are functions of a test."""

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.files import Directory, File
from capkernel.protocols.memory import Account
from capkernel.protocols.processes import Launcher, Process
from capkernel.protocols.spawn import spawn
from capkernel.runtime import programs
from capkernel.system.images import spawnable_programs
from capkernel.tools.demo.stage import Stage
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from specs.sampling import Sampler

HERE = Path(__file__).parent
CLIENTS = HERE / "process_clients"
LAUNCHER, FILES, MEMORY, PAGER = 0, 1, 2, 3
MAINS: dict[str, Callable[..., Awaitable[int]]] = {}
_STORY: list[Callable[["World"], Awaitable[None]]] = []
_ENDED: list[bool] = []


class World:
    """What the client has."""

    def __init__(self, pd: PD, stage: Stage) -> None:
        self.pd = pd
        self.stage = stage
        self.connection = Connection(pd.sys, Inbox(pd.sys, SlotAllocator(301, 400, 500)))
        self.launcher = self.at(Launcher, LAUNCHER)
        self.files = self.at(Directory, FILES)
        self.account = self.at(Account, MEMORY)

    def at(self, interface: Any, channel: int) -> Any:
        return connect(interface, self.connection, BASE_ENDPOINT_CAP + channel)

    async def file(self, name: str, content: bytes) -> File:
        file = await self.files.create(name)
        for at in range(0, len(content), 512):
            await file.write(at, content[at : at + 512])
        return file

    async def puppet(self) -> File:
        """The program whose main is a test's."""
        return await self.file("puppet", b"#!capkernel puppet\n")

    async def spawn(self, program: File, *arguments: str, launcher: Any = None, **options: Any) -> Process:
        return await spawn(launcher or self.launcher, program, list(arguments), **options)


async def play_client(pd: PD) -> None:
    await _STORY[0](World(pd, _STAGES[0]))
    _ENDED.append(True)


_STAGES: list[Stage] = []


def play(
    monkeypatch: Any, story: Callable[[World], Awaitable[None]], *, longest_us: int = 2_000_000, every: int = 0,
    watch: Callable[[Stage], None] | None = None, variant: Path = CLIENTS, devices: Any = None,
    **mains: Callable[..., Awaitable[int]],
) -> Stage:  # fmt: skip
    """Play a client's story; ``mains`` are what processes do. Nobody but a process may come to grief.

    ``variant`` is a directory with the client, and perhaps with another description of the system.
    """
    installed = {**spawnable_programs(), "puppet": HERE / "puppet.py"}
    monkeypatch.setattr(programs, "spawnable_programs", lambda: installed)
    MAINS.clear()
    MAINS.update(mains)
    _STORY[:], _ENDED[:] = [story], []
    stage = Stage("processes", variant=str(variant), programs={"client": "story_client.elf"}, devices=devices)
    _STAGES[:] = [stage]
    if watch is not None:
        watch(stage)
    stage.booted.boot()
    sampler = Sampler(stage.system.loop, stage.system.machine, every) if every else None
    stage.run_until(lambda: bool(_ENDED) or bool(stage.system.faults), longest_us, slice_us=2_000)
    run = stage.run(time_us=100)
    crashes = [crash for crash in run.crashes if not re.search(r"tests/servers/puppet.py|servers/programs", crash)]
    assert not crashes, crashes[0]
    assert not run.faults, run.faults
    assert "of no use" not in run.output, run.output[-2000:]
    assert _ENDED, f"the client did not come to its end\n{run.output[-2000:]}"
    assert sampler is None or (sampler.checked and not sampler.violations), sampler.violations
    return stage
