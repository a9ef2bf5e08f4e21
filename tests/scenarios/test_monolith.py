"""The contrast: what a crash reaches when everything is in one domain, and how little changes for another machine."""

import importlib.resources
from pathlib import Path

import pytest

import servers.systems
from capkernel.tools.contrast import TITLE, story
from capkernel.tools.demo.storage import DRIVER, play
from capkernel.tools.demo.story import Story
from capkernel.tools.inject import Fault, Kind

SYSTEMS = Path(str(importlib.resources.files(servers.systems)))


@pytest.mark.slow
def test_a_crash_stays_in_its_domain_and_reaches_everybody_in_a_monolith() -> None:
    told = Story("monolith", TITLE, 0)
    story(told)
    assert told.holds, list(told.failed())
    assert told.figures["pages of the client that the driver's code can write"].startswith("0 of")


def test_another_machine_is_three_lines_of_a_description() -> None:
    first, second = (
        [line for line in path.read_text().splitlines() if "Needs" not in line]
        for path in (SYSTEMS / "storage.system", SYSTEMS / "virt_sifive" / "storage.system")
    )
    assert len(first) == len(second)
    assert sum(one != other for one, other in zip(first, second, strict=True)) == 3


def test_a_driver_dies_unnoticed_on_the_second_machine_too() -> None:
    calm = play(variant="virt_sifive")
    crashed = play((Fault(DRIVER, 100, Kind.CRASH),), variant="virt_sifive")
    assert calm.done
    assert crashed.activated
    assert (crashed.done, crashed.errors, crashed.wrong) == (True, 0, 0)
    assert crashed.digest == calm.digest
