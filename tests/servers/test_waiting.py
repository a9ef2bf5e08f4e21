"""Who waits for a moment, or for a line, waits on while timer and console give way to others."""

import re
from pathlib import Path

import pytest

from capkernel.tools.demo.replacing import ClientReport
from capkernel.tools.demo.stage import Stage
from capkernel.tools.inject import Fault, Kind
from hwmodel.virtio import virtio_rng

CLIENTS = Path(__file__).parent / "waiting_clients"
PROGRAMS = {"client": "waiter.elf", "replacer": "waiting_replacer.elf"}
REPLACEMENTS = 80


def play(*faults: Fault) -> tuple[ClientReport, tuple[int, ...], str]:
    """What the client saw, what the replacer did, what the terminal showed; each line is typed a key at a time."""
    stage = Stage(
        "replace_services", variant=str(CLIENTS), programs=PROGRAMS, faults=faults,
        devices={"virtio1": virtio_rng(seed=0)},
    )  # fmt: skip
    output, typed = stage.booted.output, ""

    def is_over() -> bool:
        nonlocal typed
        asked = re.findall(r"(\d+)\? ", output.text)
        wanted = f"answer {asked[-1]}\r" if asked else ""
        if typed != wanted:
            typed = wanted[: len(typed) + 1] if wanted.startswith(typed) else ""
            output.feed(typed[-1:].encode())
        stage.system.machine.poll_input()
        return bool(stage.report(ClientReport, "report").done)

    assert stage.run_until(is_over, 3_000_000, 500)
    run = stage.run(time_us=1_000)
    found = stage.report(ClientReport, "report"), stage.words("replaced", 2), run.output
    assert not run.faults
    stage.close()
    return found


def test_nobody_who_waits_notices_that_timer_and_console_are_replaced() -> None:
    report, replaced, _ = play()
    assert replaced == (REPLACEMENTS, 0)
    assert report.rounds > 3
    assert not report.bad
    # More replacements than requests: most of these lasted for several.
    assert report.requests < REPLACEMENTS


@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("server", ["timer", "console"])
def test_nor_does_he_if_the_new_one_crashes_while_it_starts(server: str, step: int) -> None:
    report, replaced, _ = play(Fault(server, step, Kind.CRASH, life=2))
    assert replaced == (REPLACEMENTS, 1)
    assert report.rounds > 3
    assert not report.bad


@pytest.mark.parametrize("server", ["timer", "console"])
def test_who_waits_for_one_that_crashes_is_told(server: str) -> None:
    report, _, _ = play(Fault(server, 50, Kind.CRASH))
    assert report.rounds > 3
    assert report.failed == 1
