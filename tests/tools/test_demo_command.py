"""``capkernel demo``: what its exit status says."""

import importlib.util
import json
from importlib.machinery import ModuleSpec
from typing import Any

import pytest
from typer import Typer
from typer.testing import CliRunner, Result

from capkernel.tools.demo.command import FAILED, NOT_RUN, USAGE, demo
from capkernel.tools.demo.remote import two_kernels
from capkernel.tools.demo.story import Story


def command(*arguments: str) -> Result:
    app = Typer()
    app.command()(demo)
    return CliRunner().invoke(app, list(arguments))


@pytest.mark.parametrize("name", ["two-kernels", "link-attacks"])
def test_what_lacks_an_extra_is_not_run_and_says_what_installs_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec

    def without(module: str, *more: Any) -> ModuleSpec | None:
        return None if module == "biscuit_auth" else find(module, *more)

    for place in ("two_kernels", "attacks"):
        monkeypatch.setattr(f"capkernel.tools.demo.remote.{place}.find_spec", without)
    done = command(name)
    assert done.exit_code == NOT_RUN
    assert "NOT RUN: there is no biscuit-python: pip install 'capkernel[remote]'" in done.stdout
    done = command(name, "--json")
    data = json.loads(done.stdout)
    assert (done.exit_code, data["holds"], data["claims"]) == (NOT_RUN, False, [])
    assert "capkernel[remote]" in data["skipped"]


@pytest.mark.parametrize(("holds", "status"), [(True, 0), (False, FAILED)])
def test_what_was_run_succeeds_if_every_claim_held(
    holds: bool, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def story(story: Story, *, everywhere: bool = False) -> None:
        story.claim("this", True)
        story.claim("that", holds)

    monkeypatch.setattr(two_kernels, "story", story)
    assert command("two-kernels").exit_code == status


def test_what_there_is_not_is_wrong_usage() -> None:
    assert command("two-colonels").exit_code == USAGE


def test_figures_of_several_things_are_shown_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    def story(story: Story, *, everywhere: bool = False) -> None:
        story.claim("this", True)
        story.figures["apples"] = {"here": 3, "there": 5}
        story.figures["pears"] = {"there": 7}
        story.figures["plums"] = 11

    monkeypatch.setattr(two_kernels, "story", story)
    lines = [line.split() for line in command("two-kernels").stdout.splitlines()]
    for line in (["here", "there"], ["apples", "3", "5"], ["pears", "7"], ["plums:", "11"]):
        assert line in lines
