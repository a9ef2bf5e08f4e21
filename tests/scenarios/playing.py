"""Demonstrations as tests: every claim of the story must hold."""

from types import ModuleType

from capkernel.tools.demo.story import Story


def must_hold(name: str, module: ModuleType, *, everywhere: bool = False) -> Story:
    """Play it, and return it for what else is to be looked at."""
    story = Story(name, module.TITLE, 0)
    module.story(story, everywhere=everywhere)
    assert story.holds, list(story.failed())
    return story
