"""The state of building a system from a specification, and its first steps: what boot gives, what has to be made.

While it is built, every cap of the specification lies in a slot of the initial task's own CNode: ``at`` says where.
Each is derived from what it is to be derived from, so that later it only has to be moved.
"""

from attrs import define, field

from capkernel.abi import bootinfo as bi
from capkernel.kernel.caps import UntypedCap
from capkernel.kernel.objects import NULL
from capkernel.system.capdl.checks import is_cap, slot_text
from capkernel.system.capdl.model import SPECIAL, Cap, SlotRef, Spec, slot_key
from capkernel.tools.capdl.driver import Driver
from capkernel.tools.capdl.export import export
from capkernel.tools.capdl.keys import SPECIAL_CAPS, Key, key_of
from capkernel.tools.capdl.places import sizes_in

BOOT_PREFIX = "boot_"


class BuildError(Exception):
    """A specification cannot be built; the message says what of it, where that stands, and why."""


@define
class Build:
    """A system being built.

    ``fresh`` is the specification of the system right after boot. ``given`` are the objects of ``spec`` that boot
    made; ``whole`` is true if the specification describes the initial task too. ``originals`` are own slots with the
    first cap to an object that is to stay with the initial task, ``temporary`` own slots to be emptied at the end,
    ``gaps`` identifiers of address spaces that were given out only to get to the next, ``scratch`` own slots with
    memory for what is only needed while building, ``revoked`` own slots of such objects whose copies are to go too,
    ``pools`` the ASID pools still to be made: untyped, name, slots. ``loose`` are the objects that nothing in the
    derivation tree accounts for, by the untyped that covers them. ``stand_ins`` are own slots with objects that take
    the place of what a thread is not to have, by type. ``now`` is what is being made.
    """

    driver: Driver
    spec: Spec
    fresh: Spec
    given: set[str]
    at: dict[SlotRef, int] = field(factory=dict)
    originals: dict[str, int] = field(factory=dict)
    temporary: list[int] = field(factory=list)
    names: dict[Key, str] = field(factory=dict)
    special: dict[str, int] = field(factory=dict)
    gaps: set[SlotRef] = field(factory=set)
    scratch: list[int] = field(factory=list)
    revoked: list[int] = field(factory=list)
    pools: list[tuple[int, str, list[SlotRef]]] = field(factory=list)
    loose: dict[str, list[str]] = field(factory=dict)
    stand_ins: dict[int, int] = field(factory=dict)
    now: str | SlotRef = ""
    sizes: dict[str, int] = field(init=False)
    """log2 of the bytes of each object."""
    _held: dict[str, dict[int, Cap]] = field(init=False)
    _refs: dict[str, list[SlotRef]] = field(init=False)
    _used: set[int] = field(factory=set)
    _free: int = 0

    def __attrs_post_init__(self) -> None:
        """What is looked up again and again."""
        self.sizes = sizes_in(self.spec)
        self._held = self.spec.holdings()
        self._refs = {}
        for ref in sorted(self.spec.slots, key=slot_key):
            if is_cap(self.spec, ref):
                self._refs.setdefault(self.spec.slots[ref].object, []).append(ref)

    def place(self) -> str:
        """What is being made, with its place in the text if it has one."""
        text = self.now if isinstance(self.now, str) else slot_text(self.spec, self.now)
        return f"{self.spec.said(self.now)}{text}"

    def slots_in(self, name: str) -> dict[int, Cap]:
        """The caps in an object of the specification, by slot number."""
        return self._held.get(name, {})

    @property
    def own_name(self) -> str:
        """The initial task's CNode, as the specification after boot calls it."""
        return next(cap.object for ref, cap in self.fresh.slots.items() if self._is_own_root(ref, cap))

    def _is_own_root(self, ref: SlotRef, cap: Cap) -> bool:
        return ref[1] == bi.CAP_INIT_CNODE and self.fresh.kind_of(cap.object) == "cnode" and ref[0] == cap.object

    @property
    def own_tcb(self) -> str:
        """The initial task's TCB, as the specification after boot calls it."""
        return next(name for name, thing in self.fresh.objects.items() if thing.kind == "tcb")

    @property
    def whole(self) -> bool:
        """Whether the specification describes the initial task too."""
        return self.own_tcb in self.given

    def slot(self) -> int:
        """An own slot that neither boot nor the specification uses."""
        if not self._used:
            self._used = {ref[1] for spec in (self.fresh, self.spec) for ref in spec.slots if ref[0] == self.own_name}
            self._free = max(bi.NUM_INITIAL_CAPS, self._last_of_boot())
        while self._free in self._used:
            self._free += 1
        if self._free >= 1 << self.driver.cnode.radix:
            raise BuildError("the initial task's CNode is too small to build this in")
        self._free += 1
        return self._free - 1

    def _last_of_boot(self) -> int:
        return 1 + max(index for index, slot in self.driver.cnode.slots.items() if slot.cap is not NULL)

    def temp(self) -> int:
        """An own slot to be emptied at the end."""
        self.temporary.append(self.slot())
        return self.temporary[-1]

    def note(self, name: str, slot: int) -> None:
        """The object in this slot has this name."""
        key = key_of(self.driver.cap_at(slot))
        if key is not None:
            self.names[key] = name

    def refs_of(self, name: str) -> list[SlotRef]:
        """The slots with caps to an object, but not its mappings."""
        return self._refs.get(name, [])

    def any_cap(self, name: str, rights: int = 0) -> int:
        """An own slot with a cap to an object, with these rights if there is one."""
        if name in self.originals:
            return self.originals[name]
        found = [ref for ref in self.refs_of(name) if ref in self.at]
        better = [ref for ref in found if self.spec.slots[ref].rights & rights == rights]
        if found:
            return self.at[(better or found)[0]]
        raise BuildError(f"there is no cap to {name} from which it could be made")


def begin(driver: Driver, spec: Spec) -> Build:
    """Compare the specification with what boot gives, and find the caps that it gives."""
    fresh = export(driver.state)
    given = {name for name in spec.objects if name.startswith(BOOT_PREFIX) and name in fresh.objects}
    build = Build(driver, spec, fresh, given)
    for index, slot in sorted(driver.cnode.slots.items()):
        build.note(_fresh_name(build, index), index)
        special = SPECIAL_CAPS.get(type(slot.cap))
        if special is not None:
            build.special[special] = index
    build.names = {key: name for key, name in build.names.items() if name in given}
    return build


def _fresh_name(build: Build, index: int) -> str:
    cap = build.fresh.slots.get((build.own_name, index))
    return cap.object if cap is not None else ""


def match_boot(build: Build) -> None:
    """Caps that are derived from nothing are those of boot; what stands in the way goes elsewhere first."""
    own, fresh = build.own_name, build.fresh
    free = {ref: cap.object for ref, cap in sorted(fresh.slots.items()) if ref[0] == own and ref not in fresh.cdt}
    _take_roots(build, free)
    for ref, slot in list(build.at.items()):
        if ref != (own, slot) and (own, slot) in build.spec.slots:
            build.at[ref] = _evacuate(build, slot)
    for found, name in free.items():
        _put_aside(build, found, name)


def _take_roots(build: Build, free: dict[SlotRef, str]) -> None:
    """Find boot's caps for the slots that nothing is above; ``free`` are those that are left."""
    spec = build.spec
    roots = [ref for ref in sorted(spec.slots, key=slot_key) if ref not in spec.cdt and is_cap(spec, ref)]
    for ref in sorted(roots, key=lambda ref: ref not in free):
        wanted = spec.slots[ref].object
        if wanted not in build.given and wanted not in SPECIAL:
            continue
        build.now = ref
        same = [found for found, name in free.items() if name == wanted]
        if same:
            chosen = ref if ref in same else same[0]
            build.at[ref] = chosen[1]
            del free[chosen]
        elif wanted in SPECIAL:
            _copy_special(build, ref, wanted)


def _put_aside(build: Build, found: SlotRef, name: str) -> None:
    """One of boot's caps that the specification has no slot for."""
    is_moved = found in build.spec.slots
    slot = _evacuate(build, found[1]) if is_moved else found[1]
    if is_moved or build.whole:
        build.temporary.append(slot)
    if name not in build.special:
        build.originals.setdefault(name, slot)


def _copy_special(build: Build, ref: SlotRef, name: str) -> None:
    """Control caps can be copied, except that for interrupts, of which there is one."""
    if name not in build.special or name == "irq_control":
        raise BuildError(f"there is no second {name} cap")
    build.at[ref] = build.slot()
    build.driver.copy(build.special[name], build.at[ref], 15)


def _evacuate(build: Build, slot: int) -> int:
    """Move one of boot's caps out of a slot that the specification uses for something else."""
    to = build.slot()
    build.driver.move(slot, to)
    for name, index in build.special.items():
        if index == slot:
            build.special[name] = to
    return to


def untyped_at(build: Build, slot: int) -> UntypedCap:
    """The untyped cap in an own slot."""
    cap = build.driver.cap_at(slot)
    if not isinstance(cap, UntypedCap):
        raise BuildError(f"own slot {slot} holds no untyped")
    return cap
