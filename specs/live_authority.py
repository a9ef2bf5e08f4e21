"""Live authority held against a ceiling after every kernel entry, at a price that a long run can pay.

To recompute who can do what to whom from scratch takes some 30 ms in a system of a thousand caps, and most kernel
entries change little of what it follows from. So all that it follows from is looked at after each entry, and only what
has changed is judged anew:

| part     | follows from                                                            | made anew                     |
|----------|-------------------------------------------------------------------------|-------------------------------|
| caps     | the cap, links and flags of every slot                                  | for slots that changed, and   |
|          |                                                                         | those derived from them       |
| states   | what threads do and are bound to, who waits in a reply object           | always: they are few          |
| mappings | the table of address spaces, every page table, what devices reach       | all, when any of it changed   |

Nothing is taken on the kernel's word but that a new object comes with a cap. That graph and verdict are those from
scratch is tested entry by entry (``tests/specs/test_ceilings.py``).
"""

from collections import Counter
from collections.abc import Iterator
from operator import attrgetter
from typing import Any

from capkernel.abi.objects import PAGE_BYTES
from capkernel.kernel.caps import ReplyCap
from capkernel.kernel.objects import NULL, TCB, Slot, SlotContainer
from capkernel.kernel.state import State
from hwmodel.machine import Machine
from specs.invariants import spaces
from specs.invariants.authority import (
    GLOBAL_CAPS,
    Edge,
    Policy,
    above,
    by_mapping,
    by_slot,
    by_state,
    is_allowed,
    misheld,
)
from specs.invariants.regions import badge, begets, referent, region
from specs.invariants.view import View

_CONTENT = attrgetter("cap", "prev", "next", "revocable", "first_badged")


class LiveAuthority:
    """The authority graph of a system that runs, and what of it lies above a policy. ``looks`` counts the looks."""

    def __init__(self, state: State, machine: Machine, policy: Policy) -> None:
        self.policy = policy
        self.looks = 0
        self._state, self._machine = state, machine
        self._caps = _Caps(policy)
        for item in View(state, machine).objects.values():
            if isinstance(item, SlotContainer):
                self._caps.containers[item] = []
        self._tables: list[int] = []
        self._mappings: Any = None
        self._mapped: set[Edge] = set()
        self._problems: list[str] = []

    def look(self) -> list[str]:
        """What is above the policy now, in words (G27, G29)."""
        self.looks += 1
        have_caps_changed = self._caps.follow()
        have_mappings_changed = self._mappings != self._all_mappings()
        if have_mappings_changed:
            self._follow_mappings()
        if have_caps_changed or have_mappings_changed:
            self._problems = above({*self._caps.excess, *self._mapped}, self.policy)
            self._problems += misheld(self._caps.concerning_all, self.policy)
        return self._problems + above(self._by_state(), self.policy)

    def graph(self) -> set[Edge]:
        """All of it, as at the last look."""
        return {*self._caps.edges, *self._mapped, *self._by_state()}

    def _by_state(self) -> set[Edge]:
        idle = self._state.idle
        threads = (item for item in self._caps.containers if isinstance(item, TCB) and item is not idle)
        return by_state(threads, self._caps.replies, self.policy)

    def _follow_mappings(self) -> None:
        """Walk every table again."""
        view = View(self._state, self._machine, policy=self.policy)
        tables = {table.paddr for space in view.spaces.values() for table in space.tables}
        self._tables = sorted(tables | spaces.io_tables(self._machine))
        self._mappings = self._all_mappings()
        self._mapped = by_mapping(view, self.policy)

    def _all_mappings(self) -> tuple[Any, ...]:
        """All that mappings follow from."""
        memory = self._machine.memory
        roots = [(high, dict(pool.roots)) for high, pool in self._state.asid_table.items()]
        return roots, [memory.read(paddr, PAGE_BYTES) for paddr in self._tables if memory.contains(paddr, PAGE_BYTES)]


class _Caps:
    """What follows from caps, with each slot's share in it.

    ``containers`` are those that are known, with what was last seen in their slots. ``excess`` are the edges that the
    policy does not allow.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.containers: dict[SlotContainer, list[tuple[Any, ...]]] = {}
        self.edges: Counter[Edge] = Counter()
        self.excess: set[Edge] = set()
        self.replies: set[Slot] = set()
        self.concerning_all: set[Slot] = set()
        self._kin: dict[Slot, tuple[Any, ...]] = {}
        self._parents: dict[Slot, Slot | None] = {}
        self._shares: dict[Slot, tuple[Edge, ...]] = {}

    def follow(self) -> bool:
        """Take in what has changed; whether anything has."""
        changed: list[Slot] = []
        while found := list(self._changed()):
            changed += found
            for slot in found:
                self._meet(slot)
        self._judge(changed)
        return bool(changed)

    def _changed(self) -> Iterator[Slot]:
        """Slots that are not as they were last seen, which are now taken for seen."""
        for container, seen in self.containers.items():
            now = list(map(_CONTENT, container.slots.values()))
            if now != seen:
                for index, (slot, content) in enumerate(zip(container.slots.values(), now, strict=True)):
                    if index >= len(seen) or content != seen[index]:
                        yield slot
                seen[:] = now

    def _meet(self, slot: Slot) -> None:
        """Look from now on at what a slot's cap leads to, and at its neighbours."""
        for item in (referent(slot.cap), slot.prev and slot.prev.container, slot.next and slot.next.container):
            if isinstance(item, SlotContainer):
                self.containers.setdefault(item, [])
        for kept, belongs in (
            (self.replies, type(slot.cap) is ReplyCap), (self.concerning_all, type(slot.cap) in GLOBAL_CAPS.values()),
        ):  # fmt: skip
            (kept.add if belongs else kept.discard)(slot)

    def _judge(self, changed: list[Slot]) -> None:
        """Give each slot that changed, and each whose parent did, its share of the graph."""
        touched = {each for each in changed if self._kin.get(each) != _kin(each)}
        for each in changed:
            self._kin[each] = _kin(each)
            self._place(each)
        for start in list(touched):
            slot: Slot | None = start.next
            while slot is not None and (slot in touched or self._descends_from(slot, touched)):
                if self._place(slot):
                    touched.add(slot)
                slot = slot.next

    def _descends_from(self, slot: Slot, touched: set[Slot]) -> bool:
        """Whether anything that bears on a slot's parent has changed: an ancestor, as it was or as it is."""
        return any(above in touched for above in (*self._line(self._parents.get(slot)), *self._line(slot.prev)))

    def _line(self, slot: Slot | None) -> Iterator[Slot]:
        """A slot and its ancestors."""
        while slot is not None:
            yield slot
            slot = self._parents.get(slot)

    def _place(self, slot: Slot) -> bool:
        """Find a slot's parent, the nearest ancestor of the slot in front that begets it; whether it is another."""
        parent = None
        if slot.cap is not NULL:
            parent = next((above for above in self._line(slot.prev) if begets(above, slot)), None)
        before = self._parents.get(slot)
        self._parents[slot] = parent
        self._share(slot, () if slot.cap is NULL else tuple(by_slot(slot, parent, self.policy)))
        return parent is not before

    def _share(self, slot: Slot, share: tuple[Edge, ...]) -> None:
        before = self._shares.get(slot, ())
        if share == before:
            return
        self._shares[slot] = share
        for edge in share:
            self.edges[edge] += 1
            if not is_allowed(edge, self.policy):
                self.excess.add(edge)
        for edge in before:
            self.edges[edge] -= 1
            if not self.edges[edge]:
                del self.edges[edge]
                self.excess.discard(edge)


def _kin(slot: Slot) -> tuple[Any, ...]:
    """All of a slot that bears on what it begets, and what begets it."""
    cap = slot.cap
    numbers = getattr(cap, "irq", None), getattr(cap, "request_id", None)
    return type(cap), region(cap), badge(cap), numbers, slot.revocable, slot.first_badged, slot.prev
