"""Watching a run: all invariants of states and of steps, at each kernel entry."""

from capkernel.kernel.objects import CNode
from capkernel.runtime.loop import Loop
from hwmodel.cpu.trap import Trap
from hwmodel.machine import Machine
from specs.invariants import check_step, check_view
from specs.invariants.authority import Policy, ill_formed
from specs.invariants.recorder import Recorder
from specs.invariants.step import Step
from specs.invariants.step_model import StepInvariant
from specs.invariants.view import View


class Monitor:
    """Attached to a loop, evaluates the oracle at each kernel entry and keeps the first thing that is wrong.

    ``steps`` says whether the step invariants are evaluated too; ``policy`` is the ceiling
    for G27 and G29; ``also`` are further step invariants. While it is attached the kernel sees the machine
    through a recorder. Raises ValueError if the policy is not well-formed.
    """

    def __init__(
        self, *, steps: bool = True, policy: Policy | None = None, also: tuple[StepInvariant, ...] = ()
    ) -> None:
        problems = [] if policy is None else ill_formed(policy)
        if problems:
            raise ValueError("the policy can hold of no system: " + "; ".join(problems))
        self.steps = steps
        self.policy = policy
        self.also = also
        self.checked = 0
        self.violations: list[str] = []
        self._cnodes: tuple[CNode, ...] = ()
        self._step: Step | None = None
        self._view: View | None = None
        self._roots: tuple[CNode, ...] = ()

    @property
    def problem(self) -> str | None:
        """What was found, as text; None while nothing was."""
        return "\n".join(self.violations) or None

    def attach(self, loop: Loop, machine: Machine) -> None:
        """Look at every kernel entry from now on."""
        self.state = loop.state
        self.machine = machine
        self.recorder = Recorder(loop.state.machine)
        loop.state.machine = self.recorder.as_machine()
        self._cnodes = View(loop.state, machine).live_cnodes()
        if self.steps:
            loop.before.append(self.before)
        loop.observers.append(self.after)

    def before(self, trap: Trap) -> None:
        """The kernel is about to deal with a trap.

        Since it dealt with the last one only user code has run, which changes the running thread's registers, and
        memory where it may.
        """
        self.recorder.reset()
        view, picture = self._view, None
        if view is None or self._step is None or self._roots != self._cnodes:
            view = View(self.state, self.machine, self._cnodes)
        else:
            picture = self._step.now
            picture.refresh(self.state.current)
        self._step = Step(view, trap, self.recorder, picture)

    def after(self, trap: Trap) -> None:
        """The kernel has dealt with a trap."""
        self.checked += 1
        view = View(self.state, self.machine, self._cnodes, self.policy)
        self._roots = self._cnodes
        step, same_caps = self._step, False
        if step is not None:
            step.finish(view)
            same_caps = self._view is not None and step.same_caps
            if same_caps and self._view is not None:
                view.take_over(self._view)
        self._cnodes = view.live_cnodes()
        self._view = view
        self.violations += [str(violation) for violation in check_view(view, same_caps=same_caps)]
        if step is not None:
            self.violations += [str(violation) for violation in check_step(step, self.also)]
