"""Demonstrations as tests: every claim of the story must hold, and the same seed gives the same trace anywhere."""

import importlib
import os
import subprocess
import sys
from importlib.metadata import entry_points
from types import ModuleType

from capkernel.tools.demo.command import DEMOS
from capkernel.tools.demo.story import Story

MODULES = {point.name: point.value for point in entry_points(group=DEMOS)}


def must_hold(name: str, module: ModuleType | None = None, *, everywhere: bool = False, seed: int = 0) -> Story:
    """Play it, and return it for what else is to be looked at. Without a module it is the one that ``demo`` plays."""
    module = module or importlib.import_module(MODULES[name])
    story = Story(name, module.TITLE, seed)
    module.story(story, everywhere=everywhere)
    assert story.holds, list(story.failed())
    return story


def same_in_any_process(code: str) -> str:
    """What a piece of Python prints, in two processes whose hashes differ: it must be the same."""
    seen = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    (said,) = seen
    return said.strip()
