"""What a scheduling policy is: it orders members and lends them time; it has no caps, and knows no clock.

The scheduler (``scheduler``) asks for the order whenever something has happened. The first in the order gets the
highest priority, so one that is blocked is passed over by the kernel itself. Each has a *lease*: so many microseconds,
enforced by its scheduling context, after which the scheduler looks again.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from attrs import frozen


@frozen
class Turn:
    """A member's place in the order, and its lease in microseconds from now on, if it gets a new one."""

    member: int
    lease_us: int


class Policy(ABC):
    """A policy. Members have numbers; times are microseconds, ``now`` since any moment."""

    @abstractmethod
    def ran(self, used: Mapping[int, int], now: int) -> None:
        """What each member has run since the last call."""

    @abstractmethod
    def order(self, now: int) -> Sequence[Turn]:
        """All members, the first one first. A lease may be as short as ``MIN_LEASE_US``, no shorter."""

    def news(self) -> Sequence[int]:
        """Numbers of what has happened since the last call that somebody wants to know; channels to be signalled."""
        return ()


MIN_LEASE_US = 100
