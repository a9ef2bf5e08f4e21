"""What is to happen when: an ordered list of moments, each with what is due then. It knows no clock."""

from bisect import insort
from collections.abc import Callable

from attrs import define, field, frozen

from capkernel.protocols.failures import Unsupported
from capkernel.user.loop import MAX_CHANNELS, PD


@frozen(order=True)
class Deadline:
    """A moment, in the clock's own units; ``number`` tells equal ones apart.

    When it has come ``what`` is called, with what time it is then.
    """

    moment: int
    number: int
    what: Callable[[int], None] = field(eq=False, order=False)


@define
class Deadlines:
    """All of them, the next one first."""

    waiting: list[Deadline] = field(factory=list)
    _number: int = 0

    def add(self, moment: int, what: Callable[[int], None]) -> Deadline:
        """Something is to happen at a moment."""
        self._number += 1
        deadline = Deadline(moment, self._number, what)
        insort(self.waiting, deadline)
        return deadline

    def remove(self, deadline: Deadline) -> None:
        """It is not to happen, if it has not happened yet."""
        if deadline in self.waiting:
            self.waiting.remove(deadline)

    def pass_to(self, now: int) -> None:
        """Let happen what is due, in order."""
        while self.waiting and self.waiting[0].moment <= now:
            self.waiting.pop(0).what(now)

    @property
    def next(self) -> int | None:
        """The next moment."""
        return self.waiting[0].moment if self.waiting else None


@frozen
class KeptAlarm:
    """An alarm for the next program; ``period`` is 0 if it comes once."""

    channel: int
    moment: int
    period: int


@frozen
class KeptAlarms:
    """All of them."""

    alarms: list[KeptAlarm]


class Alarms:
    """One alarm a client: his channel is signalled when its moment has come."""

    def __init__(self, pd: PD, deadlines: Deadlines) -> None:
        self.pd = pd
        self.deadlines = deadlines
        self.by_channel: dict[int, Deadline] = {}
        self.periods: dict[int, int] = {}
        self.ringing: list[int] = []
        """Channels to be signalled."""

    def set(self, channel: int, moment: int, period: int = 0) -> None:
        """Set a client's alarm, in place of the one that he had. Raises Unsupported."""
        if channel >= MAX_CHANNELS or not self.pd.values.notifications >> channel & 1:
            raise Unsupported("this client has no channel that could be signalled")
        self.cancel(channel)
        self.periods[channel] = period
        self.by_channel[channel] = self.deadlines.add(moment, lambda now: self._ring(channel, moment, period, now))

    def cancel(self, channel: int) -> None:
        """Forget it."""
        if channel in self.by_channel:
            self.deadlines.remove(self.by_channel.pop(channel))

    def kept(self) -> KeptAlarms:
        """Those that are set, in order; who is to be signalled now was signalled before."""
        alarms = [KeptAlarm(channel, each.moment, self.periods[channel]) for channel, each in self.by_channel.items()]
        return KeptAlarms(sorted(alarms, key=lambda alarm: self.by_channel[alarm.channel]))

    async def take_up(self, kept: KeptAlarms) -> None:
        """Set them again. Raises ValueError or Unsupported if no former life can have written this down."""
        for each in kept.alarms:
            if each.channel < 0 or each.channel in self.by_channel or each.moment < 0 or each.period < 0:
                raise ValueError(f"there can be no alarm {each}")
            self.set(each.channel, each.moment, each.period)

    async def signal(self) -> None:
        """Signal those whose moment has come."""
        ringing, self.ringing = self.ringing, []
        for channel in ringing:
            await self.pd.notify(channel)

    def _ring(self, channel: int, moment: int, period: int, now: int) -> None:
        """Its moment has come; periods that passed meanwhile count as one."""
        del self.by_channel[channel]
        self.ringing.append(channel)
        if period:
            self.set(channel, moment + ((now - moment) // period + 1) * period, period)
