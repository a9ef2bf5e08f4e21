"""Servers that nobody starts anew: wherever one dies, what it decides on stays shut, for attackers, too.

Policy servers have a supervisor, and come back with what they knew: ``test_broker``, ``test_council``,
``test_membrane``, ``test_powerbox``, ``test_space_bank``, ``test_sealing``, ``test_factory``. The Hurd's identities and
nodes end with their servers.
"""

import pytest

from capkernel.tools.demo.hurd.hu3 import SECRET
from capkernel.tools.demo.hurd.meeting import meet
from capkernel.tools.demo.volumes import spread_from
from capkernel.tools.inject import Fault, Kind

SERVERS = {"auth": 110, "nodes": 150}
"""About how many steps they take."""


def points(count: int) -> list[tuple[str, int]]:
    return [(name, step) for name, steps in SERVERS.items() for step in spread_from(5, steps, count)]


def check(name: str, step: int) -> None:
    """Nothing of others' diaries comes to mallory, who is somebody else."""
    assert SECRET not in meet(faults=(Fault(name, step, Kind.CRASH),)).mallory.values()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "step"), points(1))
def test_a_server_that_dies_lets_nothing_pass(name: str, step: int) -> None:
    check(name, step)


@pytest.mark.campaign
@pytest.mark.parametrize(("name", "step"), points(100))
def test_a_server_that_dies_anywhere_lets_nothing_pass(name: str, step: int) -> None:
    check(name, step)
