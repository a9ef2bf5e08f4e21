"""Readers of what ties a description to hardware: ``irq``, ``ioport``, ``io_address_space``."""

import re

from attrs import Factory, define

from capkernel.system.attributes import U64_END, Attributes
from capkernel.system.context import Context
from capkernel.system.description import (
    IoAddressSpace,
    IoApicIrq,
    IoMap,
    IoPort,
    Irq,
    LineIrq,
    MsiIrq,
    PciAddress,
    Perms,
    Polarity,
    Trigger,
)
from capkernel.system.read_regions import read_perms
from capkernel.system.xmlsource import Element

MAX_CHANNEL_ID = 61
"""Channel ids are bits of a 64-bit badge, of which two are taken."""

MAX_X86_VECTOR = 107
IO_ADDRESS_END = 1 << 39
"""First address above what an IOMMU of x86-64 translates in seL4."""

_SIGNED_HEX = re.compile(r"[+-]?[0-9a-fA-F]+")
_PCI_PARTS = (("bus", 255), ("device", 31), ("function", 7))


def read_irq(context: Context, element: Element) -> Irq | None:
    """An interrupt of the kind that the platform has, or ``None`` when refused."""
    mark = context.problems.mark()
    attributes = context.attributes(element)
    attributes.no_content()
    irq = _read_x86(attributes) if context.platform.arch.is_x86 else _read_line(attributes)
    return irq if context.problems.clean_since(mark) else None


def _read_line(attributes: Attributes) -> Irq | None:
    for name, kind in (("pin", "IOAPIC"), ("pcidev", "MSI")):
        if attributes.get("irq") is None and attributes.get(name) is not None:
            attributes.error(
                f"'{name}' makes it an {kind} interrupt, which only x86-64 has",
                "name the interrupt with 'irq'",
            )
            return None
    attributes.only("irq", "id", "setvar_id", "trigger")
    return LineIrq(
        id=_channel_id(attributes),
        irq=attributes.bounded("irq", 0, U64_END - 1),
        trigger=attributes.choice("trigger", Trigger, Trigger.LEVEL),
        setvar_id=attributes.get("setvar_id"),
        where=attributes.element.where,
    )


def _read_x86(attributes: Attributes) -> Irq | None:
    if attributes.get("irq") is not None:
        attributes.error(
            "'irq' names an interrupt of ARM or RISC-V, and this board is x86-64",
            "use 'pin' (IOAPIC) or 'pcidev' (MSI)",
        )
        return None
    if attributes.get("pin") is not None:
        return _read_ioapic(attributes)
    if attributes.get("pcidev") is not None:
        return _read_msi(attributes)
    attributes.error("the attribute 'pin' (IOAPIC) or 'pcidev' (MSI) is missing")
    return None


def _read_ioapic(attributes: Attributes) -> IoApicIrq:
    attributes.only("id", "setvar_id", "ioapic", "pin", "trigger", "polarity", "vector")
    return IoApicIrq(
        id=_channel_id(attributes),
        pin=attributes.bounded("pin", 0, None),
        ioapic=attributes.bounded("ioapic", 0, None, default=0),
        vector=attributes.bounded("vector", 0, MAX_X86_VECTOR),
        trigger=attributes.choice("trigger", Trigger, Trigger.LEVEL),
        polarity=attributes.choice("polarity", Polarity, Polarity.HIGH),
        setvar_id=attributes.get("setvar_id"),
        where=attributes.element.where,
    )


def _read_msi(attributes: Attributes) -> MsiIrq:
    attributes.only("id", "setvar_id", "pcidev", "handle", "vector")
    return MsiIrq(
        id=_channel_id(attributes),
        device=_pci_address(attributes, "pcidev"),
        handle=attributes.bounded("handle", 0, None),
        vector=attributes.bounded("vector", 0, MAX_X86_VECTOR),
        setvar_id=attributes.get("setvar_id"),
        where=attributes.element.where,
    )


def _channel_id(attributes: Attributes) -> int:
    return attributes.bounded("id", 0, MAX_CHANNEL_ID)


def _pci_address(attributes: Attributes, name: str) -> PciAddress:
    """``bus:device.function``, each in hexadecimal."""
    text = attributes.required(name)
    bus, colon, rest = text.partition(":")
    device, dot, function = rest.partition(".")
    if not (colon and dot):
        if attributes.get(name) is not None:
            attributes.error(f"{name} '{text}' is not a PCI address", "write bus:device.function, as in 01:1f.2")
        return PciAddress(0, 0, 0)
    parts = zip((bus, device, function), _PCI_PARTS, strict=True)
    return PciAddress(*(_pci_part(attributes, name, digits, *part) for digits, part in parts))


def _pci_part(attributes: Attributes, name: str, digits: str, part: str, highest: int) -> int:
    digits = digits.strip()
    value = int(digits, 16) if _SIGNED_HEX.fullmatch(digits) else None
    if value is None:
        attributes.error(f"the PCI {part} '{digits}' in {name} is not hexadecimal")
    elif not 0 <= value <= highest:
        attributes.error(f"the PCI {part} in {name} is {value}, but must be from 0 to {highest}")
    return value or 0


def read_ioport(context: Context, element: Element) -> IoPort | None:
    """A range of I/O ports, or ``None`` when refused."""
    mark = context.problems.mark()
    attributes = context.attributes(element)
    if not context.platform.arch.is_x86:
        attributes.error("I/O ports exist only on x86-64", "map the device's registers instead")
        return None
    attributes.only("id", "setvar_id", "setvar_addr", "addr", "size")
    attributes.no_content()
    port = IoPort(
        id=_channel_id(attributes),
        addr=attributes.number("addr"),
        size=attributes.bounded("size", 1, None),
        setvar_id=attributes.get("setvar_id"),
        setvar_addr=attributes.get("setvar_addr"),
        where=element.where,
    )
    if port.ports.stop > U64_END:
        attributes.error(f"{port.size} ports from {port.addr:#x} on run past the last address")
    return port if context.problems.clean_since(mark) else None


@define
class IoSpaces:
    """The I/O address spaces read so far: names, domain ids and devices are unique."""

    names: set[str] = Factory(set)
    domain_ids: set[int] = Factory(set)
    devices: set[PciAddress] = Factory(set)


def read_io_address_space(context: Context, element: Element, seen: IoSpaces) -> IoAddressSpace | None:
    """What one device may reach, or ``None`` when refused."""
    mark = context.problems.mark()
    attributes = context.attributes(element)
    if not context.platform.iommu:
        attributes.error(
            f"{context.platform.board} in config {context.platform.config} has no IOMMU",
            "I/O address spaces need an x86-64 board, or virt_iommu",
        )
        return None
    attributes.only("name", "peripheral_id", "domain_id")
    space = IoAddressSpace(
        name=attributes.required("name"),
        device=_pci_address(attributes, "peripheral_id"),
        domain_id=attributes.number("domain_id"),
        maps=_read_io_maps(context, element),
        where=element.where,
    )
    if context.problems.clean_since(mark):
        _check_unique(attributes, space, seen)
    return space if context.problems.clean_since(mark) else None


def _check_unique(attributes: Attributes, space: IoAddressSpace, seen: IoSpaces) -> None:
    if space.name in seen.names:
        attributes.error(f"the name '{space.name}' is already taken")
    if space.domain_id in seen.domain_ids:
        attributes.error(f"the domain_id {space.domain_id} is already taken", "ids must differ")
    if space.device in seen.devices:
        attributes.error(f"the device {space.device} already has an I/O address space")
    seen.names.add(space.name)
    seen.domain_ids.add(space.domain_id)
    seen.devices.add(space.device)


def _read_io_maps(context: Context, element: Element) -> tuple[IoMap, ...]:
    maps: list[IoMap] = []
    context.read_children(element, {"iomap": lambda child: maps.append(_io_map(context, child))})
    return tuple(maps)


def _io_map(context: Context, element: Element) -> IoMap:
    attributes = context.attributes(element)
    attributes.only("mr", "iovaddr", "perms")
    attributes.no_content()
    iovaddr = attributes.number("iovaddr")
    if iovaddr >= IO_ADDRESS_END:
        attributes.error(f"iovaddr {iovaddr:#x} is too high: it must be below {IO_ADDRESS_END:#x}")
    perms = read_perms(attributes, "rw")
    if perms == Perms.NONE and attributes.get("perms") == "":
        attributes.error("perms are empty", "write 'r', 'w' or 'rw'")
    region = attributes.required("mr")
    return IoMap(region=region, iovaddr=iovaddr, perms=perms, where=element.where)
