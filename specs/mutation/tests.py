"""Tests as cases: pytest collects them once, in this process; each is then run in a process forked from it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol

from specs.mutation.cases import Case
from specs.mutation.mutants import ROOT

FOLDERS = ("tests/kernel", "tests/machines")
"""Where the tests of the kernel are."""
OPTIONS = (
    "--rootdir", str(ROOT), "-o", "addopts=", "--import-mode=importlib", "-m", "not campaign", "-s",
    "-p", "no:terminal", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:faulthandler",
)  # fmt: skip
"""Of pytest: nothing is printed, nothing is kept."""


class NotCollected(Exception):
    """pytest could not collect the tests."""


@dataclass(frozen=True)
class Test:
    """One test."""

    item: pytest.Item

    @property
    def name(self) -> str:
        """How records call it."""
        return self.item.nodeid

    def run(self) -> str | None:
        """The test passes."""
        reports = runtestprotocol(self.item, log=False, nextitem=None)
        return next((report.longreprtext or "fails" for report in reports if report.failed), None)


class _Inside:
    """A plugin in whose session the tests are only collected; what is to be done with them is done there."""

    def __init__(self, then: Callable[[Sequence[Case]], None]) -> None:
        self._then = then
        self.collected = False
        self.error: BaseException | None = None

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Instead of running the tests."""
        if session.testsfailed:
            return True
        self.collected = True
        try:
            self._then([Test(item) for item in session.items])
        except BaseException as error:  # pytest would make something else of it; it is raised outside.
            self.error = error
        return True


def with_tests(then: Callable[[Sequence[Case]], None], folders: Sequence[str | Path] = FOLDERS) -> None:
    """Collect the tests of these folders, and call ``then`` with them while pytest waits.

    Raises NotCollected, and what ``then`` raises.
    """
    inside = _Inside(then)
    code = pytest.main([*OPTIONS, *(str(ROOT / folder) for folder in folders)], plugins=[inside])
    if not inside.collected:
        raise NotCollected(f"pytest could not collect the tests of {', '.join(map(str, folders))} (exit status {code})")
    if inside.error is not None:
        raise inside.error
