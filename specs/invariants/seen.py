"""What was seen of a state: a view, a picture, and what to compare with, brought up to date from entry to entry."""

from hwmodel.cpu.trap import Trap
from specs.invariants.authority import AUTHORITY
from specs.invariants.changes import Look
from specs.invariants.model import Violation
from specs.invariants.oracle import check_step, check_view
from specs.invariants.parts import CAPS, CONSTANTS, REFERENCES, parts
from specs.invariants.recorder import Recorder
from specs.invariants.step import Picture, Step, buffers_of
from specs.invariants.step_model import StepInvariant
from specs.invariants.view import View, by_kind

_OF_BUFFERS = CAPS | parts("TCB.ipc_buffer TCB.buffer_slot")


class Seen:
    """A view whose invariants all hold, and its picture. ``cnodes`` are what the next view is to begin with.

    ``changed`` are the parts that were found to have changed at the last look.
    """

    def __init__(self, view: View, picture: Picture, look: Look | None = None) -> None:
        self.view, self.picture = view, picture
        self.look = Look(view) if look is None else look
        self.changed = 0
        self.cnodes = view.live_cnodes()
        self.buffers = buffers_of(view)

    def copy(self) -> "Seen":
        """Another, to be brought up to date apart from this one."""
        view = self.view.copy()
        return Seen(view, self.picture.copy(), self.look.copy(view))

    def begin(self, trap: Trap, recorder: Recorder) -> Step:
        """The step that a trap begins: since the last look nothing but the running thread's code has run."""
        state = self.view.state
        self.picture.refresh(state, self.look.refresh(state.current))
        return Step(self.view, trap, recorder, self.picture, self.buffers)

    def judge(self, step: Step, policy: object, also: tuple[StepInvariant, ...]) -> list[Violation] | None:
        """What does not hold after a step, of what depends on that which has changed.

        None if everything has to be gathered anew.
        """
        if not self._renew(policy):
            return None
        step.finish(self.view, self.picture, self.changed)
        found = check_view(self.view, self.look.mask) + check_step(step, also)
        self.look.settle()
        return found

    def _renew(self, policy: object) -> bool:
        """Look at what has changed; false if that is so much that everything has to be gathered anew."""
        view, look = self.view, self.look
        changed, objects = look.changes()
        if view.policy is not policy or changed & CONSTANTS:
            return False
        if changed & CAPS:
            fresh = View(view.state, view.machine, self.cnodes, policy)
            if fresh.objects.keys() != view.objects.keys():
                return False
            fresh.follow(view, look.slots)
            view = self.view = look.view = fresh
            self.cnodes = view.live_cnodes()
        elif changed & REFERENCES and not view.refer_again():
            return False
        if look.mask & AUTHORITY:
            view.authority = None
        if changed & _OF_BUFFERS:
            self.buffers = buffers_of(view)
        self.picture, self.changed = self.picture.later(view, changed, objects), changed
        view.only = by_kind(look.objects.union(self.picture.touched or ()), view.state)
        return True
