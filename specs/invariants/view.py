"""One state seen from outside: every object that anything refers to, every slot, every mapping.

Gathered afresh by following references from the kernel's variables, as a debugger would; the kernel's own summaries
(queue lengths, flags, the ready bitmap) are looked at only to be compared. What is costly is computed when first asked.
"""

from collections.abc import Callable, Iterable
from operator import attrgetter, itemgetter
from typing import Any, TypeVar

from capkernel.kernel import objects as ko
from capkernel.kernel.caps import KIND, FrameCap, PageTableCap, UntypedCap
from capkernel.kernel.objects import NULL, TCB, Cap, Slot, SlotContainer
from capkernel.kernel.state import State
from hwmodel.iommu import IoMapping
from hwmodel.machine import Machine
from specs.invariants import regions, spaces
from specs.invariants.duplicate import take_over
from specs.invariants.spaces import AddressSpace
from specs.invariants.tree import Tree, build, regrow

T = TypeVar("T")
_NAMES: dict[type, tuple[str, ...]] = {
    TCB: ("sched_context", "yield_to", "bound_notification", "queue_next", "queue_prev"),
    ko.Endpoint: ("queue.head", "queue.tail"),
    ko.Notification: ("queue.head", "queue.tail", "bound_tcb", "sched_context"),
    ko.Reply: ("tcb", "prev", "next"),
    ko.SchedContext: ("tcb", "reply", "notification", "yield_from"),
}
_STATE_NAMES: dict[type, tuple[str, ...]] = {
    ko.BlockedOnSend: ("state.endpoint",), ko.BlockedOnReceive: ("state.endpoint", "state.reply"),
    ko.BlockedOnNotification: ("state.notification",), ko.BlockedOnReply: ("state.reply",),
}  # fmt: skip
References = tuple[tuple[str, ...], Callable[[Any], Any]]


def _references(names: tuple[str, ...]) -> References:
    get: Callable[[Any], Any] = attrgetter(*names)
    return names, get if len(names) > 1 else lambda item: (get(item),)


_REFERENCES = {kind: _references(names) for kind, names in _NAMES.items()}
"""By kind, the fields by which one kernel object refers to another, and what gives their values."""
_OF_STATES = {kind: _references(names) for kind, names in _STATE_NAMES.items()}
"""The same for what a thread's state carries."""
_CONTAINERS = (TCB, ko.CNode, SlotContainer)
_PADDR, _SAID = attrgetter("paddr"), itemgetter(1)


def name_of(item: Any) -> str:
    """Kind and address of an object, or the place of a slot."""
    if isinstance(item, Slot):
        return f"{name_of(item.container)}[{item.index}]"
    if isinstance(item, TCB):
        return f"TCB@{item.paddr:#x}{f' ({item.name})' if item.name else ''}"
    return f"{type(item).__name__}@{item.paddr:#x}" if hasattr(item, "paddr") else repr(item)


class View:
    """A state as an oracle sees it.

    ``extra_roots`` are objects to be looked at even if nothing refers to them; ``policy`` is what G27 and G29 hold
    the state against (an ``authority.Policy``). ``like`` is another view, of which this one is to be a copy.
    """

    def __init__(
        self, state: State, machine: Machine, extra_roots: tuple[Any, ...] = (), policy: object = None,
        like: "View | None" = None,
    ) -> None:  # fmt: skip
        self.policy = policy
        self.state = state
        self.machine = machine
        self.config = state.config
        self.objects: dict[Any, Any] = {}
        self.references: list[tuple[Any, str, Any]] = []
        """(from, field, to) for each reference between objects that is not a cap."""
        self.slots: list[Slot] = []
        self.littered: list[Slot] = []
        """Slots without cap that are linked or flagged nevertheless."""
        self.caps_to: dict[Any, list[Slot]] = {}
        self._work: list[Any] = []
        self.authority: frozenset[Any] | None = None
        """The authority graph for ``policy``, once it was asked for."""
        self.only: dict[type, list[Any]] | None = None
        """Objects by kind that have changed since all invariants held; None if nothing is known of that."""
        self._made: dict[Any, Any] = {}
        self._by_caps: dict[Callable[[Cap], Any], dict[Slot, Any]] = {}
        self.changed: tuple[Slot, ...] | None = None
        """Slots that have changed since all invariants held; None if nothing is known of that."""
        self._by_slots: dict[Any, Any] = {}
        """What slots lead to."""
        self._extra_roots = extra_roots
        self._tree: Tree | None = None
        self._asids: dict[int, int] | None = None
        self._spaces: dict[int, AddressSpace] | None = None
        self._io_spaces: dict[int, list[IoMapping]] | None = None
        self._kinds: dict[type, list[Any]] = {}
        self.threads: list[TCB] = []
        """All threads but the idle one."""
        self.sched_contexts: list[ko.SchedContext] = []
        """All scheduling contexts but the idle one."""
        self.caps_by_kind: dict[type, list[Slot]] = {kind: [] for kind in KIND}
        """All slots that hold caps, by the class of the cap."""
        if like is not None:
            take_over(self, like)
            return
        self._gather(extra_roots)
        self._sort()

    def _gather(self, extra_roots: tuple[Any, ...], *, with_slots: bool = True) -> None:
        state = self.state
        roots = (state.idle, state.idle_sc, state.current, state.current_sc, state.irq_slots)
        for item in (*roots, *extra_roots):
            self._meet(item)
        if any(slot.cap is not NULL for slot in state.initial.slots.values()):
            # Nothing else may lead to it and to what it holds; but it can also have been destroyed.
            self._meet(state.initial)
        if state.candidate is not None:
            self._refer(state, "candidate", state.candidate)
        for queue in (*state.ready.values(), state.release):
            if queue.head is not None:
                self._refer(state, "queue.head", queue.head)
            if queue.tail is not None:
                self._refer(state, "queue.tail", queue.tail)
        for pool in state.asid_table.values():
            self._refer(state, "asid_table", pool)
        work = self._work
        while work:
            item = work.pop()
            if with_slots and type(item) in _CONTAINERS:
                self._visit_slots(item)
            self._visit_fields(item)

    def _meet(self, item: Any) -> None:
        if item not in self.objects:
            self.objects[item] = item
            self._work.append(item)

    def _refer(self, owner: Any, field: str, target: Any) -> None:
        self.references.append((owner, field, target))
        self._meet(target)

    def _visit_fields(self, item: Any) -> None:
        kind = type(item)
        if kind in _REFERENCES:
            self._visit(item, _REFERENCES[kind])
        if kind is TCB and type(item.state) in _OF_STATES:
            self._visit(item, _OF_STATES[type(item.state)])

    def _visit(self, item: Any, references: References) -> None:
        names, get = references
        found, objects = self.references, self.objects
        for name, target in zip(names, get(item), strict=True):
            if target is not None:
                found.append((item, name, target))
                if target not in objects:
                    self._meet(target)

    def _visit_slots(self, container: SlotContainer) -> None:
        for slot in container.slots.values():
            if slot.cap is NULL:
                if slot.prev or slot.next or slot.revocable or slot.first_badged:
                    self.littered.append(slot)
                    self._meet_neighbours(slot)
                continue
            self.slots.append(slot)
            target = regions.referent(slot.cap)
            if target is not None:
                others = self.caps_to.get(target)
                if others is None:
                    self.caps_to[target] = [slot]
                    self._lead_to(target)
                else:
                    others.append(slot)
            self._meet_neighbours(slot)

    def _meet_neighbours(self, slot: Slot) -> None:
        for neighbour in (slot.prev, slot.next):
            if neighbour is not None and neighbour.container not in self._by_slots:
                self._lead_to(neighbour.container)

    def _lead_to(self, item: Any) -> None:
        self._by_slots[item] = item
        self._meet(item)

    def refer_again(self) -> bool:
        """Gather anew what refers to what, no cap having changed; true if that leads to the same objects as before."""
        before, self.references = self.objects.keys(), []
        self.objects = dict(self._by_slots)
        self._work = list(self.objects.values())
        self._gather(self._extra_roots, with_slots=False)
        return self.objects.keys() == before

    def copy(self) -> "View":
        """Another that sees the same, and can be brought up to date apart from this one."""
        return View(self.state, self.machine, like=self)

    def follow(self, other: "View", changed: tuple[Slot, ...] | None) -> None:
        """Take over what still holds of another view: all invariants held of it, and these slots have changed since.

        The page tables have not. None if nothing is known of slots.
        """
        self._asids, self._spaces, self._io_spaces = other._asids, other._spaces, other._io_spaces
        if changed is None:
            return
        self.changed = changed
        self._tree = regrow(other.tree, self.slots, changed)
        for say, said in other._by_caps.items():
            self._by_caps[say] = found = dict(said)
            for slot in changed:
                found.pop(slot, None)
            _tell(say, self.slots_changed(), found)

    def forget_spaces(self) -> None:
        """The page tables have changed: they are to be walked again."""
        self._asids = self._spaces = None

    def forget_io_spaces(self) -> None:
        """The same for the tables of devices."""
        self._io_spaces = None

    def once(self, make: Callable[["View"], T]) -> T:
        """What ``make`` says of this view's caps, asked only once."""
        if make not in self._made:
            self._made[make] = make(self)
        made: T = self._made[make]
        return made

    def of_caps(self, say: Callable[[Cap], T | None]) -> dict[Slot, T]:
        """What is said of the cap in each slot, by slot, of those of which there is something to be said."""
        if say not in self._by_caps:
            self._by_caps[say] = {}
            _tell(say, self.slots, self._by_caps[say])
        return self._by_caps[say]

    def in_order(self, say: Callable[[Cap], T | None]) -> list[tuple[Slot, T]]:
        """The same, put in order by what is said. It is kept so: there is little to be sorted in the next view."""
        found = sorted(self.of_caps(say).items(), key=_SAID)
        self._by_caps[say] = dict(found)
        return found

    def slots_changed(self) -> list[Slot]:
        """Of the slots that hold caps, those that may have changed."""
        return self.slots if self.changed is None else [slot for slot in self.changed if slot.cap is not NULL]

    def touched(self, kind: type) -> list[Any]:
        """Of the objects of that class, the kernel's idle ones excepted, those that may have changed."""
        if self.only is not None:
            return self.only.get(kind, [])
        if kind is TCB:
            return self.threads
        return self.sched_contexts if kind is ko.SchedContext else self.of_kind(kind)

    # What there is, by kind

    def of_kind(self, kind: type) -> list[Any]:
        """All objects of exactly that class, in a fixed order."""
        return self._kinds.get(kind, [])

    def _sort(self) -> None:
        """Put objects and slots in order, by kind."""
        kinds, by_cap, state = self._kinds, self.caps_by_kind, self.state
        for item in self.objects.values():
            kinds.setdefault(type(item), []).append(item)
        for items in kinds.values():
            items.sort(key=_PADDR)
        self.threads = [tcb for tcb in self.of_kind(TCB) if tcb is not state.idle]
        self.sched_contexts = [sc for sc in self.of_kind(ko.SchedContext) if sc is not state.idle_sc]
        for slot in self.slots:
            by_cap.setdefault(type(slot.cap), []).append(slot)

    def untypeds(self) -> list[tuple[Slot, UntypedCap]]:
        """All slots with untyped caps."""
        return [(s, s.cap) for s in self.caps_by_kind[UntypedCap] if isinstance(s.cap, UntypedCap)]

    def frames(self) -> list[tuple[Slot, FrameCap]]:
        """All slots with frame caps."""
        return [(s, s.cap) for s in self.caps_by_kind[FrameCap] if isinstance(s.cap, FrameCap)]

    def page_tables(self) -> list[tuple[Slot, PageTableCap]]:
        """All slots with page table caps."""
        return [(s, s.cap) for s in self.caps_by_kind[PageTableCap] if isinstance(s.cap, PageTableCap)]

    def live_cnodes(self) -> tuple[ko.CNode, ...]:
        """The CNodes that hold something: what the next view is to start from, as memory does not go away.

        When no thread can run any more, nothing need lead from the kernel's variables to the boot caps.
        """
        return tuple(node for node in self.of_kind(ko.CNode) if any(s.cap is not NULL for s in node.slots.values()))

    # What is derived from what

    @property
    def tree(self) -> Tree:
        """The derivation tree, rebuilt."""
        if self._tree is None:
            self._tree = build(self.slots)
        return self._tree

    @property
    def region_of(self) -> dict[Slot, regions.Region]:
        """The memory behind the cap in each slot that has some, by slot."""
        return self.of_caps(regions.region)

    # What is mapped

    @property
    def asids(self) -> dict[int, int]:
        """ASID → physical address of the root table."""
        if self._asids is None:
            pools = self.state.asid_table
            self._asids = {high << 9 | low: root for high, pool in pools.items() for low, root in pool.roots.items()}
        return self._asids

    @property
    def spaces(self) -> dict[int, AddressSpace]:
        """All address spaces, walked in RAM, by ASID."""
        if self._spaces is None:
            walk_all = spaces.walk_all
            self._spaces = {asid: walk_all(self.machine, asid, root) for asid, root in self.asids.items()}
        return self._spaces

    @property
    def io_spaces(self) -> dict[int, list[IoMapping]]:
        """All that each device can reach, by request id."""
        if self._io_spaces is None:
            devices = spaces.io_devices(self.machine)
            self._io_spaces = {device: spaces.io_mappings(self.machine, device) for device in devices}
        return self._io_spaces


def _tell(say: Callable[[Cap], T | None], slots: Iterable[Slot], found: dict[Slot, T]) -> None:
    for slot in slots:
        said = say(slot.cap)
        if said is not None:
            found[slot] = said


def members(queue: ko.TCBQueue) -> tuple[list[TCB], str | None]:
    """The threads of a queue by its forward links, and what is wrong with the links."""
    if queue.head is None and queue.tail is None:
        return [], None
    found: list[TCB] = []
    seen: set[TCB] = set()
    before: TCB | None = None
    thread = queue.head
    while thread is not None:
        if thread in seen:
            return found, f"{name_of(thread)} stands in it twice"
        seen.add(thread)
        if thread.queue_prev is not before:
            return found, f"{name_of(thread)} is not linked back to the thread in front of it"
        found.append(thread)
        before, thread = thread, thread.queue_next
    return found, None if queue.tail is before else "its tail is not its last thread"


def by_kind(items: Iterable[Any], state: State) -> dict[type, list[Any]]:
    """Objects by their class, in a fixed order; the kernel's variables and its idle objects are left out."""
    found: dict[type, list[Any]] = {}
    for item in items:
        if item is not state and item is not state.idle and item is not state.idle_sc:
            found.setdefault(type(item), []).append(item)
    for group in found.values():
        if len(group) > 1:
            group.sort(key=lambda item: item.paddr)
    return found
