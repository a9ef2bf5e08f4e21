"""Reader of ``protection_domain`` elements, their children and their ``cspace``."""

from collections.abc import Callable

from attrs import Factory, define, evolve

from capkernel.system.attributes import Attributes, either
from capkernel.system.context import Context
from capkernel.system.description import (
    CapKind,
    CapMapping,
    IoPort,
    Irq,
    Map,
    ProgramImage,
    ProtectionDomain,
    SetVar,
    VirtualMachine,
)
from capkernel.system.read_devices import MAX_CHANNEL_ID, read_ioport, read_irq
from capkernel.system.read_guests import MAX_PRIORITY, read_cpu, read_guest, read_scheduling
from capkernel.system.read_regions import read_map
from capkernel.system.xmlsource import Element

DEFAULT_STACK = 0x2000
MIN_STACK = 0x1000
MAX_STACK = 0x100_0000
MAX_PROTECTION_DOMAINS = 63
CAP_SLOTS = 128
ROOT_CNODE_SLOTS = 64
"""Slots above this one are accepted, but the root CNode that Microkit makes has not got them."""

_OWN = ("name", "priority", "budget", "period", "passive", "stack_size", "smc", "cpu", "domain",
        "fpu")  # fmt: skip
_CHILD = (*_OWN, "id", "setvar_id")
_CAP_TAGS = {f"cap_{kind.value}": kind for kind in CapKind}


@define
class _Parts:
    """The child elements of a protection domain, collected while they are read."""

    programs: list[ProgramImage] = Factory(list)
    maps: list[Map | None] = Factory(list)
    irqs: list[Irq | None] = Factory(list)
    ioports: list[IoPort | None] = Factory(list)
    setvars: list[SetVar] = Factory(list)
    cap_mappings: list[CapMapping] = Factory(list)
    guests: list[VirtualMachine | None] = Factory(list)
    children: list[Element] = Factory(list)


def read_protection_domain(
    context: Context, element: Element, parent: str | None = None, depth: int = 1
) -> list[ProtectionDomain]:
    """A protection domain and, after it, its descendants; those that were refused are left out."""
    mark = context.problems.mark()
    attributes = context.attributes(element)
    if depth > MAX_PROTECTION_DOMAINS:
        attributes.error("protection domains are nested too deeply")
        return []
    attributes.only(*(_OWN if parent is None else _CHILD))
    stack_size = _stack_size(context, attributes)
    parts = _read_parts(context, element, context.platform.map_end(stack_size))
    pd = ProtectionDomain(
        name=attributes.required("name"),
        program=parts.programs[0] if parts.programs else ProgramImage(path=""),
        scheduling=read_scheduling(attributes, _priority(attributes)),
        passive=attributes.flag("passive", default=False),
        stack_size=stack_size,
        smc=_smc(context, attributes),
        cpu=read_cpu(context, attributes),
        domain=_domain(context, attributes),
        fpu=attributes.flag("fpu", default=True),
        maps=tuple(filter(None, parts.maps)),
        irqs=tuple(filter(None, parts.irqs)),
        ioports=tuple(filter(None, parts.ioports)),
        setvars=tuple(parts.setvars),
        cap_mappings=tuple(parts.cap_mappings),
        virtual_machine=parts.guests[0] if parts.guests else None,
        where=element.where,
    )
    if parent is not None:
        pd = _as_child(attributes, pd, parent)
    own = [pd] if context.problems.clean_since(mark) else []
    return own + [
        descendant
        for child in parts.children
        for descendant in read_protection_domain(context, child, pd.name, depth + 1)
    ]


def _as_child(attributes: Attributes, pd: ProtectionDomain, parent: str) -> ProtectionDomain:
    child_id, setvar_id = attributes.number("id"), attributes.get("setvar_id")
    if child_id > MAX_CHANNEL_ID:
        attributes.remark(f"id {child_id} does not fit into a fault badge: {MAX_CHANNEL_ID} does")
    return evolve(pd, parent=parent, child_id=child_id, setvar_id=setvar_id)


def _priority(attributes: Attributes) -> int:
    priority = attributes.number("priority", 0)
    if priority > MAX_PRIORITY:
        attributes.error(f"priority {priority} is too high: it must be from 0 to {MAX_PRIORITY}")
    return min(priority, MAX_PRIORITY)


def _stack_size(context: Context, attributes: Attributes) -> int:
    size, page = attributes.number("stack_size", DEFAULT_STACK), context.platform.page_sizes[0]
    if not MIN_STACK <= size <= MAX_STACK:
        attributes.error(f"stack_size {size:#x} must be from {MIN_STACK:#x} to {MAX_STACK:#x} bytes")
    elif size % page:
        attributes.error(f"stack_size {size:#x} is not a multiple of the page size {page:#x}")
    else:
        return size
    return DEFAULT_STACK


def _smc(context: Context, attributes: Attributes) -> bool:
    smc = attributes.flag("smc", default=False)
    if smc and context.platform.smc is None:
        attributes.error(f"{context.platform.arch.value} has no SMC instruction", "only ARM has")
    elif smc and not context.platform.smc:
        attributes.error(f"the kernel of {context.platform.board} does not forward SMC calls")
    return smc


def _domain(context: Context, attributes: Attributes) -> str | None:
    name = attributes.get("domain")
    if not context.domains:
        if name is not None:
            attributes.error(f"the domain '{name}' is not declared", "put <domains> above this element")
        return None
    if name is None:
        attributes.error("the attribute 'domain' is missing", "<domains> makes it mandatory")
    elif name not in context.domains:
        attributes.error(f"the domain '{name}' is not declared", f"declared: {either(context.domains)}")
    return name


def _read_parts(context: Context, element: Element, end: int) -> _Parts:
    """Read all child elements; nested protection domains are only kept for later."""
    parts = _Parts()
    readers: dict[str, Callable[[Element], object]] = {
        "program_image": lambda child: parts.programs.append(_program(context, child)),
        "map": lambda child: parts.maps.append(read_map(context, child, end, setvars=True)),
        "irq": lambda child: parts.irqs.append(read_irq(context, child)),
        "ioport": lambda child: parts.ioports.append(read_ioport(context, child)),
        "setvar": lambda child: parts.setvars.append(_setvar(context, child)),
        "virtual_machine": lambda child: parts.guests.append(read_guest(context, child)),
        "cspace": lambda child: parts.cap_mappings.extend(_cspace(context, child)),
        "protection_domain": parts.children.append,
    }
    context.read_children(element, readers)
    attributes = context.attributes(element)
    if element.text_at is not None:
        attributes.remark("the text inside it is ignored")
    for tag in ("program_image", "virtual_machine", "cspace"):
        if sum(child.tag == tag for child in element.children) > 1:
            attributes.error(f"it has more than one <{tag}>")
    if not parts.programs:
        attributes.error("it has no <program_image>")
    return parts


def _program(context: Context, element: Element) -> ProgramImage:
    attributes = context.attributes(element)
    attributes.only("path", "path_for_symbols")
    attributes.no_content()
    return ProgramImage(
        path=attributes.required("path"),
        path_for_symbols=attributes.get("path_for_symbols"),
        where=element.where,
    )


def _setvar(context: Context, element: Element) -> SetVar:
    attributes = context.attributes(element)
    attributes.only("symbol", "region_paddr")
    attributes.no_content()
    symbol, region = attributes.required("symbol"), attributes.required("region_paddr")
    return SetVar(symbol=symbol, region=region, where=element.where)


def _cspace(context: Context, element: Element) -> list[CapMapping]:
    context.attributes(element).only()
    mappings: list[CapMapping] = []
    for child in element.children:
        if child.tag in _CAP_TAGS:
            mappings.append(_cap_mapping(context, child, _CAP_TAGS[child.tag]))
        else:
            context.unknown(child, element, tuple(_CAP_TAGS))
    return mappings


def _cap_mapping(context: Context, element: Element, kind: CapKind) -> CapMapping:
    attributes = context.attributes(element)
    attributes.only("slot", "pd")
    attributes.no_content()
    pd, slot = attributes.required("pd"), attributes.number("slot")
    if attributes.get("slot") is not None and not 0 < slot < CAP_SLOTS:
        hint = "slot 0 holds Microkit's own CNode" if slot == 0 else ""
        attributes.error(f"slot {slot} must be from 1 to {CAP_SLOTS - 1}", hint)
    elif slot >= ROOT_CNODE_SLOTS:
        attributes.remark(f"slot {slot} is past the {ROOT_CNODE_SLOTS} slots of the root CNode")
    return CapMapping(kind=kind, pd=pd, slot=slot, where=element.where)
