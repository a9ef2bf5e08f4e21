"""What has been explored, kept in a file, so that an exploration that was stopped goes on where it was.

A result belongs to the sources that made it: when kernel, specification or configuration change, it is made anew.
"""

import hashlib
import json
from dataclasses import asdict
from functools import cache
from pathlib import Path

import capkernel.abi
import capkernel.kernel
import specs.explore
import specs.invariants
from specs.explore.model import Configuration
from specs.explore.search import Exploration

_SOURCES = (capkernel.abi, capkernel.kernel, specs.explore, specs.invariants)


@cache
def sources_digest() -> str:
    """Of everything that decides what an exploration finds."""
    digest = hashlib.sha256()
    for package in _SOURCES:
        for path in sorted(Path(package.__path__[0]).rglob("*.py")):
            if path.name != "configurations.py":
                digest.update(path.read_bytes())
    return digest.hexdigest()


class Record:
    """Results by configuration; without a path nothing is kept."""

    def __init__(self, path: Path | None, everything: bool = False) -> None:
        self.path = path
        self._how = f"{sources_digest()} {everything}"
        self._kept = json.loads(path.read_text()) if path is not None and path.exists() else {}

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
