"""What has changed of a state between two looks, found by comparing: no help of the kernel, no hook in it.

Every object that a view has found is compared field by field with a copy, every slot with what it held, every page
table with what stood in it. That costs a few dozen microseconds, where following all references and evaluating all
predicates costs more than a millisecond.
"""

from collections.abc import Callable, Iterable
from itertools import chain
from operator import attrgetter
from typing import Any

from capkernel.kernel import objects as ko
from capkernel.kernel.objects import NULL, Slot
from capkernel.kernel.state import State
from capkernel.runtime.snapshot import FIELDS
from hwmodel.machine import Machine
from specs.invariants import spaces
from specs.invariants.parts import CAPS, IOMMU, TABLES, TRANSLATIONS, bit
from specs.invariants.view import View

Fingerprint = tuple[Any, ...]
_SLOT_FIELDS = "cap", "prev", "next", "revocable", "first_badged", "container", "index"
_OF_SLOTS = tuple(attrgetter(name) for name in _SLOT_FIELDS)
"""One list for each field is compared faster than one tuple for each slot."""
_OF_CAPS = frozenset(("paddr", "radix", "size_bits", "base"))
"""Fields that say what an object is, and never change: what is said of caps depends on them."""
_QUEUES = (ko.Endpoint, ko.Notification)


def _names(kind: type) -> tuple[str, ...]:
    """Fields that are compared as they are: slots are compared apart, queues by their ends."""
    names = [name for name in FIELDS[kind] if name not in ("slots", "ready", "release", "refills")]
    if kind in _QUEUES:
        names.remove("queue")
    return tuple(names)


_COMPARED = {kind: _names(kind) for kind in FIELDS}
_GET: dict[type, Callable[[Any], Any]] = {
    kind: attrgetter(*names) if len(names) > 1 else (lambda item, name=names[0]: (getattr(item, name),))
    for kind, names in _COMPARED.items() if names
}  # fmt: skip


def _state_of(tcb: ko.TCB) -> Any:
    """What a thread's state carries; a state is not changed but replaced, yet who breaks one must be seen."""
    state = tcb.state
    return None if type(state) is ko.PlainState else tuple(getattr(state, name) for name in state.__dataclass_fields__)


def _ends(queue: ko.TCBQueue) -> Fingerprint:
    return queue, queue.head, queue.tail


def _kernel_queues(state: State) -> Fingerprint:
    return tuple([(index, queue, queue.head, queue.tail) for index, queue in state.ready.items()])


def _refills(context: ko.SchedContext) -> list[tuple[int, int]]:
    return [(refill.time, refill.amount) for refill in context.refills]


_ALSO: dict[type, tuple[tuple[str, Callable[[Any], Any]], ...]] = {
    ko.TCB: (("state", _state_of),),
    ko.Endpoint: (("queue", lambda item: _ends(item.queue)),),
    ko.Notification: (("queue", lambda item: _ends(item.queue)),),
    ko.SchedContext: (("refills", _refills),),
    State: (("ready", _kernel_queues), ("release", lambda state: _ends(state.release))),
}
"""Fields of which something else is compared: what they lead to."""


def _copied(value: Any) -> Any:
    kind = type(value)
    return kind(value) if kind in (list, dict) else value


class Look:
    """All that can change of what a view has found, as it is now; ``changes`` compares with that, and looks anew.

    ``mask`` are the parts that have changed since ``settle`` was called last, ``objects`` those objects of which
    something has.
    """

    def __init__(self, view: View) -> None:
        self._machine: Machine = view.machine
        self._state = view.state
        self._items = [item for item in view.objects.values() if type(item) in _GET or type(item) in _ALSO]
        self._places = {id(item): number for number, item in enumerate(self._items)}
        self._get = [_GET.get(type(item)) for item in self._items]
        self._seen: list[Any] = [_copy_of(item) for item in self._items]
        self._also: list[Any] = [_also_of(item) for item in self._items]
        self._kernel, self._kernel_also = _copy_of(self._state), _also_of(self._state)
        self._containers = [item for item in view.objects.values() if isinstance(item, ko.SlotContainer)]
        self._slots = self._all_slots()
        self._fields = [list(map(get, self._slots)) for get in _OF_SLOTS]
        self._look_at_machine(view)
        self.mask = 0
        self.objects: set[Any] = set()

    def _all_slots(self) -> list[Slot]:
        return list(chain.from_iterable(container.slots.values() for container in self._containers))

    def settle(self) -> None:
        """All that has changed so far has been judged."""
        self.mask = 0
        self.objects = set()

    def changes(self) -> tuple[int, list[Any]]:
        """The parts that have changed since the last look, and the objects of which fields have."""
        changed: list[Any] = []
        mask = self._changed_kernel() | self._changed_slots(changed) | self._changed_machine()
        seen, also = self._seen, self._also
        for number, item in enumerate(self._items):
            get = self._get[number]
            if (get is not None and get(item) != seen[number]) or _differs(item, also[number]):
                mask |= self._renew(number, item)
                changed.append(item)
        self.mask |= mask
        self.objects.update(changed)
        return mask, changed

    def refresh(self, item: Any) -> None:
        """Look at one object: nobody but this one has changed."""
        number = self._places[id(item)]
        get = self._get[number]
        if get is None or get(item) != self._seen[number]:
            self.mask |= self._renew(number, item)
            self.objects.add(item)

    def _renew(self, number: int, item: Any) -> int:
        """Look anew at an object; returns the parts that have changed."""
        mask, kind = 0, type(item)
        now, also = _copy_of(item), _also_of(item)
        for name, old, new in zip(_COMPARED[kind], self._seen[number], now, strict=True):
            if old is not new and old != new:
                mask |= bit(kind, name) | (CAPS if name in _OF_CAPS else 0)
        for (name, _), old, new in zip(_ALSO.get(kind, ()), self._also[number], also, strict=True):
            if old != new:
                mask |= bit(kind, name)
        self._seen[number], self._also[number] = now, also
        return mask

    def _changed_kernel(self) -> int:
        state, mask = self._state, 0
        now, also = _GET[State](state), _also_of(state)
        if now != self._kernel:
            for name, old, new in zip(_COMPARED[State], self._kernel, now, strict=True):
                if old is not new and old != new:
                    mask |= bit(State, name)
            self._kernel = _copy_of(state)
        if also != self._kernel_also:
            for (name, _), old, new in zip(_ALSO[State], self._kernel_also, also, strict=True):
                if old != new:
                    mask |= bit(State, name)
            self._kernel_also = also
        return mask

    def _changed_slots(self, changed: list[Any]) -> int:
        """The caps, and the containers in which a slot was touched for the first time."""
        mask, slots = 0, self._all_slots()
        if slots != self._slots:
            known = {id(slot) for slot in self._slots}
            fresh = [slot for slot in slots if id(slot) not in known]
            if len(slots) != len(self._slots) + len(fresh) or any(not _is_blank(slot) for slot in fresh):
                mask |= CAPS
            changed += {id(slot.container): slot.container for slot in fresh}.values()
            self._slots = slots
            before, self._fields = self._fields, [list(map(get, slots)) for get in _OF_SLOTS]
            if not mask:
                places = [place for place, slot in enumerate(slots) if id(slot) in known]
                same = all(
                    [new[place] for place in places] == old for old, new in zip(before, self._fields, strict=True)
                )
                mask |= 0 if same else CAPS
            return mask
        for number, get in enumerate(_OF_SLOTS):
            now = list(map(get, slots))
            if now != self._fields[number]:
                self._fields[number] = now
                mask |= CAPS
        return mask

    # What lies in the machine

    def _look_at_machine(self, view: View) -> None:
        self._tables = [table.paddr for space in view.spaces.values() for table in space.tables]
        self._contents = self._read(self._tables)
        self._roots = dict(view.asids)
        self._view = view
        self._translations = self._known_translations()
        self._io_tables = sorted(spaces.io_tables(self._machine))
        self._io_contents, self._io_known = self._read(self._io_tables), self._known_io()

    def _read(self, tables: list[int]) -> list[bytes | None]:
        memory = self._machine.memory
        return [memory.read(paddr, 4096) if memory.contains(paddr, 4096) else None for paddr in tables]

    def _known_translations(self) -> Any:
        return self._machine.mmu.satp, self._machine.mmu.tlb.snapshot()

    def _known_io(self) -> Any:
        return None if self._machine.iommu is None else list(self._machine.iommu.iotlb_entries())

    def _changed_machine(self) -> int:
        mask = 0
        contents = self._read(self._tables)
        roots = {high << 9 | low: root for high, p in self._state.asid_table.items() for low, root in p.roots.items()}
        if contents != self._contents or roots != self._roots:
            mask |= TABLES
            self._view.forget_spaces()
            self._tables = [table.paddr for space in self._view.spaces.values() for table in space.tables]
            self._contents, self._roots = self._read(self._tables), roots
        translations = self._known_translations()
        if translations != self._translations:
            mask |= TRANSLATIONS
            self._translations = translations
        if self._machine.iommu is not None:
            io_contents, io_known = self._read(self._io_tables), self._known_io()
            if io_contents != self._io_contents or io_known != self._io_known:
                mask |= IOMMU
                self._view.forget_io_spaces()
                self._io_tables = sorted(spaces.io_tables(self._machine))
                self._io_contents, self._io_known = self._read(self._io_tables), io_known
        return mask


def _is_blank(slot: Slot) -> bool:
    """Whether a slot is as it is when it is touched for the first time."""
    return slot.cap is NULL and not (slot.prev or slot.next or slot.revocable or slot.first_badged)


def _copy_of(item: Any) -> Any:
    get = _GET.get(type(item))
    return () if get is None else tuple([_copied(value) for value in get(item)])


def _also_of(item: Any) -> Fingerprint:
    return tuple([get(item) for _, get in _ALSO.get(type(item), ())])


def _differs(item: Any, also: Fingerprint) -> bool:
    return bool(also) and _also_of(item) != also


def by_kind(items: Iterable[Any], state: State) -> dict[type, list[Any]]:
    """Objects by their class, in a fixed order; the kernel's own idle ones are left out."""
    found: dict[type, list[Any]] = {}
    for item in items:
        if item is not state.idle and item is not state.idle_sc:
            found.setdefault(type(item), []).append(item)
    for group in found.values():
        group.sort(key=lambda item: item.paddr)
    return found
