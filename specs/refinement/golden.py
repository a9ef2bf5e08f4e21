"""The recorded behaviour of the real kernel, replayed twice: by the specification alone, and by both kernels.

The first holds the specification against reality, with no kernel of ours behind it; the second holds the kernel's whole
state against the specification's at each entry on the way. (Kernel against reality is ``capkernel conform``.)
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from capkernel.tools.conform.recordings import read, recordings_in
from capkernel.tools.conform.replay import TIMELINE_GROUP, Observer, place, replay
from capkernel.tools.conform.timeline import replay_timeline
from capkernel.tools.conform.world import World
from capkernel.tools.workers import working
from specs.refinement.lockstep import Lockstep
from specs.refinement.stand_in import StandIn

Recording = dict[str, Any]


class Beside:
    """An observer of replays: the specification takes every step that the kernel takes."""

    def __init__(self) -> None:
        self.locksteps: list[Lockstep] = []

    def begin(self, world: World) -> None:
        """The start state is there."""
        lockstep = Lockstep()
        lockstep.attach(world.loop, world.machine)
        self.locksteps.append(lockstep)

    def step(self, record: object) -> None:
        """An operation is about to be carried out: nothing to do."""


@dataclass
class Group:
    """What came of the programs of one group. ``against_reality`` and ``against_kernel`` say what differs where."""

    name: str
    programs: int = 0
    operations: int = 0
    entries: int = 0
    assumed: int = 0
    against_reality: list[str] = field(default_factory=list)
    against_kernel: list[str] = field(default_factory=list)


def _replay(program: Recording, observer: Observer) -> tuple[int, int, str | None]:
    """Operations, assumptions about what the record does not say, and what differs."""
    if program["group"] == TIMELINE_GROUP:
        entries, difference = replay_timeline(program, observer.begin)
        return entries, 0, difference
    outcome = replay(program, [observer])
    found = outcome.divergence
    if found is None:
        return outcome.operations, len(outcome.assumed), None
    what = [f"{name}: recorded {a!r}, specified {b!r}" for name, (a, b) in found.differences.items()]
    return outcome.operations, len(outcome.assumed), "\n".join([place(found), *what, found.error]).strip()


def replayed(program: Recording) -> Group:
    """Both replays of one program."""
    group = Group(program["group"], programs=1)
    group.operations, group.assumed, difference = _replay(program, StandIn())
    if difference is not None:
        group.against_reality.append(f"{program['id']} {difference}")
    beside = Beside()
    _replay(program, beside)
    group.entries = sum(lockstep.entries for lockstep in beside.locksteps)
    problems = [lockstep.problem for lockstep in beside.locksteps if lockstep.problem is not None]
    group.against_kernel += [f"{program['id']} {problem}" for problem in problems[:1]]
    return group


def programs_in(path: Path) -> list[Recording]:
    """All recorded programs of a file or directory. Raises ``recordings.InputError``."""
    return [recorded.program for file in recordings_in([path]) for recorded in read(file)]


def replay_all(programs: list[Recording], workers: int) -> Iterator[Group]:
    """Replay programs on so many processes; yields what came of each."""
    if workers == 1:
        yield from map(replayed, programs)
        return
    with working(workers) as pool:
        yield from pool.map(replayed, programs)


def by_group(results: Iterator[Group]) -> dict[str, Group]:
    """The sums of each group."""
    groups: dict[str, Group] = {}
    for one in results:
        total = groups.setdefault(one.name, Group(one.name))
        for name in ("programs", "operations", "entries", "assumed", "against_reality", "against_kernel"):
            setattr(total, name, getattr(total, name) + getattr(one, name))
    return groups
