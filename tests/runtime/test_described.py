"""Described systems: what a run does at its edges, and what can be seen of it."""

from pathlib import Path

import pytest

from capkernel.kernel.cspace import lookup_slot
from capkernel.kernel.errors import LookupFault
from capkernel.runtime.checkpoint import checkpoint
from capkernel.tools.explain.census import holdings, threads
from capkernel.tools.tour_systems import Booted
from hwmodel.cpu.trap import STOP_INTERRUPTED
from specs.invariants.view import View
from specs.structure import structure

EXAMPLES = Path(__file__).parents[2] / "examples"
FORGER = """
<system>
    <protection_domain name="server" priority="200" passive="true">
        <program_image path="server.elf" />
    </protection_domain>
    <protection_domain name="client" priority="100"><program_image path="client.elf" /></protection_domain>
</system>
"""


def test_a_passive_domain_can_neither_forge_a_fault_nor_stop_the_monitor(tmp_path: Path) -> None:
    server = (
        "from capkernel.user.loop import MONITOR_EP\n"
        "from capkernel.user.syscalls import Message\n"
        "async def init(pd):\n"
        "    for label in (77, 5, 0, 0):\n"
        "        await pd.sys.send(MONITOR_EP, Message(label))\n"
        "async def notified(pd, ch): pass\n"
    )
    client = "async def init(pd): await pd.load(0)\n"
    for name, text in {"forger.system": FORGER, "server.py": server, "client.py": client}.items():
        (tmp_path / name).write_text(text)
    run = Booted(tmp_path / "forger.system").run()
    assert run.crashes == ()
    assert [domain for domain, _ in run.faults] == ["client"]


def test_time_does_not_go_beyond_where_the_run_is_to_stop() -> None:
    booted = Booted(EXAMPLES / "timer" / "timer.system")
    booted.boot()
    for _ in range(8):
        target = booted.system.machine.now() + 20_000
        assert booted.system.loop.run(until=target) == "time"
        assert target <= booted.system.machine.now() <= target + 100


@pytest.mark.parametrize("name", ["hello", "passive_server/passive_server", "cap_sharing/cap_sharing"])
def test_all_is_seen_when_everybody_waits(name: str) -> None:
    booted = Booted(EXAMPLES / f"{name}.system")
    booted.boot()
    names = {thread.name for thread in booted.system.threads.values()}
    booted.run()
    system = booted.system
    assert system.state.current is system.state.idle
    assert names <= {thread.name for thread in threads(system.state)}
    assert len(View(system.state, system.machine).slots) > 100
    assert len(structure(system.state)) > 100


def test_the_address_of_a_held_cap_leads_to_it() -> None:
    booted = Booted(EXAMPLES / "fortress.system")
    booted.boot()
    checked = 0
    for thread in threads(booted.system.state):
        for holding in holdings(thread):
            if holding.address is not None:
                checked += 1
                try:
                    found = lookup_slot(thread, holding.address)
                except LookupFault:
                    pytest.fail(f"{holding} leads nowhere")
                assert found is holding.slot
    assert checked > 400


def test_interrupts_after_going_back_to_a_checkpoint_take_the_same_time() -> None:
    booted = Booted(EXAMPLES / "hello.system")
    booted.boot()
    loop, machine = booted.system.loop, booted.system.machine
    saved = checkpoint(loop.state, machine)
    times = []
    for _ in range(3):
        saved.restore(machine)
        loop.enter(STOP_INTERRUPTED)
        times.append((machine.now(), loop.state.time))
    assert len(set(times)) == 1
