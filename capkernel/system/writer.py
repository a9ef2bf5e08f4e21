"""A ``SystemDescription`` (or any element tree) back to ``.system`` XML.

Everything is written out, defaults too, so that reading it again gives an equal description.
"""

from collections.abc import Iterable, Iterator
from xml.sax.saxutils import quoteattr

from capkernel.system.description import (
    BootInfoPrefill,
    ChannelEnd,
    DomainSchedule,
    FilePrefill,
    IoAddressSpace,
    IoApicIrq,
    IoPort,
    Irq,
    LineIrq,
    Map,
    MemoryRegion,
    MsiIrq,
    ProtectionDomain,
    ScheduleEntry,
    Scheduling,
    SystemDescription,
    VirtualMachine,
)
from capkernel.system.xmlsource import Element

Value = str | int | bool | None

_INDENT = "    "
_CONTROL = {"\n": "&#10;", "\r": "&#13;", "\t": "&#9;"}


def attribute_text(value: Value) -> str | None:
    """A value as a description writes it; ``None`` for one that is left out."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)


def make_element(tag: str, /, *children: Element, **attributes: Value) -> Element:
    """An element with those attributes that are not ``None``."""
    texts = {name: attribute_text(value) for name, value in attributes.items()}
    given = {name: text for name, text in texts.items() if text is not None}
    return Element(tag, given, children)


def to_xml(system: SystemDescription) -> str:
    """The description as XML text, with a final newline."""
    return element_to_xml(to_element(system))


def element_to_xml(element: Element) -> str:
    """An element tree as XML text, one element a line."""
    lines = _lines(element, "")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + "\n".join(lines) + "\n"


def _lines(element: Element, indent: str) -> Iterator[str]:
    words = (f"{name}={quoteattr(text, _CONTROL)}" for name, text in element.attributes.items())
    start = indent + " ".join((f"<{element.tag}", *words))
    if not element.children:
        yield start + " />"
        return
    yield start + ">"
    for child in element.children:
        yield from _lines(child, indent + _INDENT)
    yield f"{indent}</{element.tag}>"


def to_element(system: SystemDescription) -> Element:
    """The description as the element tree that reads as it."""
    roots = (pd for pd in system.protection_domains if pd.parent is None)
    return make_element(
        "system",
        *_domains(system),
        *(_region(region) for region in system.memory_regions),
        *(_io_space(space) for space in system.io_address_spaces),
        *(_pd(system, pd) for pd in roots),
        *(make_element("channel", _end(c.a), _end(c.b)) for c in system.channels),
    )


def _domains(system: SystemDescription) -> Iterator[Element]:
    if system.schedule is not None:
        domains = (make_element("domain", name=d.name, id=d.id) for d in system.domains)
        yield make_element("domains", *domains, _schedule(system.schedule))


def _schedule(schedule: DomainSchedule) -> Element:
    entries = (
        make_element("schedule_entry", domain=entry.domain, duration=f"{entry.duration} {entry.unit.value}")
        if isinstance(entry, ScheduleEntry)
        else make_element("schedule_end_marker")
        for entry in schedule.entries
    )
    return make_element(
        "domain_schedule",
        *entries,
        start_index=schedule.start_index,
        index_shift=schedule.index_shift,
    )


def _region(region: MemoryRegion) -> Element:
    prefill = region.prefill
    return make_element(
        "memory_region",
        name=region.name,
        size=hex(region.size),
        page_size=hex(region.page_size),
        phys_addr=None if region.phys_addr is None else hex(region.phys_addr),
        prefill_path=prefill.path if isinstance(prefill, FilePrefill) else None,
        prefill_bootinfo=prefill.kind.value if isinstance(prefill, BootInfoPrefill) else None,
    )


def _io_space(space: IoAddressSpace) -> Element:
    maps = (make_element("iomap", mr=m.region, iovaddr=hex(m.iovaddr), perms=str(m.perms)) for m in space.maps)
    return make_element(
        "io_address_space",
        *maps,
        name=space.name,
        peripheral_id=str(space.device),
        domain_id=space.domain_id,
    )


def _pd(system: SystemDescription, pd: ProtectionDomain) -> Element:
    program = make_element("program_image", path=pd.program.path, path_for_symbols=pd.program.path_for_symbols)
    setvars = (make_element("setvar", symbol=s.symbol, region_paddr=s.region) for s in pd.setvars)
    return make_element(
        "protection_domain",
        program,
        *(_map(map_) for map_ in pd.maps),
        *(_irq(irq) for irq in pd.irqs),
        *(_ioport(port) for port in pd.ioports),
        *setvars,
        *_cspace(pd),
        *_guest(pd.virtual_machine),
        *(_pd(system, child) for child in system.children(pd.name)),
        name=pd.name,
        **_scheduling(pd.scheduling),
        passive=pd.passive,
        stack_size=hex(pd.stack_size),
        smc=pd.smc,
        cpu=pd.cpu,
        domain=pd.domain,
        fpu=pd.fpu,
        id=pd.child_id,
        setvar_id=pd.setvar_id,
    )


def _scheduling(scheduling: Scheduling | None) -> dict[str, Value]:
    if scheduling is None:
        return {}
    return {
        "priority": scheduling.priority,
        "budget": scheduling.budget,
        "period": scheduling.period,
    }


def _map(map_: Map) -> Element:
    return make_element(
        "map",
        mr=map_.region,
        vaddr=hex(map_.vaddr),
        perms=str(map_.perms),
        cached=map_.cached,
        setvar_vaddr=map_.setvar_vaddr,
        setvar_size=map_.setvar_size,
        setvar_prefill_size=map_.setvar_prefill_size,
    )


def _irq(irq: Irq) -> Element:
    details: dict[str, Value]
    match irq:
        case LineIrq():
            details = {"irq": irq.irq, "trigger": irq.trigger.value}
        case IoApicIrq():
            details = {
                "ioapic": irq.ioapic,
                "pin": irq.pin,
                "vector": irq.vector,
                "trigger": irq.trigger.value,
                "polarity": irq.polarity.value,
            }
        case MsiIrq():
            details = {"pcidev": str(irq.device), "handle": irq.handle, "vector": irq.vector}
    return make_element("irq", id=irq.id, **details, setvar_id=irq.setvar_id)


def _ioport(port: IoPort) -> Element:
    return make_element(
        "ioport",
        id=port.id,
        addr=hex(port.addr),
        size=port.size,
        setvar_id=port.setvar_id,
        setvar_addr=port.setvar_addr,
    )


def _cspace(pd: ProtectionDomain) -> Iterator[Element]:
    if pd.cap_mappings:
        yield make_element(
            "cspace",
            *(make_element(f"cap_{m.kind.value}", slot=m.slot, pd=m.pd) for m in pd.cap_mappings),
        )


def _guest(guest: VirtualMachine | None) -> Iterable[Element]:
    if guest is not None:
        vcpus = (make_element("vcpu", id=v.id, cpu=v.cpu, setvar_id=v.setvar_id) for v in guest.vcpus)
        maps = (_guest_map(map_) for map_ in guest.maps)
        yield make_element("virtual_machine", *vcpus, *maps, name=guest.name, **_scheduling(guest.scheduling))


def _guest_map(map_: Map) -> Element:
    return make_element("map", mr=map_.region, vaddr=hex(map_.vaddr), perms=str(map_.perms), cached=map_.cached)


def _end(end: ChannelEnd) -> Element:
    return make_element("end", pd=end.pd, id=end.id, pp=end.pp, notify=end.notify, setvar_id=end.setvar_id)
