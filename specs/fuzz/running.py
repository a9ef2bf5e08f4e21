"""Running byte strings under the oracle, one after the other, and what is to be said of one that shows something."""

from dataclasses import dataclass, field
from functools import lru_cache

from specs.bugs.hook import planting
from specs.check import to_script
from specs.fuzz.coverage import Coverage, Kind
from specs.fuzz.decoder import decode, layout_of
from specs.fuzz.driver import Driver
from specs.fuzz.rewind import Rewinder
from specs.invariants import check_view
from specs.invariants.seen import Seen
from specs.invariants.step import Picture
from specs.invariants.view import View
from specs.monitor import Monitor
from specs.programs import Execution, Layout, Program, run, world_of
from specs.shrink import shrink


@lru_cache(maxsize=16)
def _at_start(layout: Layout) -> Seen | None:
    """What is to be seen at the start of all programs of a layout; None if something is wrong there already."""
    world = world_of(layout)
    world.rewind()
    view = View(world.state, world.machine, policy=world.policy)
    return None if check_view(view) else Seen(view, Picture.of_view(view))


@dataclass(frozen=True)
class Checking:
    """How much is checked: each ``every``-th kernel entry, none if that is 0."""

    every: int = 1

    def prepare(self, layout: Layout) -> None:
        """Build a layout's world and look at it, before it is used."""
        world_of(layout)
        if self.every == 1:
            _at_start(layout)

    def monitor(self, layout: Layout) -> Monitor | None:
        """The oracle for a run in a layout's world, which is at its start."""
        if not self.every:
            return None
        monitor = Monitor(policy=world_of(layout).policy, every=self.every)
        start = _at_start(layout) if self.every == 1 else None
        if start is not None:
            monitor.start_from(start)
        return monitor

    def run(self, program: Program) -> Execution:
        """Run a program from its start, looking at the same kernel entries."""
        every = self.every
        monitor = Monitor(policy=world_of(program.layout).policy, every=every) if every else None
        return run(program, watcher=monitor, final=False)


@dataclass
class Runner:
    """Runs byte strings, and adds up what they did."""

    checking: Checking
    coverage: Coverage = field(default_factory=Coverage)
    programs: int = 0
    steps: int = 0
    entries: int = 0
    _rewinders: dict[Layout, Rewinder] = field(default_factory=dict)

    def run(self, data: bytes) -> Execution:
        """Run one byte string from its world's start."""
        layout = layout_of(data)
        if layout not in self._rewinders:
            self.checking.prepare(layout)
            self._rewinders[layout] = Rewinder(world_of(layout))
        self._rewinders[layout].rewind()
        monitor = self.checking.monitor(layout)
        execution = Driver(world_of(layout), data, monitor, self.coverage).go_on()
        if monitor is not None:
            monitor.stop()
        self.programs += 1
        self.steps += execution.taken
        self.entries += execution.entries
        return execution


@dataclass(frozen=True)
class Finding:
    """A byte string that shows something wrong: what, and the shrunk program, as a script that shows it."""

    data: bytes
    problem: str
    operations: int
    script: str


def finding(data: bytes, execution: Execution, checking: Checking) -> Finding:
    """What a run has found, cut to what matters."""
    small = shrink(decode(data), checking.run)
    again = checking.run(small)
    return Finding(data, again.problem or execution.problem or "", len(small.steps), planting(to_script(small, again)))


def kinds_of(data: bytes) -> frozenset[Kind]:
    """The kinds of kernel entries that a byte string has."""
    runner = Runner(Checking(0))
    runner.run(data)
    return frozenset(runner.coverage.kinds)
