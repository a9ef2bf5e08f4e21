"""The rules that hold across a whole description, once every element was read.

One signature for all: a rule is handed a ``Case`` and notes what breaks it. ``RULES`` lists
them in the order in which they are checked. A rule looks only at elements that were read
without a problem, and takes a name that was declared by a broken element for a good one, so
that one mistake is reported once.
"""

from collections.abc import Callable, Iterable, Iterator

from attrs import frozen

from capkernel.system.attributes import U64_END
from capkernel.system.board import LARGE_PAGE
from capkernel.system.description import (
    FilePrefill,
    IoMap,
    Map,
    MemoryRegion,
    ProtectionDomain,
    SystemDescription,
)
from capkernel.system.diagnostics import Location, Problems
from capkernel.system.read_devices import IO_ADDRESS_END
from capkernel.system.read_pds import MAX_PROTECTION_DOMAINS
from capkernel.system.symbols import symbol_patches

MONITOR = "monitor"


@frozen(kw_only=True)
class Case:
    """A description before it is known to be valid.

    ``declared_pds`` and ``declared_regions`` have every name in the source with its places,
    also of elements that were refused; ``pd_count`` counts nameless ones as well.
    """

    system: SystemDescription
    where: Location
    pd_count: int
    declared_pds: tuple[tuple[str, Location], ...]
    declared_regions: tuple[tuple[str, Location], ...]
    problems: Problems

    def regions(self) -> dict[str, MemoryRegion]:
        """The regions that were read, by name."""
        return {region.name: region for region in self.system.memory_regions}

    def pds(self) -> dict[str, ProtectionDomain]:
        """The protection domains that were read, by name."""
        return {pd.name: pd for pd in self.system.protection_domains}


def number_of_protection_domains(case: Case) -> None:
    """At least one, at most 63."""
    count = case.pd_count
    if count == 0:
        case.problems.error(case.where, "it has no protection domain", "a system needs at least one")
    if count > MAX_PROTECTION_DOMAINS:
        message = f"{count} protection domains are too many"
        case.problems.error(case.where, message, f"at most {MAX_PROTECTION_DOMAINS}")


def unique_names(case: Case) -> None:
    """Names of protection domains, regions and guests are unique; one name is reserved."""
    _no_duplicates(case, "protection domain", case.declared_pds)
    _no_duplicates(case, "memory region", case.declared_regions)
    guests = (pd.virtual_machine for pd in case.system.protection_domains)
    _no_duplicates(case, "virtual machine", ((vm.name, vm.where) for vm in guests if vm))
    for name, where in case.declared_pds:
        if name == MONITOR:
            case.problems.error(where, f"the name '{MONITOR}' is reserved for Microkit's monitor")


def _no_duplicates(case: Case, kind: str, named: Iterable[tuple[str, Location]]) -> None:
    seen: dict[str, Location] = {}
    for name, where in named:
        if name in seen:
            case.problems.error(where, f"the {kind} name '{name}' is used in line {seen[name].line}")
        seen.setdefault(name, where)


def unique_child_ids(case: Case) -> None:
    """Children of one parent have different ids, which also differ from its guest's vcpus."""
    for parent in case.system.protection_domains:
        guest = parent.virtual_machine
        taken = {vcpu.id: f"vcpu {vcpu.id} of '{guest.name}'" for vcpu in guest.vcpus} if guest else {}
        for child in case.system.children(parent.name):
            number = child.child_id or 0
            if number in taken:
                message = f"the id {number} is already taken in '{parent.name}' by {taken[number]}"
                case.problems.error(child.where, message)
            taken.setdefault(number, f"'{child.name}'")


def guests_on_x86(case: Case) -> None:
    """On x86-64 a guest keeps its protection domain from seeing its endpoint: no children and
    no callers.
    """
    if not case.system.platform.arch.is_x86:
        return
    for pd in case.system.protection_domains:
        if pd.virtual_machine is None:
            continue
        if case.system.children(pd.name):
            message = f"'{pd.name}' has a virtual machine, so on x86-64 it cannot have children"
            case.problems.error(pd.where, message)
        for own, other in case.system.ends(pd.name):
            if other.pp:
                message = f"'{pd.name}' has a virtual machine, so on x86-64 '{other.pd}' cannot call it"
                case.problems.error(own.where, message)


def unique_irqs(case: Case) -> None:
    """An interrupt (on x86-64: a vector) belongs to one protection domain, once."""
    seen: dict[int, str] = {}
    for pd in case.system.protection_domains:
        for irq in pd.irqs:
            if irq.number in seen:
                message = f"the irq {irq.number} is already taken by '{seen[irq.number]}'"
                case.problems.error(irq.where, message)
            seen.setdefault(irq.number, pd.name)


def unique_channel_ids(case: Case) -> None:
    """In a protection domain, interrupts and channel ends share one set of ids; I/O ports have
    another.
    """
    ids: dict[str, set[int]] = {}
    for pd in case.system.protection_domains:
        own = ids.setdefault(pd.name, set())
        ports: set[int] = set()
        for thing, taken in (*((irq, own) for irq in pd.irqs), *((p, ports) for p in pd.ioports)):
            _take_id(case, pd.name, thing.id, thing.where, taken)
    for channel in case.system.channels:
        ends = (channel.a, channel.b)
        # A channel of a protection domain to itself may use one id twice, so both ends are
        # looked at before either id is taken.
        for end in ends:
            _take_id(case, end.pd, end.id, end.where, set(ids.get(end.pd, ())))
        for end in ends:
            ids.setdefault(end.pd, set()).add(end.id)


def _take_id(case: Case, pd: str, number: int, where: Location, taken: set[int]) -> None:
    if number in taken:
        case.problems.error(where, f"the id {number} is already used in '{pd}'")
    taken.add(number)


def calls_go_up(case: Case) -> None:
    """A protected procedure call goes to a strictly higher priority."""
    pds = case.pds()
    for channel in case.system.channels:
        for caller, callee in channel.directions():
            if not caller.pp or caller.pd not in pds or callee.pd not in pds:
                continue
            low = pds[caller.pd].scheduling.priority
            high = pds[callee.pd].scheduling.priority
            if low >= high:
                case.problems.error(
                    caller.where,
                    f"'{caller.pd}' (priority {low}) calls '{callee.pd}' (priority {high})",
                    "a call must go to a strictly higher priority",
                )


def disjoint_ioports(case: Case) -> None:
    """No two I/O port ranges of a system overlap."""
    seen = [(pd, port) for pd in case.system.protection_domains for port in pd.ioports]
    for position, (pd, port) in enumerate(seen):
        for other_pd, other in seen[:position]:
            if _overlap(port.ports, other.ports):
                case.problems.error(
                    port.where,
                    f"the ports {_span(port.ports)} of '{pd.name}' overlap with "
                    f"{_span(other.ports)} of '{other_pd.name}'",
                )


def valid_maps(case: Case) -> None:
    """Maps name a region, are aligned, lie in the address space, and do not overlap."""
    platform = case.system.platform
    for pd in case.system.protection_domains:
        _check_maps(case, pd.maps, platform.map_end(pd.stack_size), f"'{pd.name}'")
        if pd.virtual_machine:
            guest = pd.virtual_machine
            _check_maps(case, guest.maps, platform.guest_map_end, f"guest '{guest.name}'")


def valid_iomaps(case: Case) -> None:
    """The same for what devices reach; besides, the IOMMU has no large pages."""
    regions = case.regions()
    for space in case.system.io_address_spaces:
        _check_maps(case, space.maps, IO_ADDRESS_END, f"I/O address space '{space.name}'")
        for map_ in space.maps:
            region = regions.get(map_.region)
            if region and region.page_size == LARGE_PAGE:
                message = f"the region '{region.name}' has large pages, which the IOMMU has not"
                case.problems.error(map_.where, message, "give it page_size='0x1000'")


def _check_maps(case: Case, maps: Iterable[Map | IoMap], end: int, space: str) -> None:
    seen: list[tuple[str, range]] = []
    for map_, region in _resolved(case, maps):
        start = map_.vaddr if isinstance(map_, Map) else map_.iovaddr
        span = range(start, start + region.size)
        if start % region.page_size:
            case.problems.error(
                map_.where,
                f"the address {start:#x} is not aligned to the page size {region.page_size:#x} of '{region.name}'",
            )
        if span.stop > end:
            message = f"'{region.name}' at {_span(span)} reaches past the end {end:#x} of {space}"
            case.problems.error(map_.where, message)
        for name, other in seen:
            if _overlap(span, other):
                message = f"'{region.name}' at {_span(span)} overlaps with '{name}' at {_span(other)}"
                case.problems.error(map_.where, f"{message} in {space}")
        seen.append((region.name, span))


def _resolved(case: Case, maps: Iterable[Map | IoMap]) -> Iterator[tuple[Map | IoMap, MemoryRegion]]:
    """Maps with their regions; an unknown region is a problem."""
    regions, declared = case.regions(), {name for name, _ in case.declared_regions}
    for map_ in maps:
        if map_.region in regions:
            yield map_, regions[map_.region]
        elif map_.region not in declared:
            case.problems.error(map_.where, f"there is no memory region '{map_.region}'")


def valid_cap_mappings(case: Case) -> None:
    """Shared caps come from a known protection domain and have a slot each."""
    declared = {name for name, _ in case.declared_pds}
    for pd in case.system.protection_domains:
        slots: dict[int, Location] = {}
        for mapping in pd.cap_mappings:
            if mapping.pd not in declared:
                case.problems.error(mapping.where, f"there is no protection domain '{mapping.pd}'")
            if mapping.slot in slots:
                message = f"slot {mapping.slot} of '{pd.name}' is already filled"
                case.problems.error(mapping.where, f"{message} in line {slots[mapping.slot].line}")
            slots.setdefault(mapping.slot, mapping.where)


def disjoint_physical_regions(case: Case) -> None:
    """Regions with a fixed physical address do not overlap."""
    seen: list[tuple[str, range]] = []
    for region in case.system.memory_regions:
        if region.phys_addr is None:
            continue
        span = range(region.phys_addr, region.phys_addr + region.size)
        if span.stop > U64_END:
            message = f"'{region.name}' at {_span(span)} runs past the last physical address"
            case.problems.error(region.where, message)
        for name, other in seen:
            if _overlap(span, other):
                message = f"'{region.name}' at {_span(span)} overlaps with '{name}' at {_span(other)}"
                case.problems.error(region.where, f"{message} in physical memory")
        seen.append((region.name, span))


def valid_setvars(case: Case) -> None:
    """A symbol is set once, and to something that is known when the system is built."""
    regions = case.regions()
    for pd in case.system.protection_domains:
        seen: dict[str, Location] = {}
        for patch in symbol_patches(case.system, pd):
            if patch.symbol in seen:
                message = f"the symbol '{patch.symbol}' of '{pd.name}' is already set"
                case.problems.error(patch.where, f"{message} in line {seen[patch.symbol].line}")
            seen.setdefault(patch.symbol, patch.where)
        for map_ in pd.maps:
            region = regions.get(map_.region)
            if map_.setvar_prefill_size and region and not isinstance(region.prefill, FilePrefill):
                message = f"setvar_prefill_size: the region '{region.name}' has no prefill_path"
                case.problems.error(map_.where, message)
        _check_physical_setvars(case, pd)


def _check_physical_setvars(case: Case, pd: ProtectionDomain) -> None:
    regions, declared = case.regions(), {name for name, _ in case.declared_regions}
    for setvar in pd.setvars:
        region = regions.get(setvar.region)
        if setvar.region not in declared:
            message = f"region_paddr: there is no memory region '{setvar.region}'"
            case.problems.remark(setvar.where, message, "the symbol cannot be set")
        elif region and region.phys_addr is None and case.system.platform.arch.is_x86:
            case.problems.error(
                setvar.where,
                f"region_paddr: on x86-64 the region '{region.name}' needs a phys_addr",
                "the memory layout of a PC is only known at boot",
            )


def _overlap(left: range, right: range) -> bool:
    """Whether two half-open ranges overlap; an empty one does when it lies inside the other."""
    return left.start < right.stop and left.stop > right.start


def _span(span: range) -> str:
    return f"[{span.start:#x}, {span.stop:#x})"


RULES: tuple[Callable[[Case], None], ...] = (
    number_of_protection_domains,
    unique_names,
    unique_child_ids,
    guests_on_x86,
    unique_irqs,
    unique_channel_ids,
    calls_go_up,
    disjoint_ioports,
    valid_maps,
    valid_iomaps,
    valid_cap_mappings,
    disjoint_physical_regions,
    valid_setvars,
)
