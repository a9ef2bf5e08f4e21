"""The small examples: each tells the story that its first lines promise, and ends by itself."""

from pathlib import Path

import pytest

from capkernel.tools.tour_systems import Booted, Run

EXAMPLES = Path(__file__).parents[2] / "examples"
SMALL = ["hello", "hierarchy/hierarchy", "passive_server/passive_server", "timer/timer", "cap_sharing/cap_sharing"]


def run(name: str, **options: int) -> Run:
    return Booted(EXAMPLES / f"{name}.system", **options).run()


@pytest.mark.parametrize("name", SMALL)
def test_ends_by_itself_without_an_unhandled_fault(name: str) -> None:
    result = run(name)
    assert (result.stopped, result.faults, result.crashes) == ("idle", (), ())


@pytest.mark.parametrize("name", SMALL)
def test_same_seed_same_trace(name: str) -> None:
    assert run(name, seed=7).trace_hash == run(name, seed=7).trace_hash
    assert run(name, seed=7).trace_hash != run(name, seed=8).trace_hash


def test_hello_says_hello() -> None:
    assert run("hello").output == "hello, capabilities\n"


def test_a_parent_restarts_a_crashing_child_twice_and_then_gives_up() -> None:
    lines = run("hierarchy/hierarchy").output.splitlines()
    assert lines.count("crasher: following a null pointer") == 3
    assert sum("VMFault: store at 0x0" in line for line in lines) == 3
    assert lines.index("keeper: that was once too often; child 1 stays stopped") == len(lines) - 2
    assert lines[-1].startswith("bystander")


def test_a_passive_server_works_on_its_clients_time() -> None:
    bills = [line for line in run("passive_server/passive_server").output.splitlines() if "squared" in line]
    assert [line.split(";")[0] for line in bills] == ["client: 3 squared is 9", "client: 12 squared is 144"]
    for line in bills:
        mine, servers = (int(word) for word in line.split(";")[1].split() if word.isdigit())
        assert mine >= 300
        assert servers == 0


def test_a_timer_driver_wakes_its_client_on_time() -> None:
    naps = [line.split() for line in run("timer/timer").output.splitlines() if line.startswith("client")]
    assert len(naps) == 3
    for words in naps:
        asked, slept = int(words[3]), int(words[6])
        assert asked <= slept <= asked + 50


def test_a_shared_tcb_cap_stops_its_thread_and_lets_it_go_on() -> None:
    lines = run("cap_sharing/cap_sharing").output.splitlines()
    calls_out = next(n for n, line in enumerate(lines) if "I call out to it: nothing" in line)
    goes_on, hears = lines.index("foreman: now I let it go on"), lines.index("worker: I heard you")
    assert calls_out < goes_on < hears
    assert lines[-1] == "foreman: enough; the worker is stopped for good"
