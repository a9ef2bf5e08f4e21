"""The process manager keeps time: who does not want to wait any longer is announced, whoever made it look at the clock.
"""

from typing import Any

import pytest

from capkernel.protocols.failures import Malformed, NotFound
from servers.qnx.process_manager import Clock, TimeoutsServant
from servers.qnx.process_manifest import Client, ProcessManifest, Server

KNOWN = ProcessManifest((Server("adder", 0, 330),), (Client(2, "adder", 3), Client(4, "adder", 5)))


class Stand:
    """In place of a timer and of a process manager: what the time is, what alarm was set, who was told of what."""

    def __init__(self) -> None:
        self.known = KNOWN
        self.time = 1_000
        self.alarms: list[int] = []
        self.told: list[tuple[int, int]] = []
        stand: Any = self
        self.clock = Clock(stand, stand)
        self.first, self.second = [TimeoutsServant(stand, self.clock, each.channel) for each in KNOWN.clients]

    async def now(self) -> int:
        return self.time

    async def alarm(self, after_us: int, period_us: int) -> None:
        self.alarms.append(after_us)

    async def unblock(self, client: Client, request: int) -> None:
        self.told.append((client.channel, request))


def ran(work: Any) -> None:
    with pytest.raises(StopIteration):
        work.send(None)


def test_a_timeout_of_no_time_is_over_at_once() -> None:
    stand = Stand()
    ran(stand.first.arm("adder", 7, 0))
    assert (stand.told, stand.alarms) == ([(2, 7)], [])


def test_one_that_is_over_when_another_one_is_set_is_told_then() -> None:
    """Its alarm may never come: the next one takes its place."""
    stand = Stand()
    ran(stand.first.arm("adder", 7, 100))
    assert (stand.told, stand.alarms) == ([], [100])
    stand.time += 150
    ran(stand.second.arm("adder", 8, 500))
    assert (stand.told, stand.alarms) == ([(2, 7)], [100, 500])
    stand.time += 500
    ran(stand.clock.look())
    assert stand.told == [(2, 7), (4, 8)]


def test_one_that_was_set_again_or_forgotten_is_not_told() -> None:
    stand = Stand()
    ran(stand.first.arm("adder", 7, 100))
    ran(stand.first.arm("adder", 8, 300))
    ran(stand.second.arm("adder", 9, 100))
    ran(stand.second.disarm())
    stand.time += 200
    ran(stand.clock.look())
    assert stand.told == []
    stand.time += 200
    ran(stand.clock.look())
    assert stand.told == [(2, 8)]


@pytest.mark.parametrize(("server", "request_number", "us"), [("adder", 1 << 32, 0), ("adder", 0, -1)])
def test_what_is_no_timeout_is_refused(server: str, request_number: int, us: int) -> None:
    stand = Stand()
    with pytest.raises(Malformed):
        stand.first.arm(server, request_number, us).send(None)
    with pytest.raises(NotFound):
        stand.first.arm("nobody", 0, 0).send(None)
    assert not stand.told
