"""What there is to be named right now: a generator that sees it makes up steps that have an effect more often.

It looks at nothing but the CSpace of whoever runs, as that thread could by asking; it knows of no defect.
"""

from collections.abc import Sequence

from capkernel.kernel import caps as kc
from capkernel.kernel.objects import NULL, Cap, CNode
from specs.invariants.regions import referent
from specs.invariants.resolve import slot_at
from specs.programs.layout import World

_BOUND = ("tcb", "sched_context", "notification", "bound_notification", "bound_tcb", "yield_from")
"""Fields by which objects are bound to each other."""


class Sight:
    """The CNode that the running thread sees at address 0, slot by slot; ``look`` brings it up to date."""

    def __init__(self, world: World) -> None:
        self._state = world.state
        self._first: dict[int, type[Cap]] = {}
        self._node: CNode | None = None
        self.look()

    def look(self) -> None:
        """Look again; what is seen first decides which kinds of cap a slot stands for."""
        slot = slot_at(self._state.current, 0)
        container = None if slot is None else slot.container
        self._node = container if isinstance(container, CNode) else None
        if self._node is not None:
            for index, found in self._node.slots.items():
                if found.cap is not NULL:
                    self._first.setdefault(index, type(found.cap))

    def like(self, options: Sequence[int]) -> Sequence[int]:
        """The slots that now hold caps of the kinds that those had; none if nothing can be seen."""
        if self._node is None:
            return ()
        kinds = frozenset(self._first[index] for index in options if index in self._first)
        return [index for index, slot in self._node.slots.items() if type(slot.cap) in kinds]

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

    def _cap(self, index: int) -> Cap:
        slot = None if self._node is None else self._node.slots.get(index)
        return NULL if slot is None else slot.cap
