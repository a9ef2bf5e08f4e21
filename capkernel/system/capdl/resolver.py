"""From declarations to a ``Spec``: arrays are unfolded, names looked up, copies made."""

from itertools import pairwise
from typing import NamedTuple

from attrs import evolve

from capkernel.system.capdl import syntax as s
from capkernel.system.capdl.model import (
    CAP_PARAMETERS,
    CONTAINERS,
    DOMAINS,
    SPECIAL,
    Cap,
    Domains,
    Object,
    SlotRef,
    Spec,
    make_object,
)
from capkernel.system.diagnostics import Location, Problems

MAX_ARRAY = 1 << 20
"""Members of an array, and objects in all."""
MAX_SLOTS = 1 << 22


def resolve(module: s.Module, problems: Problems) -> Spec:
    """What a file means; problems are noted."""
    return _Resolver(problems).run(module)


_GIVEN = ("rights", "badge", "guard", "guard_size", "uncached", "asid", "core")
_NO_PARAMS = s.CapParams()


class _Entry(NamedTuple):
    """What the ``n``-th of the targets of a mapping is, and the slot that it goes to."""

    slot: SlotRef
    mapping: s.Mapping
    n: int
    target: str


class _Resolver:
    def __init__(self, problems: Problems) -> None:
        self.problems = problems
        self.spec = Spec()
        self.sizes: dict[str, int | None] = {}
        """Declared names: how many members, None if it is no array."""
        self.names: dict[str, tuple[SlotRef, ...]] = {}
        """Names given to slots."""
        self.again: set[int] = set()
        """The declarations (by identity) of what was declared before."""
        self.next_irq = 0
        self.laid_out = 0

    def run(self, module: s.Module) -> Spec:
        self.spec.arch = module.arch
        declared = [d for d in module.declarations if isinstance(d, s.ObjectDecl)]
        for decl in declared:
            self._declare(decl)
        for decl in declared:
            self._cover(decl, ())
        caps = [d for d in module.declarations if isinstance(d, s.CapDecl)]
        for name in [d for d in module.declarations if isinstance(d, s.NameDecl)]:
            self._name(name)
        self._fill([entry for decl in caps for entry in self._laid_out(decl)])
        for other in module.declarations:
            match other:
                case s.IrqDecl():
                    self._irq(other)
                case s.CdtDecl():
                    self._cdt(other)
                case s.DomainDecl():
                    self._domains(other)
        return self.spec

    # Objects

    def _declare(self, decl: s.ObjectDecl) -> None:
        ref = decl.path[-1]
        if ref.name in SPECIAL:
            self._special(ref)
        elif ref.name in self.sizes:
            self.again.add(id(decl))
            self._redeclare(decl, ref)
        else:
            self._declare_new(ref, decl.object, self._array_size(ref))
        if decl.inner and decl.object.kind != "ut":
            self.problems.error(ref.where, f"a {decl.object.kind} covers nothing", "only a ut has objects inside")
        for item in decl.inner:
            if isinstance(item, s.ObjectDecl):
                self._declare(item)

    def _special(self, ref: s.NameRef) -> None:
        self.problems.error(ref.where, f"{ref.name} is the name of a special cap", "another name")

    def _declare_new(self, ref: s.NameRef, thing: Object, size: int | None) -> None:
        self.sizes[ref.name] = size
        self.spec.where[ref.name] = ref.where
        if len(self.spec.objects) + (size or 0) > MAX_ARRAY:
            self.problems.error(ref.where, "there are too many objects", f"at most {MAX_ARRAY}")
            return
        for name in self._declared(ref):
            self.spec.objects[name] = thing

    def _redeclare(self, decl: s.ObjectDecl, ref: s.NameRef) -> None:
        """An untyped may be declared again to say more of what it covers; nothing else may."""
        is_array = self.sizes[ref.name] is not None
        if decl.object.kind != "ut" or (is_array and ref.ranges is None):
            self.problems.error(ref.where, f"{ref.name} is declared twice", "another name")
            return
        for name in self.members(ref):
            if name in self.spec.objects:
                self._say_more(name, decl.object, ref)

    def _say_more(self, name: str, more: Object, ref: s.NameRef) -> None:
        first = self.spec.objects[name]
        if first.kind != "ut":
            self.problems.error(ref.where, f"{name} is declared twice", "another name")
        elif more.params and ref.ranges is not None:
            hint = f"parameters where {ref.name} is declared: all members have the same"
            self.problems.error(ref.where, f"parameters of only {name}", hint)
        elif any(first.get(key) not in (None, value) for key, value in more.params):
            self.problems.error(ref.where, f"{name} is declared again with other parameters", "the same, or none")
        else:
            self.spec.objects[name] = make_object("ut", **dict(first.params) | dict(more.params))

    def _array_size(self, ref: s.NameRef) -> int | None:
        """In a declaration, ``[n]`` says how many."""
        if ref.ranges is None:
            return None
        if len(ref.ranges) != 1 or ref.ranges[0][0] is None or ref.ranges[0][0] != ref.ranges[0][1]:
            self.problems.error(ref.where, f"the size of {ref.name} is not one number", "such as name[8]")
            return 0
        if ref.ranges[0][0] > MAX_ARRAY:
            self.problems.error(ref.where, f"{ref.name} has too many members", f"at most {MAX_ARRAY}")
            return 0
        return ref.ranges[0][0]

    def _cover(self, decl: s.ObjectDecl, outer: tuple[s.NameRef, ...]) -> None:
        """What lies in which untyped, by nesting and by qualified names."""
        for parent in decl.path[:-1]:
            self._implicit_ut(parent)
        for parent, child in pairwise((*outer, *decl.path)):
            is_new = child is decl.path[-1] and id(decl) not in self.again
            self._covers(parent, self._declared(child) if is_new else self.members(child))
        for item in decl.inner:
            if isinstance(item, s.ObjectDecl):
                self._cover(item, (decl.path[-1],))
            else:
                self._covers(decl.path[-1], self.members(item))

    def _implicit_ut(self, ref: s.NameRef) -> None:
        if ref.name in SPECIAL:
            self._special(ref)
        elif ref.name not in self.sizes:
            self._declare_new(ref, make_object("ut"), None)

    def _declared(self, ref: s.NameRef) -> list[str]:
        size = self.sizes.get(ref.name)
        return [ref.name] if size is None else [f"{ref.name}[{n}]" for n in range(size)]

    def _covers(self, parent: s.NameRef, children: list[str]) -> None:
        (uts,) = [self.members(parent)] if parent.name in self.sizes else [[]]
        if len(uts) != 1 or uts[0] not in self.spec.objects or self.spec.objects[uts[0]].kind != "ut":
            self.problems.error(parent.where, f"{parent} is not one untyped", "a ut")
            return
        for child in children:
            if self.spec.covers.setdefault(child, uts[0]) != uts[0]:
                self.problems.error(parent.where, f"{child} lies in two untypeds", "one of them")

    def members(self, ref: s.NameRef) -> list[str]:
        """The objects that a reference means."""
        if ref.name not in self.sizes:
            self.problems.error(ref.where, f"unknown object {ref.name}", "a name from the objects section")
            return []
        return self._indexed(ref, self.sizes[ref.name])

    def _indexed(self, ref: s.NameRef, size: int | None) -> list[str]:
        if ref.ranges is None:
            if size is not None:
                return [f"{ref.name}[{n}]" for n in range(size)]
            return [ref.name]
        if size is None:
            self.problems.error(ref.where, f"{ref.name} is no array", f"{ref.name} without an index")
            return []
        found: list[str] = []
        for first, last in ref.ranges or ((None, None),):
            low, high = first or 0, size - 1 if last is None else last
            if high >= size or low > high:
                hint = f"0..{size - 1}" if size else "it has none"
                self.problems.error(ref.where, f"{ref.name} has no members {low}..{high}", hint)
                return []
            if len(found) + high - low >= MAX_ARRAY:
                self.problems.error(ref.where, f"too many members of {ref.name} at once", f"at most {MAX_ARRAY}")
                return []
            found += [f"{ref.name}[{n}]" for n in range(low, high + 1)]
        return found

    # Slots and caps

    def _name(self, decl: s.NameDecl) -> None:
        ref = self.place(decl.place)
        if ref is not None:
            self._give_name(decl.name, (ref,), decl.place.where)

    def _give_name(self, name: str, slots: tuple[SlotRef, ...], where: Location) -> None:
        if self.names.setdefault(name, slots) != slots:
            self.problems.error(where, f"the slot name {name} is used twice", "another name")

    def place(self, place: s.Place) -> SlotRef | None:
        """The slot that is meant."""
        if place.container is not None:
            is_table = place.container.name == "irq_table" and "irq_table" not in self.sizes
            found = [] if is_table else self.members(place.container)
            if len(found) == 1:
                return found[0], place.slot
            if found:
                self.problems.error(place.where, f"{place.container} is more than one object", "one of them")
            return None
        ref = place.name
        slots = self.names.get(ref.name, ()) if ref else ()
        if ref is not None and ref.ranges and ref.ranges[0][0] is not None and ref.ranges[0][0] < len(slots):
            return slots[ref.ranges[0][0]]
        if ref is None or len(slots) != 1:
            self.problems.error(place.where, f"no slot has the name {ref}", "(object, slot), or a name given to a slot")
            return None
        return slots[0]

    def _laid_out(self, decl: s.CapDecl) -> list[_Entry]:
        """Every slot that a container's mappings fill, with what the mapping puts there."""
        found: list[_Entry] = []
        targets: dict[int, list[str]] = {}
        for which, container in enumerate(self._containers(decl)):
            following = 0
            for number, mapping in enumerate(decl.mappings):
                if number not in targets:
                    targets[number] = self._targets(mapping)
                first = following if mapping.slot is None else mapping.slot
                if not self._is_room(len(targets[number]), mapping.where):
                    return []
                entries = [_Entry((container, first + n), mapping, n, name) for n, name in enumerate(targets[number])]
                found += entries
                if mapping.given_name is not None and which == 0:
                    self._give_name(mapping.given_name.name, tuple(entry.slot for entry in entries), mapping.where)
                following = first + max(len(entries), 1)
        return found

    def _is_room(self, count: int, where: Location) -> bool:
        self.laid_out += count
        if self.laid_out > MAX_SLOTS:
            self.problems.error(where, "there are too many caps", f"at most {MAX_SLOTS}")
        return self.laid_out <= MAX_SLOTS

    def _containers(self, decl: s.CapDecl) -> list[str]:
        names = self.members(decl.container)
        kind = self.spec.objects[names[0]].kind if names and names[0] in self.spec.objects else "cnode"
        if kind not in CONTAINERS:
            hint = "one of " + ", ".join(sorted(CONTAINERS))
            self.problems.error(decl.container.where, f"a {kind} has no slots", hint)
            return []
        return names

    def _targets(self, mapping: s.Mapping) -> list[str]:
        """What a mapping puts into slots: each object that it names, or as many copies as the name has slots."""
        target = mapping.target
        if mapping.is_copy:
            many = len(self.names.get(target.name, ())) if target.ranges is not None else 1
            return [target.name] * max(1, many)
        if target.name not in SPECIAL:
            return self.members(target)
        if target.ranges is not None:
            self.problems.error(target.where, f"{target.name} is no array", f"{target.name} without an index")
        return [target.name]

    def _fill(self, entries: list[_Entry]) -> None:
        copies = []
        for entry in entries:
            if entry.mapping.is_copy:
                copies.append(entry)
            elif entry.target in SPECIAL or entry.target in self.spec.objects:
                self._put(entry.slot, self._with(Cap(entry.target), entry.mapping), entry.mapping)
        self._make_copies(copies)

    def _put(self, slot: SlotRef, cap: Cap, mapping: s.Mapping) -> None:
        self.spec.where.setdefault(slot, mapping.where)
        if self.spec.slots.setdefault(slot, cap) != cap:
            self.problems.error(mapping.where, f"slot {slot[1]:#x} of {slot[0]} is filled twice", "another slot")
        if mapping.parent is not None:
            parent = self.place(mapping.parent)
            if parent is not None:
                self._derive(slot, parent, mapping.where)

    def _with(self, cap: Cap, mapping: s.Mapping) -> Cap:
        """The cap with the parameters that are given."""
        if mapping.params == _NO_PARAMS:
            return cap
        params, kind = mapping.params, self.spec.kind_of(cap.object)
        given = {name: value for name in _GIVEN if (value := getattr(params, name)) is not None}
        if params.mapping is not None:
            given["mapping"] = self.place(params.mapping)
        for name in [*given, *(["rights"] if params.masked is not None else ())]:
            if name not in CAP_PARAMETERS[kind]:
                known = ", ".join(CAP_PARAMETERS[kind]) or "none"
                self.problems.error(mapping.where, f"a cap to a {kind} has no {name}", f"its parameters are: {known}")
                return cap
        changed = evolve(cap, **given)
        return changed if params.masked is None else evolve(changed, rights=changed.rights & params.masked)

    def _make_copies(self, copies: list[_Entry]) -> None:
        """Copies of copies come after what they copy."""
        waiting: dict[SlotRef, list[_Entry]] = {}
        for copy in copies:
            sources = self.names.get(copy.mapping.target.name, ())
            if copy.n < len(sources):
                waiting.setdefault(sources[copy.n], []).append(copy)
            else:
                hint = "a name given to a slot"
                self.problems.error(copy.mapping.where, f"no slot has the name {copy.mapping.target.name}", hint)
        ready = [source for source in waiting if source in self.spec.slots]
        while ready:
            source = ready.pop()
            for copy in waiting.pop(source, ()):
                self._put(copy.slot, self._with(self.spec.slots[source], copy.mapping), copy.mapping)
                ready.append(copy.slot)
        for copy in [copy for left in waiting.values() for copy in left]:
            self.problems.error(copy.mapping.where, f"{copy.mapping.target.name} names an empty slot", "a cap")

    # The rest

    def _irq(self, decl: s.IrqDecl) -> None:
        number = self.next_irq if decl.number is None else decl.number
        for name in self.members(decl.target):
            if name in self.spec.objects and self.spec.objects[name].kind != "irq":
                self.problems.error(decl.target.where, f"{name} is no irq", "an object of type irq")
            elif self.spec.irqs.setdefault(number, name) != name:
                self.problems.error(decl.target.where, f"interrupt {number} is given twice", "another number")
            number += 1
        self.next_irq = number

    def _cdt(self, decl: s.CdtDecl) -> None:
        parent = self.place(decl.parent)
        for item in decl.children:
            child = self.place(item.parent if isinstance(item, s.CdtDecl) else item)
            if parent is not None and child is not None:
                self._derive(child, parent, (item.parent if isinstance(item, s.CdtDecl) else item).where)
            if isinstance(item, s.CdtDecl):
                self._cdt(item)

    def _derive(self, child: SlotRef, parent: SlotRef, where: Location) -> None:
        self.spec.where.setdefault(child, where)
        if self.spec.cdt.setdefault(child, parent) != parent:
            self.problems.error(where, f"slot {child[1]:#x} of {child[0]} has two parents", "one of them")

    def _domains(self, decl: s.DomainDecl) -> None:
        if self.spec.domains is not None or decl.schedule is None:
            self.problems.error(decl.where, "there must be one schedule", "one domains section with one schedule")
            return
        self.spec.where[DOMAINS] = decl.where
        start = decl.start if decl.has_start else 0
        self.spec.domains = Domains(decl.schedule, start, decl.index_shift or 0)
