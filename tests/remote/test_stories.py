"""The demonstrations as tests, on simulated kernels."""

from types import ModuleType

import pytest

pytest.importorskip("biscuit_auth", reason="NOT RUN: there is no biscuit-python (pip install 'capkernel[remote]')")

from capkernel.tools.demo.remote import attacks, two_kernels
from capkernel.tools.demo.story import Story
from tests.scenarios.playing import same_in_any_process


def told(module: ModuleType, *, is_brief: bool = False, everywhere: bool = False) -> Story:
    story = Story("remote", module.TITLE, 0, is_brief=is_brief)
    module.story(story, everywhere=everywhere)
    assert story.holds, list(story.failed())
    return story


@pytest.mark.parametrize("module", [two_kernels, attacks])
def test_without_tokens_a_story_is_not_told_and_says_so(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    story = Story("remote", module.TITLE, 0)
    module.story(story)
    assert "pip install 'capkernel[remote]'" in story.skipped
    assert not story.claims


@pytest.mark.slow
def test_machines_lend_each_other_caps_whatever_the_wire_does_and_take_them_back() -> None:
    told(two_kernels)


@pytest.mark.slow
def test_attackers_of_gateways_get_nothing_while_all_checks_are_there() -> None:
    told(attacks, is_brief=True)


@pytest.mark.campaign
@pytest.mark.parametrize("module", [two_kernels, attacks])
def test_the_stories_hold_at_length(module: ModuleType) -> None:
    told(module, everywhere=True)


@pytest.mark.campaign
def test_the_same_seed_gives_the_same_traces_of_all_machines_in_any_process() -> None:
    code = "from capkernel.tools.demo.remote.two_kernels import STORM, play; print(play(3, STORM).trace_hash)"
    assert same_in_any_process(code)
