"""Adaptive partitions (QNX, "Adaptive Partitioning User's Guide"): shares that are guaranteed when all is busy.

A partition has a share of the processor, in per cent of an averaging window that slides. As long as it has used less
than its share within the window it is *in budget*, and its members run by their priorities. When it has used it up, its
members run only in time that nobody else wants (*free time*), again by priority. What is used in free time counts, too.

A *critical* member runs by its priority even when its partition has used up its share, at the expense of the
partition's critical budget, so many microseconds a window. If that is used up, the partition is *bankrupt*: that is
told, and the member is one like others until the window has slid on.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

from attrs import Factory, define, field, frozen

from servers.scheduling.policy import MIN_LEASE_US, Policy, Turn

WINDOW_US: Final = 100_000
LEASE_US: Final = 5_000
"""The longest lease in budget."""
SHORT_LEASE_US: Final = 1_000
"""The shortest lease in budget, though less may be left: the rest is missing later within the window."""
SHORT_LEASE_UNDER_OVERLOAD_US: Final = 500
"""The same when nobody uses free time. What all others are above their budgets at the same time the last one lacks."""
FREE_LEASE_US: Final = 1_000
"""In free time: so often the order is looked at."""


@frozen
class Member:
    """Who runs: in which partition, at which priority among all."""

    number: int
    partition: str
    priority: int = 0
    is_critical: bool = False


@define
class Usage:
    """What was used within a window that slides: entries of (when it ended, when it began, how much)."""

    window_us: int
    entries: deque[tuple[int, int, int]] = field(factory=deque)
    total: int = 0

    def add(self, begin: int, end: int, used: int) -> None:
        """Some more, evenly between two moments."""
        if used:
            self.entries.append((end, begin, used))
            self.total += used

    def within(self, now: int) -> int:
        """What was used within the last window."""
        start = now - self.window_us
        while self.entries and self.entries[0][0] <= start:
            self.total -= self.entries.popleft()[2]
        if not self.entries or self.entries[0][1] >= start:
            return self.total
        end, begin, used = self.entries[0]
        return self.total - used * (start - begin) // (end - begin)


@define
class Partition:
    """A partition: its share in per cent, its critical budget in microseconds a window, whom to tell of bankruptcy."""

    name: str
    share: int
    critical_us: int = 0
    channel: int | None = None
    window_us: int = WINDOW_US
    used: Usage = Factory(lambda self: Usage(self.window_us), takes_self=True)
    critical: Usage = Factory(lambda self: Usage(self.window_us), takes_self=True)
    is_bankrupt: bool = False

    @property
    def budget(self) -> int:
        """Microseconds a window."""
        return self.share * self.window_us // 100

    def left(self, now: int) -> int:
        """Of its budget, in microseconds; below 0 if free time was used."""
        return self.budget - self.used.within(now)

    def critical_left(self, now: int) -> int:
        """Of its critical budget."""
        return self.critical_us - self.critical.within(now)


class Partitions(Policy):
    """The policy. Raises ValueError if shares do not add up to 100, or a member's partition does not exist."""

    def __init__(self, partitions: Sequence[Partition], members: Sequence[Member]) -> None:
        if sum(each.share for each in partitions) != 100:
            raise ValueError(f"shares add up to {sum(each.share for each in partitions)}, not to 100")
        self.partitions = {each.name: each for each in partitions}
        self.members = {each.number: each for each in members}
        for each in members:
            if each.partition not in self.partitions:
                raise ValueError(f"member {each.number}: there is no partition {each.partition!r}")
        self._last = 0
        self._count = 0
        self._turn = dict.fromkeys(self.members, 0)
        self._on_critical: set[int] = set()
        self._news: list[int] = []

    def ran(self, used: Mapping[int, int], now: int) -> None:
        """Charge the partitions."""
        for number, amount in used.items():
            if amount:
                self._count += 1
                self._turn[number] = self._count
            partition = self.partitions[self.members[number].partition]
            partition.used.add(self._last, now, amount)
            if number in self._on_critical:
                partition.critical.add(self._last, now, amount)
        self._last = now

    def order(self, now: int) -> Sequence[Turn]:
        """Those who may run by priority; then the others, for free time."""
        self._on_critical.clear()
        ranked = sorted((self._rank(member, now) for member in self.members.values()), key=lambda ranked: ranked[0])
        return [turn for _, turn in ranked]

    def news(self) -> Sequence[int]:
        """Whom to tell that a partition is bankrupt."""
        news, self._news = self._news, []
        return news

    def _rank(self, member: Member, now: int) -> tuple[tuple[float, ...], Turn]:
        """Where a member comes, and for how long. Of equal priority: who has most of its share left comes first."""
        partition = self.partitions[member.partition]
        left = partition.left(now)
        if left >= MIN_LEASE_US:
            partition.is_bankrupt = False
            rank = (0, -member.priority, -left / max(partition.budget, 1), self._turn[member.number])
            return rank, Turn(member.number, min(max(left, self._short(now)), LEASE_US))
        if member.is_critical:
            critical = partition.critical_left(now)
            if critical >= MIN_LEASE_US:
                self._on_critical.add(member.number)
                return (0, -member.priority, 0, 0), Turn(member.number, min(critical, LEASE_US))
            if not partition.is_bankrupt:
                partition.is_bankrupt = True
                if partition.channel is not None:
                    self._news.append(partition.channel)
        return (1, -member.priority, self._turn[member.number], 0), Turn(member.number, FREE_LEASE_US)

    def _short(self, now: int) -> int:
        """The shortest lease in budget just now. Who is that far above its budget has used free time."""
        is_overload = all(each.left(now) >= -SHORT_LEASE_US for each in self.partitions.values())
        return SHORT_LEASE_UNDER_OVERLOAD_US if is_overload else SHORT_LEASE_US
