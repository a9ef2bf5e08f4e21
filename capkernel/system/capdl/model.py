"""What a capDL specification says: objects, the caps in their slots, who was derived from whom.

Names of array members are written with their index, ``name[3]``. Two specifications that were read are equal exactly
if their normalised texts are.
"""

import re
from typing import Final

from attrs import define, field, frozen

from capkernel.system.diagnostics import Location

SlotRef = tuple[str, int]
"""A slot: the name of the object that contains it, and its number."""

Value = int | str | bool | tuple[int, ...] | tuple[str, ...]
"""What a parameter of an object can be."""

OBJECT_KINDS: Final[tuple[str, ...]] = (
    "ut", "cnode", "tcb", "ep", "notification", "rtreply", "sc", "frame", "pt", "asid_pool", "irq",
)  # fmt: skip
"""The object types of a RISC-V system with the MCS kernel."""

CONTAINERS: Final[frozenset[str]] = frozenset(("cnode", "tcb", "pt", "asid_pool", "irq"))
"""Objects that have slots."""

SPECIAL: Final[frozenset[str]] = frozenset(("irq_control", "asid_control", "domain", "sched_control"))
"""Caps to what exists once, and is not declared as an object."""

DOMAINS: Final = "the domain schedule"
"""Its place in ``Spec.where``; no object has such a name."""

TCB_SLOTS: Final[dict[str, int]] = {
    "cspace": 0, "vspace": 1, "reply_slot": 2, "caller_slot": 3, "ipc_buffer_slot": 4, "fault_ep_slot": 5,
    "sc_slot": 6, "temp_fault_ep_slot": 7, "bound_notification": 8,
}  # fmt: skip
"""The numbers that stand for the symbolic slots of a TCB. Slot 7 is the timeout handler."""
TCB_SLOT_NAMES: Final[dict[int, str]] = {number: name for name, number in TCB_SLOTS.items()}

PARAMETERS: Final[dict[str, tuple[str, ...]]] = {
    "ut": ("bits", "paddr"), "cnode": ("bits",), "ep": (), "notification": (), "rtreply": (), "pt": (),
    "irq": (), "asid_pool": ("asid_high",), "frame": ("size", "paddr", "fill"),
    "sc": ("bits", "period", "budget", "data"),
    "tcb": ("addr", "ip", "sp", "prio", "max_prio", "affinity", "init", "fault_ep", "dom", "fpu_disabled", "resume"),
}  # fmt: skip
"""The parameters of each kind of object, in the order of the normalised text."""

CAP_PARAMETERS: Final[dict[str, tuple[str, ...]]] = {
    "ep": ("rights", "badge"), "notification": ("rights", "badge"), "cnode": ("guard", "guard_size"),
    "frame": ("rights", "uncached", "asid", "mapping"), "pt": ("asid",), "rtreply": (), "ut": (), "tcb": (),
    "sc": (), "asid_pool": (), "irq": (), "sched_control": ("core",), "irq_control": (), "asid_control": (),
    "domain": (),
}  # fmt: skip
"""The parameters of a cap to each kind of object."""


@frozen
class Object:
    """An object: its type, and those of its parameters that are given."""

    kind: str
    params: tuple[tuple[str, Value], ...] = ()

    def get(self, name: str) -> Value | None:
        """A parameter; None if it is not given."""
        return dict(self.params).get(name)

    def number(self, name: str, default: int = 0) -> int:
        """A parameter that is a number."""
        value = self.get(name)
        return value if isinstance(value, int) else default


def make_object(kind: str, **params: Value | None) -> Object:
    """An object with its parameters in their normal order."""
    given = {name: value for name, value in params.items() if value is not None}
    return Object(kind, tuple((name, given[name]) for name in PARAMETERS[kind] if name in given))


@frozen
class Cap:
    """A cap to an object; fields that its kind does not have keep their defaults. Rights are ``abi.rights`` bits.

    For frames ``rights`` uses the GRANT bit for X. ``mapping`` is the entry of a page table that this cap made.
    """

    object: str
    rights: int = 0
    badge: int = 0
    guard: int = 0
    guard_size: int = 0
    uncached: bool = False
    asid: tuple[int, int] | None = None
    mapping: SlotRef | None = None
    core: int = 0


@frozen
class Domains:
    """The domain schedule: (domain, duration) entries, the start (None: no start), and the index of the first."""

    schedule: tuple[tuple[int, int], ...]
    start: int | None = 0
    index_shift: int = 0


@define
class Spec:
    """A specification. ``cdt`` leads from a slot to the one it was derived from, ``covers`` from an object to its ut.

    ``irqs`` are the irq objects by interrupt number. ``where`` is where objects (of an array, its name) and slots stand
    in the text, as far as there is one; it is not compared.
    """

    objects: dict[str, Object] = field(factory=dict)
    slots: dict[SlotRef, Cap] = field(factory=dict)
    cdt: dict[SlotRef, SlotRef] = field(factory=dict)
    covers: dict[str, str] = field(factory=dict)
    irqs: dict[int, str] = field(factory=dict)
    domains: Domains | None = None
    arch: str = "riscv"
    where: dict[str | SlotRef, Location] = field(factory=dict, eq=False, repr=False)

    def said(self, about: str | SlotRef) -> str:
        """``file:line:column: `` where something stands, or nothing if that is not known."""
        name = about if isinstance(about, str) else about[0]
        found = [self.where[key] for key in (about, name, split_name(name)[0]) if key in self.where]
        return f"{found[0]}: " if found else ""

    def kind_of(self, name: str) -> str:
        """The kind of an object, or of a special cap, by name."""
        return name if name in SPECIAL else self.objects[name].kind

    def slots_in(self, name: str) -> dict[int, Cap]:
        """The caps in an object, by slot number."""
        numbers = sorted(number for owner, number in self.slots if owner == name)
        return {number: self.slots[name, number] for number in numbers}

    def holdings(self) -> dict[str, dict[int, Cap]]:
        """The caps in every object that has some, in the order of slot numbers."""
        found: dict[str, dict[int, Cap]] = {}
        for owner, number in sorted(self.slots):
            found.setdefault(owner, {})[number] = self.slots[owner, number]
        return found


_INDEXED = re.compile(r"(.*)\[(\d+)\]\Z")


def split_name(name: str) -> tuple[str, int | None]:
    """A name without its index, and the index."""
    found = _INDEXED.match(name)
    return (found[1], int(found[2])) if found else (name, None)


def name_key(name: str) -> tuple[str, int]:
    """For sorting: members of an array by number."""
    base, index = split_name(name)
    return base, -1 if index is None else index


def slot_key(ref: SlotRef) -> tuple[tuple[str, int], int]:
    """For sorting slots."""
    return name_key(ref[0]), ref[1]
