"""Which page of which memory object is where, and who is asked for it: the table, without any of the memory.

A page's content is with its pager, or in a frame; or with the default pager, which takes a page over for good when the
object's own pager has not answered in time, or cannot be told that its page was changed.
"""

from typing import Any

from attrs import define, field

from capkernel.protocols.mach_memory import ObjectInfo


@define(eq=False)
class Page:
    """A page. ``frame`` is its place in memory, or None; ``waiting`` are the children that touched it meanwhile."""

    of: "MemoryObject"
    number: int
    frame: int | None = None
    is_dirty: bool = False
    is_default: bool = False
    """Whether the default pager has it."""
    waiting: list[int] = field(factory=list)
    is_asked: bool = False
    until_us: int = 0
    """When the patience with its own pager ends."""


@define(eq=False)
class MemoryObject:
    """A memory object: the right to its ``port`` at the pager, the name of its control port, its pages by number."""

    number: int
    right: Any
    port: int
    control: int
    pages: dict[int, Page] = field(factory=dict)
    requests: int = 0
    default_requests: int = 0
    supplies: int = 0
    returns: int = 0
    default_returns: int = 0
    unasked: int = 0

    def page(self, number: int) -> Page:
        """A page, known from now on."""
        return self.pages.setdefault(number, Page(self, number))

    @property
    def info(self) -> ObjectInfo:
        """How it stands."""
        resident = sum(page.frame is not None for page in self.pages.values())
        return ObjectInfo(
            resident, self.requests, self.default_requests, self.supplies, self.returns, self.default_returns,
            self.unasked,
        )  # fmt: skip


@define
class Mapping:
    """Pages of an object at an address of a child."""

    child: int
    address: int
    pages: int
    object: MemoryObject


@define
class MemoryTable:
    """All objects and where they are mapped; ``frames`` is how many there are, ``resident`` who has them, in order."""

    frames: int
    objects: dict[int, MemoryObject] = field(factory=dict)
    mappings: list[Mapping] = field(factory=list)
    resident: list[Page] = field(factory=list)
    next_object: int = 1

    def add(self, right: Any, port: int, control: int) -> MemoryObject:
        """A new object."""
        made = MemoryObject(self.next_object, right, port, control)
        self.objects[made.number] = made
        self.next_object += 1
        return made

    def find(self, child: int, address: int, page_bytes: int) -> Page | None:
        """The page that a child has at an address."""
        for mapping in self.mappings:
            number = (address - mapping.address) // page_bytes
            if mapping.child == child and 0 <= number < mapping.pages:
                return mapping.object.page(number)
        return None

    def free_frame(self) -> int | None:
        """A frame with nothing in it."""
        taken = {page.frame for page in self.resident}
        return next((frame for frame in range(self.frames) if frame not in taken), None)

    def waiting(self) -> list[Page]:
        """Pages that somebody waits for."""
        return [page for each in self.objects.values() for page in each.pages.values() if page.waiting]

    def forget_child(self, child: int) -> None:
        """A child has ended."""
        self.mappings = [mapping for mapping in self.mappings if mapping.child != child]
        for page in self.waiting():
            page.waiting = [other for other in page.waiting if other != child]
