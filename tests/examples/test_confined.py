"""Who holds no cap reaches nobody, if the kernel answers no debug calls; if it does, everybody tells and halts."""

from pathlib import Path

import pytest

from capkernel.system.ceiling import read_ceiling
from capkernel.tools.tour_systems import Booted
from specs.ceilings import CeilingSampler
from tests.scenarios.watching import graph_of

DIRECTORY = Path(__file__).parents[2] / "examples" / "confined"
SECRET = (DIRECTORY / "secret.txt").read_text().strip()
BEATS = 20


@pytest.fixture(params=["off", "on"])
def switched(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Booted]:
    """The example with debug calls off, as it is, and on."""
    path = tmp_path / "confined.system"
    path.write_text((DIRECTORY / path.name).read_text().replace('debug="off"?', f'debug="{request.param}"?'))
    return request.param, Booted(path, search_path=[DIRECTORY])


def test_debug_calls_tell_and_halt_where_the_kernel_answers_them_and_nowhere_else(switched: tuple[str, Booted]) -> None:
    debug, booted = switched
    run = booted.run(time_us=BEATS * 1000)
    beats = int.from_bytes(booted.system.read_region("beats")[:8], "little")
    if debug == "on":
        assert SECRET in run.output
        assert run.stopped == "halted"
        assert beats < BEATS / 2
    else:
        assert run.output == ""
        assert [name for name, _ in run.faults] == ["teller", "halter"]
        assert beats >= BEATS - 2


def test_a_ceiling_does_not_hold_of_a_description_whose_kernel_answers_debug_calls(
    switched: tuple[str, Booted],
) -> None:
    debug, booted = switched
    graph = graph_of(booted)
    above = read_ceiling((DIRECTORY / "confined.toml").read_text(), graph).excesses(graph)
    assert {str(each.fact.object) for each in above} == ({"firmware:debug"} if debug == "on" else set())
    assert len(above) == (3 if debug == "on" else 0)


def test_nor_of_the_system_when_it_runs(switched: tuple[str, Booted]) -> None:
    debug, booted = switched
    graph = graph_of(booted)
    ceiling = read_ceiling((DIRECTORY / "confined.toml").read_text(), graph)
    sampler = CeilingSampler(booted.system, graph, ceiling, 50)
    booted.run(time_us=1000)
    assert len([each for each in sampler.violations if "debug calls" in each]) == (3 if debug == "on" else 0)
    assert len(sampler.violations) == (3 if debug == "on" else 0)
