"""Running byte strings under the oracle, one after the other, and what is to be said of one that shows something."""

from dataclasses import dataclass, field

from specs.check import to_script
from specs.fuzz.coverage import Coverage
from specs.fuzz.decoder import Steps, decode
from specs.fuzz.driver import Driver
from specs.fuzz.rewind import Rewinder
from specs.monitor import Monitor
from specs.programs import Execution, Layout, Program, run, world_of
from specs.shrink import shrink


@dataclass(frozen=True)
class Checking:
    """How much is checked: each ``every``-th kernel entry, none if that is 0."""

    every: int = 1

    def monitor(self, layout: Layout) -> Monitor | None:
        """The oracle for a run in a layout's world."""
        if not self.every:
            return None
        return Monitor(policy=world_of(layout).policy, every=self.every)

    def run(self, program: Program) -> Execution:
        """Run a program, as ``Runner`` runs its bytes."""
        return run(program, watcher=self.monitor(program.layout), final=False)


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
        layout = Steps(data).layout
        if layout not in self._rewinders:
            self._rewinders[layout] = Rewinder(world_of(layout))
        self._rewinders[layout].rewind()
        execution = Driver(world_of(layout), data, self.checking.monitor(layout), self.coverage).go_on()
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
    return Finding(data, again.problem or execution.problem or "", len(small.steps), to_script(small, again))
