"""Microkit's own published systems run, with Python programs of the same names (in `microkit` beside this file).

Set CAPKERNEL_MICROKIT to the path of a Microkit 2.3 checkout; without it this is skipped.
"""

import os
from pathlib import Path

import pytest

from capkernel.tools.tour_systems import Booted

CHECKOUT = os.environ.get("CAPKERNEL_MICROKIT")
PROGRAMS = Path(__file__).parent / "microkit"
pytestmark = pytest.mark.skipif(not CHECKOUT, reason="CAPKERNEL_MICROKIT does not name a Microkit checkout")

PUBLISHED = {
    "example/hello/hello": ["hello, world"],
    "example/hierarchy/hierarchy": ["restarter: too many restarts - PD stopped", "hello, world"],
    "example/passive_server/passive_server": ["SERVER|INFO: running on clients scheduling context"],
    "example/cap_sharing/cap_sharing": [
        "|primary  | notifying secondary (it should not print)",
        "|primary  | resuming secondary (it should then print)",
        "|secondary| notified",
        "|primary  | halting (success)...",
    ],
    "example/domains/domains": ["collector: Got an event", "emitter: done emitting events"],
    "example/setvar/setvar": [
        "Virtual address of 'mr_with_paddr': 536870912",
        "Physical address of 'mr_with_paddr': 2147483648",
        "Physical address of 'pl011_paddr': 150994944",
    ],
    "example/mr_prefill/mr_prefill": ["hello, world. my name is mr_prefill", "prefilled data OK!"],
    "tests/simplemrs/simplemrs": ["AZ"],
    "tests/capfault/capfault": ["monitor: faulter stopped: CapFault"],
}
"""System → lines that it prints, in this order."""
TIME_LIMIT = 300_000
"""Microseconds: a system with a domain schedule never comes to an end."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_runs_as_published(name: str) -> None:
    path = Path(CHECKOUT or "") / f"{name}.system"
    run = Booted(path, search_path=[PROGRAMS]).run(time_us=TIME_LIMIT)
    rest = run.output
    for line in PUBLISHED[name]:
        assert line in rest, run.output
        rest = rest.partition(line)[2]
    assert run.crashes == ()


def test_a_suspended_domain_does_not_answer() -> None:
    path = Path(CHECKOUT or "") / "example/cap_sharing/cap_sharing.system"
    lines = Booted(path, search_path=[PROGRAMS]).run().output.splitlines()
    told = lines.index("|primary  | notifying secondary (it should not print)")
    assert lines[told + 1].startswith("|primary  | resuming")
