"""Running the check of a claim: its command, as anybody would type it, with ``--json``."""

import json
import platform
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from capkernel.tools.sources import ROOT, digest
from specs.assurance.model import Claim, Run, shown

NOT_RUN: Final = 3
"""The exit status by which a check says that something it needs is missing."""
TESTS: Final = ("-m", "pytest")
NO_PYTEST: Final = f"pytest is missing: {sys.executable} -m pip install -e '.[dev]'"
MADE: Final = ("specs/assurance/runs.json", "docs/assurance.md")
"""What is made from the runs."""


def run(claim: Claim, *, full: bool) -> Run:
    """Run it, in full or the quick form. Raises ValueError if what it prints cannot be read."""
    words = claim.command if full else claim.quick
    if words[:2] == TESTS and find_spec("pytest") is None:
        return _told(claim, words, None, "", "", 0, NO_PYTEST)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        done = subprocess.run(
            [sys.executable, *_arguments(words, report)], cwd=ROOT, text=True, capture_output=True,
            timeout=None if full else claim.seconds, check=False,
        )  # fmt: skip
        seconds = round(time.monotonic() - started)
        if done.returncode == NOT_RUN:
            return _told(claim, words, None, "", "", seconds, _last_line(done.stdout + done.stderr))
        data = _tests(report) if words[:2] == TESTS else _json(claim, done.stdout, done.stderr)
    if words[:2] == TESTS and data["tests"] == data["skipped"]:
        return _told(claim, words, None, "", "", seconds, _last_line(done.stderr + done.stdout))
    seen = claim.read(data)
    return _told(claim, words, done.returncode == 0, seen.amount, seen.against, seconds)


def _arguments(words: tuple[str, ...], report: Path) -> list[str]:
    if words[:2] == TESTS:
        return [*words, "-q", f"--junitxml={report}"]
    return [*words, "--json"] if words[0] == "-m" else ["-m", "capkernel", *words, "--json"]


def _json(claim: Claim, printed: str, told: str) -> Any:
    try:
        return json.loads(printed)
    except ValueError:
        last = _last_line(printed + told)
        raise ValueError(f"{claim.id}: `{shown(claim.command)}` printed no JSON: {last}") from None


def _tests(report: Path) -> dict[str, Any]:
    """How many tests there were and were not run, and which failed, and why; none if the run did not come that far."""
    found: dict[str, Any] = {"tests": 0, "skipped": 0, "failed": []}
    if report.exists():
        root = ElementTree.parse(report).getroot()
        for suite in root.iter("testsuite"):
            for name in ("tests", "skipped"):
                found[name] += int(suite.get(name, "0"))
        for case in root.iter("testcase"):
            wrong = [each for each in case if each.tag in ("failure", "error")]
            found["failed"] += [f"{case.get('name')}: {each.get('message', '').splitlines()[0]}" for each in wrong[:1]]
    return found


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it printed nothing"


def _told(
    claim: Claim, words: tuple[str, ...], held: bool | None, amount: str, against: str, seconds: int, why: str = ""
) -> Run:
    return Run(
        claim.id, shown(words), held, amount, against, digest(), _commit(), platform.python_version(), seconds, why
    )  # fmt: skip


def _commit() -> str:
    """Where the project stands, and whether something was changed there since; empty if that is not known.

    What earlier runs have written, and the page made of it, do not count as changes.
    """
    commit = _git("rev-parse", "--short", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", *(f":!{path}" for path in MADE))
    return f"{commit}-dirty" if changed else commit


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, text=True, capture_output=True, check=False)
    return done.stdout.strip()
