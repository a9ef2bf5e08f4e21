"""Comparing a run of seL4's test suite with a recorded one, test by test."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

_STARTING = re.compile(r"^\s*Starting test \d+: (?P<name>.+?)\s*$", re.MULTILINE)
_RESULT = re.compile(r"^\s*Test (?P<name>\S+) (?P<result>passed|failed)", re.MULTILINE)
_FAILED = re.compile(r"^\s*(Failure: |Error: |\*\*\* FAILURES)", re.MULTILINE)
_SUMMARY = re.compile(r"Test suite (passed|failed)\.", re.MULTILINE)

PASS, FAIL, UNKNOWN, ABSENT = "pass", "fail", "?", "not run"


class BaselineError(ValueError):
    """A file that is no record of a test run; the message says why."""


@frozen
class Row:
    """One test: what was recorded and what happened now."""

    name: str
    recorded: str
    now: str

    @property
    def is_same(self) -> bool:
        """Whether both are the same result."""
        return self.recorded == self.now


def read_baseline(path: Path) -> dict[str, str]:
    """Recorded results by test. Raises BaselineError, and OSError if there is no such file."""
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
        return {test["name"]: test["result"] for test in data["tests"]}
    except (ValueError, KeyError, TypeError) as error:
        raise BaselineError(
            f"{path}: wanted is a JSON object whose 'tests' is a list of objects with 'name' and 'result': {error!r}"
        ) from None


def results(console: str) -> dict[str, str]:
    """The result of each test that a console output tells of.

    A test that says nothing of itself has passed if another one or the end followed it without a complaint between.
    """
    starts = list(_STARTING.finditer(console))
    found: dict[str, str] = {}
    for index, start in enumerate(starts):
        end = starts[index + 1].start() if index + 1 < len(starts) else len(console)
        over = index + 1 < len(starts) or _SUMMARY.search(console, start.end()) is not None
        found[start["name"]] = _result(start["name"], console[start.end() : end], over)
    return found


def _result(name: str, said: str, over: bool) -> str:
    for result in _RESULT.finditer(said):
        if result["name"] == name:
            return PASS if result["result"] == "passed" else FAIL
    if _FAILED.search(said):
        return FAIL
    return PASS if over else UNKNOWN


def compare(recorded: Mapping[str, str], now: Mapping[str, str]) -> list[Row]:
    """A row for each test, those of the record first."""
    names = [*recorded, *(name for name in now if name not in recorded)]
    return [Row(name, recorded.get(name, ABSENT), now.get(name, ABSENT)) for name in names]


def table(rows: list[Row]) -> Iterator[str]:
    """The rows for people, and the sum."""
    width = max((len(row.name) for row in rows), default=4)
    yield f"{'test':<{width}}  recorded  now"
    for row in rows:
        yield f"{row.name:<{width}}  {row.recorded:<8}  {row.now}{'' if row.is_same else '   <-- differs'}"
    same = sum(row.is_same for row in rows)
    passed = sum(row.now == PASS for row in rows)
    yield f"baseline: {len(rows)} tests, {passed} passed, {same} as recorded, {len(rows) - same} differ"
