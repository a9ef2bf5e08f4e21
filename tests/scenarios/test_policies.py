"""Who decides who gets what: the claims of `capkernel demo broker` and `confused-deputy`."""

import pytest

from capkernel.tools.demo import broker, confused_deputy
from capkernel.tools.demo.story import Story


@pytest.mark.slow
def test_the_broker_hands_out_and_takes_back_also_when_it_died() -> None:
    story = Story("broker", broker.TITLE, 0)
    broker.story(story)
    assert story.holds, list(story.failed())


@pytest.mark.campaign
def test_the_broker_hands_out_and_takes_back_wherever_it_died() -> None:
    story = Story("broker", broker.TITLE, 0)
    broker.story(story, everywhere=True)
    assert story.holds, list(story.failed())


@pytest.mark.slow
def test_the_same_seed_gives_the_same_trace() -> None:
    assert broker.play(seed=3).trace_hash == broker.play(seed=3).trace_hash


def test_a_deputy_is_confused_by_names_and_not_by_caps() -> None:
    story = Story("confused-deputy", confused_deputy.TITLE, 0)
    confused_deputy.story(story)
    assert story.holds, list(story.failed())
