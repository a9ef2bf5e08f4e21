"""Making objects and deriving caps, in the order of the derivation tree."""

from itertools import count

from capkernel.abi import objects as obj
from capkernel.abi import rights as rt
from capkernel.abi.words import WORD_BITS
from capkernel.kernel.caps import UntypedCap
from capkernel.kernel.slots import has_children
from capkernel.system.capdl.model import Cap, SlotRef, slot_key
from capkernel.tools.capdl.build import Build, BuildError, untyped_at
from capkernel.tools.capdl.places import fillers, place

RETYPE = {
    "ut": obj.UNTYPED, "tcb": obj.TCB, "ep": obj.ENDPOINT, "notification": obj.NOTIFICATION, "cnode": obj.CNODE,
    "sc": obj.SCHED_CONTEXT, "rtreply": obj.REPLY, "pt": obj.PAGE_TABLE, "asid_pool": obj.UNTYPED,
}  # fmt: skip
"""What is retyped for each kind of object; an ASID pool is made of an untyped."""
_SIZED = ("ut", "cnode", "sc", "asid_pool")
FRAMES = {12: obj.PAGE, 21: obj.MEGA_PAGE, 30: obj.GIGA_PAGE}
_OWN_SPARE_BITS = 21


def create_all(build: Build) -> None:
    """All objects and caps but copies of page table caps, which must wait until the tables are mapped."""
    _create_spare(build)
    children = _tree(build)
    _descend_all(build, [ref for ref in build.at if ref not in build.spec.cdt], children)
    _make_pools(build)
    pools = [ref for ref in build.at if build.spec.kind_of(build.spec.slots[ref].object) == "asid_pool"]
    _descend_all(build, pools, children)


def _descend_all(build: Build, starts: list[SlotRef], children: dict[SlotRef, list[SlotRef]]) -> None:
    """Everything that is derived from what is in these slots."""
    work = sorted(starts, key=slot_key, reverse=True)
    while work:
        ref = work.pop()
        below = _descend(build, ref, [child for child in children.get(ref, ()) if child not in build.at])
        work += reversed(below)


def _tree(build: Build) -> dict[SlotRef, list[SlotRef]]:
    found: dict[SlotRef, list[SlotRef]] = {}
    for child, parent in sorted(build.spec.cdt.items()):
        found.setdefault(parent, []).append(child)
    return found


def _descend(build: Build, ref: SlotRef, below: list[SlotRef]) -> list[SlotRef]:
    """Make what is derived from what is in a slot; returns those from which one can go on."""
    cap = build.spec.slots[ref]
    kind = build.spec.kind_of(cap.object)
    if kind == "ut":
        _from_untyped(build, ref, below)
    elif kind == "irq_control":
        _from_control(build, ref, below)
    else:
        for child in below:
            derive(build, child, build.at[ref])
    return [child for child in below if child in build.at]


def derive(build: Build, ref: SlotRef, source: int) -> None:
    """Put a copy of the cap in own slot ``source`` where ``ref`` is being prepared; TCB and irq slots come later."""
    cap, kind = build.spec.slots[ref], build.spec.kind_of(build.spec.slots[ref].object)
    if build.spec.objects[ref[0]].kind in ("tcb", "irq") or kind == "pt":
        return
    build.now, slot = ref, build.slot()
    copy_as(build, cap, source, slot)
    build.at[ref] = slot


def copy_as(build: Build, cap: Cap, source: int, dest: int) -> None:
    """A copy with the rights, badge and guard that the specification says."""
    kind = build.spec.kind_of(cap.object)
    rights = cap.rights & rt.ALL if kind in ("ep", "notification") else rt.ALL
    if kind == "frame":
        rights = cap.rights & rt.READ_WRITE
    data = None
    if kind == "cnode":
        data = cap.guard << 6 | cap.guard_size
    elif cap.badge and getattr(build.driver.cap_at(source), "badge", 0) != cap.badge:
        data = cap.badge
    build.driver.copy(source, dest, rights, data)


def _from_control(build: Build, ref: SlotRef, below: list[SlotRef]) -> None:
    """Handler caps: each interrupt is issued once; of several caps to it none is another's parent."""
    groups: dict[str, list[SlotRef]] = {}
    for child in below:
        groups.setdefault(build.spec.slots[child].object, []).append(child)
    for name, refs in groups.items():
        if build.spec.kind_of(name) != "irq":
            build.now = refs[0]
            raise BuildError("only caps to interrupts descend from irq_control, and of that the kernel makes no copies")
        issued = _issue(build, build.at[ref], name)
        if len(refs) == 1:
            build.at[refs[0]] = issued
            continue
        build.temporary.append(issued)
        for child in refs:
            derive(build, child, issued)


def _issue(build: Build, control: int, name: str) -> int:
    build.now = name
    number = next((n for n, other in build.spec.irqs.items() if other == name), None)
    if number is None:
        raise BuildError("it has no number in the irq maps")
    slot = build.slot()
    build.driver.call(control, "IRQControl_Get", [number, slot, WORD_BITS], [build.driver.own])
    build.note(name, slot)
    return slot


# From untyped memory


def _from_untyped(build: Build, ref: SlotRef, below: list[SlotRef]) -> None:
    """Copies of the untyped itself first, then its objects in the order of their addresses, then their caps."""
    spec, name = build.spec, build.spec.slots[ref].object
    for child in [c for c in below if spec.slots[c].object == name]:
        derive(build, child, build.at[ref])
    groups: dict[str, list[SlotRef]] = {}
    for child in below:
        if spec.slots[child].object != name:
            groups.setdefault(spec.slots[child].object, []).append(child)
    whole = untyped_at(build, build.at[ref]).size_bits == obj.ASID_POOL_BITS
    for pool in [other for other in groups if whole and spec.objects[other].kind == "asid_pool"]:
        build.pools.append((build.at[ref], pool, groups.pop(pool)))
    made = make_objects(build, build.at[ref], list(groups))
    for other, refs in groups.items():
        if spec.objects[other].kind == "asid_pool":
            build.temporary.append(made[other])
            build.pools.append((made[other], other, refs))
        else:
            _hand_out(build, refs, made[other])
    _create_loose(build, build.at[ref], build.loose.pop(name, []))


def _hand_out(build: Build, refs: list[SlotRef], original: int) -> None:
    """The original cap is the one that is wanted, or caps like it, which take its place when it is deleted."""
    spec = build.spec
    first, cap = refs[0], spec.slots[refs[0]]
    kind = spec.kind_of(cap.object)
    is_plain = kind in ("cnode", "pt", "ut") or _is_original(kind, cap)
    if len(refs) == 1 and is_plain and spec.objects[first[0]].kind == "cnode":
        build.at[first] = original
        return
    build.temporary.append(original)
    build.originals[cap.object] = original
    for ref in refs:
        derive(build, ref, original)


def _is_original(kind: str, cap: Cap) -> bool:
    """Whether a cap is as Retype makes it."""
    full = {"ep": rt.ALL, "notification": rt.READ_WRITE, "frame": rt.READ_WRITE}.get(kind, 0)
    return cap.rights == full and not cap.badge


def make_objects(build: Build, untyped: int, names: list[str]) -> dict[str, int]:
    """Make objects in the untyped in an own slot; returns the own slots of their first caps."""
    found: dict[str, int] = {}
    if not names:
        return found
    source = untyped_at(build, untyped)
    addresses = _addresses(build, source, names)
    next_free = source.paddr
    for name in sorted(names, key=lambda name: addresses[name]):
        build.now = name
        _check_place(build, source, name, addresses[name], next_free)
        for bits in fillers(next_free, addresses[name]):
            retype(build, untyped, obj.UNTYPED, bits, build.temp())
        found[name] = build.slot()
        _retype_object(build, untyped, name, found[name])
        next_free = addresses[name] + (1 << build.sizes[name])
    return found


def _addresses(build: Build, source: UntypedCap, names: list[str]) -> dict[str, int]:
    build.now = names[0]
    given = {name: build.spec.objects[name].get("paddr") for name in names}
    fixed = {name: (paddr, build.sizes[name]) for name, paddr in given.items() if isinstance(paddr, int)}
    others = {name: build.sizes[name] for name in names if name not in fixed}
    try:
        return place((source.paddr, source.size_bits), fixed, others)
    except ValueError as error:
        raise BuildError(f"the untyped at {source.paddr:#x}, from which it is made: {error}") from None


def _check_place(build: Build, source: UntypedCap, name: str, address: int, next_free: int) -> None:
    bits = build.sizes[name]
    if address < source.paddr or address + (1 << bits) > source.paddr + (1 << source.size_bits):
        raise BuildError(f"{address:#x} is not in the untyped at {source.paddr:#x} from which it is made")
    if address < next_free:
        raise BuildError(f"{address:#x} overlaps another object made from the untyped at {source.paddr:#x}")
    outer = build.names.get(("ut", source.paddr, source.size_bits))
    if outer is not None and build.spec.objects[name].kind == "ut" and bits == source.size_bits:
        raise BuildError(f"it is all of {outer}, so that one could not tell which of them a cap is to")


def _retype_object(build: Build, untyped: int, name: str, dest: int) -> None:
    thing = build.spec.objects[name]
    if thing.kind == "frame":
        retype(build, untyped, FRAMES[thing.number("size")], 0, dest)
    else:
        bits = thing.number("bits") if thing.kind == "cnode" else build.sizes[name]
        retype(build, untyped, RETYPE[thing.kind], bits if thing.kind in _SIZED else 0, dest)
    if thing.kind != "asid_pool":
        build.note(name, dest)


def retype(build: Build, untyped: int, object_type: int, bits: int, dest: int) -> None:
    """One new object into an own slot."""
    words = [object_type, bits, 0, 0, dest, 1]
    build.driver.call(untyped, "Untyped_Retype", words, [build.driver.own])


def _make_pools(build: Build) -> None:
    """ASID pools get the places in the kernel's table in order; those in between go to pools that are deleted."""
    high = 1
    for wanted, untyped, name, refs in _numbered(build):
        build.now = name
        while high < wanted:
            _make_pool(build, scratch(build, obj.UNTYPED, obj.ASID_POOL_BITS), build.temp())
            high += 1
        dest = build.slot()
        _make_pool(build, untyped, dest)
        build.note(name, dest)
        high += 1
        if not refs:
            _keep(build, name, dest)
        else:
            build.at[refs[0]] = dest
        for ref in refs[1:]:
            derive(build, ref, dest)


def _numbered(build: Build) -> list[tuple[int, int, str, list[SlotRef]]]:
    """The pools to be made by their place in the table; those that do not say theirs get what is left."""
    numbers = {name: build.spec.objects[name].get("asid_high") for _, name, _ in build.pools}
    free = (number for number in count(1) if number not in numbers.values())
    found = {name: number if isinstance(number, int) else next(free) for name, number in numbers.items()}
    return sorted((found[name], untyped, name, refs) for untyped, name, refs in build.pools)


def _make_pool(build: Build, untyped: int, dest: int) -> None:
    caps = [untyped, build.driver.own]
    build.driver.call(build.special["asid_control"], "ASIDControl_MakePool", [dest, WORD_BITS], caps)


# From spare memory


def _create_spare(build: Build) -> None:
    """Objects that nothing in the derivation tree accounts for: in the untyped that covers them, or in spare memory."""
    spec = build.spec
    loose = [
        name for name in sorted(spec.objects)
        if name not in build.given and not _is_inside(build, name) and spec.objects[name].kind != "irq"
    ]  # fmt: skip
    outer = []
    for name in loose:
        if name in spec.covers:
            build.loose.setdefault(spec.covers[name], []).append(name)
        else:
            outer.append(name)
    if outer:
        build.now = outer[0]
        bits = sum(1 << build.sizes[name] for name in outer).bit_length() + 1
        source = _spare_for(build, outer, max(bits, _OWN_SPARE_BITS))
        build.scratch.append(spare(build, without=source))
        _create_loose(build, source, outer)
    for name in sorted(name for name, thing in spec.objects.items() if thing.kind == "irq"):
        _spare_irq(build, name)


def _create_loose(build: Build, source: int, names: list[str]) -> None:
    """Objects that no cap accounts for, and what the untypeds among them cover."""
    made = make_objects(build, source, names)
    for name, slot in made.items():
        if build.spec.objects[name].kind == "asid_pool":
            build.temporary.append(slot)
            build.pools.append((slot, name, []))
        else:
            _keep(build, name, slot)
    for name in [name for name in made if name in build.loose]:
        _create_loose(build, build.any_cap(name), build.loose.pop(name))


def _is_inside(build: Build, name: str) -> bool:
    """Whether a cap in the specification is what the object is derived from."""
    return any(ref in build.spec.cdt and _made_from(build, ref) for ref in build.refs_of(name))


def _made_from(build: Build, ref: SlotRef) -> bool:
    parent = build.spec.slots[build.spec.cdt[ref]]
    return build.spec.kind_of(parent.object) == "ut" and parent.object != build.spec.slots[ref].object


def spare(build: Build, bits: int = _OWN_SPARE_BITS, without: int = -1) -> int:
    """An own slot with ordinary memory of which the specification makes nothing, and from which nothing was made."""
    parents = set(build.spec.cdt.values())
    used = {without, *build.scratch}
    used |= {slot for ref, slot in build.at.items() if ref in parents or build.spec.slots[ref].object in build.loose}
    for index, slot in sorted(build.driver.cnode.slots.items()):
        cap = slot.cap
        fits = isinstance(cap, UntypedCap) and not cap.is_device and cap.size_bits >= bits
        if fits and index not in used and not has_children(slot):
            return index
    raise BuildError(f"no unused untyped of 2**{bits} bytes is left to build with")


def _spare_for(build: Build, names: list[str], bits: int) -> int:
    """Spare memory for all objects that are derived from nothing; if there is none, the largest of them is to blame."""
    try:
        return spare(build, bits)
    except BuildError as error:
        build.now = max(names, key=lambda name: build.sizes[name])
        raise BuildError(
            f"it has 2**{build.sizes[build.now]} bytes, and {len(names)} objects that are derived from nothing "
            f"are made of one untyped: {error}"
        ) from None


def scratch(build: Build, object_type: int, bits: int = 0) -> int:
    """An own slot with a new object that is only needed while building."""
    if not build.scratch or not _has_room(build, build.scratch[0], obj.object_size_bits(object_type, bits)):
        build.scratch.insert(0, spare(build))
    slot = build.temp()
    retype(build, build.scratch[0], object_type, bits, slot)
    return slot


def _has_room(build: Build, slot: int, bits: int) -> bool:
    cap = untyped_at(build, slot)
    used = cap.free_offset if has_children(build.driver.cnode.slot(slot)) else 0
    return (-(-used >> bits) << bits) + (1 << bits) <= 1 << cap.size_bits


def _keep(build: Build, name: str, slot: int) -> None:
    """A loose object: if there is one cap to it, that is moved into place; else copies are, and this one stays."""
    refs = [ref for ref in build.refs_of(name) if ref not in build.spec.cdt]
    cap = build.spec.slots[refs[0]] if refs else None
    if len(refs) == 1 and cap is not None and build.spec.objects[refs[0][0]].kind == "cnode":
        kind = build.spec.kind_of(name)
        if kind in ("cnode", "pt", "ut") or _is_original(kind, cap):
            build.at[refs[0]] = slot
            return
    build.originals[name] = slot
    for ref in refs:
        derive(build, ref, slot)


def _spare_irq(build: Build, name: str) -> None:
    """An interrupt whose handler caps are derived from nothing in the specification."""
    spec, refs = build.spec, build.refs_of(name)
    if any(ref in spec.cdt and spec.slots[spec.cdt[ref]].object == "irq_control" for ref in refs):
        return
    build.originals[name] = _issue(build, build.special["irq_control"], name)
    for ref in refs:
        if ref not in spec.cdt:
            derive(build, ref, build.originals[name])
