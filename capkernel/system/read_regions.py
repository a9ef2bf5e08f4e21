"""Readers of ``memory_region`` and ``map`` elements."""

from capkernel.system.attributes import Attributes, either
from capkernel.system.context import Context
from capkernel.system.description import (
    BootInfoKind,
    BootInfoPrefill,
    FilePrefill,
    Map,
    MemoryRegion,
    Perms,
)
from capkernel.system.xmlsource import Element

Prefill = FilePrefill | BootInfoPrefill | None

_LETTERS = {"r": Perms.READ, "w": Perms.WRITE, "x": Perms.EXECUTE}
_SETVARS = ("setvar_vaddr", "setvar_size", "setvar_prefill_size")


def read_region(context: Context, element: Element) -> MemoryRegion | None:
    """A memory region, or ``None`` when something about it was refused."""
    mark = context.problems.mark()
    attributes = context.attributes(element)
    attributes.only("name", "size", "page_size", "phys_addr", "prefill_path", "prefill_bootinfo")
    attributes.no_content()
    page_size = _page_size(context, attributes)
    prefill = _prefill(context, attributes)
    region = MemoryRegion(
        name=attributes.required("name"),
        size=_size(attributes, page_size, prefill),
        page_size=page_size,
        phys_addr=_phys_addr(attributes, page_size),
        prefill=prefill,
        where=element.where,
    )
    return region if context.problems.clean_since(mark) else None


def _page_size(context: Context, attributes: Attributes) -> int:
    """The page size as written, else the smallest; it may grow when all maps are known."""
    sizes = context.platform.page_sizes
    page_size = attributes.number("page_size", sizes[0])
    if page_size not in sizes:
        attributes.error(
            f"page size {page_size:#x} is not supported",
            f"{context.platform.arch.value} has {either(hex(size) for size in sizes)}",
        )
        return sizes[0]
    return page_size


def _size(attributes: Attributes, page_size: int, prefill: Prefill) -> int:
    if attributes.get("size") is None:
        return _implied_size(attributes, page_size, prefill)
    size = attributes.number("size")
    if size % page_size:
        attributes.error(f"size {size:#x} is not a multiple of the page size {page_size:#x}")
    if isinstance(prefill, FilePrefill) and len(prefill.data) > size:
        attributes.error(
            f"the prefill file '{prefill.path}' has {len(prefill.data):#x} bytes, but the region only {size:#x}"
        )
    return size


def _implied_size(attributes: Attributes, page_size: int, prefill: Prefill) -> int:
    """A region without a size is as large as what it is filled with, in whole pages."""
    if isinstance(prefill, FilePrefill):
        return -(-len(prefill.data) // page_size) * page_size
    given = attributes.get("prefill_path") or attributes.get("prefill_bootinfo")
    if prefill is None and given is None:
        attributes.error("the attribute 'size' is missing", "only a region with a prefill may go without")
    return page_size


def _phys_addr(attributes: Attributes, page_size: int) -> int | None:
    address = attributes.optional_number("phys_addr")
    if address is not None and address % page_size:
        attributes.error(
            f"phys_addr {address:#x} is not aligned to the page size {page_size:#x}",
            f"the next aligned address is {-(-address // page_size) * page_size:#x}",
        )
    return address


def _prefill(context: Context, attributes: Attributes) -> Prefill:
    path, kind = attributes.get("prefill_path"), attributes.get("prefill_bootinfo")
    if path is not None and kind is not None:
        attributes.error("it has both prefill_path and prefill_bootinfo", "a region is filled from one of them")
    if path is not None:
        return _file_prefill(context, attributes, path)
    if kind is not None:
        return BootInfoPrefill(kind=attributes.choice("prefill_bootinfo", BootInfoKind, BootInfoKind.FDT))
    return None


def _file_prefill(context: Context, attributes: Attributes, path: str) -> FilePrefill | None:
    found = context.find(path)
    if found is None:
        attributes.error(f"the prefill file '{path}' is not found", "name its directory with --search-path")
        return None
    try:
        data = found.read_bytes()
    except OSError as error:
        attributes.error(f"the prefill file '{path}' cannot be read: {error.strerror}")
        return None
    if not data:
        attributes.error(f"the prefill file '{path}' is empty")
    return FilePrefill(path=path, data=data)


def read_map(context: Context, element: Element, end: int, *, setvars: bool) -> Map | None:
    """A map into an address space that ends (exclusive) at ``end``, ``None`` when refused.

    ``setvars``: whether the holder has a program whose symbols can be set.
    """
    mark = context.problems.mark()
    attributes = context.attributes(element)
    attributes.only("mr", "vaddr", "perms", "cached", *(_SETVARS if setvars else ()))
    attributes.no_content()
    result = Map(
        region=attributes.required("mr"),
        vaddr=_vaddr(attributes, end),
        perms=_map_perms(attributes),
        cached=attributes.flag("cached", default=True),
        setvar_vaddr=attributes.get("setvar_vaddr"),
        setvar_size=attributes.get("setvar_size"),
        setvar_prefill_size=attributes.get("setvar_prefill_size"),
        where=element.where,
    )
    return result if context.problems.clean_since(mark) else None


def _vaddr(attributes: Attributes, end: int) -> int:
    vaddr = attributes.number("vaddr")
    if vaddr >= end:
        attributes.error(f"vaddr {vaddr:#x} is too high: this address space ends at {end:#x}")
    return vaddr


def _map_perms(attributes: Attributes) -> Perms:
    perms = read_perms(attributes, "rwx")
    if perms == Perms.WRITE:
        attributes.error("perms are write-only, which no hardware offers", "write perms='rw'")
    return perms


def read_perms(attributes: Attributes, letters: str) -> Perms:
    """The ``perms`` attribute, a combination of ``letters``; read and write when absent."""
    perms = Perms.NONE
    text = attributes.get("perms")
    for letter in "rw" if text is None else text:
        if letter not in letters:
            attributes.error(
                f"perms '{text}' has '{letter}'",
                f"perms are a combination of {either(letters)}",
            )
            break
        perms |= _LETTERS[letter]
    return perms
