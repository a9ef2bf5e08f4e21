"""While a domain is destroyed and rebuilt the kernel's invariants hold at each entry, wherever it is preempted."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from capkernel.kernel.machine import Machine
from capkernel.system.board import find_board
from capkernel.tools.tour_systems import Booted
from specs.monitor import Monitor
from specs.sampling import Sampler
from tests.runtime.lifecycles import SUPERVISOR, boot, distribution, lifecycle, pd

SERVER = """
from capkernel.user.syscalls import Message
async def init(pd): pass
async def notified(pd, ch): pass
async def protected(pd, ch, msg):
    if len(msg):
        await pd.store(0, 1)
    return Message(msg.label)
"""
CLIENT = """
from capkernel.user.syscalls import Message
async def init(pd):
    for words in ((), (1,), (), (1,), ()):
        await pd.notify(1)
        answer = await pd.ppcall(0, Message(5, words))
        await pd.print(f"{answer.label:#x} ")
"""
RESTARTER = (
    SUPERVISOR
    + """
async def init(pd): pass
async def fault(pd, child, msg):
    await lifecycle.destroy(pd.sys, CAP)
    await again(pd)
"""
)
PROGRAMS = {"supervisor": RESTARTER, "server": SERVER, "client": CLIENT}
PARTS = """
<memory_region name="transfer" size="0x2000"/>
<memory_region name="registers" size="0x1000" phys_addr="0x10100000"/>
<io_address_space name="engine" peripheral_id="0:3.0" domain_id="3">
    <iomap mr="transfer" iovaddr="0x10000" perms="rw"/>
</io_address_space>
<?capkernel owner io_address_space="engine" pd="server"?>
<?capkernel grant pd="server" kind="untyped" slot="310" size_bits="12"?>
<?capkernel grant pd="server" kind="slots" at="5" size_bits="3" slot="311"?>
"""
INSIDE = """
<map mr="registers" vaddr="0x3000000" cached="false"/><map mr="transfer" vaddr="0x4000000"/><irq irq="20" id="3"/>
"""
CHANNELS = (
    '<channel><end pd="client" id="0" pp="true"/><end pd="server" id="0"/></channel>'
    '<channel><end pd="client" id="1"/><end pd="server" id="1"/></channel>'
)
DIED = "0xfffffffffffff"


def system(place: Path, before: str = "", in_a: str = "", in_b: str = "", **passive: str) -> Booted:
    """A supervisor and a driver, in one domain, and its client, in another, if there are several."""
    a, b = ({"domain": name} if name else {} for name in (in_a, in_b))
    text = (
        before + PARTS + pd("supervisor", 70, **a) + pd("server", 60, INSIDE, **a, **passive) + pd("client", 20, **b)
        + CHANNELS + lifecycle("server", more='faults="9"')
    )  # fmt: skip
    return boot(place, text, PROGRAMS, board=find_board("virt_iommu"))


class Interrupting:
    """The machine, but that at every preemption point an interrupt waits, or time is up."""

    def __init__(self, booted: Booted, ticks: int) -> None:
        self.inner: Any = booted.system.state.machine
        self.clock = booted.system.machine
        self.ticks = ticks
        self.preempted = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def irq_pending(self) -> bool:
        self.preempted += 1
        if self.ticks:
            self.clock.advance(self.ticks)
            return bool(self.inner.irq_pending())
        return True


@pytest.mark.parametrize("passive", [{}, {"passive": "true"}], ids=["active", "passive"])
def test_invariants_of_states_and_steps_hold_at_each_entry(tmp_path: Path, passive: dict[str, str]) -> None:
    booted = system(tmp_path, **passive)
    before = distribution(booted)
    monitor = Monitor()
    monitor.attach(booted.system.loop, booted.system.machine)
    run = booted.run()
    assert monitor.checked > 200
    assert monitor.problem is None
    assert run.output.split() == ["0x5", DIED, "0x5", DIED, "0x5"]
    assert run.crashes == run.faults == ()
    if not passive:
        assert distribution(booted) == before


@pytest.mark.parametrize(
    "ticks",
    [
        pytest.param(0, id="an interrupt", marks=pytest.mark.slow),
        pytest.param(60_000, id="the timer's interrupt", marks=pytest.mark.campaign),
    ],
)
def test_they_hold_when_every_step_of_a_long_operation_is_preempted(tmp_path: Path, ticks: int) -> None:
    booted = system(tmp_path)
    before = distribution(booted)
    state = booted.system.state
    state.config = replace(state.config, work_units_per_preemption=1)
    machine = Interrupting(booted, ticks)
    state.machine = cast(Machine, machine)
    sampler = Sampler(booted.system.loop, booted.system.machine, 1)
    run = booted.run()
    assert machine.preempted > 200
    assert sampler.violations == []
    assert run.output.split() == ["0x5", DIED, "0x5", DIED, "0x5"]
    assert distribution(booted) == before


DOMAINS = """
<domains>
    <domain name="work" id="0"/><domain name="others" id="1"/>
    <domain_schedule>
        <schedule_entry domain="work" duration="{} us"/><schedule_entry domain="others" duration="31 us"/>
    </domain_schedule>
</domains>
"""


@pytest.mark.parametrize(
    ("duration", "passive"),
    [
        pytest.param(duration, passive, marks=mark)
        for mark, duration, passive in (
            (pytest.mark.slow, 23, "true"),
            *((pytest.mark.campaign, duration, "true") for duration in (27, 37, 51)),
            *((pytest.mark.campaign, duration, "false") for duration in (23, 27, 37, 51)),
        )
    ],
)  # fmt: skip
def test_they_hold_when_clients_of_another_domain_run_meanwhile(tmp_path: Path, duration: int, passive: str) -> None:
    booted = system(tmp_path, DOMAINS.format(duration), "work", "others", passive=passive)
    sampler = Sampler(booted.system.loop, booted.system.machine, 1)
    run = booted.run(time_us=50_000)
    assert sampler.violations == []
    assert run.output.split() == ["0x5", DIED, "0x5", DIED, "0x5"]
