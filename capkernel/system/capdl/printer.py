"""A ``Spec`` as normalised text: everything sorted, one declaration a line, no named slots, no ranges.

Equal specifications have equal texts, and reading a normalised text gives back what it was made from.
"""

from collections.abc import Iterator

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
    """The normalised text."""
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


def _section(name: str, lines: Iterator[str]) -> str:
    return f"{name} {{\n" + "".join(f"  {line}\n" for line in lines) + "}\n"


def _objects(spec: Spec) -> Iterator[str]:
    """An array is declared once, by its first member; a ut whose members cover something, once more for each."""
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
            size = sum(1 for other in spec.objects if split_name(other)[0] == base)
            yield f"{base}[{size}] = {_object(thing)}"
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
