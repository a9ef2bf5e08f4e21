"""The contrast: what a crash reaches when everything is in one domain, and how little changes for another machine."""

import pytest
from attrs import evolve

from capkernel.tools.campaign.subjects import NETWORK, STORAGE
from capkernel.tools.contrast.builds import BUILDS, Build
from capkernel.tools.contrast.moving import changed_lines, works_there
from capkernel.tools.contrast.price import file_costs
from capkernel.tools.contrast.sample import aims
from capkernel.tools.contrast.sample import play as play_aims
from capkernel.tools.contrast.story import TITLE, story
from capkernel.tools.demo.storage import DRIVER, play
from capkernel.tools.demo.story import Story
from capkernel.tools.inject import Fault, Kind


@pytest.mark.slow
def test_a_crash_stays_in_its_domain_and_reaches_everybody_in_a_monolith() -> None:
    told = Story("monolith", TITLE, 0)
    story(told)
    assert told.holds, list(told.failed())
    exposed = told.figures["pages of the client that the driver's code can write"]
    assert exposed["isolated"].startswith("0 of")
    count, _, all_pages = exposed["one domain"].partition(" of ")
    assert count == all_pages
    assert all(set(values) == {"isolated", "one domain"} for values in told.figures.values())


@pytest.mark.parametrize("build", BUILDS)
def test_what_is_measured_is_the_same_each_time_but_for_the_hosts_time(build: Build) -> None:
    first, second = (file_costs(build) for _ in range(2))
    for kind, cost in first.items():
        assert evolve(cost, host_us=0) == evolve(second[kind], host_us=0)
        assert cost.cycles is not None
    assert (first["read"].cycles or 0) > (first["cached"].cycles or 0)


def test_aims_are_the_same_for_both_builds_and_everywhere_there_are_more() -> None:
    few, all_of_them = (tuple(aims(STORAGE, ("disk", "files"), everywhere=each)) for each in (False, True))
    assert set(few) < set(all_of_them)
    assert {aim.target for aim in few} == {"disk", "files", "disk device"}
    assert {aim.kind for aim in few if aim.target == "disk device"} == set(STORAGE.by_target["disk device"].kinds)
    with pytest.raises(ValueError, match="has no disk"):
        play_aims(NETWORK, few)


@pytest.mark.parametrize("build", BUILDS)
def test_another_machine_is_three_lines_of_a_description(build: Build) -> None:
    assert changed_lines(build.system) == 3
    assert works_there(build, 0)


def test_a_driver_dies_unnoticed_on_the_second_machine_too() -> None:
    calm = play(variant="virt_sifive")
    crashed = play((Fault(DRIVER, 100, Kind.CRASH),), variant="virt_sifive")
    assert calm.done
    assert crashed.activated
    assert (crashed.done, crashed.errors, crashed.wrong) == (True, 0, 0)
    assert crashed.digest == calm.digest
