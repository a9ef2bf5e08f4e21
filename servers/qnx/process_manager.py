"""The process manager: what becomes of clients whose server dies, and of those who do not want to wait any longer.

In QNX both are the kernel's. Here a program holds, for each server, a lifecycle cap, its faults, and a cap to receive
in its place; for each client, a session with the interface ``Timeouts``.

* A server that faults is destroyed. Who was REPLY-blocked on it is answered by that (``SERVER_DIED``, in the library
  ESRCH). Who was SEND-blocked still waits at its endpoint, which outlives it: the process manager receives them in its
  place, once now and then at each beat, and answers ESRCH, until somebody has started the server again.
* A timeout that has run out becomes a pulse to the server, which says which request is not wanted any more. The client
  waits until the server answers, as with ``_NTO_CHF_UNBLOCK``.
"""

from typing import Any, Final

from capkernel.protocols.client import Connection as StubConnection
from capkernel.protocols.client import connect
from capkernel.protocols.clocks import Timer
from capkernel.protocols.failures import Malformed, NotFound
from capkernel.protocols.interface import Interface
from capkernel.protocols.qnx_process import MAX_TIMEOUT_US, Timeouts
from capkernel.protocols.service import Service
from capkernel.user import lifecycle
from capkernel.user.loop import BASE_ENDPOINT_CAP, ENDPOINT_BADGE, MAX_CHANNELS, PD
from capkernel.user.messages import SharedRegion
from capkernel.user.syscalls import Message
from servers.drivers.deadlines import Deadline, Deadlines
from servers.qnx.channel import unblock_value
from servers.qnx.errors import Errno, QnxError, error_message
from servers.qnx.process_manifest import Client, ProcessManifest, Server, read_process_manifest
from servers.qnx.pulses import UNBLOCK, PulseSender

METRONOME, TIMER = 0, 1
"""Channels; those of clients and servers say the manifest."""
SPARE_REPLY: Final = 302


class ProcessManager:
    """What it knows of its servers; ``rings`` are where pulses to them go, in their order."""

    def __init__(self, pd: PD, known: ProcessManifest, rings: list[SharedRegion]) -> None:
        self.pd = pd
        self.known = known
        self.dead: list[Server] = []
        self.signals = 0
        self.senders = {
            server.name: PulseSender(pd, ring, server.channel)
            for server, ring in zip(known.servers, rings, strict=False)
        }

    async def died(self, child: int) -> None:
        """A server faulted: its clients go on."""
        for server in self.known.servers:
            if server.child == child:
                await lifecycle.destroy(self.pd.sys, server.lifecycle)
                self.dead.append(server)
        await self.bury()

    async def bury(self) -> None:
        """Answer those who wait for a server that is dead."""
        for server in list(self.dead):
            status = await lifecycle.status(self.pd.sys, server.lifecycle)
            if status.state is not lifecycle.State.DESTROYED:
                self.dead.remove(server)
            elif server.endpoint:
                await self._answer_all(server)

    async def _answer_all(self, server: Server) -> None:
        while True:
            message = await self.pd.sys.nbrecv(server.endpoint, SPARE_REPLY)
            if not message.badge:
                return
            if message.badge & ENDPOINT_BADGE:
                await self.pd.sys.send(SPARE_REPLY, error_message(Errno.ESRCH))
            else:
                # The signals that are bound to this thread come wherever it receives.
                self.signals |= message.badge

    async def unblock(self, client: Client, request: int) -> None:
        """Tell a server that a client does not want to wait any longer; if its ring is full, not."""
        sender = self.senders.get(client.server)
        if sender is not None:
            try:
                await sender.send(client.priority, UNBLOCK, unblock_value(client.connection, request))
            except QnxError:
                return


class Clock:
    """When whose wait ends: a timer's alarm is always set for the next of them."""

    def __init__(self, timer: Timer, manager: ProcessManager) -> None:
        self.timer = timer
        self.manager = manager
        self.deadlines = Deadlines()
        self._due: list[tuple[Client, int]] = []

    async def add(self, client: Client, request: int, us: int) -> Deadline:
        """A client waits for no more than so long."""
        moment = await self.timer.now() + us
        return self.deadlines.add(moment, lambda now: self._due.append((client, request)))

    async def look(self) -> None:
        """Let happen what is due, whoever made us look, and set the alarm."""
        now = await self.timer.now()
        self.deadlines.pass_to(now)
        if self.deadlines.next is not None:
            await self.timer.alarm(max(0, self.deadlines.next - now), 0)
        due, self._due = self._due, []
        for client, request in due:
            await self.manager.unblock(client, request)


class TimeoutsServant(Timeouts):
    """The timeouts of a client: of the request that it sends next."""

    def __init__(self, manager: ProcessManager, clock: Clock, channel: int) -> None:
        self.manager = manager
        self.clock = clock
        self.channel = channel
        self.deadline: Deadline | None = None

    async def arm(self, server: str, request: int, us: int) -> None:
        """Set it."""
        found = [c for c in self.manager.known.clients if (c.channel, c.server) == (self.channel, server)]
        if not found:
            raise NotFound(f"this client is not connected to a server {server!r}")
        if not 0 <= us <= MAX_TIMEOUT_US or not 0 <= request < 1 << 32:
            raise Malformed(f"a timeout is 0 to {MAX_TIMEOUT_US} microseconds, for a request of 32 bits")
        await self.disarm()
        self.deadline = await self.clock.add(found[0], request, us)
        await self.clock.look()

    async def disarm(self) -> None:
        """Forget it."""
        if self.deadline is not None:
            self.clock.deadlines.remove(self.deadline)
            self.deadline = None


class Program:
    """The process manager's hooks."""

    manifest: int = 0
    manifest_size: int = 0x1000
    pulses_0: int = 0
    pulses_1: int = 0
    pulses_size: int = 0x1000

    def __init__(self) -> None:
        self.manager: Any = None
        self.clock: Any = None
        self.service: Any = None
        self.servants: dict[int, TimeoutsServant] = {}

    async def init(self, pd: PD) -> None:
        """Read who is to be looked after."""
        text = (await pd.read(self.manifest, self.manifest_size)).rstrip(b"\0").decode()
        rings = [SharedRegion(vaddr, self.pulses_size) for vaddr in (self.pulses_0, self.pulses_1) if vaddr]
        self.manager = ProcessManager(pd, read_process_manifest(text), rings)
        if pd.values.pps >> TIMER & 1:
            self.clock = Clock(connect(Timer, StubConnection(pd.sys), BASE_ENDPOINT_CAP + TIMER), self.manager)
            for client in self.manager.known.clients:
                self.servants[client.channel] = TimeoutsServant(self.manager, self.clock, client.channel)
        self.service = Service(pd, roots=self._root)

    def _root(self, session: int) -> Interface | None:
        return self.servants.get(session)

    async def notified(self, pd: PD, ch: int) -> None:
        """A beat, or the alarm."""
        if ch == METRONOME:
            await self.manager.bury()
        elif ch == TIMER:
            await self.clock.look()
        await self._stray(pd)

    async def fault(self, pd: PD, child: int, msg: Message) -> bool:
        """A server came to grief; it never goes on where it was."""
        await self.manager.died(child)
        await self._stray(pd)
        return False

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A client asks."""
        return await self.service.protected(msg)

    async def _stray(self, pd: PD) -> None:
        """Signals that came while somebody else's endpoint was looked at."""
        signals, self.manager.signals = self.manager.signals, 0
        for channel in range(MAX_CHANNELS):
            if signals >> channel & 1 and channel == TIMER:
                await self.clock.look()
