"""What there is to be named right now: a generator that sees it makes up steps that have an effect more often.

It looks at nothing but the CSpace of whoever runs, as that thread could by asking; it knows of no defect.
"""

from collections.abc import Sequence

from capkernel.kernel import caps as kc
from capkernel.kernel.objects import NULL, BlockedOnReply, Cap, CNode
from specs.invariants.regions import referent
from specs.invariants.resolve import slot_at
from specs.programs.layout import World

_JOINED: dict[type[Cap], tuple[str, ...]] = {
    kc.SchedContextCap: ("tcb", "notification"), kc.ThreadCap: ("sched_context",),
    kc.NotificationCap: ("bound_tcb", "sched_context"),
}  # fmt: skip
"""Fields that say what an object is bound to, if to anything."""
_BOUND = ("tcb", "sched_context", "notification", "bound_notification", "bound_tcb", "yield_from")
"""Fields by which objects are bound to each other."""


class Sight:
    """The CNode that the running thread sees at address 0, slot by slot; ``look`` brings it up to date."""

    def __init__(self, world: World) -> None:
        self._state = world.state
        self._first: dict[int, tuple[type[Cap], bool]] = {}
        self._node: CNode | None = None
        self.look()

    def look(self) -> None:
        """Look again; what is seen first decides which kind of cap a slot stands for."""
        slot = slot_at(self._state.current, 0)
        container = None if slot is None else slot.container
        self._node = container if isinstance(container, CNode) else None
        if self._node is not None:
            for index, found in self._node.slots.items():
                if found.cap is not NULL:
                    self._first.setdefault(index, _kind(found.cap))

    def knows(self, index: int) -> bool:
        """Whether a slot ever held a cap when it was looked at."""
        return index in self._first

    def like(self, index: int) -> Sequence[int]:
        """The slots that now hold caps of the kind that this one held first; none if nothing can be seen."""
        kind = self._first.get(index)
        if self._node is None or kind is None:
            return ()
        return [other for other, slot in self._node.slots.items() if _kind(slot.cap) == kind]

    def unbound(self, index: int) -> Sequence[int]:
        """The slots that hold caps of the kind that this one holds, to something to which nothing is bound."""
        cap = self._cap(index)
        fields = _JOINED.get(type(cap), ())
        if self._node is None or not fields:
            return ()
        return [
            n for n, slot in self._node.slots.items()
            if type(slot.cap) is type(cap) and not any(getattr(referent(slot.cap), field) for field in fields)
        ]  # fmt: skip

    def inside(self, index: int) -> tuple[list[int], list[int]] | None:
        """Used and empty indices of the CNode behind the cap at an index, the first 64 of them; None if it is none."""
        cap = self._cap(index)
        if not isinstance(cap, kc.CNodeCap):
            return None
        slots = cap.cnode.slots
        count = min(1 << cap.radix, 64)
        used = [n for n in range(count) if n in slots and slots[n].cap is not NULL]
        return used, [n for n in range(count) if n not in slots or slots[n].cap is NULL]

    def depth(self, index: int) -> int | None:
        """How many bits lead to a slot of the CNode behind the cap at an index; None if it is none."""
        cap = self._cap(index)
        return cap.radix + cap.guard_size if isinstance(cap, kc.CNodeCap) else None

    def bound_to(self, index: int) -> list[int]:
        """The slots that hold caps to what the object at an index is bound to."""
        target = referent(self._cap(index))
        bound = [getattr(target, field, None) for field in _BOUND]
        if self._node is None:
            return []
        return [
            n for n, slot in self._node.slots.items()
            if (other := referent(slot.cap)) is not None and any(other is item for item in bound)
        ]  # fmt: skip

    def owed(self) -> list[int]:
        """The slots that hold caps to reply objects on which somebody waits for an answer."""
        slots = {} if self._node is None else self._node.slots
        replies = [(n, s.cap.reply.tcb) for n, s in slots.items() if isinstance(s.cap, kc.ReplyCap)]
        return [n for n, tcb in replies if tcb is not None and isinstance(tcb.state, BlockedOnReply)]

    def expected(self) -> list[int]:
        """The slots that hold caps to endpoints and notifications on which somebody waits."""
        slots = {} if self._node is None else self._node.slots
        kinds = kc.EndpointCap, kc.NotificationCap
        return [n for n, s in slots.items() if isinstance(s.cap, kinds) and referent(s.cap).queue.head is not None]

    def _cap(self, index: int) -> Cap:
        slot = None if self._node is None else self._node.slots.get(index)
        return NULL if slot is None else slot.cap


def _kind(cap: Cap) -> tuple[type[Cap], bool]:
    """What a cap is good for: its class, and whether it is in use in an address space."""
    return type(cap), isinstance(cap, kc.PageTableCap) and cap.is_mapped
