"""Policy servers that nobody starts anew: wherever one dies, what it decides on stays shut, for attackers, too.

Those with a supervisor come back with what they knew: ``test_broker``, ``test_council``, ``test_membrane``,
``test_powerbox``, ``test_space_bank``. Brands and factories end with their servers, and identities with theirs.
"""

from collections.abc import Callable

import pytest

from capkernel.tools.demo.hurd.hu3 import SECRET
from capkernel.tools.demo.hurd.meeting import meet
from capkernel.tools.demo.policies import factory, sealer
from capkernel.tools.demo.volumes import spread_from
from capkernel.tools.inject import Fault, Kind


def opened_boxes(fault: Fault) -> int:
    """What the carrier of sealed boxes came to."""
    carrier, _, _ = sealer.play(faults=(fault,))
    return carrier.opened + carrier.written


def leaks(fault: Fault) -> int:
    """What a builder of confined programs came to, and what came out of them."""
    builder, requester, _ = factory.play(faults=(fault,))
    return builder.sneaked + builder.heard + builder.written + requester.leaks


def others_diaries(fault: Fault) -> int:
    """What came to mallory, who is somebody else."""
    return sum(note == SECRET for note in meet(faults=(fault,)).mallory.values())


SERVERS: dict[str, tuple[Callable[[Fault], int], int]] = {
    "seals": (opened_boxes, 110),
    "factory": (leaks, 130),
    "auth": (others_diaries, 110),
    "nodes": (others_diaries, 150),
}
"""What the attackers came to, and about how many steps a server takes."""


def points(count: int) -> list[tuple[str, int]]:
    return [(name, step) for name, (_, steps) in SERVERS.items() for step in spread_from(5, steps, count)]


def check(name: str, step: int) -> None:
    assert SERVERS[name][0](Fault(name, step, Kind.CRASH)) == 0


@pytest.mark.slow
@pytest.mark.parametrize(("name", "step"), points(1))
def test_a_policy_server_that_dies_lets_nothing_pass(name: str, step: int) -> None:
    check(name, step)


@pytest.mark.campaign
@pytest.mark.parametrize(("name", "step"), points(100))
def test_a_policy_server_that_dies_anywhere_lets_nothing_pass(name: str, step: int) -> None:
    check(name, step)
