"""Watching a run: all invariants of states and of steps, at each kernel entry or at some of them."""

from capkernel.kernel.objects import CNode
from capkernel.runtime.loop import Loop
from hwmodel.cpu.trap import Trap
from hwmodel.machine import Machine
from specs.invariants import check_step, check_view
from specs.invariants.authority import Policy, ill_formed
from specs.invariants.model import Violation
from specs.invariants.recorder import Recorder
from specs.invariants.step import Step
from specs.invariants.step_model import StepInvariant
from specs.invariants.view import View


class Monitor:
    """Attached to a loop, evaluates the oracle at every ``every``-th kernel entry, until something is wrong.

    ``policy`` is the ceiling for G27 and G29; ``also`` are further step invariants. While it is attached the kernel
    sees the machine through a recorder. ``checked`` counts the entries looked at, ``violations`` says what was wrong at
    the last. Raises ValueError if the policy is not well-formed, or if ``every`` is not positive.
    """

    def __init__(
        self, *, policy: Policy | None = None, also: tuple[StepInvariant, ...] = (), every: int = 1
    ) -> None:  # fmt: skip
        problems = [] if policy is None else ill_formed(policy)
        if problems:
            raise ValueError("the policy can hold of no system: " + "; ".join(problems))
        if every < 1:
            raise ValueError(f"every 1st, 2nd, … entry can be checked, not every {every}th")
        self._policy = policy
        self.also = also
        self.every = every
        self.checked = 0
        self.violations: list[str] = []
        self._cnodes: tuple[CNode, ...] = ()
        self._step: Step | None = None
        self._view: View | None = None
        """What was seen last, if that was after the entry before this one."""
        self._roots: tuple[CNode, ...] = ()

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
        self._cnodes = View(loop.state, machine).live_cnodes()
        loop.before.append(self.before)
        loop.observers.append(self.after)

    def stop(self) -> None:
        """Look no more."""
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
        if not self._is_due():
            self._step = self._view = None
            return
        view, picture = self._view, None
        if view is None or self._step is None or self._roots != self._cnodes:
            view = View(self.state, self.machine, self._cnodes)
        else:
            picture = self._step.now
            picture.refresh(self.state.current)
        self._step = Step(view, trap, self.recorder, picture)

    def after(self, trap: Trap) -> None:
        """The kernel has dealt with a trap."""
        if not self._is_due():
            return
        self.checked += 1
        view = View(self.state, self.machine, self._cnodes, self.policy())
        self._roots = self._cnodes
        step, same_caps = self._step, False
        if step is not None:
            step.finish(view)
            same_caps = self._view is not None and step.same_caps
            if same_caps and self._view is not None:
                view.take_over(self._view)
        self._cnodes = view.live_cnodes()
        self._view = view
        found = check_view(view, same_caps=same_caps)
        if step is not None:
            found += check_step(step, self.also)
        self.violations += [self.said(violation) for violation in found]

    def said(self, violation: Violation) -> str:
        """How a violation is told."""
        return str(violation)
