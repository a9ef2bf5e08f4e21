"""Whether what was built is what the specification says.

What a specification leaves open may be anything: addresses, sizes that have no default, and a derivation that follows
from what lies in which untyped. What capDL says and this kernel has no place for is a remark.
"""

from collections.abc import Iterator

from capkernel.abi import rights as rt
from capkernel.kernel.state import State
from capkernel.system.capdl.checks import is_cap, slot_text
from capkernel.system.capdl.model import DOMAINS, PARAMETERS, Cap, Object, SlotRef, Spec, Value
from capkernel.system.capdl.printer import show_cap
from capkernel.tools.capdl.build import Build

Found = Iterator[tuple[str | SlotRef, str]]
"""What differs, and how."""

_OPEN = {"ut": ("bits", "paddr"), "frame": ("paddr",), "sc": ("bits",), "asid_pool": ("asid_high",)}
"""What a kernel chooses if the specification does not."""
_ELSEWHERE = ("init", "resume", "fill")
"""What an export does not say of a system that was not started: see ``remarks``, ``Built.start``, ``impossible``."""


def remarks(spec: Spec) -> list[str]:
    """What the specification says that is not built, each in a sentence with its place."""
    found: list[tuple[str | SlotRef, str]] = []
    for name, thing in spec.objects.items():
        if thing.get("fill"):
            found.append((name, f"{name} is not filled: what is in frames has to come from elsewhere"))
    for ref, cap in spec.slots.items():
        if cap.uncached:
            text = f"uncached in {slot_text(spec, ref)} has no meaning: page tables of RISC-V have no such attribute"
            found.append((ref, text))
    return [f"{spec.said(about)}{text}" for about, text in found]


def first_difference(build: Build, found: Spec, state: State) -> str:
    """The first thing that is not as the specification says, with its place; an empty string if there is none."""
    checks = (_objects(build, found), _slots(build, found), _irqs(build, found), _covers(build, found))
    for differences in (*checks, _derivations(build, found), _domains(build, state)):
        for about, text in differences:
            return f"{build.spec.said(about)}{text}"
    return ""


def _objects(build: Build, found: Spec) -> Found:
    for name, wanted in build.spec.objects.items():
        made = found.objects.get(name)
        if made is None:
            yield name, f"{name} would not be there: nothing refers to it"
            continue
        for param in _compared(build, name, wanted):
            value, got = _default(wanted, param), _default(made, param)
            if value != got:
                yield name, f"{param} of {name} would be {_text(got)}, not {_text(value)}"


def _compared(build: Build, name: str, wanted: Object) -> Iterator[str]:
    """The parameters that must be the same."""
    for param in PARAMETERS[wanted.kind]:
        is_open = wanted.get(param) is None and param in _OPEN.get(wanted.kind, ())
        is_own = name == build.own_tcb and param in ("ip", "sp")
        if not (is_open or is_own or param in _ELSEWHERE):
            yield param


def _default(thing: Object, param: str) -> Value | None:
    """A parameter, or what it is if it is not given."""
    if thing.kind == "sc" and param == "period" and thing.get("period") is None:
        return thing.get("budget")
    if thing.kind in ("tcb", "sc") and param not in ("period", "budget"):
        return thing.get(param) or 0
    return thing.get(param)


def _text(value: Value | None) -> str:
    if value is None:
        return "nothing"
    return f"{value:#x}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _slots(build: Build, found: Spec) -> Found:
    spec = build.spec
    for ref, wanted in spec.slots.items():
        made = found.slots.get(ref)
        if made is None:
            yield ref, f"{slot_text(spec, ref)} would be empty instead of holding {show_cap(spec, wanted)}"
        elif _plain(spec, ref, wanted, wanted) != _plain(spec, ref, made, wanted):
            yield ref, f"{slot_text(spec, ref)} would hold {show_cap(spec, made)}, not {show_cap(spec, wanted)}"
    for ref in sorted(found.slots.keys() - spec.slots.keys()):
        yield ref, f"{slot_text(spec, ref)} would not be empty, but hold {show_cap(found, found.slots[ref])}"


def _plain(spec: Spec, ref: SlotRef, cap: Cap, wanted: Cap) -> tuple[object, ...]:
    """What of a cap must be the same: X means something in page tables only, a binding has no rights."""
    rights = cap.rights
    if spec.objects[ref[0]].kind != "pt" and spec.kind_of(wanted.object) == "frame":
        rights &= rt.READ_WRITE
    elif spec.objects[ref[0]].kind == "tcb" and not is_cap(spec, ref):
        rights = 0
    asid = cap.asid if wanted.asid is not None else None
    return cap.object, rights, cap.badge, cap.guard, cap.guard_size, asid, cap.mapping, cap.core


def _irqs(build: Build, found: Spec) -> Found:
    for number, name in build.spec.irqs.items():
        if found.irqs.get(number) != name:
            yield name, f"interrupt {number} would not be that of {name}"


def _covers(build: Build, found: Spec) -> Found:
    for child, parent in build.spec.covers.items():
        made = found.covers.get(child)
        if made != parent:
            yield child, f"{child} would lie in {made or 'other memory'}, not in {parent}"


def _derivations(build: Build, found: Spec) -> Found:
    spec = build.spec
    for child, parent in spec.cdt.items():
        made = found.cdt.get(child)
        if made != parent:
            instead = "nothing that is described" if made is None else slot_text(spec, made)
            wanted = f"not from {slot_text(spec, parent)}"
            yield child, f"the cap in {slot_text(spec, child)} would be derived from {instead}, {wanted}"
    for child in sorted(found.cdt.keys() - spec.cdt.keys()):
        if not _follows(spec, child, found.cdt[child]):
            instead = slot_text(spec, found.cdt[child])
            yield child, f"the cap in {slot_text(spec, child)} would be derived from {instead}, which the cdt must say"


def _follows(spec: Spec, child: SlotRef, parent: SlotRef) -> bool:
    """Whether a derivation is implied: of what lies in an untyped, or is made by a control cap; or no tree is given."""
    if not spec.cdt:
        return True
    name, source = spec.slots[child].object, spec.slots[parent].object
    outer: str | None = name
    while outer is not None and outer != source:
        outer = spec.covers.get(outer)
    return source == "irq_control" or (outer == source and name != source)


def _domains(build: Build, state: State) -> Found:
    domains = build.spec.domains
    if domains is None:
        return
    shift = domains.index_shift
    made = state.domain_schedule[shift : shift + len(domains.schedule)]
    wanted = list(domains.schedule)
    if made[: len(wanted)] != wanted[: len(made)] or any(entry != (0, 0) for entry in wanted[len(made) :]):
        yield DOMAINS, f"the domain schedule would be {made}, not {wanted}"
    start = shift + (domains.start or 0)
    if domains.start is not None and state.domain_start != start:
        yield DOMAINS, f"the domain schedule would start at {state.domain_start}, not at {start}"
