"""Ports, rights and who has them: the rules, without any message of the kernel's.

A right is in exactly one place: a task's space, a message in a queue, a request for a notification, or the table of
what was checked in. It goes from one to the other in one step, so nothing is given up twice, and nothing is forgotten:
a send-once right ends in exactly one message.

Nothing here waits. Who wants to, waits for ``Port.changed`` or ``Ports.changed``.
"""

from collections import deque
from collections.abc import Callable, Iterable

from attrs import define, field

from capkernel.protocols.failures import AlreadyExists, Gone, Malformed, QuotaExceeded, WrongKind
from capkernel.protocols.mach_ports import (
    DEAD_NAME,
    NO_SENDERS,
    PORT_DELETED,
    SEND_ONCE,
    DeadName,
    Disposition,
    Kind,
    RightInfo,
)
from capkernel.user.tasks import Condition
from servers.mach.rights import Carried, Held, Letter, Port, Space
from servers.mach.store import BLOCK, blocks_for

MAX_LIMIT = 1024


_SOURCES = {
    Disposition.MOVE_RECEIVE: Kind.RECEIVE, Disposition.MOVE_SEND: Kind.SEND, Disposition.COPY_SEND: Kind.SEND,
    Disposition.MOVE_SEND_ONCE: Kind.SEND_ONCE, Disposition.MAKE_SEND: Kind.RECEIVE,
    Disposition.MAKE_SEND_ONCE: Kind.RECEIVE,
}  # fmt: skip
_RESULTS = {
    Disposition.MOVE_RECEIVE: Kind.RECEIVE, Disposition.MOVE_SEND: Kind.SEND, Disposition.COPY_SEND: Kind.SEND,
    Disposition.MOVE_SEND_ONCE: Kind.SEND_ONCE, Disposition.MAKE_SEND: Kind.SEND,
    Disposition.MAKE_SEND_ONCE: Kind.SEND_ONCE,
}  # fmt: skip
_MOVES = (Disposition.MOVE_RECEIVE, Disposition.MOVE_SEND, Disposition.MOVE_SEND_ONCE)


@define
class Ports:
    """All ports. ``free`` takes back the blocks of messages that are destroyed.

    ``lost`` collects rights that left a space, whose caps are to be closed, ``watched`` the numbers of tasks that want
    to be signalled.
    """

    free: Callable[[list[int]], None] = lambda blocks: None
    next_port: int = 1
    order: int = 0
    table: dict[str, Carried] = field(factory=dict)
    changed: Condition = field(factory=Condition)
    """Something was queued or checked in."""
    lost: list[Held] = field(factory=list)
    watched: set[int] = field(factory=set)
    _doomed: deque[Callable[[], None]] = field(factory=deque)
    _is_destroying: bool = False

    # Making rights

    def allocate(self, space: Space, limit: int) -> Held:
        """A new port. Raises Malformed, QuotaExceeded."""
        check_limit(limit)
        port = Port(self.next_port, limit, space.purse)
        port.held = space.add(Kind.RECEIVE, port)
        self.next_port += 1
        return port.held

    def allocate_set(self, space: Space) -> Held:
        """A new port set. It has a port only so as to be waited for."""
        held = space.add(Kind.PORT_SET, Port(self.next_port, 0, space.purse))
        self.next_port += 1
        return held

    def make(self, held: Held, kind: Kind) -> Held:
        """A send or send-once right to a port, of its receive right. Raises QuotaExceeded."""
        held.space.check_names(1)
        return self._install(self._new(held.port, kind, is_made=True), held.space)

    def copy(self, held: Held) -> Held:
        """Another send right like this one. Raises DeadName, QuotaExceeded."""
        check_alive(held.port)
        held.space.check_names(1)
        return self._install(self._new(held.port, Kind.SEND), held.space)

    def _new(self, port: Port, kind: Kind, *, is_made: bool = False) -> Carried:
        """Count a new right. Raises QuotaExceeded if the port's owner has no room for a send-once right's message."""
        if kind is Kind.SEND_ONCE:
            port.charge(blocks_for(0))
            port.send_onces += 1
        else:
            port.senders += 1
            port.made += is_made
        return Carried(kind, port)

    # Taking rights out of a space, and putting them into one

    def check_parts(self, target: Port, parts: Iterable[tuple[Disposition, Held]]) -> None:
        """Raises Malformed, WrongKind, Gone, QuotaExceeded if rights cannot go along so; nothing has happened."""
        moved: set[int] = set()
        parts = list(parts)
        reserved = reserved_by(parts)
        if reserved and not parts[0][1].space.purse.has_room(reserved):
            raise QuotaExceeded("there is no room to set aside for the answer")
        for disposition, held in parts:
            if held.kind is not _SOURCES[disposition]:
                raise WrongKind(f"a {held.kind.name} right cannot go along as {disposition.name}")
            if not held.is_held or held.name in moved:
                raise Gone(f"the right {held.name} was given up, or moves twice in one message")
            if disposition in _MOVES:
                moved.add(held.name)
            if disposition is Disposition.MOVE_RECEIVE and _is_within(target, held.port):
                raise Malformed("a receive right cannot be queued at its own port, directly or in other ports")

    def detach(self, disposition: Disposition, held: Held) -> Carried:
        """What goes into a message for a part that was checked."""
        port, kind = held.port, _RESULTS[disposition]
        if disposition not in _MOVES:
            return self._new(port, kind, is_made=disposition is not Disposition.COPY_SEND)
        self._leave(held)
        if kind is Kind.RECEIVE:
            port.held = None
            port.changed.notify()
        return Carried(kind, port)

    def check_room(self, space: Space, letter: Letter) -> None:
        """Raises QuotaExceeded if a task cannot have what is in a message; nothing has happened then."""
        space.check_names(len(letter.carried))
        received = [each.port for each in letter.carried if each.kind is Kind.RECEIVE]
        moving = [port for port in received if port.owner is not space.purse]
        needed = sum(port.charged for port in moving) - blocks_for(letter.size)
        if moving and not space.purse.has_room(needed):
            raise QuotaExceeded(f"the task cannot pay for {needed * BLOCK} bytes at the port in this message")

    def _install(self, carried: Carried, space: Space) -> Held:
        """Put a right into a space, which has room."""
        held = space.add(carried.kind, carried.port)
        if carried.kind is Kind.RECEIVE:
            port = carried.port
            port.held, port.within = held, None
            port.owner.release(port.charged)
            port.owner = space.purse
            space.purse.used += port.charged
            port.changed.notify()
        return held

    def _leave(self, held: Held) -> None:
        """A right is not its task's any more; what was asked to be told with it is told."""
        del held.space.rights[held.name]
        self.lost.append(held)
        notify = held.port.deaths.pop(held, None)
        if notify is not None:
            self._use(notify, PORT_DELETED, held.name)
        if held.kind is Kind.RECEIVE:
            self.leave_set(held.port)
            held.port.is_watched = False
        for member in held.members:
            member.port.port_set = None

    # Queues

    def has_room(self, port: Port, size: int, parts: Iterable[tuple[Disposition, Held]], *, is_once: bool) -> bool:
        """Whether a message with so much data can be queued now. By a send-once right it can whatever the limit is."""
        if not is_once and len(port.queue) >= port.limit:
            return False
        reserved = sum(reserved_by([part]) for part in parts if part[1].space.purse is port.owner)
        return port.owner.has_room(blocks_for(size) - is_once + reserved)

    def put(self, port: Port, letter: Letter) -> None:
        """Queue a message that was paid for."""
        port.queued_ever += 1
        self.order += 1
        letter.sequence, letter.order = port.queued_ever, self.order
        for carried in letter.carried:
            if carried.kind is Kind.RECEIVE:
                carried.port.within = port
        port.queue.append(letter)
        port.changed.notify()
        if port.port_set is not None:
            port.port_set.port.changed.notify()
        if port.is_watched and port.held is not None:
            self.watched.add(port.held.space.number)

    def take(self, port: Port, space: Space) -> tuple[Letter, RightInfo | None, list[RightInfo]]:
        """The first message, and its rights as the task has them now. The caller has looked whether there is room."""
        letter = port.queue.popleft()
        port.release(blocks_for(letter.size))
        port.changed.notify()
        reply = self._install(letter.reply, space).info if letter.reply else None
        return letter, reply, [self._install(carried, space).info for carried in letter.rights]

    # Giving rights up

    def release(self, held: Held) -> None:
        """A task gives a right up. It may do so any number of times: only the first counts."""
        if not held.is_held:
            return
        self._leave(held)
        if held.kind is not Kind.PORT_SET:
            self._destroy(Carried(held.kind, held.port))

    def end(self, space: Space) -> None:
        """A task has ended: its receive rights go first, so that it is told nothing by itself."""
        space.is_ended = True
        for held in sorted(space.rights.values(), key=lambda held: held.kind.value):
            self.release(held)
        self.changed.notify()

    def _destroy(self, carried: Carried) -> None:
        """A right ends, and with it what only it kept. Long chains are worked off one after the other."""
        self._doomed.append(lambda: self._destroy_one(carried))
        if self._is_destroying:
            return
        self._is_destroying = True
        while self._doomed:
            self._doomed.popleft()()
        self._is_destroying = False

    def _destroy_one(self, carried: Carried) -> None:
        port = carried.port
        match carried.kind:
            case Kind.RECEIVE:
                self._kill(port)
            case Kind.SEND:
                port.senders -= 1
                self._look_for_senders(port)
            case Kind.SEND_ONCE:
                self._use(carried, SEND_ONCE, 0)
            case _:
                raise AssertionError(f"a {carried.kind} right is nowhere but in a space")

    def _kill(self, port: Port) -> None:
        """Nobody can receive from a port any more."""
        port.is_dead = True
        port.held = port.within = None
        letters, port.queue = list(port.queue), deque()
        port.release(port.charged)
        for key in [key for key, carried in self.table.items() if carried.port is port]:
            del self.table[key]
            port.senders -= 1
        for letter in letters:
            self.free(letter.blocks)
            for carried in letter.carried:
                self._destroy(carried)
        told, port.deaths = port.deaths, {}
        for held, notify in told.items():
            self._use(notify, DEAD_NAME, held.name)
        if port.no_senders is not None:
            (notify, _), port.no_senders = port.no_senders, None
            self._destroy(notify)
        port.changed.notify()

    # Notifications

    def use_up(self, carried: Carried) -> None:
        """A send-once right becomes a message; the room that was set aside for it is the message's."""
        carried.port.send_onces -= 1

    def _use(self, carried: Carried, id: int, subject: int) -> None:
        """Send a notification; if nobody can receive it, nobody is told."""
        self.use_up(carried)
        if not carried.port.is_dead:
            self.put(carried.port, Letter(id, subject=subject))

    def take_for_notification(self, held: Held) -> Carried:
        """A task's send-once right, to be used for a notification. Raises WrongKind, Gone."""
        self.check_parts(held.port, [(Disposition.MOVE_SEND_ONCE, held)])
        return self.detach(Disposition.MOVE_SEND_ONCE, held)

    def notify_dead(self, held: Held, notify: Held) -> None:
        """Tell when a port dies. Raises AlreadyExists."""
        if held in held.port.deaths:
            raise AlreadyExists("that was asked for already")
        carried = self.take_for_notification(notify)
        if held.port.is_dead:
            self._use(carried, DEAD_NAME, held.name)
        else:
            held.port.deaths[held] = carried

    def notify_no_senders(self, held: Held, notify: Held, made: int) -> None:
        """Tell when a port has no senders. Raises AlreadyExists."""
        if held.port.no_senders is not None:
            raise AlreadyExists("that was asked for already")
        held.port.no_senders = self.take_for_notification(notify), made
        self._look_for_senders(held.port)

    def _look_for_senders(self, port: Port) -> None:
        if port.no_senders is None or port.senders or port.made < port.no_senders[1]:
            return
        (notify, _), port.no_senders = port.no_senders, None
        self._use(notify, NO_SENDERS, port.made)

    # Port sets, and the table of names

    def join_set(self, port_set: Held, member: Held) -> None:
        """Put a receive right into a set. Raises WrongKind."""
        if member.space is not port_set.space:
            raise WrongKind("a port set has receive rights of its own task only")
        self.leave_set(member.port)
        member.port.port_set = port_set
        port_set.members.append(member)
        port_set.port.changed.notify()

    def leave_set(self, port: Port) -> None:
        """A port is in no set any more."""
        if port.port_set is not None:
            port.port_set.members = [held for held in port.port_set.members if held.port is not port]
            port.port_set = None

    def check_in(self, key: str, held: Held) -> None:
        """Let others find a copy of a send right. Raises AlreadyExists, DeadName."""
        check_alive(held.port)
        if key in self.table:
            raise AlreadyExists(f"{key!r} was checked in already")
        self.table[key] = self._new(held.port, Kind.SEND)
        self.changed.notify()

    def look_up(self, key: str, space: Space) -> Held | None:
        """A copy of what was checked in, or None. Raises QuotaExceeded."""
        space.check_names(1)
        found = self.table.get(key)
        return None if found is None else self._install(self._new(found.port, Kind.SEND), space)


def reserved_by(parts: Iterable[tuple[Disposition, Held]]) -> int:
    """The blocks that are set aside for answers when these rights are made."""
    return sum(disposition is Disposition.MAKE_SEND_ONCE for disposition, _ in parts) * blocks_for(0)


def check_limit(limit: int) -> None:
    """Raises Malformed for what is no limit of a queue."""
    if not 1 <= limit <= MAX_LIMIT:
        raise Malformed(f"a queue has room for 1 to {MAX_LIMIT} messages, not {limit}")


def check_alive(port: Port) -> None:
    """Raises DeadName."""
    if port.is_dead:
        raise DeadName("the port is dead")


def _is_within(port: Port | None, other: Port) -> bool:
    """Whether a port is another, or its receive right is queued in the other's queue, however deep."""
    while port is not None:
        if port is other:
            return True
        port = port.within
    return False
