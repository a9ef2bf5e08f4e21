"""What a capDL file says before its names are resolved: declarations, each with where it stands."""

from attrs import frozen

from capkernel.system.capdl.model import Object
from capkernel.system.diagnostics import Location

Range = tuple[int | None, int | None]
"""First and last index, inclusive; None: to the end of the array."""


@frozen
class NameRef:
    """A name, and which members of an array are meant: None is a single object, an empty tuple all members."""

    name: str
    ranges: tuple[Range, ...] | None
    where: Location

    def __str__(self) -> str:
        return self.name if self.ranges is None else f"{self.name}[...]"


@frozen
class ObjectDecl:
    """``a/b/name[n] = kind (params) { ... }``; the path before the name are the untypeds that cover it."""

    path: tuple[NameRef, ...]
    object: Object
    inner: tuple["ObjectDecl | NameRef", ...]


@frozen
class Place:
    """A slot as it is written: an object and a number, or a name given to a slot."""

    container: NameRef | None
    slot: int
    name: NameRef | None
    where: Location


@frozen
class CapParams:
    """The parameters of a cap, as far as they are given."""

    rights: int | None = None
    masked: int | None = None
    badge: int | None = None
    guard: int | None = None
    guard_size: int | None = None
    uncached: bool | None = None
    asid: tuple[int, int] | None = None
    mapping: Place | None = None
    core: int | None = None


@frozen
class Mapping:
    """``slot: name = object (params) - child_of parent``; ``is_copy`` if the target is the name of a slot."""

    slot: int | None
    given_name: NameRef | None
    target: NameRef
    is_copy: bool
    params: CapParams
    parent: Place | None
    where: Location


@frozen
class CapDecl:
    """``container { mapping ... }``."""

    container: NameRef
    mappings: tuple[Mapping, ...]


@frozen
class NameDecl:
    """``name = (object, slot)``."""

    name: str
    place: Place


@frozen
class IrqDecl:
    """``number: irq``."""

    number: int | None
    target: NameRef


@frozen
class CdtDecl:
    """``parent { child ... }``."""

    parent: Place
    children: tuple["CdtDecl | Place", ...]


@frozen
class DomainDecl:
    """The items of a ``domains`` section."""

    schedule: tuple[tuple[int, int], ...] | None
    start: int | None
    has_start: bool
    index_shift: int | None
    where: Location


Declaration = ObjectDecl | CapDecl | NameDecl | IrqDecl | CdtDecl | DomainDecl


@frozen
class Module:
    """A whole file."""

    arch: str
    declarations: tuple[Declaration, ...]
