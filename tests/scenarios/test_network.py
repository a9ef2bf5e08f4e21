"""The network with the host outside, as ``capkernel demo network`` shows it."""

import pytest

from capkernel.tools.demo import network
from capkernel.tools.demo.story import Story
from tests.scenarios.playing import must_hold

WHY_NOT = network.why_not()
needs_network = pytest.mark.skipif(bool(WHY_NOT), reason=f"NOT RUN: {WHY_NOT}")


@pytest.mark.slow
@needs_network
def test_the_scenario_holds_at_a_sample_of_points() -> None:
    must_hold("network", network)


@pytest.mark.campaign
@needs_network
def test_the_scenario_holds_at_every_point() -> None:
    must_hold("network", network, everywhere=True)


def test_where_lwip_is_missing_the_story_says_so_and_claims_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "why_not", lambda: "lwIP was not built")
    lines: list[str] = []
    story = Story("network", network.TITLE, 0, lines.append)
    network.story(story)
    assert (story.claims, story.skipped, lines) == ([], "lwIP was not built", ["NOT RUN: lwIP was not built"])
