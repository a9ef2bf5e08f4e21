"""Spin's reachable states against the explorer's: the same set, state for state."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from specs.explore.model import Configuration
from specs.explore.projection import FIELDS, Projector, explain
from specs.explore.search import Exploration, explore
from specs.explore.system import System
from specs.proofs.spin.encode import encoded

SOURCES = Path(__file__).parent
TOOLS = ("spin", "gcc")
SIZE = sum(count for _, count in FIELDS)
_FLAGS = ("-DSAFETY", "-DNOREDUCE", "-DMEMLIM=4000", "-DVECTORSZ=2048", "-O1", "-w")
_TIMEOUT = 1_800


class SpinError(Exception):
    """Spin, the compiler or the verifier did not do what was asked; with what they said."""


def missing_tools() -> list[str]:
    """What has to be installed first."""
    return [tool for tool in TOOLS if shutil.which(tool) is None]


@dataclass
class Comparison:
    """What came of comparing one configuration."""

    name: str
    explored: Exploration
    states: int = 0
    """Different projections of the explored kernel's states."""
    spin_states: int = 0
    spin_transitions: int = 0
    only_kernel: list[bytes] = field(default_factory=list)
    only_spin: list[bytes] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        """Whether both reached exactly the same states, all there are."""
        return self.explored.exhausted and not self.only_kernel and not self.only_spin

    def difference(self) -> str:
        """A state that only one of them reached, field by field beside the most similar state of the other."""
        for who, mine, other in (
            ("only the kernel reaches", self.only_kernel, self.only_spin),
            ("only the model reaches", self.only_spin, self.only_kernel),
        ):
            if mine:
                near = min(other, key=lambda o: sum(a != b for a, b in zip(mine[0], o, strict=True)), default=None)
                return f"{self.name}: {who} ({len(mine)}): {_beside(mine[0], near)}"
        return f"{self.name}: no difference"


def _beside(state: bytes, near: bytes | None) -> str:
    mine, other = explain(state), {} if near is None else explain(near)
    shown = [f"{name} {values}" for name, values in mine.items() if any(values)]
    unlike = [f"{name}: {mine[name]} / {values}" for name, values in other.items() if values != mine[name]]
    return f"{', '.join(shown)}\n  unlike the nearest of the other: {'; '.join(unlike)}"


@contextmanager
def verifier() -> Iterator[Path]:
    """The model compiled, once for all configurations; a folder that is gone afterwards. Raises SpinError."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path in (SOURCES / "protocol.pml", *SOURCES.glob("embedded.*")):
            shutil.copy(path, folder)
        _run(folder, "spin", "-a", "protocol.pml")
        _run(folder, "gcc", *_FLAGS, "-o", "pan", "pan.c")
        yield folder


def _run(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT, check=False)
    if done.returncode:
        raise SpinError(f"{' '.join(command)}: {done.stdout[-2_000:]}{done.stderr[-2_000:]}")
    return done.stdout


def spin_states(folder: Path, system: System) -> tuple[set[bytes], int]:
    """All states that Spin reaches, projected, and how many transitions it took. Raises SpinError."""
    (folder / "configuration.txt").write_text(encoded(system))
    (folder / "states.bin").unlink(missing_ok=True)
    said = _run(folder, "./pan", "-m2000000", "-w22")
    if "errors: 0" not in said or "max search depth too small" in said:
        raise SpinError(said)
    transitions = re.search(r"(\d+) transitions", said)
    raw = (folder / "states.bin").read_bytes()
    states = {raw[at : at + SIZE] for at in range(0, len(raw), SIZE)}
    return states, int(transitions[1]) if transitions else 0


def compare(folder: Path, configuration: Configuration) -> Comparison:
    """Explore the kernel, let Spin search the model, and compare what they reached."""
    kernel: set[bytes] = set()
    projectors: dict[int, Projector] = {}

    def visit(system: System) -> None:
        projector = projectors.get(id(system))
        if projector is None:
            projector = projectors[id(system)] = Projector(system)
        kernel.add(projector())

    explored = explore(configuration, check=False, visit=visit)
    model, transitions = spin_states(folder, System(configuration))
    return Comparison(
        configuration.name, explored, len(kernel), len(model), transitions, sorted(kernel - model),
        sorted(model - kernel),
    )  # fmt: skip
