"""The wall clock on the registers of the Goldfish platform's: time of day, and alarms by it."""

from contextlib import suppress
from typing import Any, ClassVar

from capkernel.protocols.clocks import MAX_NS, RealTimeClock
from capkernel.protocols.failures import DeviceError, Malformed, NotPermitted
from capkernel.protocols.interface import Interface
from capkernel.protocols.service import Service
from capkernel.user.loop import PD
from capkernel.user.messages import SharedRegion
from capkernel.user.syscalls import Message
from servers.drivers.deadlines import Alarms, Deadlines, KeptAlarms
from servers.neighbours import Role, Serves, Uses
from servers.system.retiring import Handover, decline

registers: int = 0
state: int = 0
state_size: int = 0x1000
"""Memory that outlives the driver, for the one after it."""

IRQ, SUPERVISOR, CLIENTS, SETTER, UPDATE = 0, 1, range(2, 20), 20, 21
"""Channels; only ``SETTER`` may set the clock."""

_TIME_LOW, _TIME_HIGH, _ALARM_LOW, _ALARM_HIGH = 0x00, 0x04, 0x08, 0x0C
_INTERRUPT, _CLEAR_ALARM, _CLEAR_INTERRUPT = 0x10, 0x14, 0x1C
_LOW = (1 << 32) - 1


class Goldfish:
    """The device; times are nanoseconds since 1970."""

    def __init__(self, pd: PD, base: int) -> None:
        self.pd = pd
        self.base = base

    async def now(self) -> int:
        """The time: reading the low half keeps the high one. Raises DeviceError if it cannot be."""
        low = await self.pd.load(self.base + _TIME_LOW, 4)
        ns = low | await self.pd.load(self.base + _TIME_HIGH, 4) << 32
        if ns > MAX_NS:
            raise DeviceError(f"the clock shows {ns} ns since 1970")
        return ns

    async def set(self, ns: int) -> None:
        """Set the time."""
        await self.pd.store(self.base + _TIME_HIGH, ns >> 32, 4)
        await self.pd.store(self.base + _TIME_LOW, ns & _LOW, 4)

    async def arm(self, ns: int | None) -> None:
        """Interrupt at a time, at once if it has passed; or not at all. Writing the low half arms."""
        await self.pd.store(self.base + _CLEAR_ALARM, 0, 4)
        if ns is not None:
            await self.pd.store(self.base + _ALARM_HIGH, ns >> 32, 4)
            await self.pd.store(self.base + _ALARM_LOW, ns & _LOW, 4)
        await self.pd.store(self.base + _INTERRUPT, ns is not None, 4)

    async def acknowledge(self) -> None:
        """The interrupt was seen."""
        await self.pd.store(self.base + _CLEAR_INTERRUPT, 0, 4)


class ClockServant(RealTimeClock):
    """The clock, for one client."""

    def __init__(self, clock: Goldfish, alarms: Alarms, channel: int) -> None:
        self.clock = clock
        self.alarms = alarms
        self.channel = channel

    async def now(self) -> int:
        """Nanoseconds since 1970."""
        return await self.clock.now()

    async def set_time(self, ns: int) -> None:
        """Set the clock."""
        if self.channel != SETTER:
            raise NotPermitted("the clock is set by somebody else")
        _check(ns)
        await self.clock.set(ns)

    async def alarm(self, at_ns: int) -> None:
        """Signal later."""
        _check(at_ns)
        self.alarms.set(self.channel, at_ns)

    async def cancel(self) -> None:
        """Do not signal."""
        self.alarms.cancel(self.channel)


def _check(ns: int) -> None:
    if not 0 <= ns <= MAX_NS:
        raise Malformed(f"a time is 0 to {MAX_NS} nanoseconds, not {ns}")


class Program:
    """The driver."""

    uses: ClassVar[Uses] = Uses(
        serves={channel: Serves(RealTimeClock, read_only=channel != SETTER) for channel in (*CLIENTS, SETTER)},
        interrupts=frozenset({IRQ}), signals={SUPERVISOR: Role.SUPERVISOR, UPDATE: Role.UPDATE},
        needs=frozenset({"registers"}),
    )

    def __init__(self) -> None:
        self.deadlines = Deadlines()
        self.alarms: Any = None
        self.clock: Any = None
        self.service: Any = None
        self.handover: Any = None

    async def init(self, pd: PD) -> None:
        """No alarm is set, but for those that the driver before has left; and serve."""
        self.clock, self.alarms = Goldfish(pd, registers), Alarms(pd, self.deadlines)
        self.service = Service(pd, roots=self._root)
        await self.clock.arm(None)
        await self.clock.acknowledge()
        if state:
            self.handover = Handover(pd, KeptAlarms, SharedRegion(state, state_size), SUPERVISOR, UPDATE)
            if await self.handover.go_on(self.alarms.take_up):
                await self._look()

    def _root(self, session: int) -> Interface | None:
        is_client = session in CLIENTS or session == SETTER
        return ClockServant(self.clock, self.alarms, session) if is_client else None

    async def notified(self, pd: PD, ch: int) -> None:
        """The device interrupts, or the supervisor wants a sign of life, or another program in this one's place."""
        if ch == IRQ:
            await self.clock.acknowledge()
        await self._look()
        if ch == IRQ:
            await pd.irq_ack(IRQ)
        elif ch == SUPERVISOR:
            await pd.notify(SUPERVISOR)
        elif ch == UPDATE and self.handover is None:
            await decline(pd, "there is no memory that outlives the alarms")
        elif ch == UPDATE:
            await self.handover.give_way(self.alarms.kept())

    async def _look(self) -> None:
        """Signal those whose time has come, and tell the device of the next. If it cannot tell, they wait."""
        with suppress(DeviceError):
            self.deadlines.pass_to(await self.clock.now())
        await self.alarms.signal()
        await self.clock.arm(self.deadlines.next)

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A client asks."""
        answer = await self.service.protected(msg)
        await self._look()
        return answer
