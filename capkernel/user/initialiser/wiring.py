"""Putting caps where the placements say; fault endpoints; devices' address spaces."""

from collections.abc import Iterable, Mapping

from capkernel.abi import iospace as io
from capkernel.abi.bootinfo import CAP_IO_SPACE
from capkernel.abi.errors import REVOKE_FIRST
from capkernel.system.description import IoAddressSpace, ProtectionDomain
from capkernel.user import stubs
from capkernel.user.allocators import Memory
from capkernel.user.errors import KernelError
from capkernel.user.initialiser.domains import Domain, Life
from capkernel.user.initialiser.footprint import OWN
from capkernel.user.initialiser.memory import Regions, rights_of
from capkernel.user.initialiser.placements import CALL_RIGHTS, Placement, Source, Thing, monitor_badge
from capkernel.user.initialiser.plan import PAGE, Plan
from capkernel.user.initialiser.toolbox import Toolbox
from capkernel.user.loop import FAULT_BADGE, PD_CNODE_BITS, ROOT_CNODE_BITS

Domains = Mapping[str, Domain]


class Caps:
    """Where in the initial task's CSpace the cap to each thing is."""

    def __init__(self, domains: Domains, regions: Regions, monitor: int, ready: int, sched_control: int) -> None:
        self.domains = domains
        self.regions = regions
        self.monitor = monitor
        self.ready = ready
        self.sched_control = sched_control

    def find(self, source: Source) -> int:
        """The cap to a thing; 0 if its domain is destroyed and the thing with it."""
        match source.thing:
            case Thing.MONITOR:
                return self.monitor
            case Thing.READY:
                return self.ready
            case Thing.SCHED_CONTROL:
                return self.sched_control
            case Thing.FRAME:
                return self.regions.frames[source.of][0]
            case Thing.TCB | Thing.SCHED_CONTEXT | Thing.VSPACE | Thing.CNODE:
                return _mortal(self.domains[source.of], source)
            case _:
                return _lasting(self.domains[source.of], source)


def _lasting(domain: Domain, source: Source) -> int:
    match source.thing:
        case Thing.ENDPOINT:
            return domain.endpoint
        case Thing.NOTIFICATION:
            return domain.notification
        case Thing.REPLY:
            return domain.replies[source.number]
        case Thing.UNTYPED:
            return domain.untypeds[source.number]
        case Thing.IRQ_HANDLER:
            return domain.irq_handlers[source.number]
        case Thing.SLOTS:
            return domain.slots[source.number]
        case Thing.ASID_POOL:
            return domain.asid_pools[source.number]
        case Thing.TIME:
            return domain.times[source.number]
    raise ValueError(f"{source} does not last")


def _mortal(domain: Domain, source: Source) -> int:
    life = domain.life
    if life is None:
        return 0
    match source.thing:
        case Thing.TCB:
            return life.tcb
        case Thing.SCHED_CONTEXT:
            return life.sched_context
        case Thing.VSPACE:
            return life.vspace.root
        case Thing.CNODE:
            return life.cnodes[source.number]
    raise ValueError(f"{source} is not part of a life")


async def place(tools: Toolbox, caps: Caps, placements: Iterable[Placement]) -> None:
    """Put caps into the CNodes of their holders; a holder that is destroyed gets none, and gives none of its life."""
    for placement in placements:
        life, source = caps.domains[placement.holder].life, caps.find(placement.source)
        if life is None or not source:
            continue
        where = _slot_of(life, placement)
        if placement.badge is None:
            try:
                await tools.copy_into(*where, source, placement.rights)
            except KernelError as error:
                if error.code != REVOKE_FIRST or not _is_divided(caps, placement.source):
                    raise
        else:
            await tools.mint_into(*where, source, placement.badge, placement.rights)


def _is_divided(caps: Caps, source: Source) -> bool:
    """Whether memory that lasts belongs, as a former life has divided it, to those who have parts of it."""
    return source.thing is Thing.UNTYPED and source.number in caps.domains[source.of].lasting


async def clear(tools: Toolbox, caps: Caps, placements: Iterable[Placement]) -> None:
    """Empty the slots of placements, whatever their holders may have put there."""
    for placement in placements:
        life = caps.domains[placement.holder].life
        if life is not None:
            await tools.empty(*_slot_of(life, placement))


def _slot_of(life: Life, placement: Placement) -> tuple[int, int, int]:
    """CNode, index and depth of the slot of a placement."""
    if placement.in_root:
        return life.root_cnode, placement.slot, ROOT_CNODE_BITS
    return life.cnodes[OWN], placement.slot, PD_CNODE_BITS


def fault_badge(plan: Plan, spec: ProtectionDomain, handler: str) -> int:
    """The badge with which a domain's faults come to their handler; 0 if that is another."""
    found = plan.fault_handler(spec)
    return FAULT_BADGE | found[1] if found is not None and found[0] == handler else 0


async def fault_endpoint(tools: Toolbox, plan: Plan, domains: Domains, domain: Domain, monitor: int) -> int:
    """A cap to where a domain's faults go: to its parent, to whom a grant says so, or else to the monitor."""
    handler = plan.fault_handler(domain.spec)
    if handler is None:
        return await tools.mint(monitor, monitor_badge(domain.index), CALL_RIGHTS)
    badge = fault_badge(plan, domain.spec, handler[0])
    return await tools.mint(domains[handler[0]].endpoint, badge, CALL_RIGHTS)


async def io_space(tools: Toolbox, space: IoAddressSpace) -> int:
    """The cap to a device's I/O address space."""
    return await tools.mint(CAP_IO_SPACE, space.domain_id << 16 | space.device.request_id)


async def map_for_device(
    tools: Toolbox, regions: Regions, space: IoAddressSpace, cap: int, memory: Memory, copies: list[int]
) -> None:
    """Let a device reach the regions of its I/O address space, and nothing else.

    Its tables come from ``memory``; the copies of the frame caps are listed in ``copies``.
    """
    for mapping in space.maps:
        rights = rights_of(mapping.perms)
        for index, frame in enumerate(regions.frames[mapping.region]):
            copies.append(await tools.copy(frame, rights))
            await _map_io(memory, copies[-1], cap, mapping.iovaddr + index * PAGE, rights)


async def _map_io(memory: Memory, frame: int, space: int, ioaddr: int, rights: int) -> None:
    while True:
        try:
            await stubs.page_map_io(memory.sys, frame, rights=rights, ioaddr=ioaddr, iospace=space)
            return
        except KernelError as error:
            if error.name != "FailedLookup":
                raise
        table = await memory.alloc(io.OBJECT_IO_PAGE_TABLE, io.IO_PAGE_TABLE_BITS)
        await stubs.io_page_table_map(memory.sys, table, ioaddr=ioaddr, iospace=space)
