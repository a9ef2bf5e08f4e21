"""When services are started anew, and with which program: the supervisor's decisions, without any of its means.

Time is counted in beats. Like MINIX's reincarnation server: a service that crashed is started again at once; if it
crashes again soon, after 2 beats, then 4, 8, 16, and from then on 30. One that gives no sign of life for more than its
``patience`` is killed, and with it those that it relies on: it may wait for one that lives and does not answer. So are
they when it crashes again and again: one of them may live and give answers of which nobody can make anything. It may
complain of one itself: that is started anew, but not before it had time to show that it works, 4 beats, then 8, 16, 32,
and from then on 64. So no complaint, true or not, keeps a service from working. What was decided here is only written
down; ``supervisor`` does it.
"""

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Final

from attrs import define, field, frozen

from capkernel.protocols.supervision import Event, Order, ServiceInfo, State

DELAYS: Final = (0, 2, 4, 8, 16, 30)
"""Beats until a service is started again after its first crash, its second, ..., its last and all further ones."""
STEADY: Final = 64
"""Beats after which a service counts as sound: its crashes are forgotten."""
DECLINED: Final = 2
"""Beats after which a service that was asked for its state, and still gives signs of life, does not want to go."""
ORDER_PATIENCE: Final = 2
"""Beats that a service waits for an order before it is restarted without one."""
MISLED: Final = 3
"""Crashes in a row after which, each time, those that a service relies on are started anew with it."""
HEARD: Final = (4, 8, 16, 32, 64)
"""Beats after which a service is started anew for a complaint once more, after the first, the second, ..., all further
ones; twice as many as the last without any, and the next one is the first again.
"""
MAX_EVENTS: Final = 32
NO_HEARTBEAT: Final = "no-heartbeat"
OUTDATED: Final = "retired by an outdated order"


class Act(Enum):
    """What the supervisor is to do."""

    DESTROY = "destroy"
    START = "start"
    PING = "ping"
    ASK_FOR_STATE = "ask for state"


@frozen
class Step:
    """Something to do with a service; a start, with one of its programs."""

    act: Act
    label: str
    alternative: int = 0


@define
class Service:
    """What is known of a service, and all of it: a new supervisor goes on from here.

    ``patience`` is how many beats it may be silent (0: it need not give signs of life); ``asks`` whether an order
    decides what becomes of it. ``due`` is the beat at which something is to happen next, ``fallback`` the program that
    it had before an update, ``asked`` when it was asked for its state, ``is_new`` whether the other one was started and
    has not shown yet that it works, ``is_updated`` whether the last update ended with the new one. ``complaints`` is
    for how many it was started anew, ``heard`` the beat at which that was last.
    """

    label: str
    patience: int
    asks: bool
    alternatives: int
    steady: int = STEADY
    state: State = State.WAITING
    incarnation: int = 0
    crashes: int = 0
    alternative: int = 0
    fallback: int = 0
    due: int = 0
    started: int = 0
    last_life: int = 0
    is_new: bool = False
    asked: int = 0
    is_updated: bool = False
    complaints: int = 0
    heard: int = 0

    @property
    def info(self) -> ServiceInfo:
        """What others may know of it."""
        return ServiceInfo(self.label, self.state, self.incarnation, self.crashes, self.alternative)


@define
class Table:
    """All services. Every method says what to do now, in order.

    ``providers`` are those that a service relies on, by its label.
    """

    services: dict[str, Service]
    events: list[Event]
    beats: int = 0
    providers: Mapping[str, tuple[str, ...]] = field(factory=dict)

    @classmethod
    def of(cls, services: Iterable[Service]) -> "Table":
        """A table of services that have not been started."""
        return cls({service.label: service for service in services}, [])

    def begin(self) -> list[Step]:
        """Start what does not run. After a supervisor was itself started anew, the others go on."""
        steps: list[Step] = []
        for service in self.services.values():
            service.last_life = self.beats
            if service.state is State.UPDATING:
                service.alternative, service.state = service.fallback, State.WAITING
                steps.append(Step(Act.DESTROY, service.label))
            if service.state is State.WAITING and service.due <= self.beats:
                steps += self._start(service)
        return steps

    def adopt(self, label: str) -> None:
        """A service runs already, started by whoever built the system."""
        service = self.services[label]
        service.state, service.incarnation = State.RUNNING, 1
        service.started = service.last_life = self.beats

    def crashed(self, label: str, reason: str) -> list[Step]:
        """A service faulted, or was found dead."""
        service = self.services[label]
        if service.state is State.STOPPED:
            return [Step(Act.DESTROY, label)]
        self._note(service, reason)
        if service.state is State.UPDATING:
            return self._roll_back(service)
        if self.beats - service.started >= service.steady:
            service.crashes = 0
        delay = DELAYS[min(service.crashes, len(DELAYS) - 1)]
        service.crashes += 1
        service.due = self.beats + (max(ORDER_PATIENCE, delay) if service.asks else delay)
        service.state = State.ASKING if service.asks else State.WAITING
        steps = [*self._misled(service), Step(Act.DESTROY, label)]
        return steps if service.asks or delay else [*steps, *self._start(service)]

    def lives(self, label: str) -> bool:
        """A service gave a sign of life. True if that ends its update: the new program works or the old one goes on."""
        service = self.services[label]
        service.last_life = self.beats
        has_decided = service.is_new or self.beats - service.asked >= DECLINED
        if service.state is not State.UPDATING or not has_decided:
            return False
        self._updated(service)
        return True

    def beat(self) -> list[Step]:
        """Time goes on."""
        self.beats += 1
        return [step for service in self.services.values() for step in self._beat_of(service)]

    def ordered(self, label: str, order: Order, alternative: int) -> list[Step]:
        """Somebody decided what becomes of a service that asks. Back-off applies to a restart, too."""
        service = self.services[label]
        if order is Order.STOP:
            service.state = State.STOPPED
            return []
        service.alternative = alternative
        service.state = State.WAITING
        service.due -= ORDER_PATIENCE if service.crashes <= 1 else 0
        return self._start(service) if service.due <= self.beats else []

    def restarted(self, label: str, reason: str) -> list[Step]:
        """Somebody wants a service to be started anew."""
        service = self.services[label]
        self._note(service, reason)
        return [Step(Act.DESTROY, label), *self._start(service)]

    def complained(self, label: str, by: str) -> list[Step] | None:
        """Whoever relies on a service says that it fails every request. None if that is not heard just now."""
        service = self.services[label]
        if service.state is not State.RUNNING:
            return []
        since = self.beats - service.heard
        if since >= 2 * HEARD[-1]:
            service.complaints = 0
        if service.complaints and since < HEARD[min(service.complaints, len(HEARD)) - 1]:
            return None
        service.complaints, service.heard = service.complaints + 1, self.beats
        return self.restarted(label, f"{by} complains of it")

    def update(self, label: str, alternative: int) -> list[Step]:
        """Somebody wants a service to run another program; first it is asked to write down its state."""
        service = self.services[label]
        service.fallback, service.state, service.is_new = service.alternative, State.UPDATING, False
        service.is_updated = False
        service.last_life = service.asked = self.beats
        service.due = alternative
        return [Step(Act.ASK_FOR_STATE, label)]

    def state_saved(self, label: str) -> list[Step]:
        """The service has written down its state and serves no more: the new program may begin.

        One that need not give signs of life counts as working once it is started. One that retired though nobody wants
        it to any more (an order outlives the life that it was for) is started anew at once.
        """
        service = self.services[label]
        if service.state is State.RUNNING:
            return self.restarted(label, OUTDATED)
        if service.state is not State.UPDATING or service.is_new:
            return []
        service.alternative, service.is_new = service.due, True
        if not service.patience:
            self._updated(service)
        service.incarnation += 1
        service.started = service.last_life = self.beats
        return [Step(Act.DESTROY, label), Step(Act.START, label, service.alternative)]

    def _beat_of(self, service: Service) -> Iterator[Step]:
        silent = self.beats - service.last_life
        if service.state in (State.WAITING, State.ASKING):
            if service.due <= self.beats:
                yield from self._start(service)
        elif service.state is State.UPDATING:
            if silent > max(service.patience, 2):
                yield from self.crashed(service.label, NO_HEARTBEAT)
            else:
                yield Step(Act.PING, service.label)
        elif service.state is State.RUNNING and service.patience:
            if silent > service.patience:
                yield from self._doubted(service, service.last_life, "is silent")
                yield from self.crashed(service.label, NO_HEARTBEAT)
            else:
                yield Step(Act.PING, service.label)

    def _misled(self, service: Service) -> Iterator[Step]:
        """Whoever crashes again and again may be given nonsense: start anew those whose answers it may be."""
        if service.crashes % MISLED == 0:
            yield from self._doubted(service, service.started, "crashes again and again")

    def _doubted(self, service: Service, since: int, what: str) -> Iterator[Step]:
        """Whoever is silent may wait for an answer that will never come: start anew those whose answer it may be, but
        those that have been since.
        """
        for label in self.providers.get(service.label, ()):
            provider = self.services[label]
            if provider.state is State.RUNNING and provider.started <= since:
                yield from self.restarted(label, f"{service.label} {what}")

    def _start(self, service: Service) -> list[Step]:
        service.state, service.is_new = State.RUNNING, False
        service.incarnation += 1
        service.started = service.last_life = self.beats
        return [Step(Act.START, service.label, service.alternative)]

    def _updated(self, service: Service) -> None:
        service.is_updated = service.is_new
        service.fallback, service.state, service.is_new = service.alternative, State.RUNNING, False

    def _roll_back(self, service: Service) -> list[Step]:
        service.alternative = service.fallback
        return [Step(Act.DESTROY, service.label), *self._start(service)]

    def _note(self, service: Service, reason: str) -> None:
        number = self.events[-1].number + 1 if self.events else 1
        self.events.append(Event(number, service.label, reason, service.incarnation))
        del self.events[:-MAX_EVENTS]
