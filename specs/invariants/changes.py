"""What has changed of a state between two looks, found by comparing: no help of the kernel, no hook in it.

Every object that a view has found is compared field by field with a copy, every slot with what it held, every page
table with what stood in it. That costs a few dozen microseconds, where following all references and evaluating all
predicates costs more than a millisecond.
"""

import gc
from collections.abc import Callable, Iterable
from itertools import chain, compress, count
from operator import attrgetter, is_not, ne
from typing import Any

from capkernel.kernel import objects as ko
from capkernel.kernel.objects import NULL, Slot
from capkernel.kernel.state import State
from capkernel.runtime.snapshot import FIELDS
from hwmodel.machine import Machine
from specs.invariants import hidden, spaces
from specs.invariants.duplicate import take_over
from specs.invariants.flat import Flat
from specs.invariants.parts import CAPS, IOMMU, TABLES, TRANSLATIONS, bit, parts
from specs.invariants.view import View

Changed = dict[Any, set[str]]
"""Objects, and the fields of each that have changed."""
Compared = tuple[Any, ...]
Region = tuple[int, int]
"""Start and size in bytes."""
TABLE = 4096
"""Bytes of a table, of the MMU and of the IOMMU."""
_OF_CAPS = frozenset(("paddr", "radix", "size_bits", "base"))
"""Fields that say what an object is, and never change: what is said of caps depends on them."""
_QUEUED = {ko.Endpoint: "queue", ko.Notification: "queue", State: "release"}
_APART = ("slots", "refills", "ready")


def _paths(kind: type) -> tuple[str, ...]:
    """What is compared of an object: its fields, and of a queue its ends as well."""
    names = [name for name in FIELDS[kind] if name not in _APART]
    queue = _QUEUED.get(kind)
    return (*names, f"{queue}.head", f"{queue}.tail") if queue else tuple(names)


_KINDS = (ko.TCB, ko.SchedContext, ko.Endpoint, ko.Notification, ko.Reply, ko.CNode, ko.ASIDPool)
_OF_ROOTS = parts("State.asid_table ASIDPool.roots")
"""The fields that say which address spaces there are."""
_PATHS: dict[type, tuple[str, ...]] = {kind: _paths(kind) for kind in (*_KINDS, State)}
_GET: dict[type, Callable[[Any], Compared]] = {kind: attrgetter(*paths) for kind, paths in _PATHS.items()}
_CARRIED: dict[type, Callable[[Any], Any]] = {
    kind: attrgetter(*kind.__dataclass_fields__)
    for kind in (ko.BlockedOnSend, ko.BlockedOnReceive, ko.BlockedOnNotification, ko.BlockedOnReply)
}  # fmt: skip
"""What a thread's state carries. The kernel replaces states and does not change them; but it is not to be trusted."""


def _part(kind: type, path: str) -> tuple[str, int]:
    """The field of a path, and the parts that have changed if it has."""
    field = path.partition(".")[0]
    return field, bit(kind, field) | (CAPS if field in _OF_CAPS else 0)


_PARTS = {kind: [_part(kind, path) for path in paths] for kind, paths in _PATHS.items()}


def _carried(tcb: ko.TCB) -> Any:
    get = _CARRIED.get(type(tcb.state))
    return None if get is None else get(tcb.state)


def _refills(context: ko.SchedContext) -> list[tuple[int, int]]:
    return [(refill.time, refill.amount) for refill in context.refills]


def _copied(value: Any) -> Any:
    """A value to be compared with later ones: what can be changed in place is copied."""
    return type(value)(value) if type(value) in (list, dict) else value


_REGISTERS = _PATHS[ko.TCB].index("registers"), _PATHS[ko.TCB].index("fp_registers")


class _Group:
    """The objects of one kind. ``also`` is a field, and what it leads to that is compared, too."""

    def __init__(self, kind: type, items: list[Any], also: tuple[str, Callable[[Any], Any]] | None = None) -> None:
        self._kind, self._items, self._also = kind, items, also
        self._get, self._parts = _GET[kind], _PARTS[kind]
        self._places = {item: place for place, item in enumerate(items)}
        self._seen = [tuple(map(_copied, self._get(item))) for item in items]
        self._seen_also = [] if also is None else list(map(also[1], items))

    def copy(self) -> "_Group":
        """Another that has seen the same."""
        other = _Group(self._kind, [], self._also)
        take_over(other, self)
        other._seen = list(self._seen)
        return other

    def seen(self, place: int) -> Compared:
        """What an object was like at the last look."""
        return self._seen[place]

    def compare_one(self, item: Any, changed: Changed) -> int:
        """Look anew at an object; add what has changed, and return the parts."""
        place = self._places[item]
        new = self._get(item)
        return self._renew(place, self._seen[place], new, changed) if new != self._seen[place] else 0

    def compare_fields(self, item: Any, numbers: tuple[int, ...], changed: Changed) -> int:
        """The same of some fields alone, by their places among the kind's."""
        place = self._places[item]
        mask, seen = 0, self._seen[place]
        for number in numbers:
            field, part = self._parts[number]
            now = getattr(item, field)
            if now != seen[number]:
                mask |= part
                changed.setdefault(item, set()).add(field)
                seen = (*seen[:number], _copied(now), *seen[number + 1 :])
        self._seen[place] = seen
        return mask

    def compare_also(self, changed: Changed) -> int:
        """The same of what the field leads to that is compared beside the fields, of all objects."""
        mask = 0
        if self._also is not None:
            also = list(map(self._also[1], self._items))
            if also != self._seen_also:
                for item, before, after in zip(self._items, self._seen_also, also, strict=True):
                    if before != after:
                        changed.setdefault(item, set()).add(self._also[0])
                mask |= bit(self._kind, self._also[0])
                self._seen_also = also
        return mask

    def _renew(self, place: int, old: Compared, new: Compared, changed: Changed) -> int:
        mask, kept = 0, list(old)
        fields = changed.setdefault(self._items[place], set())
        for number in compress(count(), map(is_not, old, new)):
            after = new[number]
            if old[number] != after:
                field, part = self._parts[number]
                fields.add(field)
                mask |= part
                kept[number] = _copied(after)
        self._seen[place] = tuple(kept)
        return mask


class Look:
    """All that can change of what a view has found, as it is now; ``changes`` compares with that, and looks anew.

    ``mask`` are the parts that have changed since ``settle`` was called last, ``objects`` those objects of which
    something has.
    """

    def __init__(self, view: View, like: "Look | None" = None) -> None:
        self.view = view
        if like is not None:
            self._take_over(like)
            return
        self._machine: Machine = view.machine
        self._state = view.state
        also: dict[type, tuple[str, Callable[[Any], Any]]]
        also = {ko.TCB: ("state", _carried), ko.SchedContext: ("refills", _refills)}
        self._groups = {kind: _Group(kind, view.of_kind(kind), also.get(kind)) for kind in _KINDS}
        self._kernel = _Group(State, [self._state], ("ready", _ready))
        self._containers = [item for item in view.objects.values() if isinstance(item, ko.SlotContainer)]
        self._filed = self._in_containers()
        self._places = [list(container.slots.values()) for container in self._containers]
        self._slots = Flat(list(chain.from_iterable(self._places)))
        self._fields = Flat([item for kind in _KINDS for item in view.of_kind(kind)])
        self._queued = [item for item in self._fields.items if type(item) in _QUEUED]
        self._pools = view.of_kind(ko.ASIDPool)
        self._threads, self._contexts = view.of_kind(ko.TCB), view.of_kind(ko.SchedContext)
        self._carried = self._carried_now()
        self._look_at_machine(view)
        self.mask = 0
        self.objects: set[Any] = set()
        self.slots: tuple[Slot, ...] | None = ()
        """Those that had changed at the last look; None if that is not known."""

    def copy(self, view: View) -> "Look":
        """Another look at the same, for a copy of the view."""
        return Look(view, self)

    def _take_over(self, other: "Look") -> None:
        view = self.view
        take_over(self, other)
        self.view = view
        self._groups = {kind: group.copy() for kind, group in other._groups.items()}
        self._kernel = other._kernel.copy()
        self._places = list(other._places)
        self._slots, self._fields = other._slots.copy(), other._fields.copy()
        self.objects = set(other.objects)

    def settle(self) -> None:
        """All that has changed so far has been judged."""
        self.mask = 0
        self.objects = set()

    def changes(self) -> tuple[int, Changed]:
        """The parts that have changed since the last look, and the objects of which fields have."""
        changed: Changed = {}
        mask, of_slots = 0, self._changed_slots(changed)
        for item in self._fields.differing():
            mask |= self._groups[type(item)].compare_one(item, changed)
        mask |= self._kernel.compare_one(self._state, changed)
        carried = self._carried_now()
        if carried != self._carried:
            mask |= self._changed_inside(carried, changed)
        mask |= self._changed_registers(self._groups[ko.TCB], changed)
        if mask & CAPS:
            self.slots = None
        mask |= of_slots | self._changed_machine(mask)
        self.mask |= mask
        self.objects.update(changed)
        return mask, changed

    def _carried_now(self) -> tuple[list[Any], ...]:
        """What is in queues, threads' states, contexts' refills, the ready queues and pools' roots, each flat."""
        ready = self._state.ready
        refills = [context.refills for context in self._contexts]
        return (
            gc.get_referents(*[item.queue for item in self._queued]),
            gc.get_referents(*[thread.state for thread in self._threads]) + hidden.of_states(self._threads),
            gc.get_referents(*refills, *chain.from_iterable(refills)) + hidden.of_refills(self._contexts),
            gc.get_referents(ready, *ready.values()),
            gc.get_referents(*[pool.roots for pool in self._pools]),
        )

    def _changed_inside(self, carried: tuple[list[Any], ...], changed: Changed) -> int:
        """Some of that is not what it was."""
        mask, before, self._carried = 0, self._carried, carried
        queues, states, refills, ready, roots = map(ne, before, carried)
        if queues:
            ends = len(carried[0]) // len(self._queued)
            differing = compress(count(), map(is_not, before[0], carried[0]))
            for place in {number // ends for number in differing}:
                item = self._queued[place]
                mask |= self._groups[type(item)].compare_one(item, changed)
        if states:
            mask |= self._groups[ko.TCB].compare_also(changed)
        if refills:
            mask |= self._groups[ko.SchedContext].compare_also(changed)
        if ready:
            mask |= self._kernel.compare_also(changed)
        if roots:
            for pool in self._pools:
                mask |= self._groups[ko.ASIDPool].compare_one(pool, changed)
        return mask

    def _changed_registers(self, group: _Group, changed: Changed) -> int:
        """The lists of registers are changed in place."""
        mask = 0
        registers, fp_registers = _REGISTERS
        for place, thread in enumerate(self._threads):
            old = group.seen(place)
            if thread.registers != old[registers] or thread.fp_registers != old[fp_registers]:
                mask |= group.compare_fields(thread, _REGISTERS, changed)
        return mask

    def refresh(self, thread: ko.TCB) -> Changed:
        """Look at a thread's registers: nothing else has changed while its code ran."""
        changed: Changed = {}
        self.mask |= self._groups[ko.TCB].compare_fields(thread, _REGISTERS, changed)
        self.objects.update(changed)
        return changed

    # Slots

    def _changed_slots(self, changed: Changed) -> int:
        """Whether any cap or link has changed; and the containers in which a slot was touched for the first time."""
        found: list[Slot] | None = []
        filed = self._in_containers()
        if filed != self._filed:
            self._filed = filed
            for number, container in enumerate(self._containers):
                now = list(container.slots.values())
                if now != self._places[number]:
                    others = self._other_places(number, now)
                    found = None if found is None or others is None else found + others
                    changed.setdefault(container, set()).add("slots")
        differing = self._slots.differing()
        self.slots = None if found is None else (*found, *differing)
        return 0 if self.slots == () else CAPS

    def _in_containers(self) -> list[Any]:
        """All slots of all containers, with their indices, flat."""
        return gc.get_referents(*[container.slots for container in self._containers])

    def _other_places(self, number: int, now: list[Slot]) -> list[Slot] | None:
        """A container has other slots than before: of new ones those that hold something; None if old ones are gone."""
        before = self._places[number]
        self._places[number] = now
        fresh = now[len(before) :]
        if now[: len(before)] != before:
            self._slots = Flat(list(chain.from_iterable(self._places)))
            return None
        self._slots.extend(fresh)
        return [slot for slot in fresh if not _is_blank(slot)]

    # What lies in the machine

    def _look_at_machine(self, view: View) -> None:
        self._tables = self._tables_of(view)
        self._contents = self._read(self._tables)
        self.view = view
        self._satp, self._tlb = self._machine.mmu.satp, self._machine.mmu.tlb.snapshot()
        self._io_tables = self._io_tables_now()
        self._io_contents, self._io_known = self._read(self._io_tables), self._known_io()

    def _tables_of(self, view: View) -> list[Region]:
        """Where the page tables lie."""
        return self._runs(table.paddr for space in view.spaces.values() for table in space.tables)

    def _io_tables_now(self) -> list[Region]:
        return self._runs(spaces.io_tables(self._machine))

    def _runs(self, tables: Iterable[int]) -> list[Region]:
        """Tables as runs of neighbours, as far as they are RAM: elsewhere there is nothing to be read."""
        found: list[Region] = []
        for paddr in sorted({paddr for paddr in tables if self._machine.memory.contains(paddr, TABLE)}):
            if found and sum(found[-1]) == paddr:
                found[-1] = found[-1][0], found[-1][1] + TABLE
            else:
                found.append((paddr, TABLE))
        return found

    def _read(self, runs: list[Region]) -> list[bytes]:
        read = self._machine.memory.read
        return [read(start, size) for start, size in runs]

    def _known_io(self) -> Any:
        return None if self._machine.iommu is None else list(self._machine.iommu.iotlb_entries())

    def _changed_machine(self, others: int) -> int:
        """What has changed in the machine; ``others`` are the parts of the kernel's objects that have."""
        mask = 0
        contents = self._read(self._tables)
        if contents != self._contents or others & _OF_ROOTS:
            mask |= TABLES
            self.view.forget_spaces()
            self._tables = self._tables_of(self.view)
            self._contents = self._read(self._tables)
        mmu = self._machine.mmu
        if mmu.satp != self._satp or tuple([getattr(mmu.tlb, name) for name in mmu.tlb.STATE]) != self._tlb:
            mask |= TRANSLATIONS
            self._satp, self._tlb = mmu.satp, mmu.tlb.snapshot()
        if self._machine.iommu is not None:
            io_contents, io_known = self._read(self._io_tables), self._known_io()
            if io_contents != self._io_contents or io_known != self._io_known:
                mask |= IOMMU
                self.view.forget_io_spaces()
                self._io_tables = self._io_tables_now()
                self._io_contents, self._io_known = self._read(self._io_tables), io_known
        return mask


def _ready(state: State) -> Any:
    """The ready queues, and the ends of each."""
    return [(index, queue, queue.head, queue.tail) for index, queue in state.ready.items()]


def _is_blank(slot: Slot) -> bool:
    """Whether a slot is as it is when it is touched for the first time."""
    return slot.cap is NULL and not (slot.prev or slot.next or slot.revocable or slot.first_badged)
