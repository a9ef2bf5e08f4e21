"""The system of policies with clients whose stories are a test's: alice, bob and mallory ask, the operator rules."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from capkernel.protocols.audit import AuditReader
from capkernel.protocols.brokering import ALL_RIGHTS, Broker, Grant, PolicyControl
from capkernel.protocols.client import Connection, connect
from capkernel.protocols.clocks import Timer
from capkernel.protocols.failures import ServerDied
from capkernel.protocols.files import Directory
from capkernel.tools.demo.stage import Stage
from capkernel.tools.inject import Fault
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from capkernel.user.messages import SharedRegion
from hwmodel.virtio import virtio_rng

HERE = Path(__file__).parent
BROKER, TIMER, TRAIL = 0, 1, 2
"""Channels of the clients."""
SUBJECTS, OPERATOR = ("alice", "bob", "mallory"), "operator"
TRIES = 20


class Person:
    """A client, and what it has."""

    def __init__(self, pd: PD, stage: Stage, region: int) -> None:
        self.pd = pd
        self.stage = stage
        self.inbox = Inbox(pd.sys, SlotAllocator(301, 400, 500))
        self.connection = Connection(pd.sys, self.inbox)
        shared = Connection(pd.sys, self.inbox, SharedRegion(region, 0x1000)) if region else self.connection
        self.broker: Any = self.at(Broker, BROKER)
        self.control: Any = connect(PolicyControl, shared, BASE_ENDPOINT_CAP + BROKER)
        self.timer: Any = self.at(Timer, TIMER)
        self.trail: Any = self.at(AuditReader, TRAIL)

    def at(self, interface: Any, channel: int) -> Any:
        return connect(interface, self.connection, BASE_ENDPOINT_CAP + channel)

    async def patiently(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        """Ask again if a server died meanwhile."""
        for _ in range(TRIES):
            try:
                return await ask()
            except ServerDied:
                continue
        raise AssertionError("it dies again and again")

    async def directory(self, grant: Grant) -> Any:
        """What was granted, as a directory."""
        return connect(Directory, self.connection, await grant.access(), is_owned=True)

    async def have(self, service: str, rights: int = ALL_RIGHTS, us: int = 20_000, purpose: str = "work") -> Any:
        """A grant, and the directory."""
        grant = await self.broker.request(service, rights, purpose, us)
        return grant, await self.directory(grant)

    async def read_trail(self) -> str:
        """The whole audit trail. For the operator."""
        data, info = b"", await self.trail.info()
        while len(data) < info.size:
            data += await self.trail.read(len(data), 700)
        return data.decode()


Story = Callable[[Person], Awaitable[None]]
_STORIES: dict[str, Story] = {}
_ENDED: set[str] = set()
_STAGE: list[Stage] = []


async def play_story(pd: PD, region: int) -> None:
    """What the programs of the clients do."""
    if pd.name in _STORIES:
        await _STORIES[pd.name](Person(pd, _STAGE[0], region))
        _ENDED.add(pd.name)


def play(
    *, longest_us: int = 500_000, faults: tuple[Fault, ...] = (), others: Mapping[str, str] | None = None,
    **stories: Story,
) -> Stage:  # fmt: skip
    """Play stories by the names of the clients, until all have come to their end; ``others`` have other programs."""
    _STORIES.clear()
    _STORIES.update(stories)
    _ENDED.clear()
    programs = dict.fromkeys((*SUBJECTS, OPERATOR), "story.elf") | dict(others or {})
    stage = Stage(
        "policies", variant=str(HERE / "clients"), programs=programs, faults=faults,
        devices={"virtio1": virtio_rng(seed=1)},
    )  # fmt: skip
    _STAGE[:] = [stage]
    stage.run_until(lambda: set(stories) == _ENDED or bool(stage.system.crashes), longest_us, 2_000)
    run = stage.run(time_us=100)
    # A fault that is injected is none of a program's own: those are what is looked for.
    assert not run.crashes, run.crashes[0]
    assert set(stories) == _ENDED, f"{set(stories) - _ENDED} did not come to their end\n{run.output[-2000:]}"
    return stage


def program(stage: Stage, name: str) -> Any:
    """The object of a domain's program."""
    source: Any = stage.system.cpu.program_of(stage.system.threads[name])
    return source.cr_frame.f_locals["hooks"]
