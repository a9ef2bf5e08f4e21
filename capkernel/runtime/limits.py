"""What a description asks of a machine that this one has not got; its programs are ``programs``' business."""

from collections.abc import Mapping

from capkernel.abi import objects as obj
from capkernel.kernel.config import KernelConfig, Region
from capkernel.system.description import LineIrq, MemoryRegion, SystemDescription
from capkernel.system.diagnostics import DescriptionError, Diagnostic


def require_machine(system: SystemDescription, config: KernelConfig) -> None:
    """Raise DescriptionError, with every reason, if memory or interrupts are not there on the configured machine."""
    problems = [
        Diagnostic(where=region.where, message=f"memory region {region.name} {error}")
        for region in system.memory_regions
        if (error := _place_error(region, config))
    ]
    for pd in system.protection_domains:
        for irq in pd.irqs:
            if isinstance(irq, LineIrq) and not 1 <= irq.irq <= config.max_irq:
                message = f"{pd.name}: interrupt {irq.irq} is none of this machine's, 1 to {config.max_irq}"
                problems.append(Diagnostic(where=irq.where, message=message))
    problems += _too_much(system, config)
    if problems:
        raise DescriptionError(problems)


def require_room(system: SystemDescription, domain_bytes: Mapping[str, int], config: KernelConfig) -> None:
    """Raise DescriptionError if the domains with their programs, by name, do not fit into RAM beside the regions."""
    used, room = sum(region.size for region in system.memory_regions if _is_ram(region, config)), _room(config)
    for pd in system.protection_domains:
        used += domain_bytes.get(pd.name, 0)
        if used > room:
            message = f"{pd.name}: with its program, regions and domains take {used >> obj.PAGE_BITS} pages of RAM, "
            message += f"and this machine has {room >> obj.PAGE_BITS}"
            raise DescriptionError([Diagnostic(where=pd.program.where, message=message)])


def _room(config: KernelConfig) -> int:
    return sum(end - start for start, end in config.ram)


def _is_ram(region: MemoryRegion, config: KernelConfig) -> bool:
    return region.phys_addr is None or any(start <= region.phys_addr < end for start, end in config.ram)


def _place_error(region: MemoryRegion, config: KernelConfig) -> str:
    """Why a region cannot lie where it is to lie, or nothing."""
    if region.phys_addr is None:
        return ""
    place = region.phys_addr, region.phys_addr + region.size
    kept = [found for found in (*config.reserved, config.kernel_image) if _overlap(place, found)]
    if kept:
        return f"lies at {place[0]:#x} to {place[1]:#x}; the kernel keeps {kept[0][0]:#x} to {kept[0][1]:#x} for itself"
    if place[1] > config.device_top:
        return f"ends at {place[1]:#x}; physical addresses end at {config.device_top:#x}"
    ram = [found for found in config.ram if _overlap(place, found)]
    if ram and not (ram[0][0] <= place[0] and place[1] <= ram[0][1]):
        return f"lies at {place[0]:#x} to {place[1]:#x}, partly in RAM ({ram[0][0]:#x} to {ram[0][1]:#x})"
    return ""


def _overlap(one: Region, other: Region) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def _too_much(system: SystemDescription, config: KernelConfig) -> list[Diagnostic]:
    """A complaint at the region with which memory runs out; kernel objects and stacks come on top."""
    room = _room(config)
    used = 0
    for region in system.memory_regions:
        used += region.size if _is_ram(region, config) else 0
        if used > room:
            message = f"memory region {region.name}: the regions up to here take {used >> obj.PAGE_BITS} pages of RAM, "
            message += f"and this machine has {room >> obj.PAGE_BITS}"
            return [Diagnostic(where=region.where, message=message)]
    return []
