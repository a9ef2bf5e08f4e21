"""What was seen of a state: a view, a picture, and what to compare with, brought up to date from entry to entry."""

from specs.invariants.authority import AUTHORITY
from specs.invariants.changes import Look
from specs.invariants.parts import CAPS, CONSTANTS, REFERENCES, parts
from specs.invariants.step import Picture, buffers_of
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

    def renew(self, policy: object) -> bool:
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
