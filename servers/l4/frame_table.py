"""Which pages sigma0 has handed out. First come, first served, and never twice."""

from collections.abc import Iterable, Iterator

from capkernel.abi.objects import PAGE_BYTES
from capkernel.protocols.failures import AlreadyExists, NoSpace, NotFound
from capkernel.protocols.l4 import Fpage, MemoryDescriptor, Sigma0Info


class FrameTable:
    """The pages of some memory, each free or taken."""

    def __init__(self, memory: Iterable[MemoryDescriptor]) -> None:
        self.is_device: dict[int, bool] = {}
        """Of each page, by its address."""
        for each in memory:
            self.is_device |= dict.fromkeys(_pages(each.fpage), each.is_device)
        self.taken: set[int] = set()

    def take(self, fpage: Fpage) -> None:
        """Take these pages, all or none. Raises NotFound, AlreadyExists."""
        missing = next((page for page in _pages(fpage) if page not in self.is_device), None)
        if missing is not None:
            raise NotFound(f"there is no memory at {missing:#x}")
        gone = next((page for page in _pages(fpage) if page in self.taken), None)
        if gone is not None:
            raise AlreadyExists(f"the page at {gone:#x} was handed out")
        self.taken.update(_pages(fpage))

    def take_any(self, bits: int) -> Fpage:
        """Take the first 2**``bits`` bytes of RAM that are free. Raises NoSpace, ValueError for what is no size."""
        size = Fpage(0, bits).size
        for start in sorted(page for page in self.is_device if not page % size):
            fpage = Fpage(start, bits)
            if all(self.is_device.get(page) is False and page not in self.taken for page in _pages(fpage)):
                self.taken.update(_pages(fpage))
                return fpage
        raise NoSpace(f"no 2**{bits} bytes of RAM are free together")

    def give_back(self, fpage: Fpage) -> None:
        """What was taken could not be mapped after all."""
        self.taken.difference_update(_pages(fpage))

    @property
    def info(self) -> Sigma0Info:
        """How it stands."""
        devices = {page for page, is_device in self.is_device.items() if is_device}
        ram = set(self.is_device) - devices
        sizes = [len(pages) * PAGE_BYTES for pages in (ram, ram - self.taken, devices, devices - self.taken)]
        return Sigma0Info(*sizes)


def _pages(fpage: Fpage) -> Iterator[int]:
    return iter(range(fpage.address, fpage.end, PAGE_BYTES))
