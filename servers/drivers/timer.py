"""Time for many clients out of one comparator: who waits is kept in order, and the device told of the next moment.

A device is a ``Comparator``: a program per kind of device says how its registers are used, and nothing else. One that
interrupts too early, or cannot count so far, is told again; one that does not interrupt is made good for by the next
sign of life. One that is read wrongly is read again; if it does not come to its senses, whoever asks or waits gets a
``DeviceError``.

With memory that outlives it (``state``) it can give way to another program: alarms are handed over, and who sleeps
sleeps on until his moment.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Final, Protocol

from attrs import define, frozen

from capkernel.protocols.clocks import MAX_US, MIN_PERIOD_US, Timer
from capkernel.protocols.failures import DeviceError, Malformed
from capkernel.protocols.interface import Interface
from capkernel.protocols.service import Service
from capkernel.user.loop import PD
from capkernel.user.messages import SharedRegion
from capkernel.user.syscalls import Message
from capkernel.user.tasks import Condition
from servers.drivers.deadlines import Alarms, Deadlines, KeptAlarms
from servers.neighbours import Role, Serves, Uses
from servers.system.retiring import Handover, decline
from servers.system.waiting import Callers, KeptRequest, LastingReplies, keep_request

IRQ, SUPERVISOR, CLIENTS, UPDATE = 0, 1, range(2, 20), 20
"""Channels."""
FIRST_REPLY, REPLIES = 302, 8
"""So many can wait at a time."""
HELD_CNODE, HELD_ADDRESS, HELD_REPLIES, REPLY_MEMORY = 310, 1 << 58, range(1, REPLIES + 2), 311
"""If there is memory for the program after this one: the granted CNode that lasts, the cap address of its slot 0, its
slots; the memory for reply objects.
"""
TICKS_PER_US: Final = 10
READINGS: Final = 6
NEAR: Final = 100
"""Ticks: two readings one after the other that differ by more are not both right, or something came between."""
LAST: Final = 2 * MAX_US * TICKS_PER_US
"""No machine has run for so many ticks."""


class Comparator(Protocol):
    """A timer's device; times are ticks of 100 ns since the machine was started."""

    async def now(self) -> int:
        """The present tick."""
        ...

    async def arm(self, tick: int | None) -> None:
        """Interrupt at a tick, or at once if that has passed; earlier, if it is too far. None: not at all."""
        ...

    async def acknowledge(self) -> None:
        """The interrupt was seen."""
        ...


@define
class Begun:
    """What is known of a request that is being served: the tick at which its caller goes on."""

    moment: int | None = None


class TimeKeeper:
    """Who waits for what. ``begun`` is of the request that is taken up just now."""

    def __init__(self, pd: PD, comparator: Comparator) -> None:
        self.comparator = comparator
        self.deadlines = Deadlines()
        self.alarms = Alarms(pd, self.deadlines)
        self.latest = self.failures = 0
        self.begun = Begun()
        self.sleeping: list[Condition] = []

    async def now(self) -> int:
        """The present tick, as soon as two readings agree. Raises DeviceError if they never do."""
        before = await self.comparator.now()
        for _ in range(READINGS):
            tick = await self.comparator.now()
            if 0 <= tick - before <= NEAR and self.latest <= tick <= LAST:
                self.latest = tick
                return tick
            before = tick
        raise DeviceError(f"the timer says {before} ticks, after {self.latest}")

    async def sleep(self, us: int) -> None:
        """Wait for so long from when it was asked for. Raises DeviceError if the device cannot be read any more."""
        begun = self.begun
        if begun.moment is None:
            begun.moment = await self.now() + us * TICKS_PER_US
        await self.wait_until(begun.moment)

    async def wait_until(self, tick: int) -> None:
        """Wait. Raises DeviceError if the device cannot be read any more."""
        if tick <= await self.now():
            return
        has_come: list[bool] = []
        come = Condition()

        def arrive(now: int) -> None:
            has_come.append(True)
            come.notify()

        deadline = self.deadlines.add(tick, arrive)
        failures = self.failures
        self.sleeping.append(come)
        try:
            while not has_come:
                await come.wait()
                if self.failures > failures:
                    raise DeviceError("the timer cannot be read any more")
        finally:
            self.sleeping.remove(come)
            self.deadlines.remove(deadline)

    async def look(self) -> None:
        """Let go on whose moment has come; if the device cannot tell, all who sleep. Alarms then come later."""
        try:
            self.deadlines.pass_to(await self.now())
        except DeviceError:
            self.failures += 1
            for sleeper in self.sleeping:
                sleeper.notify()
        await self.alarms.signal()

    async def arm(self) -> None:
        """Tell the device of the next moment."""
        await self.comparator.arm(self.deadlines.next)


class TimerServant(Timer):
    """The time, for one client."""

    def __init__(self, keeper: TimeKeeper, channel: int) -> None:
        self.keeper = keeper
        self.channel = channel

    async def now(self) -> int:
        """Microseconds."""
        return await self.keeper.now() // TICKS_PER_US

    async def sleep(self, us: int) -> None:
        """Wait for so long."""
        _check(us)
        await self.keeper.sleep(us)

    async def sleep_until(self, us: int) -> None:
        """Wait for a moment."""
        _check(us)
        await self.keeper.wait_until(us * TICKS_PER_US)

    async def alarm(self, after_us: int, period_us: int) -> None:
        """Signal later."""
        _check(after_us)
        _check(period_us)
        if 0 < period_us < MIN_PERIOD_US:
            raise Malformed(f"a period is 0 or at least {MIN_PERIOD_US} microseconds, not {period_us}")
        moment = await self.keeper.now() + after_us * TICKS_PER_US
        self.keeper.alarms.set(self.channel, moment, period_us * TICKS_PER_US)

    async def cancel(self) -> None:
        """Do not signal."""
        self.keeper.alarms.cancel(self.channel)


def _check(us: int) -> None:
    if not 0 <= us <= MAX_US:
        raise Malformed(f"a time is 0 to {MAX_US} microseconds, not {us}")


@frozen
class KeptSleeper:
    """Who waits, for the next program. ``moment`` is a tick, or 0 where the request itself says when."""

    request: KeptRequest
    moment: int


@frozen
class KeptTimes:
    """For the next program: who is to be signalled, who waits."""

    alarms: KeptAlarms
    sleepers: list[KeptSleeper]


class TimerProgram(ABC):
    """The driver of any device. ``state`` is memory that outlives it, for the driver after it; who gives it that gives
    it slots that last, and memory for reply objects.
    """

    uses: ClassVar[Uses] = Uses(
        serves=dict.fromkeys(CLIENTS, Serves(Timer)), interrupts=frozenset({IRQ}),
        signals={SUPERVISOR: Role.SUPERVISOR, UPDATE: Role.UPDATE},
        needs=frozenset({"registers"}),
    )
    state: int = 0
    state_size: int = 0x1000

    def __init__(self) -> None:
        self.keeper: Any = None
        self.service: Any = None
        self.handover: Any = None
        self.callers: Any = None

    @abstractmethod
    def make_comparator(self, pd: PD) -> Comparator:
        """The device."""

    async def init(self, pd: PD) -> None:
        """Stop the device, and serve."""
        self.keeper = TimeKeeper(pd, self.make_comparator(pd))
        self.service = Service(pd, roots=self._root)
        self.callers = Callers[Begun](pd)
        await self.keeper.arm()
        if self.state:
            await self._begin_or_go_on(pd)
        else:
            pd.spare_replies.extend(range(FIRST_REPLY, FIRST_REPLY + REPLIES))

    async def _begin_or_go_on(self, pd: PD) -> None:
        replies = LastingReplies(pd, HELD_CNODE, HELD_ADDRESS, HELD_REPLIES, REPLY_MEMORY)
        sleepers: list[KeptSleeper] = []

        async def take_up(kept: KeptTimes) -> None:
            if any(not 0 <= each.moment <= LAST for each in kept.sleepers):
                raise ValueError("nobody can sleep for so long")
            sleepers.extend(kept.sleepers)
            replies.use([each.request.reply for each in sleepers])
            await self.keeper.alarms.take_up(kept.alarms)

        await replies.open()
        self.handover = Handover(pd, KeptTimes, SharedRegion(self.state, self.state_size), SUPERVISOR, UPDATE)
        if not await self.handover.go_on(take_up):
            await replies.abandon()
            replies.use([])
            return
        for each in sleepers:
            self.keeper.begun = Begun(each.moment or None)
            await self.callers.resume(self.service, each.request, self.keeper.begun)
        await self._go_on()

    def _root(self, session: int) -> Interface | None:
        return TimerServant(self.keeper, session) if session in CLIENTS else None

    async def notified(self, pd: PD, ch: int) -> None:
        """The device interrupts, or the supervisor wants a sign of life, or another program in this one's place."""
        if ch == UPDATE:
            await self._give_way(pd)
            return
        if ch == IRQ:
            await self.keeper.comparator.acknowledge()
        await self._go_on()
        if ch == IRQ:
            await pd.irq_ack(IRQ)
        elif ch == SUPERVISOR:
            await pd.notify(SUPERVISOR)

    async def _give_way(self, pd: PD) -> None:
        if self.handover is None:
            await decline(pd, "there is no memory that outlives the alarms")
            return
        sleepers = [
            KeptSleeper(keep_request(reply, message), begun.moment or 0)
            for reply, message, begun in self.callers.waiting()
        ]
        await self.handover.give_way(KeptTimes(self.keeper.alarms.kept(), sleepers))

    async def _go_on(self) -> None:
        await self.keeper.look()
        await self.service.run_ready()
        await self.keeper.arm()

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A client asks."""
        self.keeper.begun = begun = Begun()
        answer = await self.callers.serve(self.service, msg, begun)
        await self._go_on()
        return answer
