"""What the port server's objects share: the ports, the memory for messages, the time, and who waits for what."""

from collections.abc import Callable
from typing import Any, Final, Protocol

from capkernel.protocols.failures import Gone, Malformed, TimedOut, TooLarge, Unsupported
from capkernel.protocols.mach_ports import FOREVER, MAX_INLINE, Disposition, Outgoing, Received
from capkernel.protocols.service import Service
from capkernel.user.loop import PD
from capkernel.user.tasks import Condition
from servers.drivers.deadlines import Deadlines
from servers.mach.ports import Ports, check_alive
from servers.mach.rights import Held, Letter, Port, Space
from servers.mach.store import Store, blocks_for

MAX_US: Final = 3600 * 10**6
"""The longest time-out."""
ROOM_FOR_THE_REST: Final = 512
"""Bytes of shared memory that a message's data leaves for what else is in it."""


class Alarm(Protocol):
    """Where the time comes from (``protocols.clocks.Timer``)."""

    async def now(self) -> int:
        """Microseconds."""
        ...

    async def alarm(self, after_us: int, period_us: int) -> None:
        """Signal later."""
        ...


class Desk:
    """All of it. ``shared`` is how many bytes each task shares with the server."""

    def __init__(self, pd: PD, store: Store, shared: dict[int, int], timer: Alarm | None) -> None:
        self.pd = pd
        self.store = store
        self.shared = shared
        self.timer = timer
        self.ports = Ports(store.give_back)
        self.deadlines = Deadlines()
        self.patient: list[Patience] = []
        self.servants: dict[Held, Any] = {}
        self.service: Service | None = None

    def largest(self, space: Space) -> int:
        """Bytes of data that a message of a task, or to it, may have."""
        return max(MAX_INLINE, self.shared.get(space.number, 0) - ROOM_FOR_THE_REST)

    # Messages

    async def send(self, held: Held, message: Outgoing, timeout_us: int, places: list[Held], *, is_once: bool) -> None:
        """Queue a message, or change nothing. Raises as ``SendRight.send`` says."""
        port, size = held.port, len(message.data)
        if len(message.parts) > len(places):
            raise Malformed(f"a message has at most {len(places)} rights, not {len(message.parts)}")
        if message.has_reply and (not message.parts or message.parts[0] in _NO_REPLY):
            raise Malformed("the right for an answer is the first, and a send or send-once right")
        parts = list(zip(message.parts, places, strict=False))
        patience = Patience(self, held.space, port.changed, timeout_us)
        ticket = object()
        port.sending.append(ticket)
        try:
            while True:
                self._check(held)
                check_alive(port)
                self.ports.check_parts(port, [*parts, *([(Disposition.MOVE_SEND_ONCE, held)] if is_once else [])])
                if blocks_for(size) > port.owner.quota:
                    raise TooLarge(f"the port's owner has {port.owner.status.quota} bytes in all")
                is_next = is_once or port.sending[0] is ticket
                if is_next and self.ports.has_room(port, size, parts, is_once=is_once):
                    break
                await patience.wait()
        finally:
            port.sending.remove(ticket)
            patience.end()
            port.changed.notify()
        await self._commit(held, message, parts, is_once=is_once)

    async def _commit(
        self, held: Held, message: Outgoing, parts: list[tuple[Disposition, Held]], *, is_once: bool
    ) -> None:
        """From here on nothing can fail: all rights go into the message, in one step."""
        port = held.port
        port.charge(blocks_for(len(message.data)) - is_once)
        letter = Letter(message.id, len(message.data), await self.store.put(message.data))
        if is_once:
            self.ports.use_up(self.ports.detach(Disposition.MOVE_SEND_ONCE, held))
        carried = [self.ports.detach(disposition, part) for disposition, part in parts]
        if message.has_reply:
            letter.reply = carried.pop(0)
        letter.rights = carried
        self.ports.put(port, letter)

    async def receive(self, held: Held, find: Callable[[], Port | None], max_bytes: int, timeout_us: int) -> Received:
        """The next message of the port that is found. Raises as ``ReceiveRight.receive`` says."""
        if max_bytes < 0:
            raise Malformed(f"a message has 0 bytes or more, not {max_bytes}")
        patience = Patience(self, held.space, held.port.changed, timeout_us)
        waiting = held.port.receiving
        ticket = object()
        waiting.append(ticket)
        try:
            while True:
                self._check(held)
                port = find()
                if port is not None and waiting[0] is ticket:
                    break
                await patience.wait()
        finally:
            waiting.remove(ticket)
            patience.end()
            held.port.changed.notify()
        letter = port.queue[0]
        if letter.size > min(max_bytes, self.largest(held.space)):
            raise TooLarge(f"the message has {letter.size} bytes; it stays queued")
        self.ports.check_room(held.space, letter)
        data = await self.store.get(letter.blocks, letter.size)
        local = port.held.name if port.held else 0
        _, reply, rights = self.ports.take(port, held.space)
        self.store.give_back(letter.blocks)
        return Received(letter.id, data, letter.subject, local, letter.sequence, reply, rights)

    def _check(self, held: Held) -> None:
        if not held.is_held:
            raise Gone("the right was given up, or sent away")

    # Time

    async def set_alarm(self) -> None:
        """Have the next deadline told."""
        if self.timer is not None and self.deadlines.next is not None:
            await self.timer.alarm(max(0, self.deadlines.next - await self.timer.now()), 0)

    async def tick(self) -> None:
        """Those whose time is over go on."""
        if self.timer is not None:
            self.deadlines.pass_to(await self.timer.now())
            await self.set_alarm()

    # Ends

    def end(self, space: Space) -> None:
        """A task is over; those of its requests that still wait are not served."""
        self.ports.end(space)
        for patience in self.patient:
            patience.changed.notify()

    async def settle(self) -> None:
        """Close the caps of rights that are not there any more, and signal those who asked for it."""
        lost, self.ports.lost = self.ports.lost, []
        for held in lost:
            servant = self.servants.pop(held, None)
            if servant is not None and self.service is not None:
                self.service.withdraw(servant)
        watched, self.ports.watched = self.ports.watched, set()
        for channel in sorted(watched):
            await self.pd.notify(channel)


class Patience:
    """How long one request waits for a condition."""

    def __init__(self, desk: Desk, space: Space, changed: Condition, timeout_us: int) -> None:
        if timeout_us != FOREVER and not 0 <= timeout_us <= MAX_US:
            raise Malformed(f"a time-out is {FOREVER}, or 0 to {MAX_US} microseconds, not {timeout_us}")
        if timeout_us > 0 and desk.timer is None:
            raise Unsupported("there is no timer in this system")
        self.desk = desk
        self.space = space
        self.changed = changed
        self.timeout_us = timeout_us
        self.deadline: Any = None
        self.is_over = timeout_us == 0

    async def wait(self) -> None:
        """Wait for the condition once. Raises TimedOut; Gone if the task has ended."""
        if self.is_over:
            raise TimedOut("it did not happen in time")
        desk = self.desk
        if self.deadline is None and self.timeout_us > 0 and desk.timer is not None:
            self.deadline = desk.deadlines.add(await desk.timer.now() + self.timeout_us, self._expire)
            await desk.set_alarm()
        desk.patient.append(self)
        try:
            await self.changed.wait()
        finally:
            desk.patient.remove(self)
        if self.space.is_ended:
            raise Gone("the task has ended")

    def _expire(self, now: int) -> None:
        self.is_over = True
        self.changed.notify()

    def end(self) -> None:
        """It is not waited for any more."""
        if self.deadline is not None:
            self.desk.deadlines.remove(self.deadline)


_NO_REPLY: Final = (Disposition.MOVE_RECEIVE,)
