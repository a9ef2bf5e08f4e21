"""What the initial task is to build: the description, and each program as an image that can be patched."""

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from attrs import field, frozen

from capkernel.system.description import SystemDescription
from capkernel.system.elf import ElfSegment
from capkernel.system.grants import Grant, GrantKind
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
    """A system to build. ``programs`` by domain name; ``grants`` are authority beyond Microkit's format."""

    system: SystemDescription
    programs: Mapping[str, Program]
    grants: tuple[Grant, ...] = ()
    ticks_per_us: int = 10
    fdt: bytes = b""
    debug: bool = True
    """Whether the kernel has a debug console, on which the monitor may report."""
    on_fault: Callable[[str, str], None] | None = field(default=None)
    """Told of each fault that reaches the monitor: the domain's name and what it did (for reports, not a channel)."""

    def programs_of(self, pd: str) -> tuple[Program, ...]:
        """The programs that a domain may get: its own first."""
        return (self.programs[pd],)

    def has_endpoint(self, pd: str) -> bool:
        """Whether anybody can send to the domain other than by signals."""
        granted = any(grant.kind is GrantKind.ENDPOINT and grant.of == pd for grant in self.grants)
        return granted or self.system.receives_calls(pd)
