"""Watching a run: all invariants after each kernel entry."""

from capkernel.kernel.objects import CNode
from capkernel.runtime.loop import Loop
from hwmodel.cpu.trap import Trap
from hwmodel.machine import Machine
from specs.invariants import check_view
from specs.invariants.view import View


class Monitor:
    """Attached to a loop, evaluates the oracle after each kernel entry and keeps the first thing that is wrong."""

    def __init__(self) -> None:
        self.checked = 0
        self.violations: list[str] = []
        self._cnodes: tuple[CNode, ...] = ()

    @property
    def problem(self) -> str | None:
        """What was found, as text; None while nothing was."""
        return "\n".join(self.violations) or None

    def attach(self, loop: Loop, machine: Machine) -> None:
        """Look at every kernel entry from now on."""
        self.loop = loop
        self.machine = machine
        self._cnodes = View(loop.state, machine).live_cnodes()
        loop.observers.append(self.after)

    def after(self, trap: Trap) -> None:
        """The kernel has dealt with a trap."""
        self.checked += 1
        view = View(self.loop.state, self.machine, self._cnodes)
        self._cnodes = view.live_cnodes()
        self.violations += [str(violation) for violation in check_view(view)]
