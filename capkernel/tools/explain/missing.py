"""What was missing, as values that a program can act on: one class a kind, each with what exactly would be right.

``grantable`` says whether anything can be given at all; if not, ``says`` tells why. ``Place`` names a slot.
"""

from typing import ClassVar

from attrs import AttrsInstance, asdict, frozen

from capkernel.abi import rights as rt
from capkernel.abi.words import WORD_MASK

Plain = str | int | bool | None | list["Plain"] | dict[str, "Plain"]
"""What JSON can say."""


def plain(value: AttrsInstance) -> dict[str, Plain]:
    """A record as JSON says it."""
    return asdict(value, value_serializer=lambda _, __, item: list(item) if isinstance(item, tuple) else item)


@frozen
class Place:
    """A slot: the kind and physical address of what contains it, and its index."""

    container: str
    paddr: int
    index: int

    def __str__(self) -> str:
        return f"{self.container}@{self.paddr:#x}[{self.index}]"


@frozen
class Missing:
    """What was missing. ``says`` puts it in a sentence."""

    kind: ClassVar[str] = "unexplained"
    grantable: ClassVar[bool] = True

    @property
    def says(self) -> str:
        """In words."""
        return "the kernel refused for a reason that no rule here knows"

    def data(self) -> dict[str, Plain]:
        """As JSON: kind, whether anything can be given, the sentence, and the fields."""
        head: dict[str, Plain] = {"kind": self.kind, "grantable": self.grantable, "says": self.says}
        return head | plain(self)


@frozen
class Right(Missing):
    """The cap in ``place`` has the rights ``held`` but needs ``wanted``."""

    kind = "right"
    place: Place
    held: int
    wanted: int

    @property
    def says(self) -> str:
        return f"the cap in {self.place} needs rights {rt.describe(self.wanted)}, it has {rt.describe(self.held)}"


@frozen
class CapOfKind(Missing):
    """``place`` must hold a cap of one of these kinds; ``that`` is a further condition, empty if there is none."""

    kind = "cap"
    place: Place
    found: str
    kinds: tuple[str, ...]
    that: str = ""

    @property
    def says(self) -> str:
        wanted = " or ".join(self.kinds) + (f" {self.that}" if self.that else "")
        return f"{self.place} must hold a cap to a {wanted}; it holds {self.found}"


@frozen
class Guard(Missing):
    """The CNode cap in ``place`` must have this guard for the address to match."""

    kind = "guard"
    place: Place
    held: int
    held_size: int
    guard: int
    guard_size: int

    @property
    def says(self) -> str:
        return (
            f"the CNode cap in {self.place} has guard {self.held:#x} of {self.held_size} bits; for this address it "
            f"must be {self.guard:#x} of {self.guard_size} bits"
        )


@frozen
class Address(Missing):
    """The slot on the path would be named by this index and depth."""

    kind = "address"
    index_name: str
    index: int
    depth_name: str
    depth: int

    @property
    def says(self) -> str:
        return f"the slot on this path has {self.index_name} {self.index:#x} at {self.depth_name} {self.depth}"


@frozen
class EmptySlot(Missing):
    """``place`` must be empty."""

    kind = "empty slot"
    place: Place
    found: str

    @property
    def says(self) -> str:
        return f"{self.place} must be empty; it holds {self.found}"


@frozen
class Argument(Missing):
    """An argument, or the bits of it in ``mask``, must lie in low .. high, and be a multiple of ``multiple_of``."""

    kind = "argument"
    name: str
    value: int
    low: int
    high: int
    multiple_of: int = 1
    mask: int = WORD_MASK

    @property
    def says(self) -> str:
        part = "" if self.mask == WORD_MASK else f" & {self.mask:#x}"
        aligned = f", a multiple of {self.multiple_of:#x}" if self.multiple_of > 1 else ""
        return f"{self.name}{part} is {self.value:#x}; it must lie in {self.low:#x} .. {self.high:#x}{aligned}"


@frozen
class Distinct(Missing):
    """Two slots that the arguments name must not be the same."""

    kind = "distinct slots"
    one: str
    other: str

    @property
    def says(self) -> str:
        return f"{self.one} and {self.other} name the same slot; they must differ"


@frozen
class Words(Missing):
    """The message must be so long."""

    kind = "message"
    words: int
    caps: int
    sent_words: int
    sent_caps: int

    @property
    def says(self) -> str:
        return (
            f"the message must have {self.words} words and {self.caps} caps; it has {self.sent_words} and "
            f"{self.sent_caps}"
        )


@frozen
class Memory(Missing):
    """The untyped in ``place`` must have so many bytes free; ``free_bits`` is the least untyped that would do."""

    kind = "memory"
    place: Place
    free: int
    wanted: int
    size_bits: int

    @property
    def says(self) -> str:
        return (
            f"the untyped in {self.place} has {self.free:#x} bytes left; {self.wanted:#x} are needed (an unused "
            f"untyped of {self.size_bits} bits would do)"
        )


@frozen
class NoChildren(Missing):
    """Nothing may be derived from the cap in ``place``: revoke it first."""

    kind = "children exist"
    place: Place
    children: tuple[Place, ...]

    @property
    def says(self) -> str:
        return f"caps were derived from {self.place}: {_listed(self.children)}; revoke it first"


@frozen
class OnlyCap(Missing):
    """The cap in ``place`` must be the only one to its object: delete the others first."""

    kind = "other caps exist"
    place: Place
    others: tuple[Place, ...]

    @property
    def says(self) -> str:
        return f"there are other caps to the object of {self.place}: {_listed(self.others)}; delete them first"


@frozen
class SecondCap(Missing):
    """``place`` holds the last cap to its object, so emptying it would destroy that: another one must exist."""

    kind = "last cap"
    place: Place
    found: str

    @property
    def says(self) -> str:
        return f"{self.place} holds the last cap to {self.found}; replacing it would destroy that"


@frozen
class ObjectState(Missing):
    """An object must be in another state. ``remedy`` is the invocation that brings it there, on object ``on``."""

    kind = "object state"
    object: str
    paddr: int
    field: str
    found: str
    wanted: str
    remedy: str
    on: str
    on_paddr: int

    @property
    def says(self) -> str:
        return (
            f"{self.object}@{self.paddr:#x}: {self.field} is {self.found}, must be {self.wanted} "
            f"({self.remedy} on {self.on}@{self.on_paddr:#x} does that)"
        )


@frozen
class Authority(Missing):
    """The thread whose authority is used needs a higher maximum controlled priority."""

    kind = "authority mcp"
    thread: str
    paddr: int
    mcp: int
    wanted: int

    @property
    def says(self) -> str:
        return f"{self.thread} has maximum controlled priority {self.mcp}; {self.wanted} is needed"


@frozen
class OtherCaller(Missing):
    """A thread may not do this to itself: another one must."""

    kind = "other caller"
    thread: str
    paddr: int

    @property
    def says(self) -> str:
        return f"{self.thread} may not do this to itself; another thread must"


@frozen
class SystemCall(Missing):
    """This needs another system call."""

    kind = "system call"
    used: str
    wanted: tuple[str, ...]

    @property
    def says(self) -> str:
        return f"the send half of {self.used} does not invoke this; use {' or '.join(self.wanted)}"


@frozen
class Table(Missing):
    """The address space must have page tables down to ``bits`` at this address."""

    kind = "unmapped table"
    root: int
    vaddr: int
    ends_at: int
    bits: int

    @property
    def says(self) -> str:
        return (
            f"no page table at {self.vaddr:#x} below the level of 2**{self.ends_at} bytes; tables down to entries of "
            f"2**{self.bits} bytes are needed"
        )


@frozen
class Unmapped(Missing):
    """The entry of 2**bits bytes at this address must be free."""

    kind = "mapping exists"
    root: int
    vaddr: int
    bits: int
    found: str

    @property
    def says(self) -> str:
        return f"{self.found} is mapped at {self.vaddr:#x} (entry of 2**{self.bits} bytes); unmap it first"


@frozen
class Mapped(Missing):
    """A frame must be mapped at this address with these permissions (letters of RWX)."""

    kind = "mapping"
    root: int
    vaddr: int
    ends_at: int
    found: str
    wanted: str
    frame: int | None
    """Physical address of the frame that is mapped there, if one is."""

    @property
    def says(self) -> str:
        return f"{self.vaddr:#x} must be mapped {self.wanted}; the entry of 2**{self.ends_at} bytes is {self.found}"


@frozen
class Time(Missing):
    """The budget is used up."""

    kind = "time"
    sched_context: int
    budget: int
    period: int
    next_refill: int

    @property
    def says(self) -> str:
        return (
            f"SchedContext@{self.sched_context:#x} gave {self.budget} ticks in {self.period}, and they are used; more "
            f"come at tick {self.next_refill}; a larger budget would last longer"
        )


@frozen
class Nothing(Missing):
    """Nothing can be given: no cap, right or state makes this succeed."""

    kind = "nothing to give"
    grantable = False
    why: str
    instead: tuple[str, ...] = ()

    @property
    def says(self) -> str:
        hint = f"; instead: {', '.join(self.instead)}" if self.instead else ""
        return f"nothing can be given: {self.why}{hint}"


def _listed(places: tuple[Place, ...], limit: int = 4) -> str:
    names = ", ".join(map(str, places[:limit]))
    return names + (f" and {len(places) - limit} more" if len(places) > limit else "")
