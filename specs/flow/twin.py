"""H1, H2, H3: the same label, twice, in different company.

One run is made with random steps for everybody. In the other, all labels that are not among the observed one's sources
take other random steps and find other garbage in their registers and buffers. The observed label must see the same:
its view after each kernel entry, repetitions left out, is the same sequence in both runs (nonleakage). Within one run
an entry of somebody who is no source leaves its view alone (local respect), and the turns of the domains are the same
in both (the scheduler sees no partition's state).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from capkernel.abi.labels import BY_LABEL
from capkernel.kernel.objects import TCB
from hwmodel.cpu.trap import INTERRUPTED, Trap
from specs.flow.sources import sources
from specs.flow.view import Eye, difference
from specs.flow.worlds import PARTIES, FlowWorld, Plant, Wiring, flow_world
from specs.generate import Chooser, Focus, RandomChooser, step
from specs.programs import Compute, Execution, Session, Step
from specs.programs.model import Dma, Interrupt
from specs.structure import Structure

Steps = Mapping[str, tuple[Step, ...]]
"""What each label does, in order."""
IDLE = Compute(1_000_000)
"""What a thread does when its label has nothing more to do."""


@dataclass
class Seen:
    """What one label saw in one run: its views, and by whose call or fault each came about.

    Nobody's ("") are interrupts and the ends of turns.
    """

    views: list[Structure] = field(default_factory=list)
    actors: list[str] = field(default_factory=list)


class Company(Session):
    """A run in which each label has steps of its own, and some are observed.

    ``garbage`` says, for each label, what distinguishes the words that its steps do not set.
    """

    def __init__(self, world: FlowWorld, wiring: Wiring, steps: Steps, garbage: Mapping[str, int], eyes: list[Eye]):
        super().__init__(world)
        self.policy, self.eyes = world.declared, eyes
        self.waiting = {label: list(reversed(steps[label])) for label in PARTIES}
        self.garbage_of = garbage
        self.seen = {eye.label: Seen() for eye in eyes}
        self.turns: list[tuple[int, int]] = []
        """Each finished turn of a domain: (domain, ticks)."""
        self._turn = self.state.domain_index, self.state.domain, self.state.time
        self._actor = ""
        self.loop.before.append(self._before)
        self.loop.observers.append(self._after)
        # The last turn ends where a pause begins: then nobody is in the middle of anything.
        self.all_turns = wiring.rounds * len(wiring.turns)
        self.loop.stop_reason = self._over

    def go(self) -> Execution:
        """Run to the end."""
        try:
            self.execution.reason = self.loop.run()
        except Exception as error:  # Whatever comes out of the kernel is a finding, not ours to judge.
            self.execution.problem = f"T15 total: {type(error).__name__}: {error}"
        return self.execution

    def _over(self) -> str | None:
        return "turns" if len(self.turns) >= self.all_turns else None

    def _on_host(self, thread: TCB, what: int) -> bool:
        label = self.policy.label(thread.paddr)
        queue = self.waiting.get(label, [])
        self.garbage = self.garbage_of.get(label, 1)
        self.execution.taken += bool(queue)
        return self._take(queue.pop() if queue else IDLE, thread)

    def _before(self, trap: Trap) -> None:
        self._actor = "" if trap.kind == INTERRUPTED else self.policy.label(self.state.current.paddr)

    def _after(self, trap: Trap) -> None:
        state = self.state
        index, domain, began = self._turn
        if state.domain_index != index:
            self.turns.append((domain, state.time - began))
            self._turn = state.domain_index, state.domain, state.time
            self._actor = ""
        for eye in self.eyes:
            view, seen = eye.view(state, self.machine, self._turn[2]), self.seen[eye.label]
            if not seen.views or seen.views[-1] != view:
                seen.views.append(view)
                seen.actors.append(self._actor)


@dataclass(frozen=True)
class Leak:
    """Something that a label saw and must not have."""

    id: str
    label: str
    detail: str

    def __str__(self) -> str:
        return f"{self.id}: {self.label} sees {self.detail}"


@dataclass
class Pair:
    """Two runs that were compared."""

    label: str
    sources: frozenset[str]
    runs: tuple[Company, Company]
    leak: Leak | None = None

    @property
    def entries(self) -> int:
        """Kernel entries of both runs."""
        return sum(run.loop.entries for run in self.runs)


def steps_of(choose: Chooser, world: FlowWorld, most: int, plant: Plant | None = None) -> tuple[Step, ...]:
    """Random steps for one label: any of the grammar, but interrupts and DMA, which come from outside."""
    focus = Focus(choose, world.layout)
    if plant is not None:
        focus.specs = tuple(BY_LABEL[label] for label in plant.about) or focus.specs
        focus.kinds = plant.kinds or focus.kinds
    drawn = (step(choose, focus) for _ in range(choose.number(1, most)))
    return tuple(item for item in drawn if not isinstance(item, Interrupt | Dma))


def random_steps(wiring: Wiring, seed: int, most: int = 25, plant: Plant | None = None) -> Steps:
    """Up to ``most`` random steps for each party, about what a plant's steps are about."""
    return _random_steps(RandomChooser(seed), flow_world(wiring), most, plant)


def _random_steps(choose: Chooser, world: FlowWorld, most: int, plant: Plant | None) -> Steps:
    return {name: steps_of(choose, world, most, plant) for name in PARTIES}


def company(
    wiring: Wiring, steps: Steps, watched: Iterable[str] = PARTIES, garbage: Mapping[str, int] | None = None
) -> Company:
    """Run to the end, and keep what the ``watched`` labels see."""
    world = flow_world(wiring)
    world.rewind()
    domain = dict(zip(PARTIES, wiring.domains, strict=True))
    eyes = [Eye(name, domain[name], world.declared, world.roots[name]) for name in sorted(watched)]
    run = Company(world, wiring, steps, garbage or {}, eyes)
    run.go()
    return run


def compare(wiring: Wiring, label: str, one: Steps, other: Steps) -> Pair:
    """Two runs, in which the labels that are no sources of ``label`` take the steps of ``one`` and of ``other``."""
    trusted = sources(label, flow_world(wiring).declared.edges) & set(PARTIES)
    runs = []
    for number, steps in enumerate((one, other), 1):
        garbage = {name: 1 if name in trusted else 100 * number for name in PARTIES}
        runs.append(company(wiring, {**steps, **{name: one[name] for name in trusted}}, trusted, garbage))
    pair = Pair(label, trusted, (runs[0], runs[1]))
    pair.leak = _judge(pair, dict(zip(PARTIES, wiring.domains, strict=True)))
    return pair


def random_pair(wiring: Wiring, label: str, seed: int, most: int = 25, plant: Plant | None = None) -> Pair:
    """Two runs from a seed, of up to ``most`` steps for each party, about what a plant's steps are about."""
    choose, world = RandomChooser(seed), flow_world(wiring)
    one, other = (_random_steps(choose, world, most, plant) for _ in range(2))
    return compare(wiring, label, one, other)


def planted_pair(plant: Plant, seed: int) -> Pair:
    """Two runs in a world with a planted leak, and what alice sees of it."""
    return random_pair(plant.wiring, "alice", seed, plant=plant)


def _judge(pair: Pair, domains: Mapping[str, int]) -> Leak | None:
    for run in pair.runs:
        if run.execution.problem is not None:
            return Leak("T15", pair.label, run.execution.problem)
        found = _disrespect(pair, run)
        if found is not None:
            return found
    one, other = pair.runs
    turns = [domain for domain, _ in one.turns], [domain for domain, _ in other.turns]
    if turns[0] != turns[1]:
        return Leak("H3", pair.label, f"domains in the order {turns[0]} in one run, {turns[1]} in the other")
    for label in sorted(pair.sources):
        own = [[ticks for domain, ticks in run.turns if domain == domains[label]] for run in pair.runs]
        if own[0] != own[1]:
            return Leak("H10", label, f"turns of {own[0]} ticks in one run, {own[1]} in the other")
        here, there = one.seen[label].views, other.seen[label].views
        for number, (a, b) in enumerate(zip(here, there, strict=False)):
            if a != b:
                return Leak("H1", label, f"at its view {number} {difference(a, b)}")
        if len(here) != len(there):
            return Leak("H1", label, f"{len(here)} views in one run, {len(there)} in the other")
    return None


def _disrespect(pair: Pair, run: Company) -> Leak | None:
    """H2, the half of it that is about strangers: what they do changes nothing that the label sees, but who runs."""
    for label in sorted(pair.sources):
        seen = run.seen[label]
        for before, after, actor in zip(seen.views, seen.views[1:], seen.actors[1:], strict=False):
            if actor in PARTIES and actor not in pair.sources and _without_turns(before) != _without_turns(after):
                return Leak("H2", label, f"{actor} change {difference(_without_turns(before), _without_turns(after))}")
    return None


def _without_turns(view: Structure) -> Structure:
    return {name: fields for name, fields in view.items() if name != "scheduler"}
