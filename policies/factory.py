"""The server of factories (``protocols.confinement``): it knows of each cap that it hands to a process what it can do.

What it knows, it knows by itself or from a server that it trusts: a file to read is opened anew by the file server,
with READ alone, and what the builder had is given up; a factory of its own is recognised by its badge. All else is a
hole.
A process gets memory and time from this server's launcher, and no way to receive caps (``yard``). What is in factories
lies in slots that outlive this server, and is written down before any answer goes out (``factory_record``): who has a
cap to a factory has it in the next life, with the same certificate.

The program's text and the files may be changed by their owner afterwards: so something can come in at any time, and
nothing out. Covert channels are not looked at: how busy the file server is, how long the process takes, its exit code,
which goes to who asked for it.
"""

from typing import Any, Final

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.confinement import Certificate, Factories, Factory, Workshop
from capkernel.protocols.failures import AlreadyExists, Malformed, QuotaExceeded, Refused
from capkernel.protocols.files import Directory, File
from capkernel.protocols.interface import Cap, Interface
from capkernel.protocols.lasting import NOWHERE, Lockers, Slots
from capkernel.protocols.processes import Launcher, Process
from capkernel.protocols.service import Service
from capkernel.user.allocators import SlotAllocator
from capkernel.user.channel_names import NAME
from capkernel.user.inbox import Inbox
from capkernel.user.kept import KeptValue
from capkernel.user.loop import PD
from capkernel.user.messages import SharedRegion
from capkernel.user.syscalls import Message
from policies.factory_record import Kept, What, processes, restored, written
from policies.yard import OfParts, Parts, Yard

record: int = 0
record_size: int = 0x4_0000
"""Memory that lasts."""

SUPERVISOR, CLIENTS = 1, range(2, 10)
ENDPOINT, OWN_CNODE, FILES, LAUNCHER, FIRST_SLOT, END_SLOT = 300, 301, 310, 311, 320, 510
KEPT_SLOTS: Final = Slots(cnode=302, address=1 << 58, count=1024)
"""The granted CNode for what is in factories: in slot 302, at 1."""
MAX_COMPONENTS: Final = 16
MAX_HOLES: Final = 64
"""Of a factory, those of factories in it included. That there are so many may be more than a message can say."""
SHARE: Final = 100
"""Components in all factories of a client: those of all clients find room in the slots, and in the record."""
OBJECTS: Final = 64
"""That a client may have open."""


class FactoryServant(Factory, OfParts):
    """A sealed factory."""

    what = What.FACTORY

    def __init__(self, yard: Yard, parts: Parts) -> None:
        self.yard = yard
        self.parts = parts

    async def certificate(self) -> Certificate:
        """Its holes."""
        return Certificate(self.parts.outward, len(self.parts.names))

    async def create(self) -> Process:
        """A process."""
        return await self.yard.run(self.parts)


class WorkshopServant(Workshop, OfParts):
    """A factory that is being built."""

    what = What.WORKSHOP

    def __init__(self, yard: Yard, parts: Parts) -> None:
        self.yard = yard
        self.parts = parts

    async def _check(self, name: str | None = None) -> None:
        if self.parts.factory is not None:
            raise Refused("this factory is sealed")
        await self.yard.check(self.parts.owner)
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
        await self._check()
        self.parts.program = await self.yard.opened(file)

    async def file(self, name: str, file: File) -> None:
        """A file to read."""
        await self._check(name)
        self.parts.files[name] = await self.yard.opened(file)

    async def hole(self, name: str, cap: Cap) -> None:
        """A hole."""
        try:
            await self._check(name)
        except Exception:
            await self.yard.lockers.inbox.discard(cap)
            raise
        self.parts.holes[name] = await self.yard.lockers.put(cap)

    async def factory(self, name: str, factory: Factory) -> None:
        """A factory of this server's."""
        await self._check(name)
        below = genuine(factory).parts
        if len(self.parts.outward) + len(below.outward) > MAX_HOLES:
            raise QuotaExceeded(f"a certificate has at most {MAX_HOLES} holes")
        self.parts.factories[name] = below

    async def seal(self) -> Factory:
        """From now on it is as it is."""
        if self.parts.program == NOWHERE:
            raise Refused("there is no program in it")
        sealed = self.parts.factory
        if not isinstance(sealed, FactoryServant):
            sealed = self.parts.factory = FactoryServant(self.yard, self.parts)
        return sealed


class FactoriesServant(Factories):
    """Where factories are built, for the client of a session."""

    what = What.FACTORIES

    def __init__(self, yard: Yard, session: int) -> None:
        self.yard = yard
        self.session = session

    async def make(self) -> Workshop:
        """Another."""
        return WorkshopServant(self.yard, Parts(self.session))

    async def adopt(self, factory: Factory) -> Factory:
        """One that is known."""
        return genuine(factory)


def genuine(factory: Factory) -> FactoryServant:
    """A factory of this server's. Raises Malformed for somebody else's object, which is not asked."""
    if not isinstance(factory, FactoryServant):
        raise Malformed("this is no factory that is known here")
    return factory


class Premises:
    """The server's objects, and their record in memory that lasts."""

    def __init__(self, pd: PD, yard: Yard, region: SharedRegion) -> None:
        self.yard = yard
        self.clients: dict[int, Interface] = {session: FactoriesServant(yard, session) for session in CLIENTS}
        self.service = yard.service = Service(
            pd, roots=self._root, endpoint=ENDPOINT, inbox=yard.lockers.inbox, limit=OBJECTS, settle=self.settle
        )
        self._record = KeptValue(Kept, region)
        self._last: Kept | None = None

    async def open(self) -> None:
        """Go on where a former life was."""
        found = self._last = await self._record.load()
        if found is not None:
            self.yard.confined.update(processes(found))
            restored(found, self.service, self.clients.__getitem__, self._workshop, self._factory)
        await self.yard.lockers.open(self._slots())
        await self.service.open()

    async def settle(self) -> None:
        """Write down what has changed; then let go what is in factories that nobody has any more."""
        now = written(self.service, self.yard)
        if now != self._last:
            await self._record.save(now)
            self._last = now
        await self.yard.lockers.settle(self._slots())

    def _slots(self) -> list[int]:
        return [slot for parts in self.yard.alive for slot in parts.slots]

    def _root(self, session: int) -> Interface | None:
        return self.clients.get(session) or self.yard.confined.get(session)

    def _workshop(self, parts: Parts) -> WorkshopServant:
        return WorkshopServant(self.yard, parts)

    def _factory(self, parts: Parts) -> FactoryServant:
        return FactoryServant(self.yard, parts)


class Program:
    """The server."""

    def __init__(self) -> None:
        self.service: Any = None

    async def init(self, pd: PD) -> None:
        """Serve."""
        inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        connection = Connection(pd.sys, inbox)
        files, launcher = connect(Directory, connection, FILES), connect(Launcher, connection, LAUNCHER)
        yard = Yard(files, launcher, Lockers(inbox, KEPT_SLOTS), SHARE)
        premises = Premises(pd, yard, SharedRegion(record, record_size))
        await premises.open()
        self.service = premises.service

    async def notified(self, pd: PD, ch: int) -> None:
        """The supervisor wants a sign of life."""
        await pd.notify(SUPERVISOR)

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A builder asks, a requester, or a process."""
        return await self.service.protected(msg)
