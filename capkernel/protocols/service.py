"""The server's side: which object a badge means, and how a request becomes a method call and a reply.

A server gives out caps to its own endpoint, each minted with a badge of its own. The kernel keeps badges from being
forged, so the badge of a message alone says which object is meant, and by which client's session it is reached:

| bits of the badge | content                                                                              |
|------------------:|--------------------------------------------------------------------------------------|
|             0..21 | session: below 62 the channel of a Microkit client, from 64 on one that was opened   |
|            22..44 | number of the object within the server's life, 0 for the session's root object       |
|            45..60 | the server's life in which it was given out, 0 for the session's root object         |
|                61 | 0                                                                                    |
|            62, 63 | as in Microkit: a fault, a call                                                      |

Numbers are never used twice, not even when the server is started anew, so a cap whose object was closed stays dead,
and a request through it is answered with ``Gone``. What is opened through a cap is below it in a tree; revoking a cap
closes what is below.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Final, cast

from attrs import define, field

from capkernel.abi import rights as rt
from capkernel.protocols import client
from capkernel.protocols.failures import Busy, Failure, Gone, Malformed, QuotaExceeded
from capkernel.protocols.interface import (
    DERIVE,
    DROP,
    REVOKE,
    Interface,
    Operation,
    Parameter,
    interface_number_of,
    interface_of,
    operation_of,
    operations_of,
)
from capkernel.protocols.wire import pack_failure, pack_result, unpack_request
from capkernel.user import stubs
from capkernel.user.inbox import Inbox
from capkernel.user.loop import ANSWERED, ENDPOINT_BADGE, PD
from capkernel.user.messages import SharedRegion, label_of
from capkernel.user.syscalls import Message
from capkernel.user.tasks import Task, Tasks

SESSION_BITS: Final = 22
NUMBER_BITS: Final = 23
LIFE_BITS: Final = 16
SESSION_MASK: Final = (1 << SESSION_BITS) - 1
FIRST_OPENED: Final = 64
"""Sessions that were not wired by the system's description have numbers from here on."""
CLIENT_RIGHTS: Final = rt.WRITE | rt.GRANT | rt.GRANT_REPLY
"""Of a cap that is given out: to call, to hand caps over, to get caps back; not to receive."""
OBJECT_LIMIT: Final = 256
Roots = Callable[[int], Interface | None]
"""The root object of a session that was not opened before, or None if it has none."""


@define(eq=False)
class Entry:
    """A cap that was given out: where it leads, and what is below it.

    ``is_derived`` caps are meant for somebody else than the session's client, who must not get at memory that is shared
    with that client: what is said through them, and through what is opened through them, must fit into a message.
    """

    servant: Interface
    session: int
    number: int
    parent: "Entry | None"
    is_derived: bool = False
    below: "dict[int, Entry]" = field(factory=dict, repr=False)

    @property
    def badge(self) -> int:
        """The badge by which it is known."""
        return ENDPOINT_BADGE | self.number << SESSION_BITS | self.session


class Service:
    """The objects of one server.

    ``endpoint`` is the address of a cap to the server's own endpoint without a badge, with all rights. ``roots`` says
    what a session's own cap leads to. ``regions`` is memory shared with a session's client. No session may have more
    than ``limit`` objects open. ``settle`` is awaited when a request was carried out and is not answered yet: what it
    writes down is never less than what clients know.
    """

    def __init__(
        self,
        pd: PD,
        *,
        roots: Roots,
        endpoint: int = 0,
        inbox: Inbox | None = None,
        regions: Mapping[int, SharedRegion] | None = None,
        limit: int = OBJECT_LIMIT,
        settle: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.pd = pd
        self.tasks = Tasks()
        pd.at_end.append(self.tasks.give_up)
        self.limit = limit
        self._settle = settle
        self._roots = roots
        self._endpoint = endpoint
        self._inbox = inbox
        self._regions = dict(regions or {})
        self._root_entries: dict[int, Entry] = {}
        self._entries: dict[int, Entry] = {}
        if not 0 < pd.life < 1 << LIFE_BITS:
            raise ValueError(f"{pd.name} was started {pd.life} times; badges tell {(1 << LIFE_BITS) - 1} lives apart")
        self._next_number = (pd.life << NUMBER_BITS) + 1
        self._end_number = pd.life + 1 << NUMBER_BITS
        self._per_session: dict[int, int] = {}
        self._waiting: dict[int, int] = {}
        """How many requests of a session wait."""
        self._asking = 0
        """The session whose request came last."""

    # What a program's hooks call

    async def open(self) -> None:
        """Let caps arrive; to be awaited in ``init``."""
        if self._inbox is not None:
            await self._inbox.open()

    async def protected(self, msg: Message) -> Any:
        """Serve one request; the answer is for the loop that called the ``protected`` hook."""
        self._asking = msg.badge & SESSION_MASK
        call = _Call(self, self.pd.reply_cap, self._asking)
        waiting = await self.tasks.start(self._serve(msg), call.done)
        return await (self._put_off(call, waiting) if waiting else call.answer())

    def may_wait(self) -> bool:
        """Whether the request that came last could be kept waiting; to be asked before it has waited for anything.

        A session may have no more requests waiting than others could have besides. A client need not wait for the
        answer to what he sends, so one could else take all places, for as long as he likes.
        """
        return self._waiting.get(self._asking, 0) < len(self.pd.spare_replies)

    async def run_ready(self) -> None:
        """Let requests go on that waited for something; to be awaited at the end of ``notified``."""
        await self.tasks.run_ready()

    # Objects

    def revoke(self, servant: Interface) -> list[Entry]:
        """Close all caps to an object of this server, and what was opened through them, at its own will."""
        gone = [entry for entry in self.entries() if entry.servant is servant]
        return [closed for entry in gone for closed in self._close(entry)]

    def withdraw(self, servant: Interface) -> list[Entry]:
        """Close all caps to an object as if each were dropped: what was opened through them stays."""
        gone = [entry for entry in self.entries() if entry.servant is servant]
        for entry in gone:
            self._lift(entry)
        return [closed for entry in gone for closed in self._close(entry)]

    def give(self, servant: Interface, session: int) -> Entry:
        """A cap to an object that goes along with a question of this server's own; ``mint`` makes it. It belongs to a
        session. Raises QuotaExceeded, and Gone for a session without a root.
        """
        root = self._root_entry(session)
        if root is None:
            raise Gone(f"there is no session {session}")
        return self._add(servant, root)

    def servant(self, badge: int) -> Interface:
        """The object to which a cap of this server leads that arrived as a badge. Raises Gone."""
        return self._find(badge).servant

    def restore(self, servant: Interface, session: int, number: int, parent: int, *, is_derived: bool = False) -> None:
        """A cap that a former life of this server gave out leads to a servant again; parents come first.

        ``parent`` is the number of the cap below which it is. To be called before anything is served, by a server that
        knows that nobody else was served since the former life wrote this down. Raises ValueError for what cannot be.
        """
        above = self._entries.get(parent) if parent else self._root_entry(session)
        if above is None or above.session != session or number in self._entries:
            above = None
        if above is None or not 0 < number >> NUMBER_BITS < self.pd.life:
            raise ValueError(f"no former life can have given out cap {number} in session {session} below {parent}")
        entry = Entry(servant, session, number, above, is_derived)
        self._entries[number] = above.below[number] = entry
        self._per_session[session] = self._per_session.get(session, 0) + 1

    def entries(self) -> Iterator[Entry]:
        """Every cap that leads somewhere."""
        yield from list(self._root_entries.values())
        yield from list(self._entries.values())

    def _find(self, badge: int) -> Entry:
        """The entry of a badge. Raises Gone."""
        session, number = badge & SESSION_MASK, (badge & ~ENDPOINT_BADGE) >> SESSION_BITS
        entry = self._entries.get(number) if number else self._root_entry(session)
        if entry is None or entry.session != session:
            raise Gone("what this cap led to was closed")
        return entry

    def _root_entry(self, session: int) -> Entry | None:
        """The entry of a session's own cap, or None if it has none."""
        if session not in self._root_entries:
            servant = self._roots(session)
            if servant is None:
                return None
            self._root_entries[session] = Entry(servant, session, 0, None)
        return self._root_entries[session]

    def _add(self, servant: Interface, parent: Entry, *, is_derived: bool = False) -> Entry:
        """A new entry below another. Raises QuotaExceeded."""
        count = self._per_session.get(parent.session, 0)
        if count >= self.limit:
            raise QuotaExceeded(f"this client has {count} objects open; close some")
        if self._next_number >= self._end_number:
            raise QuotaExceeded("this server has given out as many caps as it can tell apart in one life")
        entry = Entry(servant, parent.session, self._next_number, parent, is_derived or parent.is_derived)
        self._next_number += 1
        self._per_session[parent.session] = count + 1
        self._entries[entry.number] = parent.below[entry.number] = entry
        return entry

    def _region_of(self, entry: Entry) -> SharedRegion | None:
        """The memory through which what does not fit into a message may go."""
        return None if entry.is_derived else self._regions.get(entry.session)

    def _close(self, entry: Entry) -> list[Entry]:
        """Forget an entry and all below it; returns what was forgotten, the lowest first."""
        closed = self._close_below(entry)
        if entry.number:
            if self._entries.pop(entry.number, None) is None:
                return closed
            self._per_session[entry.session] -= 1
            if entry.parent is not None:
                entry.parent.below.pop(entry.number, None)
        else:
            # A session's root is there as long as the session; the next request finds it anew.
            self._root_entries.pop(entry.session, None)
        return [*closed, entry]

    def _close_below(self, entry: Entry) -> list[Entry]:
        return [gone for below in list(entry.below.values()) for gone in self._close(below)]

    async def _tell_closed(self, closed: list[Entry]) -> None:
        """Tell servants that no cap leads to any more."""
        alive = {id(entry.servant) for entry in self.entries()}
        told: set[int] = set()
        for entry in closed:
            if id(entry.servant) not in alive | told:
                told.add(id(entry.servant))
                await entry.servant.closed()

    # One request

    async def _serve(self, msg: Message) -> "_Answer":
        """What to answer a request. Raises only what a servant or ``settle`` raises by mistake."""
        try:
            request = await self._decode(msg)
            answer = await self._perform(*request)
        except Failure as failure:
            answer = _Answer(await pack_failure(failure))
        if self._settle is not None:
            await self._settle()
        return answer

    async def _decode(self, msg: Message) -> "tuple[Entry, int, Operation | None, dict[str, Any]]":
        """Where a request goes, the number of its operation, and its arguments. Raises Gone, Malformed."""
        try:
            entry = self._find(msg.badge)
            label = label_of(msg)
            number, interface = operation_of(label), _spoken(entry.servant, interface_number_of(label))
            if number in _EVERYBODYS:
                return entry, number, None, {}
            operation = operations_of(interface).get(number)
            if operation is None:
                raise Malformed(f"{interface.__name__} has no operation {number}")
            values = await unpack_request(operation, msg, self._region_of(entry))
            return entry, number, operation, values | await self._caps_of(operation, msg)
        finally:
            if self._inbox is not None:
                await self._inbox.refuse(msg)

    async def _perform(
        self, entry: Entry, number: int, operation: Operation | None, values: dict[str, Any]
    ) -> "_Answer":
        if operation is None:
            return await self._perform_own(entry, number)
        try:
            result = await getattr(entry.servant, operation.name)(**values)
        except Failure:
            # Caps to others' objects that came with a request which was refused are of no use to anybody.
            for value in values.values():
                if isinstance(value, client.Stub):
                    await value.forget()
            raise
        if operation.result is not None and operation.result.is_cap:
            return await self._answer_with_cap(entry, result)
        return _Answer(await pack_result(operation, result, self._region_of(entry)))

    async def _perform_own(self, entry: Entry, number: int) -> "_Answer":
        if number == DERIVE:
            return _Answer(Message(), self._add(entry.servant, entry, is_derived=True))
        if number == DROP:
            # As when a cap is deleted: its children are then those of its parent.
            self._lift(entry)
        await self._tell_closed(self._close(entry) if number == DROP else self._close_below(entry))
        return _Answer(Message())

    def _lift(self, entry: Entry) -> None:
        """Put what is below an entry below its parent; what is below a session's root stays there."""
        if entry.parent is None:
            return
        for number, below in entry.below.items():
            below.parent = entry.parent
            entry.parent.below[number] = below
        entry.below.clear()

    async def _caps_of(self, operation: Operation, msg: Message) -> dict[str, Any]:
        """The parameters that are caps. Raises Malformed."""
        values: dict[str, Any] = {}
        foreign: list[Any] = []
        try:
            for index, parameter in enumerate(operation.caps):
                if index >= len(msg.unwrapped):
                    raise Malformed(f"{operation.name} wants a cap as {parameter.name}")
                badge = msg.unwrapped[index]
                if badge is None:
                    foreign.append(await self._foreign(parameter, msg))
                values[parameter.name] = foreign[-1] if badge is None else await self._own(parameter, badge)
        except Failure:
            # Nobody will use what arrived before.
            for cap in foreign:
                await self._give_up(cap)
            raise
        return values

    async def _give_up(self, cap: Any) -> None:
        """Let a cap of somebody else's go that came with a request."""
        if isinstance(cap, client.Stub):
            await cap.forget()
        elif self._inbox is not None:
            await self._inbox.discard(cap)

    async def _own(self, parameter: Parameter, badge: int) -> Interface:
        """An object of this server, by the badge as which a cap to it arrives."""
        if parameter.interface is None:
            raise Malformed(f"{parameter.name} is a cap to this server, not to something else")
        servant = self._find(badge).servant
        if not isinstance(servant, parameter.interface):
            raise Malformed(f"{parameter.name} is no {parameter.interface.__name__}")
        return servant

    async def _foreign(self, parameter: Parameter, msg: Message) -> Any:
        """A cap to something of somebody else, in a slot of its own."""
        if self._inbox is None:
            raise Malformed(f"{parameter.name}: this server takes no caps of others")
        cap = await self._inbox.take(msg)
        msg.unwrapped = tuple(0 if badge is None else badge for badge in msg.unwrapped)
        if cap is None:
            raise Malformed(f"{parameter.name} did not arrive: a message hands over one foreign cap")
        if parameter.interface is None:
            return cap
        return client.connect(parameter.interface, client.Connection(self.pd.sys, self._inbox), cap, is_owned=True)

    async def _answer_with_cap(self, entry: Entry, value: Any) -> "_Answer":
        """A cap to an object of this server, or one that this server has to something of somebody else."""
        if isinstance(value, client.Stub):
            return _Answer(Message(caps=(value.cap,)), passed_on=value)
        if not isinstance(value, Interface):
            return _Answer(Message(caps=(value,)))
        try:
            return _Answer(Message(), self._add(value, entry))
        except QuotaExceeded:
            if all(other.servant is not value for other in self.entries()):
                await value.closed()
            raise

    # Answers

    async def _put_off(self, call: "_Call", task: Task) -> Any:
        """The request waits: its caller stays in the reply object, and the next one gets another."""
        if not self.may_wait():
            self.tasks.abandon(task)
            return await pack_failure(Busy("too many requests wait in this server already"))
        self.pd.hold_caller()
        call.is_held = True
        self._waiting[call.session] = self._waiting.get(call.session, 0) + 1
        return ANSWERED

    def went_on(self, session: int) -> None:
        """A request of a session waits no longer."""
        self._waiting[session] -= 1
        if not self._waiting[session]:
            del self._waiting[session]

    async def mint(self, entry: Entry, slot: int) -> None:
        """Put a cap to an entry into an empty own slot."""
        if self._inbox is None:
            raise Gone("this server cannot give out caps")
        slots = self._inbox.slots
        await stubs.cnode_mint(
            self.pd.sys, slots.cnode, dest_index=slot, dest_depth=slots.depth, src_root=slots.cnode,
            src_index=self._endpoint, src_depth=slots.depth, rights=CLIENT_RIGHTS, badge=entry.badge,
        )  # fmt: skip

    async def send(self, reply_cap: int, answer: "_Answer") -> None:
        """Send an answer now; a cap that is made for it is deleted again when it has gone."""
        if answer.entry is None or self._inbox is None:
            await self.pd.sys.send(reply_cap, answer.message)
            if answer.passed_on is not None:
                await answer.passed_on.forget()
            return
        slot = self._inbox.slots.alloc()
        await self.mint(answer.entry, slot)
        answer.message.caps = (slot,)
        await self.pd.sys.send(reply_cap, answer.message)
        await self._inbox.discard(slot)


def _spoken(servant: Interface, number: int) -> type[Interface]:
    """The interface of that number, if a servant implements it. Raises Malformed."""
    for base in type(servant).__mro__:
        if base.__dict__.get("number") == number:
            return cast("type[Interface]", base)
    raise Malformed(f"this is a {interface_of(type(servant)).__name__}; it does not speak interface {number}")


_EVERYBODYS: Final = (DROP, DERIVE, REVOKE)


@define
class _Answer:
    """A reply, with the object to which it is to carry a new cap, or the foreign cap that it carries, if any."""

    message: Message
    entry: Entry | None = None
    passed_on: client.Stub | None = None


@define(eq=False)
class _Call:
    """A request that is being served; ``reply_cap`` holds its caller."""

    service: Service
    reply_cap: int
    session: int
    is_held: bool = False
    result: _Answer | None = None

    async def done(self, result: Any, error: BaseException | None) -> None:
        """The request was served; a caller that was put off is answered now."""
        if error is not None:
            raise error
        self.result = result
        if self.is_held:
            await self.service.send(self.reply_cap, result)
            self.service.pd.spare_replies.append(self.reply_cap)
            self.service.went_on(self.session)

    async def answer(self) -> Any:
        """The answer to a caller that was not put off, for the loop."""
        if self.result is None:
            raise RuntimeError("a request ended without a result")
        if self.result.entry is None and not self.result.message.caps and not self.service.tasks.ready:
            return self.result.message
        await self.service.send(self.reply_cap, self.result)
        await self.service.run_ready()
        return ANSWERED
