"""What the initial task is to build: the description, and each program as an image that can be patched."""

from collections.abc import Callable, Mapping
from typing import Final

from attrs import field, frozen

from capkernel.system.description import SystemDescription
from capkernel.system.grants import Grant, GrantKind

CODE_BASE: Final = 0x200000
"""Where a program's page of code lies, unless the description maps something there."""
PAGE: Final = 0x1000


@frozen(kw_only=True)
class Program:
    """A domain's program. ``image`` makes the bytes of its page from the words that the loader sets.

    ``words`` takes the values of symbols, by name, and gives the words of the program's own variables.
    """

    image: Callable[[tuple[int, ...]], bytes]
    words: Callable[[Mapping[str, int]], tuple[int, ...]]


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

    def has_endpoint(self, pd: str) -> bool:
        """Whether anybody can send to the domain other than by signals."""
        granted = any(grant.kind is GrantKind.ENDPOINT and grant.of == pd for grant in self.grants)
        return granted or self.system.receives_calls(pd)

    def code_address(self, pd: str) -> int:
        """Where the domain's program lies: the first page from ``CODE_BASE`` on that no mapping covers."""
        maps = [range(m.vaddr, m.vaddr + self.system.region(m.region).size) for m in self.system.pd(pd).maps]
        address = CODE_BASE
        while any(address < taken.stop and taken.start < address + PAGE for taken in maps):
            address += PAGE
        return address
