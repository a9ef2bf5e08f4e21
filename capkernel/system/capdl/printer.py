"""A ``Spec`` as normalised text: everything sorted, one declaration a line, no named slots, no ranges.

Equal specifications have equal texts, and reading a normalised text gives back what it was made from. An array has
one declaration, so members that differ (no text says such a thing, but programs can make it) are first given plain
names: see ``plain``.
"""

from collections import Counter
from collections.abc import Iterator

from attrs import evolve

from capkernel.abi import rights as rt
from capkernel.system.capdl.model import (
    PARAMETERS,
    TCB_SLOT_NAMES,
    Cap,
    Domains,
    Object,
    SlotRef,
    Spec,
    Value,
    name_key,
    slot_key,
    split_name,
)

_LETTERS = ((rt.READ, "R"), (rt.WRITE, "W"), (rt.GRANT, "G"), (rt.GRANT_REPLY, "P"))
_DECIMAL = ("prio", "max_prio", "affinity", "dom", "period", "budget")


def show(spec: Spec) -> str:
    """The normalised text. Two have the same exactly if what ``plain`` makes of them is equal."""
    spec = plain(spec)
    sections = [f"arch {spec.arch}\n"]
    sections.append(_section("objects", _objects(spec)))
    sections.append(_section("caps", _caps(spec)))
    if spec.cdt:
        sections.append(_section("cdt", _cdt(spec)))
    if spec.irqs:
        sections.append(_section("irq maps", (f"{number}: {spec.irqs[number]}" for number in sorted(spec.irqs))))
    if spec.domains is not None:
        sections.append(_section("domains", _domains(spec.domains)))
    return "\n".join(sections)


def plain(spec: Spec) -> Spec:
    """The same with plain names for the members of arrays that cannot be declared as arrays.

    Those are arrays with members that differ or are missing: ``t[1]`` becomes ``t_1``, or ``t_1_`` if there is a
    ``t_1``, and so on.
    """
    arrays: dict[str, list[str]] = {}
    for name in sorted(spec.objects, key=name_key):
        arrays.setdefault(split_name(name)[0], []).append(name)
    odd = [name for base, members in arrays.items() if not _is_array(spec, base, members) for name in members]
    new: dict[str, str] = {}
    taken = set(spec.objects) | set(arrays)
    for name in odd:
        base, index = split_name(name)
        if index is not None:
            new[name] = _unused(f"{base}_{index}", taken)
            taken.add(new[name])
    return _renamed(spec, new) if new else spec


def _is_array(spec: Spec, base: str, members: list[str]) -> bool:
    """Whether one declaration says it all."""
    if members == [base]:
        return True
    first = spec.objects[members[0]]
    is_full = members == [f"{base}[{n}]" for n in range(len(members))]
    return is_full and all(spec.objects[name] == first for name in members)


def _unused(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _renamed(spec: Spec, new: dict[str, str]) -> Spec:
    def ref(slot: SlotRef) -> SlotRef:
        return new.get(slot[0], slot[0]), slot[1]

    def cap(held: Cap) -> Cap:
        mapping = None if held.mapping is None else ref(held.mapping)
        return evolve(held, object=new.get(held.object, held.object), mapping=mapping)

    return evolve(
        spec,
        objects={new.get(name, name): thing for name, thing in spec.objects.items()},
        slots={ref(slot): cap(held) for slot, held in spec.slots.items()},
        cdt={ref(child): ref(parent) for child, parent in spec.cdt.items()},
        covers={new.get(child, child): new.get(parent, parent) for child, parent in spec.covers.items()},
        irqs={number: new.get(name, name) for number, name in spec.irqs.items()},
    )


def _section(name: str, lines: Iterator[str]) -> str:
    return f"{name} {{\n" + "".join(f"  {line}\n" for line in lines) + "}\n"


def _objects(spec: Spec) -> Iterator[str]:
    """An array is declared once, by its first member; a ut whose members cover something, once more for each."""
    sizes = Counter(split_name(name)[0] for name in spec.objects)
    inside: dict[str, list[str]] = {}
    for child, parent in spec.covers.items():
        inside.setdefault(parent, []).append(child)
    for name in sorted(spec.objects, key=name_key):
        base, index = split_name(name)
        thing = spec.objects[name]
        covered = ", ".join(sorted(inside.get(name, ()), key=name_key))
        if index is None:
            yield f"{name} = {_object(thing)}" + (f" {{ {covered} }}" if covered else "")
            continue
        if index == 0:
            yield f"{base}[{sizes[base]}] = {_object(thing)}"
        if covered:
            yield f"{name} = ut {{ {covered} }}"


def _object(thing: Object) -> str:
    params = [_param(name, value) for name in PARAMETERS[thing.kind] if (value := thing.get(name)) is not None]
    return thing.kind + (f" ({', '.join(params)})" if params else "")


def _param(name: str, value: Value) -> str:
    if name == "bits":
        return f"{value} bits"
    if name == "size" and isinstance(value, int):
        return f"{1 << value - 20}M" if value >= 20 else f"{1 << value - 10}k"
    if name == "fill" and isinstance(value, tuple):
        return "fill: [" + ", ".join(f"{{{item}}}" for item in value) + "]"
    if isinstance(value, tuple):
        return f"{name}: [" + ", ".join(f"{item:#x}" for item in value if isinstance(item, int)) + "]"
    if isinstance(value, bool) or name in _DECIMAL:
        return f"{name}: {value}"
    return f"{name}: {value:#x}" if isinstance(value, int) else f"{name}: {value}"


def _caps(spec: Spec) -> Iterator[str]:
    owner = None
    for ref in sorted(spec.slots, key=slot_key):
        if ref[0] != owner:
            if owner is not None:
                yield "}"
            owner = ref[0]
            yield f"{owner} {{"
        number = slot_number(spec, ref)
        yield f"  {number}: {show_cap(spec, spec.slots[ref])}"
    if owner is not None:
        yield "}"


def slot_number(spec: Spec, ref: SlotRef) -> str:
    """A slot's number; in a TCB its symbolic name."""
    if spec.objects[ref[0]].kind == "tcb" and ref[1] in TCB_SLOT_NAMES:
        return TCB_SLOT_NAMES[ref[1]]
    return f"{ref[1]:#x}"


def show_cap(spec: Spec, cap: Cap) -> str:
    """A cap: its object, and the parameters that are not the defaults."""
    kind = spec.kind_of(cap.object)
    params = []
    letters = "".join(letter for bit, letter in _LETTERS if cap.rights & bit)
    if letters:
        params.append(letters.replace("G", "X") if kind == "frame" else letters)
    for name in ("badge", "guard"):
        if getattr(cap, name):
            params.append(f"{name}: {getattr(cap, name):#x}")
    if cap.guard_size:
        params.append(f"guard_size: {cap.guard_size}")
    if cap.uncached:
        params.append("uncached")
    if cap.asid is not None:
        params.append(f"asid: ({cap.asid[0]:#x}, {cap.asid[1]:#x})")
    if cap.mapping is not None:
        params.append(f"mapping: ({cap.mapping[0]}, {cap.mapping[1]:#x})")
    if kind == "sched_control":
        params.append(f"core: {cap.core}")
    return cap.object + (f" ({', '.join(params)})" if params else "")


def _cdt(spec: Spec) -> Iterator[str]:
    children: dict[SlotRef, list[SlotRef]] = {}
    for child, parent in spec.cdt.items():
        children.setdefault(parent, []).append(child)
    for parent in sorted(children, key=slot_key):
        yield f"({parent[0]}, {slot_number(spec, parent)}) {{"
        for child in sorted(children[parent], key=slot_key):
            yield f"  ({child[0]}, {slot_number(spec, child)})"
        yield "}"


def _domains(domains: Domains) -> Iterator[str]:
    items = ", ".join(f"({domain}, {duration})" for domain, duration in domains.schedule)
    yield f"schedule: [{items}]"
    yield f"domain_set_start: {'no_start' if domains.start is None else domains.start}"
    yield f"index_shift: {domains.index_shift}"
