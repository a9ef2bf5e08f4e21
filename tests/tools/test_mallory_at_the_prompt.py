"""The story of mallory at the prompt, with which the tour ends."""

import pytest

from capkernel.tools import mallory
from capkernel.tools.demo.story import Story
from capkernel.tools.tour import STORIES_OF_SERVERS


def test_she_is_refused_everywhere_and_gets_in_with_more_than_a_user_would_give_her() -> None:
    told = Story("mallory", mallory.TITLE, 1)
    mallory.story(told)
    assert [claim.text for claim in told.failed()] == []
    assert told.claims[0].seen == "22 tries, 0 succeeded"


def test_the_story_does_not_hold_if_she_is_given_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mallory, "VAULT", "vault:rw")
    told = Story("mallory", mallory.TITLE, 1)
    mallory.story(told)
    assert not told.holds
    assert not told.claims[0].holds


def test_the_tour_shows_it() -> None:
    assert "mallory" in STORIES_OF_SERVERS
