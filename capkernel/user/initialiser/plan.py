"""What the initial task is to build: the description, and each program as an image that can be patched."""

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from attrs import field, frozen

from capkernel.system.description import ProtectionDomain, SystemDescription
from capkernel.system.elf import ElfSegment
from capkernel.system.grants import Grant, receives_messages
from capkernel.user.pdimage import PDValues

PAGE: Final = 0x1000


@frozen
class Image:
    """What is to be in a domain's address space when its program starts at ``entry``."""

    entry: int
    segments: tuple[ElfSegment, ...]


class Program(Protocol):
    """A domain's program. No two segments of its image touch the same page, nor a page that anything else is in."""

    @property
    def pages(self) -> tuple[range, ...]:
        """The addresses of the pages that its image takes."""
        ...

    def image(self, values: PDValues, settings: Mapping[str, int]) -> Image:
        """The image in which the loader has set what a domain is told, and the symbols in ``settings``."""
        ...

    def name_of(self, address: int) -> str:
        """Where in the program an address is, in words; empty if that cannot be told."""
        ...


@frozen(kw_only=True)
class Plan:
    """A system to build. ``programs`` and ``alternatives`` by domain name; ``grants`` are beyond Microkit's format."""

    system: SystemDescription
    programs: Mapping[str, Program]
    alternatives: Mapping[str, tuple[Program, ...]] = field(factory=dict)
    grants: tuple[Grant, ...] = ()
    owners: Mapping[str, str] = field(factory=dict)
    """Of which domain an I/O address space is part; one that is of none lasts."""
    contents: Mapping[str, bytes] = field(factory=dict)
    """What further regions are filled with, by name."""
    ticks_per_us: int = 10
    fdt: bytes = b""
    debug: bool = True
    """Whether the kernel has a debug console, on which the monitor may report."""
    on_fault: Callable[[str, str], None] | None = field(default=None)
    """Told of each fault that reaches the monitor: the domain's name and what it did (for reports, not a channel)."""
    on_start: Callable[[str, int], None] | None = field(default=None)
    """Told of each life that begins: the domain's name and its TCB's cap in the initial task's CSpace."""
    on_end: Callable[[str], None] | None = field(default=None)
    """Told of each life that ends, before its objects do."""

    def programs_of(self, pd: str) -> tuple[Program, ...]:
        """The programs that a domain may get: its own first."""
        return self.programs[pd], *self.alternatives.get(pd, ())

    def fault_handler(self, spec: ProtectionDomain) -> tuple[str, int] | None:
        """Who gets a domain's faults, and as which child's; None if nobody does and the monitor reports them."""
        if spec.parent is not None and spec.child_id is not None:
            return spec.parent, spec.child_id
        found = (grant for grant in self.grants if grant.of == spec.name and grant.faults is not None)
        return next(((grant.pd, grant.faults) for grant in found if grant.faults is not None), None)

    def has_endpoint(self, pd: str) -> bool:
        """Whether anybody can send to the domain other than by signals."""
        return receives_messages(self.system, self.grants, pd)
