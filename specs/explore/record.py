"""What has been explored, kept in a file, so that an exploration that was stopped goes on where it was.

A result belongs to the sources that made it: when kernel, specification or configuration change, it is made anew.
"""

import hashlib
import json
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from capkernel.tools.sources import KERNEL, ROOT, digest_of
from specs.explore.model import Configuration
from specs.explore.search import Exploration

DECIDING = (*KERNEL, "specs/explore", "specs/invariants")
"""The sources that decide what an exploration finds; the list of configurations does not: each is in its own entry."""


@cache
def sources_digest() -> str:
    """Of everything that decides what an exploration finds."""
    files = (path for place in DECIDING for path in (ROOT / place).rglob("*.py"))
    return digest_of(sorted(path for path in files if path.name != "configurations.py"))


def _read(path: Path) -> dict[str, dict[str, Any]]:
    """What is kept, by configuration. Raises OSError or ValueError."""
    kept = json.loads(path.read_text())
    if not isinstance(kept, dict):
        raise ValueError("it is no JSON object")
    for name, entry in kept.items():
        if not isinstance(entry, dict) or "of" not in entry or not isinstance(entry.get("result"), dict):
            raise ValueError(f"what it keeps as {name!r} is no result")
    return kept


class Record:
    """Results by configuration; without a path nothing is kept. Raises OSError or ValueError if it is no record."""

    def __init__(self, path: Path | None, everything: bool = False) -> None:
        self.path = path
        self._how = f"{sources_digest()} {everything}"
        self._kept = _read(path) if path is not None and path.exists() else {}

    def get(self, configuration: Configuration) -> Exploration | None:
        """What is known of a configuration, if that is still true."""
        kept = self._kept.get(configuration.name)
        if kept is None or kept["of"] != self._of(configuration):
            return None
        return Exploration(**kept["result"])

    def put(self, configuration: Configuration, result: Exploration) -> None:
        """Keep a result, if it is complete and nothing was wrong."""
        if self.path is None or not result.exhausted:
            return
        self._kept[configuration.name] = {"of": self._of(configuration), "result": asdict(result)}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self._kept, indent=1))

    def _of(self, configuration: Configuration) -> str:
        return hashlib.sha256(f"{self._how} {configuration!r}".encode()).hexdigest()
