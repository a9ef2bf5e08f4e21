"""``--resume``, for campaigns: a run that was stopped goes on where it was, tests that passed are not run again.

What passed is kept in ``build/passed-….txt``, named by the sources, the recordings and the size and seed of the
campaign: whatever changes begins afresh.
"""

import hashlib
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SETTINGS = ("CAPKERNEL_CAMPAIGN", "CAPKERNEL_SEED")
SOURCES = ("capkernel", "hwmodel", "specs", "servers", "policies", "examples", "bench", "tests")


def record() -> Path:
    """Where the names of the tests that passed are kept, one a line."""
    digest = hashlib.sha256(repr([os.environ.get(name) for name in SETTINGS]).encode())
    for path in sorted(path for name in SOURCES for path in (ROOT / name).rglob("*.*")):
        if path.suffix in (".py", ".gz", ".system", ".cdl"):
            digest.update(path.read_bytes())
    return ROOT / "build" / f"passed-{digest.hexdigest()[:16]}.txt"


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


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option."""
    parser.addoption("--resume", action="store_true", help="leave out the tests that passed in an earlier run")


def pytest_configure(config: pytest.Config) -> None:
    """Every process that collects leaves out; the one that reports keeps."""
    if config.getoption("--resume"):
        config.pluginmanager.register(Leaver(record()))
        if not hasattr(config, "workerinput"):
            config.pluginmanager.register(Keeper(record()))
