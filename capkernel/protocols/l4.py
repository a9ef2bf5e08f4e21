"""Address spaces made of each other, where their memory comes from, and kernel objects out of quotas: the L4 family.

A flexpage is a part of an address space: 2**bits bytes at a multiple of their size, and rights. It names no memory:
what lies there, if anything, is what an operation acts on.

Sources: J. Liedtke, *On µ-Kernel Construction* (SOSP 1995), section 4.1; *L4 eXperimental Kernel Reference Manual,
Version X.2*, "Mapping", "Fpages" and "Sigma0 RPC protocol"; the interfaces ``l4_task`` and ``l4_factory`` of L4Re.
"""

from abc import abstractmethod
from enum import Enum, IntFlag
from typing import Final

from attrs import field, frozen

from capkernel.abi.objects import PAGE_BITS
from capkernel.protocols.interface import Cap, Interface, operation
from capkernel.user.codec import MessageError

SPACE_BITS: Final = 38
"""log2 of the bytes that all addresses of a user program cover."""


class Rights(IntFlag):
    """What can be done with a page; values as in X.2."""

    NONE = 0
    EXECUTE = 1
    WRITE = 2
    READ = 4


R: Final = int(Rights.READ)
RW: Final = int(Rights.READ | Rights.WRITE)
RWX: Final = int(Rights.READ | Rights.WRITE | Rights.EXECUTE)


@frozen
class Fpage:
    """A flexpage: 2**``bits`` bytes at ``address``, and ``rights`` (bits of ``Rights``).

    Raises MessageError, a ValueError, if it is smaller than a page, larger than an address space, or not aligned to its
    size.
    """

    address: int
    bits: int = PAGE_BITS
    rights: int = field(default=RW)

    def __attrs_post_init__(self) -> None:
        """Refuse what is no flexpage."""
        if not PAGE_BITS <= self.bits <= SPACE_BITS:
            raise MessageError(f"a flexpage has 2**{PAGE_BITS} to 2**{SPACE_BITS} bytes, not 2**{self.bits}")
        if not 0 <= self.address < 1 << SPACE_BITS or self.address % self.size:
            raise MessageError(f"a flexpage of 2**{self.bits} bytes cannot lie at {self.address:#x}")
        if self.rights & ~RWX:
            raise MessageError(f"the rights of a flexpage are bits of {RWX}, not {self.rights:#x}")

    @property
    def size(self) -> int:
        """In bytes."""
        return 1 << self.bits

    @property
    def end(self) -> int:
        """The first address behind it."""
        return self.address + self.size

    def __contains__(self, address: int) -> bool:
        return self.address <= address < self.end


EVERYTHING: Final = Fpage(0, SPACE_BITS, RWX)
"""The complete address space, with all rights (X.2's ``complete``)."""


@frozen
class MemoryDescriptor:
    """Memory that a space has: where, and whether it is a device's. In the root space addresses are physical."""

    fpage: Fpage
    is_device: bool


@frozen
class SpaceInfo:
    """The pages that an address space has, how many it may have, and the page tables that were made for it."""

    pages: int
    limit: int
    tables: int


class Space(Interface, number=100):
    """An address space. Who has a cap to it may map into it, take its pages away, and map its pages elsewhere."""

    @operation(1)
    @abstractmethod
    async def map(self, target: "Space", fpage: Fpage, base: int) -> int:
        """Map what this space has in a flexpage to another, there from address ``base`` on, with at most the flexpage's
        rights and its own; returns for how many pages. What this space has not got is left out. What was there is
        unmapped first, with all that came of it, unless it is the same page of this space: then its rights grow.
        Malformed (``base`` is not aligned; the pages would come of themselves; ``target`` is none of this mapper's);
        NotPermitted (nobody can map into the root space); QuotaExceeded (the target has as many pages, or page tables,
        as it may; pages that were mapped before the last page table or slot was used up stay).
        """

    @operation(2)
    @abstractmethod
    async def grant(self, target: "Space", fpage: Fpage, base: int) -> int:
        """The same, but this space loses the pages: the target takes its place in the tree of mappings, and what was
        mapped elsewhere from here came of the target from now on, with no more rights than are granted. NotPermitted:
        the root space cannot lose pages.
        """

    @operation(3)
    @abstractmethod
    async def unmap(self, fpage: Fpage, flush: bool) -> int:
        """Take rights away from all pages that came, directly or not, of those that this space has in a flexpage; with
        ``flush`` from its own, too. A page without rights is gone. Returns how many pages changed. NotPermitted: the
        root space cannot lose pages.
        """

    @operation(4)
    @abstractmethod
    async def rights(self, address: int) -> int:
        """What this space may do at an address; 0 if it has no page there."""

    @operation(5)
    @abstractmethod
    async def clear(self) -> int:
        """Flush everything and give its page tables back: the task has ended. Returns how many pages it had."""

    @operation(6)
    @abstractmethod
    async def memory(self) -> list[MemoryDescriptor]:
        """What it has, in the fewest flexpages, by address. TooLarge if that is more than fits into a message."""

    @operation(7)
    @abstractmethod
    async def info(self) -> SpaceInfo:
        """How it stands."""


@frozen
class Sigma0Info:
    """Bytes of RAM and of devices that sigma0 had, and that it has still."""

    ram: int
    ram_left: int
    device: int
    device_left: int


class Sigma0(Interface, number=101):
    """Where all memory comes from: each page is handed out once, to whoever asks first. Addresses are physical."""

    @operation(1)
    @abstractmethod
    async def request(self, space: Space, fpage: Fpage, base: int) -> int:
        """Map these pages to a space of the client's at ``base``, all or none; returns for how many pages.
        AlreadyExists if one of them was handed out, NotFound if there is no such memory; what ``Space.map`` raises.
        """

    @operation(2)
    @abstractmethod
    async def any(self, space: Space, bits: int, base: int) -> Fpage:
        """The same for whichever RAM of that size is free; returns which it is. NoSpace."""

    @operation(3)
    @abstractmethod
    async def info(self) -> Sigma0Info:
        """What is left."""


class Kind(Enum):
    """What a factory makes. ``GATE`` is an endpoint, ``IRQ`` a notification, ``TASK`` an empty address space."""

    GATE = "gate"
    IRQ = "irq"
    THREAD = "thread"
    TASK = "task"
    CAPS = "caps"
    """A CNode."""


@frozen
class FactoryInfo:
    """Bytes that a factory may use, and that its objects and the factories made from it use; how many these are."""

    quota: int
    used: int
    objects: int


class ObjectFactory(Interface, number=102):
    """Kernel objects out of a quota of memory of its own. Nobody else's use of memory makes it refuse anything.

    Numbers are the client's own names for what it made: asking again under the same number gives another cap to the
    same thing. When the last cap to a factory that was made here is dropped, all that it made is destroyed.
    """

    @operation(1)
    @abstractmethod
    async def create(self, number: int, kind: Kind, size_bits: int) -> Cap:
        """Make an object; ``size_bits`` is log2 of the slots of ``CAPS``, 1 to 8, and 0 for all others. QuotaExceeded;
        AlreadyExists if something else has this number; Malformed.
        """

    @operation(2)
    @abstractmethod
    async def create_factory(self, number: int, size_bits: int) -> "ObjectFactory":
        """Make a factory with 2**``size_bits`` bytes of this one's quota. As ``create``."""

    @operation(3)
    @abstractmethod
    async def destroy(self, number: int) -> None:
        """Destroy what has this number, whoever has caps to it, and have its memory back. NotFound."""

    @operation(4)
    @abstractmethod
    async def info(self) -> FactoryInfo:
        """How it stands."""
