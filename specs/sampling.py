"""Checking the invariants during a long run, at some of its kernel entries.

The entry point ``capkernel.checks`` leads here, so that the command line can check without importing this package.
"""

from capkernel.runtime.loop import Loop
from hwmodel.cpu.trap import Trap
from hwmodel.machine import Machine
from specs.invariants import check_step, check_view
from specs.invariants.recorder import Recorder
from specs.invariants.step import Step
from specs.invariants.view import View


class Sampler:
    """Looks at every ``every``-th kernel entry of a loop from now on: the step, and the state after it.

    ``checked`` counts them, ``violations`` says what was wrong and at which entry; the first is enough, then it looks
    no more. Raises ValueError if ``every`` is not positive.
    """

    def __init__(self, loop: Loop, machine: Machine, every: int) -> None:
        if every < 1:
            raise ValueError(f"every 1st, 2nd, … entry can be checked, not every {every}th")
        self.loop = loop
        self.machine = machine
        self.every = every
        self.checked = 0
        self.violations: list[str] = []
        self._step: Step | None = None
        self.recorder = Recorder(loop.state.machine)
        loop.state.machine = self.recorder.as_machine()
        loop.before.append(self._before)
        loop.observers.append(self._after)

    def _is_due(self) -> bool:
        return not self.loop.entries % self.every and not self.violations

    def _before(self, trap: Trap) -> None:
        self.recorder.reset()
        self._step = Step(View(self.loop.state, self.machine), trap, self.recorder) if self._is_due() else None

    def _after(self, trap: Trap) -> None:
        if not self._is_due():
            return
        self.checked += 1
        view = View(self.loop.state, self.machine, policy=self.policy())
        found = check_view(view)
        if self._step is not None:
            self._step.finish(view)
            found += check_step(self._step)
        self.violations += [f"at kernel entry {self.loop.entries}: {violation}" for violation in found]

    def stop(self) -> None:
        """Look no more."""
        if self._after in self.loop.observers:
            self.loop.observers.remove(self._after)
            self.loop.before.remove(self._before)

    def policy(self) -> object:
        """What G27 and G29 are held against; None if nothing was declared."""
        return None
