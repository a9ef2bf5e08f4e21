"""A run of the composition with all invariants on, and its live authority held against the declared ceiling."""

import random
from collections.abc import Mapping

from attrs import define, field, frozen

from capkernel.system.authority import authority_of
from capkernel.system.ceiling import read_ceiling
from capkernel.tools.demo.composition import SUPERVISED, Outcome, play
from capkernel.tools.demo.stage import Stage, find_system
from capkernel.tools.inject import Fault, Kind
from specs.ceilings import CeilingSampler


@define
class Watch:
    """Checks each ``every``-th kernel entry of a run; to be called with its stage."""

    every: int
    sampler: CeilingSampler | None = field(default=None)

    def __call__(self, stage: Stage) -> None:
        """Begin."""
        described = stage.system.system
        graph = authority_of(described, stage.booted.system.extensions.grants)
        ceiling = (find_system("composition").parent / "composition_ceiling.toml").read_text()
        self.sampler = CeilingSampler(stage.system, graph, read_ceiling(ceiling, graph), self.every)


@frozen
class Watched:
    """What came of a run, how many states were checked, and what was wrong in them."""

    outcome: Outcome
    checked: int
    violations: tuple[str, ...]


def watched(faults: tuple[Fault, ...], seed: int, every: int) -> Watched:
    """Play it."""
    watch = Watch(every)
    outcome = play(faults, seed, watch=watch)
    assert watch.sampler is not None
    assert watch.sampler.policy() is not None
    return Watched(outcome, watch.sampler.checked, tuple(watch.sampler.violations))


def drawn(seed: int, count: int, steps: Mapping[str, int]) -> tuple[Fault, ...]:
    """So many crashes and hangs of supervised servers, at random steps within those that they have in a calm run."""
    chance = random.Random(f"composition {seed}")
    names = [chance.choice(SUPERVISED) for _ in range(count)]
    kinds = (Kind.CRASH, Kind.CRASH, Kind.HANG)
    return tuple(Fault(name, chance.randint(1, steps[name]), chance.choice(kinds), seed) for name in names)
