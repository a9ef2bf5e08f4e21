"""The page size of regions that do not name one: the largest that fits everywhere."""

from collections.abc import Iterator

from attrs import evolve

from capkernel.system.description import MemoryRegion, SystemDescription


def grow_pages(system: SystemDescription, fixed: frozenset[str]) -> SystemDescription:
    """Give each region the largest page size that its size and all its addresses allow.

    Left alone are the regions in ``fixed`` (their page size was written down) and those that
    an I/O address space maps, as the IOMMU has no large pages.
    """
    dma = {map_.region for space in system.io_address_spaces for map_ in space.maps}
    regions = tuple(
        region if region.name in fixed | dma else _grown(system, region) for region in system.memory_regions
    )
    return evolve(system, memory_regions=regions)


def _grown(system: SystemDescription, region: MemoryRegion) -> MemoryRegion:
    numbers = (region.size, *_addresses(system, region))
    fitting = (
        page_size
        for page_size in reversed(system.platform.page_sizes)
        if all(number % page_size == 0 for number in numbers)
    )
    return evolve(region, page_size=next(fitting, region.page_size))


def _addresses(system: SystemDescription, region: MemoryRegion) -> Iterator[int]:
    if region.phys_addr is not None:
        yield region.phys_addr
    for pd in system.protection_domains:
        guest = pd.virtual_machine
        for map_ in (*pd.maps, *(guest.maps if guest else ())):
            if map_.region == region.name:
                yield map_.vaddr
