"""Time: how much has passed, waiting until some has, and what the clock on the wall says."""

from abc import abstractmethod
from typing import Final

from capkernel.protocols.interface import Interface, operation

MAX_US: Final = 100 * 366 * 24 * 3600 * 10**6
"""Microseconds: a hundred years, the longest that one can wait and the last moment to wait for."""
MIN_PERIOD_US: Final = 100
MAX_NS: Final = (1 << 63) - 1


class Timer(Interface, number=34):
    """Time since the machine was started, in microseconds. It never goes back, whatever the wall clock does.

    Who waits goes on no earlier than asked for; two who wait go on in the order of their moments, and for the same
    moment in the order in which they asked. A number that is negative or beyond a hundred years is Malformed. A device
    that contradicts itself is a DeviceError, to whoever waits, too.
    """

    @operation(1)
    @abstractmethod
    async def now(self) -> int:
        """Microseconds since the machine was started."""

    @operation(2)
    @abstractmethod
    async def sleep(self, us: int) -> None:
        """Wait. Busy if too many wait already; ``ServerDied`` may come at any time, and too early."""

    @operation(3)
    @abstractmethod
    async def sleep_until(self, us: int) -> None:
        """Wait until ``now()`` is so much; not at all if it is. As ``sleep``."""

    @operation(4)
    @abstractmethod
    async def alarm(self, after_us: int, period_us: int) -> None:
        """Signal this client's channel after a time, and then once each period, or just once if that is 0.

        A client has one alarm; the new one takes the place of the old. Signals that he was too slow to see are one. It
        ends with the timer's driver. A period is 0 or at least 100, else Malformed; Unsupported without a channel.
        """

    @operation(5)
    @abstractmethod
    async def cancel(self) -> None:
        """Forget this client's alarm, if there is one."""


class RealTimeClock(Interface, number=35):
    """The time of day: nanoseconds since 1970 in UTC. It may be set, and then jumps.

    A number that is negative or above 2**63 - 1 is Malformed; a DeviceError if the device shows such a time.
    """

    @operation(1)
    @abstractmethod
    async def now(self) -> int:
        """Nanoseconds since 1970."""

    @operation(2)
    @abstractmethod
    async def set_time(self, ns: int) -> None:
        """Set the clock. NotPermitted for most."""

    @operation(3)
    @abstractmethod
    async def alarm(self, at_ns: int) -> None:
        """Signal this client's channel when the clock shows this time or a later one; it takes the place of an alarm
        that he had, and ends with the driver. Unsupported without a channel.
        """

    @operation(4)
    @abstractmethod
    async def cancel(self) -> None:
        """Forget this client's alarm, if there is one."""
