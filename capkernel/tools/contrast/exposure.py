"""What of a client lies open to the code that may go wrong."""

from typing import Final

from capkernel.kernel.caps import PageTableCap
from capkernel.tools.contrast.builds import Build
from capkernel.tools.demo.stage import Stage
from hwmodel.sv39 import mappings

_WRITE: Final = 4
"""Bit of a page table entry."""


def exposed_pages(build: Build, seed: int) -> tuple[int, int]:
    """Pages that the client writes, and how many of them the driver's code can write too."""
    stage = Stage(build.system, seed=seed, variant=build.variant)
    stage.booted.boot()
    client, faulty = (_writable(stage, pd) for pd in (build.client, build.faulty))
    stage.close()
    return len(client), len(client & faulty)


def _writable(stage: Stage, pd: str) -> set[int]:
    """The physical addresses of the pages that a domain may write."""
    vspace = stage.system.threads[pd].vspace_slot.cap
    if not isinstance(vspace, PageTableCap):
        return set()
    return {page.paddr for page in mappings(stage.system.machine.memory, vspace.paddr) if page.flags & _WRITE}
