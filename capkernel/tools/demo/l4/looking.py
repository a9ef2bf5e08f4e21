"""What programs have mapped, as somebody sees it who walks their page tables in RAM from outside."""

from attrs import frozen

from capkernel.kernel.caps import PageTableCap
from capkernel.tools.demo.stage import Stage
from hwmodel.sv39 import PTE_R, PTE_W, PTE_X, mappings, walk

Page = tuple[int, str]
"""The physical address, and the rights as letters of ``rwx``."""
_LETTERS = ((PTE_R, "r"), (PTE_W, "w"), (PTE_X, "x"))


def page_of(stage: Stage, pd: str, address: int) -> Page | None:
    """What a domain's page table leads to at an address; None if nothing is there."""
    root = _root(stage, pd)
    found = None if root is None else walk(stage.system.machine.memory, root, address)
    if found is None:
        return None
    return found.paddr, "".join(letter for bit, letter in _LETTERS if found.flags & bit)


def pages_of(stage: Stage, pd: str, within: range) -> list[int]:
    """The physical addresses of what a domain's page table leads to from addresses of a range."""
    root = _root(stage, pd)
    found = () if root is None else mappings(stage.system.machine.memory, root)
    return [each.paddr for each in found if each.vaddr in within]


def _root(stage: Stage, pd: str) -> int | None:
    """Where a domain's uppermost page table is, if it lives."""
    thread = stage.system.threads.get(pd)
    vspace = thread.vspace_slot.cap if thread is not None else None
    return vspace.paddr if isinstance(vspace, PageTableCap) else None


@frozen
class View:
    """What each of some domains has at one address of its own."""

    pages: dict[str, Page | None]

    @classmethod
    def of(cls, stage: Stage, places: dict[str, int]) -> "View":
        """Look."""
        return cls({pd: page_of(stage, pd, address) for pd, address in places.items()})

    @property
    def shared(self) -> bool:
        """Whether all have a page, and it is the same frame."""
        return None not in self.pages.values() and len({page[0] for page in self.pages.values() if page}) == 1

    def rights(self, pd: str) -> str:
        """What a domain may do there."""
        page = self.pages[pd]
        return page[1] if page else ""

    def __str__(self) -> str:
        return ", ".join(f"{pd} {self.rights(pd) or 'nothing'}" for pd in self.pages)
