"""Time for many clients out of one comparator: who waits is kept in order, and the device told of the next moment.

A device is a ``Comparator``: a program per kind of device says how its registers are used, and nothing else. One that
interrupts too early, or cannot count so far, is told again; one that does not interrupt is made good for by the next
sign of life. One that is read wrongly is read again; if it does not come to its senses, whoever asks or waits gets a
``DeviceError``.
"""

from abc import ABC, abstractmethod
from typing import Any, Final, Protocol

from capkernel.protocols.clocks import MAX_US, MIN_PERIOD_US, Timer
from capkernel.protocols.failures import DeviceError, Malformed
from capkernel.protocols.interface import Interface
from capkernel.protocols.service import Service
from capkernel.user.loop import PD
from capkernel.user.messages import SharedRegion
from capkernel.user.syscalls import Message
from capkernel.user.tasks import Condition
from servers.drivers.deadlines import Alarms, Deadlines, KeptAlarms
from servers.system.retiring import Handover, decline

IRQ, SUPERVISOR, CLIENTS, UPDATE = 0, 1, range(2, 20), 20
"""Channels."""
FIRST_REPLY, REPLIES = 302, 8
"""So many can wait at a time."""
TICKS_PER_US: Final = 10
READINGS: Final = 6
NEAR: Final = 100
"""Ticks: two readings one after the other that differ by more are not both right, or something came between."""
POLL, GRACE = 100, 20_000
"""Ticks after which a driver that is to retire looks again; ticks that it waits for those who sleep, at most."""
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


class TimeKeeper:
    """Who waits for what."""

    def __init__(self, pd: PD, comparator: Comparator) -> None:
        self.comparator = comparator
        self.deadlines = Deadlines()
        self.alarms = Alarms(pd, self.deadlines)
        self.latest = self.failures = 0
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

    @property
    def last_sleeper(self) -> int | None:
        """When the last of those goes on who sleep."""
        alarms = self.alarms.by_channel.values()
        return max((each.moment for each in self.deadlines.waiting if each not in alarms), default=None)

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
        await self.keeper.wait_until(await self.keeper.now() + us * TICKS_PER_US)

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


class TimerProgram(ABC):
    """The driver of any device. ``state`` is memory that outlives it, for the driver after it."""

    state: int = 0
    state_size: int = 0x1000

    def __init__(self) -> None:
        self.keeper: Any = None
        self.service: Any = None
        self.handover: Any = None

    @abstractmethod
    def make_comparator(self, pd: PD) -> Comparator:
        """The device."""

    async def init(self, pd: PD) -> None:
        """Stop the device, and serve."""
        pd.spare_replies.extend(range(FIRST_REPLY, FIRST_REPLY + REPLIES))
        self.keeper = TimeKeeper(pd, self.make_comparator(pd))
        self.service = Service(pd, roots=self._root)
        await self.keeper.arm()
        if self.state:
            region = SharedRegion(self.state, self.state_size)
            self.handover = Handover(pd, KeptAlarms, region, SUPERVISOR, UPDATE)
            if await self.handover.go_on(self.keeper.alarms.take_up):
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
        """Alarms are handed over. Who sleeps waits for this driver's answer: for those it waits, if it is not long."""
        if self.handover is None:
            await decline(pd, "there is no memory that outlives the alarms")
            return
        until = await pd.clock() + GRACE
        while (last := self.keeper.last_sleeper) is not None:
            if last > until or await pd.clock() > until:
                await decline(pd, "somebody sleeps for longer")
                return
            await pd.compute(POLL)
            await self._go_on()
        await self.handover.give_way(self.keeper.alarms.kept())

    async def _go_on(self) -> None:
        await self.keeper.look()
        await self.service.run_ready()
        await self.keeper.arm()

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A client asks."""
        answer = await self.service.protected(msg)
        await self._go_on()
        return answer
