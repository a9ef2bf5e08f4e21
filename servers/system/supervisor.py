"""The supervisor: services that crash, hang or are replaced are started anew, while everybody else goes on.

It holds no device and no memory of a service, only lifecycle caps: the initial task takes a service apart and builds it
again with just the authority that the system's description gives it. What it knows is in memory that outlives it, so a
guardian can start the supervisor itself anew.

It can have the watchers replaced, too, without any authority over them: the guardian by the ``warden``, who watches
over it, and itself by the guardian. Then it writes down who waits for its answer, and the next program goes on with
them.
"""

from typing import Any, ClassVar, Final

from attrs import define, frozen

from capkernel.protocols.failures import Malformed, NotFound, NotPermitted, Refused
from capkernel.protocols.interface import Interface
from capkernel.protocols.service import Service as Frame
from capkernel.protocols.supervision import Event, Order, ServiceInfo, State, Supervision
from capkernel.user import lifecycle
from capkernel.user.faults import decode_fault
from capkernel.user.loop import MAX_CHANNELS, PD
from capkernel.user.messages import SharedRegion
from capkernel.user.operations import read
from capkernel.user.syscalls import Message
from capkernel.user.tasks import Condition
from servers.neighbours import ByTable, Role, Serves, Uses
from servers.system.manifest import Watched, read_manifest
from servers.system.rate import TICKS_PER_US
from servers.system.reincarnation import NO_HEARTBEAT, Act, Service, Step, Table
from servers.system.retiring import Handover
from servers.system.table_store import TableStore
from servers.system.waiting import Callers, KeptRequest, LastingReplies, keep_request
from servers.system.watchers import SUPERVISOR_ORDERS, Watchers

manifest: int = 0
manifest_size: int = 0x1000
table: int = 0
table_size: int = 0x4000
operator_region: int = 0
operator_region_size: int = 0x1000
"""Memory shared with the operator, if there is any: a long list does not fit into a message."""
first_reply: int = 302
reply_count: int = 2
state: int = 0
state_size: int = 0x4000
"""Memory for the supervisor after this one; with it, slots that last are needed, and memory for reply objects."""

METRONOME, GUARDIAN, SCRIPT, OPERATOR, WATCHER, UNDERSTUDY = range(6)
"""Channels: who beats time, who watches over this supervisor, who may give orders, restart and replace, only look; who
beats time more slowly: only while the metronome is silent do these beats count, so that somebody notices.
"""
SILENCE: Final = 200_000 * TICKS_PER_US
"""Ticks without a beat of either after which both have fallen silent. A supervisor that waits has no clock that wakes
it; so it looks at the time whenever somebody wants something.
"""
HELD_CNODE, HELD_ADDRESS, HELD_REPLIES, REPLY_MEMORY = 310, 1 << 58, range(1, 9), 311
"""The granted CNode that lasts: the cap to it, the cap address of slot 0, its slots; the memory for reply objects."""


@define
class _Rights:
    """What a client may do. A service may complain, under its own name, of those that it relies on, and no more."""

    may_order: bool = False
    may_restart: bool = False
    may_look: bool = True
    label: str = ""
    relies_on: tuple[str, ...] = ()


_SESSIONS = {SCRIPT: _Rights(may_order=True), OPERATOR: _Rights(may_restart=True), WATCHER: _Rights()}


@frozen
class KeptSupervisor:
    """For the next program: in whose place it is, and the requests that wait. The table it has anyway."""

    waiting: list[KeptRequest]


class Supervisor:
    """The decisions of ``reincarnation``, carried out; after each the table is saved."""

    def __init__(self, pd: PD, watched: list[Watched]) -> None:
        self.pd = pd
        self.watched = {each.label: each for each in watched}
        self.by_child = {each.child: each for each in watched}
        self.by_channel = {each.channel: each for each in watched}
        self.by_update = {each.update_channel: each for each in watched if each.update_channel is not None}
        self.store = TableStore(SharedRegion(table, table_size))
        self.table = Table.of(each.service() for each in watched)
        self.reported = 0
        self.happened = Condition()
        self.settled = Condition()
        self.watchers = Watchers(pd)

    async def begin(self) -> None:
        """Go on from what was saved; or take over the services that the initial task has started."""
        saved = await self.store.load()
        if saved is not None and set(saved.services) == set(self.watched):
            self.table = saved
            self.reported = saved.events[-1].number if saved.events else 0
            await self._check_each()
        else:
            for label in self.watched:
                self.table.adopt(label)
        self.table.providers = {label: each.relies_on for label, each in self.watched.items()}
        await self.carry_out(self.table.begin())

    async def beaten(self, *, by_understudy: bool) -> None:
        """Metronome or understudy has beaten: that is its sign of life."""
        for each in self.watched.values():
            if each.stands_in if by_understudy else each.beats:
                await self.carry_out([], is_news=self.table.lives(each.label))

    async def unbeaten(self) -> None:
        """Nobody has beaten time for long: start those anew who should."""
        for each in self.watched.values():
            if each.beats or each.stands_in:
                await self.carry_out(self.table.crashed(each.label, NO_HEARTBEAT))

    async def _check_each(self) -> None:
        """What was left half-done by the supervisor before."""
        for label, each in self.watched.items():
            found = await lifecycle.status(self.pd.sys, each.lifecycle)
            service = self.table.services[label]
            is_as_written = found.state is lifecycle.State.RUNNING and found.incarnation == service.incarnation
            if service.state is State.RUNNING and not is_as_written:
                service.state, service.due, service.incarnation = State.WAITING, self.table.beats, found.incarnation

    async def beat(self) -> None:
        """Time goes on."""
        self.watchers.beat()
        steps = self.table.beat()
        await self.carry_out(steps, is_news=any(step.act is not Act.PING for step in steps))

    async def carry_out(self, steps: list[Step], *, is_news: bool = True) -> None:
        """Do what was decided; first it is written down, so that it will be done whatever happens to us."""
        if is_news:
            await self.store.save(self.table)
            await self._report()
        while steps:
            steps = [*await self._do(steps[0]), *steps[1:]]
        if is_news:
            await self.store.save(self.table)
            self.happened.notify()
            self.settled.notify()

    async def _report(self) -> None:
        for event in self.table.events:
            if event.number > self.reported:
                await self.pd.print(f"supervisor: {event.label} {event.incarnation}: {event.reason}\n")
                self.reported = event.number

    async def _do(self, step: Step) -> list[Step]:
        each = self.watched[step.label]
        if step.act is Act.PING:
            await self.pd.notify(each.channel)
        elif step.act is Act.ASK_FOR_STATE:
            await self.pd.notify(each.update_channel if each.update_channel is not None else each.channel)
        elif step.act is Act.DESTROY:
            await lifecycle.destroy(self.pd.sys, each.lifecycle)
        else:
            return await self._start(each, step.alternative)
        return []

    async def _start(self, each: Watched, alternative: int) -> list[Step]:
        try:
            await lifecycle.rebuild(self.pd.sys, each.lifecycle, alternative)
            await lifecycle.start(self.pd.sys, each.lifecycle)
        except lifecycle.LifecycleError as error:
            return self.table.crashed(each.label, str(error))
        return []

    def is_updating(self, label: str) -> bool:
        """Whether a service is being replaced."""
        return self.table.services[label].state is State.UPDATING

    def known(self, label: str) -> Service:
        """A service of the table. Raises NotFound."""
        if label not in self.table.services:
            raise NotFound(f"there is no service {label!r}; there is {', '.join(self.table.services)}")
        return self.table.services[label]

    def checked(self, service: Service, alternative: int) -> int:
        """One of a service's programs. Raises Malformed."""
        if not 0 <= alternative <= service.alternatives:
            raise Malformed(f"{service.label} has the programs 0 to {service.alternatives}, not {alternative}")
        return alternative


class SupervisionServant(Supervision):
    """What a client may see and ask."""

    def __init__(self, supervisor: Supervisor, rights: _Rights) -> None:
        self.supervisor = supervisor
        self.rights = rights

    async def services(self) -> list[ServiceInfo]:
        """All services."""
        self._need_look()
        return [service.info for service in self.supervisor.table.services.values()]

    async def next_event(self, after: int) -> Event:
        """What happened next."""
        self._need_look()
        while True:
            for event in self.supervisor.table.events:
                if event.number > after:
                    return event
            await self.supervisor.happened.wait()

    async def order(self, label: str, order: Order, alternative: int) -> None:
        """Decide what becomes of a service."""
        if not self.rights.may_order:
            raise NotPermitted("orders are given by somebody else")
        service = self.supervisor.known(label)
        if service.state is not State.ASKING:
            raise Refused(f"{label} is {service.state.value}; it waits for no order")
        table = self.supervisor.table
        await self.supervisor.carry_out(table.ordered(label, order, self.supervisor.checked(service, alternative)))

    async def restart(self, label: str) -> None:
        """Start a service anew."""
        self._need_restart()
        self.supervisor.known(label)
        await self.supervisor.carry_out(self.supervisor.table.restarted(label, "restarted"))

    async def complain(self, provider: int) -> None:
        """Start a service anew that fails whoever relies on it."""
        if not 0 <= provider < len(self.rights.relies_on):
            raise NotPermitted("services complain of those that they rely on")
        label = self.rights.relies_on[provider]
        steps = self.supervisor.table.complained(label, self.rights.label)
        if steps is None:
            raise Refused(f"{label} was started anew for a complaint a short while ago")
        await self.supervisor.carry_out(steps)

    async def update(self, label: str, alternative: int) -> None:
        """Replace a service's program."""
        self._need_restart()
        if label in self.supervisor.watchers.labels and label not in self.supervisor.table.services:
            await self._update_watcher(label, alternative)
            return
        service = self.supervisor.known(label)
        self.supervisor.checked(service, alternative)
        if service.state is not State.RUNNING:
            raise Refused(f"{label} is {service.state.value}; only what runs can be replaced")
        steps = self.supervisor.table.update(label, alternative)
        await self.supervisor.carry_out(steps)
        if self.supervisor.watched[label].update_channel is None:
            await self.supervisor.carry_out(self.supervisor.table.state_saved(label))
        while self.supervisor.is_updating(label):
            await self.supervisor.settled.wait()
        if not service.is_updated:
            raise Refused(f"the new program of {label} came to grief, or the old one could not give way; that goes on")

    async def _update_watcher(self, label: str, alternative: int) -> None:
        busy = [each for each in self.supervisor.table.services if self.supervisor.is_updating(each)]
        if busy:
            raise Refused(f"{busy[0]} is being replaced; one after the other")
        await self.supervisor.watchers.update(label, alternative)

    def _need_look(self) -> None:
        if not self.rights.may_look:
            raise NotPermitted("services are looked at by somebody else")

    def _need_restart(self) -> None:
        if not self.rights.may_restart:
            raise NotPermitted("services are restarted and replaced by somebody else")


def watches(text: str) -> dict[int, Role]:
    """What the supervisor is to its guardian, and to those whom a manifest names, by channel. Raises ManifestError."""
    watched = read_manifest(text)
    signs = {each.channel: Role.SUPERVISOR if each.patience else Role.ANY for each in watched}
    updates = {each.update_channel: Role.UPDATE for each in watched if each.update_channel is not None}
    return {GUARDIAN: Role.WARD} | signs | updates


def served(text: str) -> dict[int, Serves]:
    """Whom it serves, by channel. Raises ManifestError."""
    return dict.fromkeys((*_SESSIONS, *(each.channel for each in read_manifest(text))), Serves(Supervision))


class Program:
    """The supervisor's hooks."""

    uses: ClassVar[Uses] = Uses(
        serves=ByTable("manifest", served),
        signals=dict.fromkeys(range(MAX_CHANNELS), Role.ANY) | dict.fromkeys((METRONOME, UNDERSTUDY), Role.METRONOME),
        plays=ByTable("manifest", watches),
        required=frozenset({METRONOME}), needs=frozenset({"manifest", "table"}),
    )

    def __init__(self) -> None:
        self.supervisor: Any = None
        self.frame: Any = None
        self.callers: Any = None
        self.handover: Any = None
        self.has_beaten = True
        """Whether there was a beat since the understudy's last one."""
        self.beaten_at: int | None = None
        """When there was a beat of either; None if nobody here beats time who can be started anew."""

    async def init(self, pd: PD) -> None:
        """Read the manifest, and see to it that everything runs; or go on where another program was."""
        text = (await read(manifest, manifest_size)).rstrip(b"\0").decode()
        self.supervisor = Supervisor(pd, read_manifest(text))
        region = SharedRegion(operator_region, operator_region_size)
        self.frame = Frame(pd, roots=self._root, regions={OPERATOR: region} if operator_region else {})
        self.callers = Callers[None](pd)
        if any(each.beats for each in self.supervisor.watched.values()):
            self.beaten_at = await pd.clock()
        if state:
            await self._begin_or_go_on(pd)
        else:
            pd.spare_replies.extend(range(first_reply, first_reply + reply_count))
            await self.supervisor.begin()

    async def _begin_or_go_on(self, pd: PD) -> None:
        replies = LastingReplies(pd, HELD_CNODE, HELD_ADDRESS, HELD_REPLIES, REPLY_MEMORY)
        waiting: list[KeptRequest] = []

        async def take_up(kept: KeptSupervisor) -> None:
            waiting.extend(kept.waiting)
            replies.use([each.reply for each in waiting])

        await replies.open()
        # Who asks for another program in our place is the guardian's ward: it retires by its order.
        self.handover = Handover(pd, KeptSupervisor, SharedRegion(state, state_size), GUARDIAN, SUPERVISOR_ORDERS.start)
        is_next = await self.handover.go_on(take_up)
        if not is_next:
            await replies.abandon()
            replies.use([])
        await self.supervisor.begin()
        self.supervisor.watchers.is_next = is_next
        for each in waiting:
            await self.callers.resume(self.frame, each, None)
        self.supervisor.watchers.is_next = False

    def _root(self, session: int) -> Interface | None:
        rights = _SESSIONS.get(session)
        each = self.supervisor.by_channel.get(session)
        if rights is None and each is not None:
            rights = _Rights(may_look=False, label=each.label, relies_on=each.relies_on)
        return SupervisionServant(self.supervisor, rights) if rights else None

    async def notified(self, pd: PD, ch: int) -> None:
        """A beat; or a sign of life; or a service's state is written down; or the guardian asks for our own life."""
        supervisor = self.supervisor
        if ch == METRONOME:
            self.has_beaten = True
            await self._beaten(pd)
            await supervisor.beaten(by_understudy=False)
            await supervisor.beat()
        elif ch == UNDERSTUDY:
            await self._beaten(pd)
            await supervisor.beaten(by_understudy=True)
            if not self.has_beaten:
                await supervisor.beat()
            self.has_beaten = False
        elif ch == GUARDIAN:
            await pd.notify(GUARDIAN)
        elif supervisor.watchers.told(ch):
            pass
        elif ch in supervisor.by_channel:
            is_news = supervisor.table.lives(supervisor.by_channel[ch].label)
            await supervisor.carry_out([], is_news=is_news)
        elif ch in supervisor.by_update:
            await supervisor.carry_out(supervisor.table.state_saved(supervisor.by_update[ch].label))
        await self._look_at_the_time(pd)
        await self.frame.run_ready()

    async def _beaten(self, pd: PD) -> None:
        if self.beaten_at is not None:
            self.beaten_at = await pd.clock()

    async def _look_at_the_time(self, pd: PD) -> None:
        """Somebody wants something; see whether time is still beaten."""
        if self.beaten_at is not None and await pd.clock() - self.beaten_at > SILENCE:
            await self._beaten(pd)
            await self.supervisor.unbeaten()

    async def fault(self, pd: PD, child: int, msg: Message) -> bool:
        """A service came to grief; it never goes on where it was."""
        each = self.supervisor.by_child.get(child)
        if each is not None:
            reason = str(decode_fault(msg.label, msg.words))
            await self.supervisor.carry_out(self.supervisor.table.crashed(each.label, reason))
            await self._look_at_the_time(pd)
            await self.frame.run_ready()
        return False

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A client asks."""
        await self._look_at_the_time(pd)
        answer = await self.callers.serve(self.frame, msg, None)
        await self._give_way()
        return answer

    async def _give_way(self) -> None:
        """If another program is wanted here, write down who waits, and retire. The one who wants it is among them."""
        wanted = self.supervisor.watchers.wanted
        if wanted is None:
            return
        self.supervisor.watchers.wanted = None
        kept = KeptSupervisor([keep_request(reply, message) for reply, message, _ in self.callers.waiting()])
        self.handover.update = SUPERVISOR_ORDERS[wanted]
        await self.handover.give_way(kept)
        self.supervisor.watchers.has_failed()
        await self.frame.run_ready()
