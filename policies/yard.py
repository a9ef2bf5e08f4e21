"""What factories are made of, and how processes are made of that: their parts lie in slots that outlive the server."""

from collections.abc import Iterable
from contextlib import suppress
from itertools import count
from typing import Any, Final

from attrs import define, field

from capkernel.protocols.again import insist
from capkernel.protocols.client import Connection, Stub, connect
from capkernel.protocols.failures import Failure, Gone, QuotaExceeded, ServerDied
from capkernel.protocols.files import READ, Directory, File
from capkernel.protocols.interface import Cap, Interface
from capkernel.protocols.lasting import NOWHERE, Lockers
from capkernel.protocols.processes import Launcher, Process
from capkernel.protocols.service import FIRST_OPENED, Entry
from capkernel.protocols.spawn import give_up, spawn

TRIES: Final = 3
"""How often a process is begun anew whose server dies."""


class OfParts:
    """An object that is about parts: a workshop, a factory."""

    parts: "Parts"


class Confined(Interface):
    """The root of the session of a process that has factories as components: nobody has a cap to it.

    ``process`` is its number, as the process server has it; 0 while it is being made.
    """

    def __init__(self, process: int = 0) -> None:
        self.process = process


@define(eq=False)
class Parts:
    """What is put into a factory by the client of session ``owner``.

    ``program``, ``files`` and ``holes`` are slots: of files that were opened for this server, and of anything else.
    ``factory`` is the object of the factory, once they are sealed, and ``certified`` what it says of its holes.
    """

    owner: int
    program: int = NOWHERE
    files: dict[str, int] = field(factory=dict)
    holes: dict[str, int] = field(factory=dict)
    factories: "dict[str, Parts]" = field(factory=dict)
    factory: Interface | None = None
    certified: list[str] | None = None

    @property
    def names(self) -> list[str]:
        """Of all components."""
        return [*self.files, *self.holes, *self.factories]

    @property
    def outward(self) -> list[str]:
        """The names of the holes, those of factories in it included: what is sealed is looked through once."""
        if self.certified is not None:
            return self.certified
        below = [f"{name}/{hole}" for name, each in self.factories.items() for hole in each.outward]
        found = [*self.holes, *below]
        if self.factory is not None:
            self.certified = found
        return found

    @property
    def slots(self) -> list[int]:
        """Where its caps lie."""
        return [slot for slot in (self.program, *self.files.values(), *self.holes.values()) if slot != NOWHERE]


def with_parts_below(wanted: Iterable[Parts]) -> list[Parts]:
    """Parts and those of the factories in them, each once, and after those in it."""
    found: dict[int, Parts] = {}
    for parts in wanted:
        _gather(parts, found)
    return list(found.values())


def _gather(parts: Parts, found: dict[int, Parts]) -> None:
    if id(parts) not in found:
        for each in parts.factories.values():
            _gather(each, found)
        found[id(parts)] = parts


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
        self.confined: dict[int, Confined] = {}
        """By session, the processes that have factories as components: what each does counts for itself."""

    @property
    def alive(self) -> list[Parts]:
        """Those that somebody has a cap to, and those below them, which come first."""
        return with_parts_below(
            each.servant.parts for each in self.service.entries() if isinstance(each.servant, OfParts)
        )

    async def check(self, owner: int) -> None:
        """Raises QuotaExceeded if a client may put nothing more into factories."""
        if self._count(owner) < self.share:
            return
        await self.tidy()
        found = self._count(owner)
        if found >= self.share:
            raise QuotaExceeded(f"there are {found} components in this client's factories")

    def _count(self, owner: int) -> int:
        """The components of a client's factories, programs included."""
        return sum(len(parts.names) + 1 for parts in self.alive if parts.owner == owner)

    async def tidy(self) -> None:
        """Close what processes had that have ended. Raises what the process server answers."""
        if not self.confined:
            return
        running: set[int] = set()
        while found := await self.launcher.processes(max(running, default=0)):
            running.update(each.number for each in found)
        for session in [session for session, each in self.confined.items() if each.process not in running]:
            self._close(session)

    def _close(self, session: int) -> None:
        """Nobody is in a session any more."""
        self.service.revoke(self.confined.pop(session))

    async def opened(self, file: File) -> int:
        """Where a stranger's file is, opened anew to be read. Raises Malformed if it is not the trusted server's."""
        opened: Any = await self.files.adopt(file, READ)
        if isinstance(file, Stub):
            await file.forget()
        return await self.lockers.put(opened.cap)

    async def run(self, parts: Parts) -> Process:
        """A process with these parts and nothing else."""
        if not parts.factories:
            return await self._made(parts, {})
        await self.tidy()
        session = next(number for number in count(FIRST_OPENED) if number not in self.confined)
        self.confined[session] = confined = Confined()
        try:
            below = {name: self.service.give(each.factory, session) for name, each in parts.factories.items()}
            process = await self._made(parts, below)
            number = await _number(process)
        except Exception:
            self._close(session)
            raise
        # Who has a number that is given out again was a process of a process server that has died.
        for former in [former for former, each in self.confined.items() if each.process == number]:
            self._close(former)
        confined.process = number
        return process

    async def _made(self, parts: Parts, below: dict[str, Entry]) -> Process:
        """A process with files, holes, and caps to the factories in it."""
        caps: dict[str, Any] = {}
        made: list[int] = []
        try:
            for name, slot in parts.files.items():
                caps[name] = await self._file(slot).derive()
            for name, entry in below.items():
                made.append(await self._minted(entry))
                caps[name] = Cap(made[-1])
            holes = {name: self.lockers.address(slot) for name, slot in parts.holes.items()}
            return await self._spawned(parts, {**caps, **holes})
        finally:
            for stub in caps.values():
                if isinstance(stub, Stub):
                    await stub.forget()
            for slot in made:
                await self.lockers.inbox.discard(slot)

    async def _spawned(self, parts: Parts, caps: dict[str, Any]) -> Process:
        """A process with these caps; begun anew if the process server dies over it, which leaves nothing."""
        for _ in range(TRIES):
            with suppress(ServerDied, Gone):
                return await spawn(self.launcher, self._file(parts.program), [], caps, name="confined")
        return await spawn(self.launcher, self._file(parts.program), [], caps, name="confined")

    def _file(self, slot: int) -> File:
        """A file that was opened for this server."""
        return connect(File, self.connection, self.lockers.address(slot))

    async def _minted(self, entry: Entry) -> int:
        """A cap to a factory, for a process."""
        slot = self.lockers.inbox.slots.alloc()
        await self.service.mint(entry, slot)
        return slot


async def _number(process: Process) -> int:
    """The number of a process; if it cannot be told the cap is given up."""
    try:
        info = await insist(process.info)
    except Failure:
        await give_up(process)
        raise
    return 0 if info is None else info.number
