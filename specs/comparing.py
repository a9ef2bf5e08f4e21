"""The incremental oracle held against the one that begins from scratch: at each kernel entry both must say the same."""

from hwmodel.cpu.trap import Trap
from specs.invariants import check_step, check_view
from specs.invariants.step import Step
from specs.invariants.view import View
from specs.monitor import Monitor


class Comparing(Monitor):
    """A monitor that also evaluates everything from scratch; ``differences`` says where that found something else."""

    differences: tuple[str, ...] = ()

    def before(self, trap: Trap) -> None:
        """The kernel is about to deal with a trap."""
        super().before(trap)
        self._fresh = Step(View(self.state, self.machine, self._cnodes, self.policy()), trap, self.recorder)
        if self._fresh.authority is None and self._step is not None:
            self._fresh.authority = self._step.authority

    def after(self, trap: Trap) -> None:
        """The kernel has dealt with a trap."""
        if self.violations:
            return
        view = View(self.state, self.machine, self._cnodes, self.policy())
        self._fresh.finish(view)
        wanted = {str(violation) for violation in check_view(view) + check_step(self._fresh, self.also)}
        super().after(trap)
        found = set(self.violations)
        self.differences += tuple(f"from scratch only: {text}" for text in sorted(wanted - found))
        self.differences += tuple(f"incrementally only: {text}" for text in sorted(found - wanted))
        if self.differences and not found:
            self.violations.append("DIFFERENT " + "; ".join(self.differences))
