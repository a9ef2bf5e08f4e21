"""The server of factories (``protocols.confinement``): it knows of each cap that it hands to a process what it can do.

What it knows, it knows by itself or from a server that it trusts: a file to read is opened anew by the file server,
with READ alone, and what the builder had is given up; a factory of its own is recognised by its badge. All else is a
hole.
A process gets memory and time from this server's launcher, and no way to receive caps. Factories end with this server.

The program's text and the files may be changed by their owner afterwards: so something can come in at any time, and
nothing out. Covert channels are not looked at: how busy the file server is, how long the process takes, its exit code,
which goes to who asked for it.
"""

from typing import Any, Final

from attrs import define, field

from capkernel.protocols.client import Connection, Stub, connect
from capkernel.protocols.confinement import Certificate, Factories, Factory, Workshop
from capkernel.protocols.failures import AlreadyExists, Malformed, QuotaExceeded, Refused
from capkernel.protocols.files import READ, Directory, File
from capkernel.protocols.interface import Cap, Interface
from capkernel.protocols.processes import Launcher, Process
from capkernel.protocols.service import Service
from capkernel.protocols.spawn import spawn
from capkernel.user.allocators import SlotAllocator
from capkernel.user.channel_names import NAME
from capkernel.user.inbox import Inbox
from capkernel.user.loop import PD
from capkernel.user.syscalls import Message

SUPERVISOR, CLIENTS = 1, range(2, 10)
ENDPOINT, OWN_CNODE, FILES, LAUNCHER, FIRST_SLOT, END_SLOT = 300, 301, 310, 311, 320, 510
PROCESSES: Final = 64
"""The session of processes, to whom factories are given as components."""
MAX_COMPONENTS: Final = 16


@define
class Parts:
    """What is put into a factory. ``files`` were opened for this server, ``holes`` are addresses of caps."""

    program: Any = None
    files: dict[str, Any] = field(factory=dict)
    holes: dict[str, Cap] = field(factory=dict)
    factories: "dict[str, FactoryServant]" = field(factory=dict)
    is_sealed: bool = False

    @property
    def names(self) -> list[str]:
        """Of all components."""
        return [*self.files, *self.holes, *self.factories]

    @property
    def outward(self) -> list[str]:
        """The names of the holes, those of factories in it included."""
        below = [f"{name}/{hole}" for name, each in self.factories.items() for hole in each.parts.outward]
        return [*self.holes, *below]


class Yard:
    """What factories need: a trusted file server, a launcher, a way to hand out caps to themselves."""

    def __init__(self, files: Directory, launcher: Launcher, inbox: Inbox | None = None) -> None:
        self.files = files
        self.launcher = launcher
        self.inbox = inbox
        self.service: Any = None

    async def opened(self, file: File) -> File:
        """A file of a stranger's, opened anew to be read. Raises Malformed if it is none of the trusted server's."""
        opened = await self.files.adopt(file, READ)
        if isinstance(file, Stub):
            await file.forget()
        return opened

    async def run(self, parts: Parts) -> Process:
        """A process with these parts and nothing else."""
        caps: dict[str, Any] = {name: await file.derive() for name, file in parts.files.items()}
        made: list[int] = []
        try:
            for name, factory in parts.factories.items():
                made.append(await self._cap(factory))
                caps[name] = made[-1]
            return await spawn(self.launcher, parts.program, [], {**caps, **parts.holes}, name="confined")
        finally:
            for stub in caps.values():
                if isinstance(stub, Stub):
                    await stub.forget()
            for slot in made:
                if self.inbox is not None:
                    await self.inbox.discard(slot)

    async def _cap(self, factory: "FactoryServant") -> int:
        if self.inbox is None:
            raise Refused("there is no place to make a cap in")
        slot = self.inbox.slots.alloc()
        await self.service.mint(self.service.give(factory, PROCESSES), slot)
        return slot


class FactoryServant(Factory):
    """A sealed factory."""

    def __init__(self, yard: Yard, parts: Parts) -> None:
        self.yard = yard
        self.parts = parts

    async def certificate(self) -> Certificate:
        """Its holes."""
        return Certificate(self.parts.outward, len(self.parts.names))

    async def create(self) -> Process:
        """A process."""
        return await self.yard.run(self.parts)


class WorkshopServant(Workshop):
    """A factory that is being built."""

    def __init__(self, yard: Yard) -> None:
        self.yard = yard
        self.parts = Parts()
        self.sealed: FactoryServant | None = None

    def _check(self, name: str | None = None) -> None:
        if self.parts.is_sealed:
            raise Refused("this factory is sealed")
        if name is None:
            return
        if not NAME.fullmatch(name):
            raise Malformed(f"{name!r} is no name of 1 to 32 letters, digits, '-' and '_'")
        if name in self.parts.names:
            raise AlreadyExists(f"there is a {name} already")
        if len(self.parts.names) == MAX_COMPONENTS:
            raise QuotaExceeded(f"a factory has at most {MAX_COMPONENTS} components")

    async def program(self, file: File) -> None:
        """Its program."""
        self._check()
        self.parts.program = await self.yard.opened(file)

    async def file(self, name: str, file: File) -> None:
        """A file to read."""
        self._check(name)
        self.parts.files[name] = await self.yard.opened(file)

    async def hole(self, name: str, cap: Cap) -> None:
        """A hole."""
        try:
            self._check(name)
        except Exception:
            if self.yard.inbox is not None:
                await self.yard.inbox.discard(cap)
            raise
        self.parts.holes[name] = cap

    async def factory(self, name: str, factory: Factory) -> None:
        """A factory of this server's."""
        self._check(name)
        self.parts.factories[name] = genuine(factory)

    async def seal(self) -> Factory:
        """From now on it is as it is."""
        if self.parts.program is None:
            raise Refused("there is no program in it")
        self.parts.is_sealed = True
        self.sealed = self.sealed or FactoryServant(self.yard, self.parts)
        return self.sealed


class FactoriesServant(Factories):
    """Where factories are built, for one client."""

    def __init__(self, yard: Yard) -> None:
        self.yard = yard

    async def make(self) -> Workshop:
        """Another."""
        return WorkshopServant(self.yard)

    async def adopt(self, factory: Factory) -> Factory:
        """One that is known."""
        return genuine(factory)


class Processes(Interface):
    """The root of the session of processes: nobody has a cap to it."""


def genuine(factory: Factory) -> FactoryServant:
    """A factory of this server's. Raises Malformed for somebody else's object, which is not asked."""
    if not isinstance(factory, FactoryServant):
        raise Malformed("this is no factory that is known here")
    return factory


class Program:
    """The server."""

    def __init__(self) -> None:
        self.service: Any = None

    async def init(self, pd: PD) -> None:
        """Serve."""
        inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        connection = Connection(pd.sys, inbox)
        launcher = connect(Launcher, connection, LAUNCHER)
        yard = Yard(connect(Directory, connection, FILES), launcher, inbox)
        roots: dict[int, Interface] = {channel: FactoriesServant(yard) for channel in CLIENTS}
        roots[PROCESSES] = Processes()
        self.service = yard.service = Service(pd, roots=roots.get, endpoint=ENDPOINT, inbox=inbox)
        await self.service.open()

    async def notified(self, pd: PD, ch: int) -> None:
        """The supervisor wants a sign of life."""
        await pd.notify(SUPERVISOR)

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A builder asks, a requester, or a process."""
        return await self.service.protected(msg)
