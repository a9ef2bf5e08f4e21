"""The port server: ports, rights and messages for tasks (``protocols.mach_ports``).

    rights    what there is                            ports            the rules: which right goes where
    desk      waiting, time, caps of rights that go    configuration    what the description says of tasks
    store     the memory in which messages lie

A task is known by its channel, so it has as many lives as the domain behind it; between two of them whoever ends tasks
says so (``Host``). A right is an object behind a cap; its servant is gone when the right is.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.clocks import Timer
from capkernel.protocols.failures import Malformed, NotFound, NotPermitted, Unsupported, WrongKind
from capkernel.protocols.interface import Interface
from capkernel.protocols.mach_ports import (
    Host,
    Kind,
    MessageMemory,
    Outgoing,
    PortSet,
    PortStatus,
    Received,
    ReceiveRight,
    Right,
    RightInfo,
    SendOnceRight,
    SendRight,
    Task,
)
from capkernel.protocols.service import Service
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from capkernel.user.messages import SharedRegion
from capkernel.user.syscalls import Message
from servers.mach.configuration import SHARED, STRIDE, Configuration, read_configuration
from servers.mach.desk import Desk, Patience
from servers.mach.ports import check_limit
from servers.mach.rights import Held, Port, Space
from servers.mach.store import BLOCK, Purse, Store

TIMER, HOST = 0, 1
"""Channels; tasks have those that the table says."""
ENDPOINT, OWN_CNODE, FIRST_REPLY, REPLIES, FIRST_SLOT, END_SLOT = 300, 301, 310, 24, 400, 500
"""So many requests can wait at a time."""
S = TypeVar("S", bound="RightServant")
MAX_LISTED: Final = 30
MAX_KEY: Final = 32


class RightServant(Right):
    """A right, as its task has it."""

    def __init__(self, desk: Desk, held: Held) -> None:
        self.desk = desk
        self.held = held

    async def info(self) -> RightInfo:
        """What it is."""
        return self.held.info

    async def closed(self) -> None:
        """Nobody has a cap to it: it is given up."""
        self.desk.ports.release(self.held)


class SendServant(RightServant, SendRight):
    """A send right."""

    async def send(self, message: Outgoing, timeout_us: int, first: Right, second: Right, third: Right) -> None:
        """Queue a message."""
        await self.desk.send(self.held, message, timeout_us, _held(first, second, third), is_once=False)

    async def copy(self) -> SendRight:
        """Another one."""
        return _shown(self.desk, self.desk.ports.copy(self.held), SendServant)

    async def notify_dead(self, notify: SendOnceRight) -> None:
        """Tell when the port dies."""
        self.desk.ports.notify_dead(self.held, *_held(notify))


class SendOnceServant(RightServant, SendOnceRight):
    """A send-once right."""

    async def send(self, message: Outgoing, timeout_us: int, first: Right, second: Right, third: Right) -> None:
        """Queue the message."""
        await self.desk.send(self.held, message, timeout_us, _held(first, second, third), is_once=True)


class ReceiveServant(RightServant, ReceiveRight):
    """A receive right."""

    async def receive(self, max_bytes: int, timeout_us: int) -> Received:
        """The next message."""

        def find() -> Port | None:
            if self.held.port.port_set is not None:
                raise WrongKind("messages to this port are received through its port set")
            return self.held.port if self.held.port.queue else None

        return await self.desk.receive(self.held, find, max_bytes, timeout_us)

    async def make_send(self) -> SendRight:
        """A send right."""
        return _shown(self.desk, self.desk.ports.make(self.held, Kind.SEND), SendServant)

    async def make_send_once(self) -> SendOnceRight:
        """A send-once right."""
        return _shown(self.desk, self.desk.ports.make(self.held, Kind.SEND_ONCE), SendOnceServant)

    async def set_limit(self, limit: int) -> None:
        """Another limit."""
        check_limit(limit)
        self.held.port.limit = limit
        self.held.port.changed.notify()

    async def status(self) -> PortStatus:
        """How the port stands."""
        return self.held.port.status

    async def notify_no_senders(self, notify: SendOnceRight, made: int) -> None:
        """Tell when there are none."""
        (right,) = _held(notify)
        self.desk.ports.notify_no_senders(self.held, right, made)

    async def watch(self) -> None:
        """Signal."""
        if not self.desk.pd.values.notifications >> self.held.space.number & 1:
            raise Unsupported("this task has no channel that could be signalled")
        self.held.port.is_watched = True
        if self.held.port.queue:
            self.desk.ports.watched.add(self.held.space.number)


class SetServant(RightServant, PortSet):
    """A port set."""

    async def receive(self, max_bytes: int, timeout_us: int) -> Received:
        """The message that has waited longest."""

        def find() -> Port | None:
            ports = [member.port for member in self.held.members if member.port.queue]
            return min(ports, key=lambda port: port.queue[0].order, default=None)

        return await self.desk.receive(self.held, find, max_bytes, timeout_us)

    async def insert(self, right: ReceiveRight) -> None:
        """A member more."""
        self.desk.ports.join_set(self.held, *_held(right))

    async def remove(self, right: ReceiveRight) -> None:
        """A member less."""
        (member,) = _held(right)
        if member.port.port_set is not self.held:
            raise NotFound("this right is not in the set")
        self.desk.ports.leave_set(member.port)


def _shown(desk: Desk, held: Held, kind: Callable[[Desk, Held], S]) -> S:
    """The servant of a right: there is one, however often it is asked for."""
    return cast(S, desk.servants.setdefault(held, kind(desk, held)))


def _held(*rights: Right) -> list[Held]:
    """The rights behind servants. Raises Malformed for what is no right of this server's."""
    if not all(isinstance(right, RightServant) for right in rights):
        raise Malformed("that is no right of this port server's")
    return [right.held for right in rights if isinstance(right, RightServant)]


class TaskServant(Task):
    """A task's names."""

    def __init__(self, server: "PortServer", space: Space) -> None:
        self.server = server
        self.desk = server.desk
        self.space = space

    async def allocate(self, limit: int) -> ReceiveRight:
        """A port."""
        return _shown(self.desk, self.desk.ports.allocate(self.space, limit), ReceiveServant)

    async def allocate_set(self) -> PortSet:
        """A port set."""
        return _shown(self.desk, self.desk.ports.allocate_set(self.space), SetServant)

    async def send_right(self, name: int) -> SendRight:
        """By name."""
        return _shown(self.desk, self.space.find(name, Kind.SEND), SendServant)

    async def send_once_right(self, name: int) -> SendOnceRight:
        """By name."""
        return _shown(self.desk, self.space.find(name, Kind.SEND_ONCE), SendOnceServant)

    async def receive_right(self, name: int) -> ReceiveRight:
        """By name."""
        return _shown(self.desk, self.space.find(name, Kind.RECEIVE), ReceiveServant)

    async def names(self, after: int) -> list[RightInfo]:
        """The rights."""
        return [held.info for name, held in self.space.rights.items() if name > after][:MAX_LISTED]

    async def deallocate(self, name: int) -> None:
        """Give one up."""
        held = self.space.rights.get(name)
        if held is None:
            raise NotFound(f"the task has no right {name} (any more)")
        self.desk.ports.release(held)

    async def check_in(self, key: str, right: SendRight) -> None:
        """Offer a service."""
        if not 1 <= len(key) <= MAX_KEY:
            raise Malformed(f"a key has 1 to {MAX_KEY} characters")
        if self.server.configuration.services.get(key, self.space.number) != self.space.number:
            raise NotPermitted(f"{key!r} is another task's to check in")
        self.desk.ports.check_in(key, *_held(right))

    async def look_up(self, key: str, timeout_us: int) -> SendRight:
        """Find a service."""
        patience = Patience(self.desk, self.space, self.desk.ports.changed, timeout_us)
        try:
            while True:
                found = self.desk.ports.look_up(key, self.space)
                if found is not None:
                    return _shown(self.desk, found, SendServant)
                await patience.wait()
        finally:
            patience.end()

    async def memory(self) -> MessageMemory:
        """How it stands."""
        return self.space.purse.status

    async def terminate(self) -> None:
        """Give up everything."""
        self.server.end(self.space.number)


class HostServant(Host):
    """For whoever ends tasks."""

    def __init__(self, server: "PortServer") -> None:
        self.server = server

    async def task_ended(self, task: int) -> None:
        """It has no rights any more."""
        self._purse(task)
        self.server.end(task)

    async def memory(self, task: int) -> MessageMemory:
        """How it stands."""
        return self._purse(task).status

    def _purse(self, task: int) -> Purse:
        if task not in self.server.purses:
            raise NotFound(f"there is no task {task}")
        return self.server.purses[task]


class PortServer:
    """The tasks, each with its present space."""

    space = Space

    def __init__(self, desk: Desk, configuration: Configuration) -> None:
        self.desk = desk
        self.configuration = configuration
        self.purses = {task: Purse(size // BLOCK) for task, size in configuration.memory.items()}
        self.servants: dict[int, TaskServant] = {}
        self.host = HostServant(self)

    def root(self, session: int) -> Interface | None:
        """What a channel leads to."""
        if session == HOST:
            return self.host
        if session not in self.purses:
            return None
        if session not in self.servants:
            self.servants[session] = TaskServant(self, self.space(session, self.purses[session]))
        return self.servants[session]

    def end(self, task: int) -> None:
        """A task is over: its rights, and its caps."""
        servant = self.servants.pop(task, None)
        if servant is None:
            return
        self.desk.end(servant.space)
        if self.desk.service is not None:
            self.desk.service.revoke(servant)


class Program:
    """The hooks. ``tasks`` is where the table of tasks is, ``store`` the memory for messages."""

    tasks: int = 0
    tasks_size: int = 0x1000
    store: int = 0
    store_size: int = 0x4000
    server = PortServer
    service_kind = Service

    def __init__(self) -> None:
        self.desk: Any = None

    async def init(self, pd: PD) -> None:
        """Nobody has any rights yet."""
        pd.spare_replies.extend(range(FIRST_REPLY, FIRST_REPLY + REPLIES))
        text = (await pd.read(self.tasks, self.tasks_size)).rstrip(b"\0").decode()
        configuration = read_configuration(text, self.store_size)
        has_timer = pd.values.pps >> TIMER & 1
        timer = connect(Timer, Connection(pd.sys), BASE_ENDPOINT_CAP + TIMER) if has_timer else None
        self.desk = Desk(pd, Store(self.store, self.store_size // BLOCK), configuration.shared, timer)
        server = self.server(self.desk, configuration)
        regions = {task: SharedRegion(SHARED + task * STRIDE, size) for task, size in configuration.shared.items()}
        inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        self.desk.service = self.service_kind(pd, roots=server.root, endpoint=ENDPOINT, inbox=inbox, regions=regions)
        await self.desk.service.open()

    async def notified(self, pd: PD, ch: int) -> None:
        """Somebody's time is over."""
        await self.desk.tick()
        await self.desk.service.run_ready()
        await self.desk.settle()

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A task asks."""
        answer = await self.desk.service.protected(msg)
        await self.desk.service.run_ready()
        await self.desk.settle()
        return answer
