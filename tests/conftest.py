"""A campaign (``CAPKERNEL_CAMPAIGN``) can be stopped and goes on where it was: tests that passed are not run again.

What passed is kept in ``build/campaign-….txt``, named by the sources and the recordings: a change begins afresh.
"""

import hashlib
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = ("capkernel", "hwmodel", "specs", "servers", "policies", "examples", "bench", "tests")


def record() -> Path:
    """Where the names of the tests that passed are kept, one a line."""
    digest = hashlib.sha256(os.environ["CAPKERNEL_CAMPAIGN"].encode())
    for path in sorted(path for name in SOURCES for path in (ROOT / name).rglob("*.*")):
        if path.suffix in (".py", ".gz", ".system", ".cdl"):
            digest.update(path.read_bytes())
    return ROOT / "build" / f"campaign-{digest.hexdigest()[:16]}.txt"


class Leaver:
    """Leaves out what passed before."""

    def __init__(self, file: Path) -> None:
        self.done = set(file.read_text().splitlines()) if file.exists() else set()

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Keep what has not passed yet."""
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid in self.done])
        items[:] = [item for item in items if item.nodeid not in self.done]


    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """That nothing is left to do is no failure."""
        if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and self.done:
            session.exitstatus = pytest.ExitCode.OK


class Keeper:
    """Notes what passes, as soon as it does."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(exist_ok=True)
        self.file = file

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write a line."""
        if report.when == "call" and report.passed:
            with self.file.open("a") as names:
                names.write(f"{report.nodeid}\n")


def pytest_configure(config: pytest.Config) -> None:
    """Every process that collects leaves out; the one that reports keeps."""
    if "CAPKERNEL_CAMPAIGN" in os.environ:
        config.pluginmanager.register(Leaver(record()))
        if not hasattr(config, "workerinput"):
            config.pluginmanager.register(Keeper(record()))
