"""From declarations to a ``Spec``: arrays are unfolded, names looked up, copies made."""

from itertools import pairwise

from attrs import evolve

from capkernel.system.capdl import syntax as s
from capkernel.system.capdl.model import (
    CAP_PARAMETERS,
    CONTAINERS,
    SPECIAL,
    Cap,
    Domains,
    SlotRef,
    Spec,
    make_object,
)
from capkernel.system.diagnostics import Location, Problems

MAX_ARRAY = 1 << 20


def resolve(module: s.Module, problems: Problems) -> Spec:
    """What a file means; problems are noted."""
    return _Resolver(problems).run(module)


class _Copy:
    """A mapping that is a copy of a named slot, still to be made."""

    def __init__(self, slot: SlotRef, mapping: s.Mapping, source: SlotRef) -> None:
        self.slot, self.mapping, self.source = slot, mapping, source


class _Resolver:
    def __init__(self, problems: Problems) -> None:
        self.problems = problems
        self.spec = Spec()
        self.sizes: dict[str, int | None] = {}
        """Declared names: how many members, None if it is no array."""
        self.names: dict[str, tuple[SlotRef, ...]] = {}
        """Names given to slots."""
        self.next_irq = 0

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
        laid = [(decl, self._laid_out(decl)) for decl in caps]
        self._fill(laid)
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
        size = self._array_size(ref)
        if ref.name in SPECIAL or ref.name in self.sizes:
            self._redeclare(decl, ref)
        else:
            self.sizes[ref.name] = size
            for name in [ref.name] if size is None else [f"{ref.name}[{n}]" for n in range(size)]:
                self.spec.objects[name] = decl.object
        if decl.inner and decl.object.kind != "ut":
            self.problems.error(ref.where, f"a {decl.object.kind} covers nothing", "only a ut has objects inside")
        for item in decl.inner:
            if isinstance(item, s.ObjectDecl):
                self._declare(item)

    def _redeclare(self, decl: s.ObjectDecl, ref: s.NameRef) -> None:
        """An untyped may be declared again to say more of what it covers; nothing else may."""
        first = self.spec.objects.get(ref.name)
        names_members = ref.ranges is not None and self.sizes.get(ref.name) is not None
        is_more = decl.object.kind == "ut" and (names_members or (first is not None and first.kind == "ut"))
        if not is_more:
            self.problems.error(ref.where, f"{ref.name} is declared twice", "another name")
        elif first is not None and decl.object.params:
            self.spec.objects[ref.name] = make_object("ut", **dict(first.params) | dict(decl.object.params))

    def _array_size(self, ref: s.NameRef) -> int | None:
        """In a declaration, ``[n]`` says how many."""
        if ref.ranges is None:
            return None
        if len(ref.ranges) != 1 or ref.ranges[0][0] is None or ref.ranges[0][0] != ref.ranges[0][1]:
            if ref.name not in self.sizes:
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
            self._covers(parent, self.members(child) if child is not decl.path[-1] else self._declared(child))
        for item in decl.inner:
            if isinstance(item, s.ObjectDecl):
                self._cover(item, (decl.path[-1],))
            else:
                self._covers(decl.path[-1], self.members(item))

    def _implicit_ut(self, ref: s.NameRef) -> None:
        if ref.name not in self.sizes:
            self.sizes[ref.name] = None
            self.spec.objects[ref.name] = make_object("ut")

    def _declared(self, ref: s.NameRef) -> list[str]:
        size = self.sizes.get(ref.name)
        return [ref.name] if size is None else [f"{ref.name}[{n}]" for n in range(size)]

    def _covers(self, parent: s.NameRef, children: list[str]) -> None:
        (uts,) = [self.members(parent)] if parent.name in self.sizes else [[]]
        if len(uts) != 1 or self.spec.objects[uts[0]].kind != "ut":
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
                self.problems.error(ref.where, f"{ref.name} has no members {low}..{high}", f"0..{size - 1}")
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
            found = self.members(place.container) if place.container.name != "irq_table" else []
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

    def _laid_out(self, decl: s.CapDecl) -> list[tuple[SlotRef, s.Mapping, int]]:
        """Every slot that a container's mappings fill, with the position in what the mapping refers to."""
        found: list[tuple[SlotRef, s.Mapping, int]] = []
        for which, container in enumerate(self.members(decl.container)):
            if self.spec.objects[container].kind not in CONTAINERS:
                kind = self.spec.objects[container].kind
                hint = "one of " + ", ".join(sorted(CONTAINERS))
                self.problems.error(decl.container.where, f"a {kind} has no slots", hint)
                return []
            following = 0
            for mapping in decl.mappings:
                first = following if mapping.slot is None else mapping.slot
                count = self._width(mapping)
                slots = tuple((container, first + n) for n in range(count))
                found += [(slot, mapping, n) for n, slot in enumerate(slots)]
                if mapping.given_name is not None and which == 0:
                    self._give_name(mapping.given_name.name, slots, mapping.where)
                following = first + max(count, 1)
        return found

    def _width(self, mapping: s.Mapping) -> int:
        """How many slots a mapping fills: one for each object that it names."""
        if mapping.is_copy or mapping.target.name in SPECIAL:
            many = mapping.is_copy and mapping.target.ranges is not None
            return max(1, len(self.names.get(mapping.target.name, ()))) if many else 1
        return len(self.members(mapping.target))

    def _fill(self, laid: list[tuple[s.CapDecl, list[tuple[SlotRef, s.Mapping, int]]]]) -> None:
        copies = []
        for _, entries in laid:
            for slot, mapping, n in entries:
                if mapping.is_copy:
                    sources = self.names.get(mapping.target.name, ())
                    if n >= len(sources):
                        hint = "a name given to a slot"
                        self.problems.error(mapping.where, f"no slot has the name {mapping.target.name}", hint)
                    else:
                        copies.append(_Copy(slot, mapping, sources[n]))
                else:
                    self._put(slot, self._cap(mapping, n), mapping)
        self._make_copies(copies)

    def _put(self, slot: SlotRef, cap: Cap | None, mapping: s.Mapping) -> None:
        if cap is None:
            return
        if self.spec.slots.setdefault(slot, cap) != cap:
            self.problems.error(mapping.where, f"slot {slot[1]:#x} of {slot[0]} is filled twice", "another slot")
        if mapping.parent is not None:
            parent = self.place(mapping.parent)
            if parent is not None:
                self._derive(slot, parent, mapping.where)

    def _cap(self, mapping: s.Mapping, n: int) -> Cap | None:
        name = mapping.target.name
        if name not in SPECIAL:
            found = self.members(mapping.target)
            if n >= len(found):
                return None
            name = found[n]
        return self._with(Cap(name), mapping)

    def _with(self, cap: Cap, mapping: s.Mapping) -> Cap:
        """The cap with the parameters that are given."""
        params, kind = mapping.params, self.spec.kind_of(cap.object)
        given = {
            name: getattr(params, name)
            for name in ("rights", "badge", "guard", "guard_size", "uncached", "asid", "core")
            if getattr(params, name) is not None
        }
        if params.mapping is not None:
            given["mapping"] = self.place(params.mapping)
        for name in given:
            if name not in CAP_PARAMETERS[kind]:
                known = ", ".join(CAP_PARAMETERS[kind]) or "none"
                self.problems.error(mapping.where, f"a cap to a {kind} has no {name}", f"its parameters are: {known}")
                return cap
        changed = evolve(cap, **given)
        if params.masked is not None:
            changed = evolve(changed, rights=changed.rights & params.masked)
        return changed

    def _make_copies(self, copies: list[_Copy]) -> None:
        """Copies of copies come after what they copy."""
        while copies:
            ready = [c for c in copies if c.source in self.spec.slots]
            for copy in ready:
                self._put(copy.slot, self._with(self.spec.slots[copy.source], copy.mapping), copy.mapping)
            if not ready:
                for copy in copies:
                    self.problems.error(copy.mapping.where, f"{copy.mapping.target.name} names an empty slot", "a cap")
                return
            copies = [c for c in copies if c not in ready]

    # The rest

    def _irq(self, decl: s.IrqDecl) -> None:
        number = self.next_irq if decl.number is None else decl.number
        for name in self.members(decl.target):
            if self.spec.objects[name].kind != "irq":
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
        if self.spec.cdt.setdefault(child, parent) != parent:
            self.problems.error(where, f"slot {child[1]:#x} of {child[0]} has two parents", "one of them")

    def _domains(self, decl: s.DomainDecl) -> None:
        if self.spec.domains is not None or decl.schedule is None:
            self.problems.error(decl.where, "there must be one schedule", "one domains section with one schedule")
            return
        start = decl.start if decl.has_start else 0
        self.spec.domains = Domains(decl.schedule, start, decl.index_shift or 0)
