"""What judges the kernel: many small cases, each of which runs for milliseconds and says what is wrong, if anything is.

* ``generated N``: a program made up beforehand or as it goes, with the specification beside the kernel.
* ``watched N``: a program made up as it goes, all invariants evaluated at each kernel entry.
* ``recorded NAME``: a recording of the real kernel, replayed with the specification beside the kernel.
* a test of ``tests/kernel`` or ``tests/machines``, by its pytest name (``tests.py``).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from capkernel.tools.conform.recordings import read, recordings_in
from capkernel.tools.conform.replay import TIMELINE_GROUP, place, replay
from capkernel.tools.conform.timeline import replay_timeline
from specs.bugs.hunt import taken
from specs.refinement import campaign
from specs.refinement.golden import Beside

GENERATED, WATCHED = 1000, 100
"""How many programs of each kind are cases."""
RECORDED_EVERY = 5
"""Of the recordings so many each."""
SEED = 4
"""Of the programs that are made up."""


class Case(Protocol):
    """One judgement."""

    @property
    def name(self) -> str:
        """How records call it."""

    def run(self) -> str | None:
        """Runs it; returns what is wrong with the kernel, if anything is. What it raises is wrong, too."""


@dataclass(frozen=True)
class Generated:
    """A program of ``capkernel refine``."""

    number: int

    @property
    def name(self) -> str:
        """How records call it."""
        return f"generated {self.number}"

    def run(self) -> str | None:
        """Both kernels come to the same states."""
        return campaign.run(SEED, self.number)[0].problem


@dataclass(frozen=True)
class Watched:
    """A program of the hunt for bugs."""

    number: int

    @property
    def name(self) -> str:
        """How records call it."""
        return f"watched {self.number}"

    def run(self) -> str | None:
        """All invariants hold."""
        return taken(SEED, self.number).problem


@dataclass(frozen=True)
class Recorded:
    """A program that was recorded on the real kernel."""

    program: dict[str, Any]

    @property
    def name(self) -> str:
        """How records call it."""
        return f"recorded {self.program['id']}"

    def run(self) -> str | None:
        """All is as recorded, and both kernels come to the same states on the way."""
        beside = Beside()
        difference = _difference(self.program, beside)
        if difference is not None:
            return difference
        return next((lockstep.problem for lockstep in beside.locksteps if lockstep.problem is not None), None)


def _difference(program: dict[str, Any], beside: Beside) -> str | None:
    if program["group"] == TIMELINE_GROUP:
        return replay_timeline(program, beside.begin)[1]
    found = replay(program, [beside]).divergence
    return None if found is None else f"differs {place(found)}: {found.differences} {found.error}"


def programs(golden: Path) -> Iterator[Case]:
    """All cases that are programs. Raises ``recordings.InputError``."""
    yield from map(Generated, range(GENERATED))
    yield from map(Watched, range(WATCHED))
    for file in recordings_in([golden]):
        yield from (Recorded(recorded.program) for recorded in list(read(file))[::RECORDED_EVERY])
