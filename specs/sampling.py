"""Checking the invariants of states during a long run, at some of its kernel entries.

The entry point ``capkernel.checks`` leads here, so that the command line can check without importing this package.
"""

from capkernel.runtime.loop import Loop
from hwmodel.cpu.trap import Trap
from hwmodel.machine import Machine
from specs.invariants import check_view
from specs.invariants.view import View


class Sampler:
    """Looks at the state after every ``every``-th kernel entry of a loop from now on.

    ``checked`` counts the states, ``violations`` says what was wrong and at which entry; the first is enough, then it
    looks no more.
    """

    def __init__(self, loop: Loop, machine: Machine, every: int) -> None:
        if every < 1:
            raise ValueError(f"every 1st, 2nd, … entry can be checked, not every {every}th")
        self.loop = loop
        self.machine = machine
        self.every = every
        self.checked = 0
        self.violations: list[str] = []
        loop.observers.append(self._after)

    def _after(self, trap: Trap) -> None:
        if self.loop.entries % self.every or self.violations:
            return
        self.checked += 1
        found = check_view(View(self.loop.state, self.machine, policy=self.policy()))
        self.violations += [f"at kernel entry {self.loop.entries}: {violation}" for violation in found]

    def stop(self) -> None:
        """Look no more."""
        if self._after in self.loop.observers:
            self.loop.observers.remove(self._after)

    def policy(self) -> object:
        """What G27 and G29 are held against; None if nothing was declared."""
        return None
