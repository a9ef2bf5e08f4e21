"""What factories are made of, and how processes are made of that: their parts lie in slots that outlive the server."""

from collections.abc import Iterable, Iterator
from typing import Any

from attrs import define, field

from capkernel.protocols.client import Connection, Stub, connect
from capkernel.protocols.failures import QuotaExceeded
from capkernel.protocols.files import READ, Directory, File
from capkernel.protocols.interface import Cap, Interface
from capkernel.protocols.processes import Launcher, Process
from capkernel.protocols.spawn import spawn
from policies.lasting import NOWHERE, Lockers

PROCESSES = 64
"""The session of processes, to whom factories are given as components."""


@define(eq=False)
class Parts:
    """What is put into a factory by the client of session ``owner``.

    ``program``, ``files`` and ``holes`` are slots: of files that were opened for this server, and of anything else.
    ``factory`` is the object of the factory, once they are sealed.
    """

    owner: int
    program: int = NOWHERE
    files: dict[str, int] = field(factory=dict)
    holes: dict[str, int] = field(factory=dict)
    factories: "dict[str, Parts]" = field(factory=dict)
    factory: Interface | None = None

    @property
    def names(self) -> list[str]:
        """Of all components."""
        return [*self.files, *self.holes, *self.factories]

    @property
    def outward(self) -> list[str]:
        """The names of the holes, those of factories in it included."""
        below = [f"{name}/{hole}" for name, each in self.factories.items() for hole in each.outward]
        return [*self.holes, *below]

    @property
    def slots(self) -> list[int]:
        """Where its caps lie."""
        return [slot for slot in (self.program, *self.files.values(), *self.holes.values()) if slot != NOWHERE]


def with_parts_below(wanted: Iterable[Parts]) -> Iterator[Parts]:
    """Parts and those of the factories in them, each once, and after those in it."""
    seen: dict[int, Parts] = {}
    for parts in wanted:
        for each in [*with_parts_below(parts.factories.values()), parts]:
            if id(each) not in seen:
                seen[id(each)] = each
                yield each


class Yard:
    """What factories need: a trusted file server, a launcher, places for caps, a way to hand out caps to themselves.

    No client's factories may have more than ``share`` components together, programs included.
    """

    def __init__(self, files: Directory, launcher: Launcher, lockers: Lockers, share: int) -> None:
        self.files = files
        self.launcher = launcher
        self.lockers = lockers
        self.share = share
        self.connection = Connection(lockers.inbox.sys, lockers.inbox)
        self.service: Any = None
        self.alive: list[Parts] = []
        """Those that somebody has a cap to, and those below them."""

    def check(self, owner: int) -> None:
        """Raises QuotaExceeded if a client may put nothing more into factories."""
        count = sum(len(parts.names) + 1 for parts in self.alive if parts.owner == owner)
        if count >= self.share:
            raise QuotaExceeded(f"there are {count} components in this client's factories")

    async def opened(self, file: File) -> int:
        """Where a stranger's file is, opened anew to be read. Raises Malformed if it is not the trusted server's."""
        opened: Any = await self.files.adopt(file, READ)
        if isinstance(file, Stub):
            await file.forget()
        return await self.lockers.put(opened.cap)

    async def run(self, parts: Parts) -> Process:
        """A process with these parts and nothing else."""
        caps: dict[str, Any] = {}
        made: list[int] = []
        try:
            for name, slot in parts.files.items():
                caps[name] = await self._file(slot).derive()
            for name, below in parts.factories.items():
                made.append(await self._cap(below))
                caps[name] = Cap(made[-1])
            holes = {name: self.lockers.address(slot) for name, slot in parts.holes.items()}
            return await spawn(self.launcher, self._file(parts.program), [], {**caps, **holes}, name="confined")
        finally:
            for stub in caps.values():
                if isinstance(stub, Stub):
                    await stub.forget()
            for slot in made:
                await self.lockers.inbox.discard(slot)

    def _file(self, slot: int) -> File:
        """A file that was opened for this server."""
        return connect(File, self.connection, self.lockers.address(slot))

    async def _cap(self, parts: Parts) -> int:
        """A cap to a factory, for a process."""
        slot = self.lockers.inbox.slots.alloc()
        await self.service.mint(self.service.give(parts.factory, PROCESSES), slot)
        return slot
