"""Servers die at their steps; authority stays below the ceiling at every kernel entry, and all invariants hold.

In the whole sweeps, for the campaign, the ceiling is held against every entry of every run, and the invariants are
evaluated at each entry while the server dies and is built anew.
"""

from collections.abc import Callable

import pytest

from capkernel.tools.demo import broker, composition
from capkernel.tools.demo.policies import servers
from capkernel.tools.demo.stage import Watcher
from capkernel.tools.demo.volumes import spread_from
from capkernel.tools.inject import Fault, Kind
from tests.scenarios.watching import Watch

Play = Callable[[Fault, Watcher], int]
"""Plays with a fault, watched; how many faults happened."""


def play_broker(fault: Fault, watch: Watcher) -> int:
    outcome = broker.play((fault,), watch=watch)
    assert outcome.is_over
    return outcome.activated


def play_servers(fault: Fault, watch: Watcher) -> int:
    outcome = servers.play((fault,), watch=watch)
    assert outcome.is_over
    return outcome.activated


def play_composition(fault: Fault, watch: Watcher) -> int:
    outcome = composition.play((fault,), watch=watch)
    assert outcome.is_over
    return len(outcome.activated)


PLAYS: dict[str, tuple[Play, str]] = {
    "broker": (play_broker, "policies"),
    "policy servers": (play_servers, "policies"),
    "composition": (play_composition, "composition"),
}
POINTS, CLOSE, LOOKS = 10, 400, 300
MORTALS = {
    "broker": {"broker": 290, "files": 700, "audit": 190, "timer": 49},
    "policy servers": {"wall": 65, "broker": 700},
    "composition": {"red": 250, "pager": 80, "broker": 240, "paths": 150, "supervisor": 500},
}
"""Who dies, and within how many steps."""
SWEEP = [
    (name, Fault(mortal, step, Kind.CRASH))
    for name, mortals in MORTALS.items()
    for mortal, last in mortals.items()
    for step in spread_from(20, last, POINTS)
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "fault"), [
    ("broker", Fault("broker", 90, Kind.CRASH)),
    ("policy servers", Fault("wall", 60, Kind.CRASH)),
    ("composition", Fault("red", 130, Kind.CRASH)),
])  # fmt: skip
def test_while_a_server_dies_every_step_keeps_all_invariants_and_stays_below_the_ceiling(
    name: str, fault: Fault
) -> None:
    play, system = PLAYS[name]
    watch = Watch(system, every=10**9, close=8, late=LOOKS)
    assert play(fault, watch) == 1
    assert watch.violations == []
    assert watch.checked == LOOKS


@pytest.mark.campaign
@pytest.mark.parametrize(("name", "fault"), SWEEP)
def test_wherever_a_server_dies_every_step_keeps_all_invariants_and_stays_below_the_ceiling(
    name: str, fault: Fault
) -> None:
    play, system = PLAYS[name]
    watch = Watch(system, every=101, close=CLOSE)
    assert play(fault, watch) == 1
    assert watch.violations == []
    assert watch.checked > CLOSE
