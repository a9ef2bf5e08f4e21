"""Watching a run: all invariants of states and of steps, at each kernel entry or at some of them."""

from capkernel.kernel.objects import CNode
from capkernel.runtime.loop import Loop
from hwmodel.cpu.trap import Trap
from hwmodel.machine import Machine
from specs.invariants import check_step, check_view
from specs.invariants.authority import Policy, ill_formed
from specs.invariants.model import Violation
from specs.invariants.recorder import Recorder
from specs.invariants.seen import Seen
from specs.invariants.step import Step
from specs.invariants.step_model import StepInvariant
from specs.invariants.view import View


class Monitor:
    """Attached to a loop, evaluates the oracle at every ``every``-th kernel entry, until something is wrong.

    ``policy`` is the ceiling for G27 and G29; ``also`` are further step invariants. While it is attached the kernel
    sees the machine through a recorder. ``checked`` counts the entries looked at, ``violations`` says what was wrong at
    the last. Where it looks at every entry, it compares the state with what it saw last and evaluates what depends on
    what has changed; with ``incremental`` false, always everything, from scratch. Raises ValueError if the policy is
    not well-formed, or if ``every`` is not positive.
    """

    def __init__(
        self, *, policy: Policy | None = None, also: tuple[StepInvariant, ...] = (), every: int = 1,
        incremental: bool = True,
    ) -> None:  # fmt: skip
        problems = [] if policy is None else ill_formed(policy)
        if problems:
            raise ValueError("the policy can hold of no system: " + "; ".join(problems))
        if every < 1:
            raise ValueError(f"every 1st, 2nd, … entry can be checked, not every {every}th")
        self._policy = policy
        self.also = also
        self.every = every
        self.incremental = incremental
        self.checked = 0
        self.violations: list[str] = []
        self._cnodes: tuple[CNode, ...] = ()
        self._step: Step | None = None
        self._seen: Seen | None = None
        """What was there after the entry before this one; None if nobody looked."""

    @property
    def problem(self) -> str | None:
        """What was found, as text; None while nothing was."""
        return "\n".join(self.violations) or None

    def policy(self) -> Policy | None:
        """What G27 and G29 are held against; None if nothing was declared."""
        return self._policy

    def attach(self, loop: Loop, machine: Machine) -> None:
        """Look at every kernel entry that is due from now on."""
        self.loop = loop
        self.state = loop.state
        self.machine = machine
        self.recorder = Recorder(loop.state.machine)
        loop.state.machine = self.recorder.as_machine()
        self._cnodes = self._seen.cnodes if self._seen else View(loop.state, machine).live_cnodes()
        loop.before.append(self.before)
        loop.observers.append(self.after)

    def start_from(self, seen: Seen) -> None:
        """Before it is attached: everything is as it was when somebody looked, and all invariants of states held."""
        self._seen = seen.copy()

    def stop(self) -> None:
        """Look no more, and forget what was seen: it leads to the loop, whose end would else be in a cycle."""
        self._step = self._seen = None
        if self.after in self.loop.observers:
            self.loop.observers.remove(self.after)
            self.loop.before.remove(self.before)

    def _is_due(self) -> bool:
        return not self.loop.entries % self.every and not self.violations

    def before(self, trap: Trap) -> None:
        """The kernel is about to deal with a trap.

        Since it dealt with the last one only user code has run, which changes the running thread's registers, and
        memory where it may.
        """
        self.recorder.reset()
        seen = self._seen
        if not self._is_due():
            self._step = self._seen = None
        elif seen is None:
            self._step = Step(View(self.state, self.machine, self._cnodes), trap, self.recorder)
        else:
            self._step = seen.begin(trap, self.recorder)

    def after(self, trap: Trap) -> None:
        """The kernel has dealt with a trap."""
        if not self._is_due():
            return
        self.checked += 1
        seen, step = self._seen, self._step
        found = None if seen is None or step is None else seen.judge(step, self.policy(), self.also)
        if found is None:
            found = self._from_scratch()
        self.violations += [self.said(violation) for violation in found]

    def _from_scratch(self) -> list[Violation]:
        """Gather everything anew, and evaluate everything."""
        roots = self._cnodes if self._seen is None else self._seen.cnodes
        view = View(self.state, self.machine, roots, self.policy())
        self._cnodes = view.live_cnodes()
        found = check_view(view)
        self._seen = None
        if self._step is not None:
            self._step.finish(view)
            found += check_step(self._step, self.also)
            if self.every == 1 and self.incremental:
                self._seen = Seen(view, self._step.now)
        return found

    def said(self, violation: Violation) -> str:
        """How a violation is told."""
        return str(violation)
