"""Connections between domains: channels, interrupts, fault handlers, shared caps, devices' address spaces.

Every cap carries just the rights that the description means: a channel's caps can send, not receive.
"""

from capkernel.abi import iospace as io
from capkernel.abi import objects as obj
from capkernel.abi import rights as rt
from capkernel.abi.bootinfo import CAP_IO_SPACE
from capkernel.abi.words import WORD_BITS
from capkernel.system.description import CapKind, IoAddressSpace, LineIrq, Trigger
from capkernel.system.grants import Grant, GrantKind
from capkernel.user import stubs
from capkernel.user.errors import KernelError
from capkernel.user.initialiser.domains import Domain
from capkernel.user.initialiser.memory import Regions, rights_of
from capkernel.user.initialiser.plan import PAGE, Plan
from capkernel.user.initialiser.toolbox import Toolbox
from capkernel.user.loop import (
    BASE_ENDPOINT_CAP,
    BASE_IRQ_CAP,
    BASE_OUTPUT_NOTIFICATION_CAP,
    BASE_TCB_CAP,
    ENDPOINT_BADGE,
    FAULT_BADGE,
    INPUT_CAP,
    MONITOR_EP,
    PD_CNODE_BITS,
    REPLY_CAP,
    ROOT_CNODE_BITS,
)

CALL_RIGHTS = rt.WRITE | rt.GRANT_REPLY
READY_BADGE = 1 << 63
"""In the badge of the cap by which a passive domain tells the monitor that it is ready; caps for faults lack it."""
Domains = dict[str, Domain]


async def wire_inputs(tools: Toolbox, domain: Domain) -> None:
    """What a domain receives from: its endpoint or else its notification, and its reply object."""
    source = domain.endpoint or domain.notification
    await tools.copy_into(domain.cnode, INPUT_CAP, PD_CNODE_BITS, source, rt.READ)
    await tools.copy_into(domain.cnode, REPLY_CAP, PD_CNODE_BITS, domain.reply)


async def wire_channels(tools: Toolbox, plan: Plan, domains: Domains) -> None:
    """For each direction that a channel allows, a cap that can only send, badged with the other end's number."""
    for channel in plan.system.channels:
        for own, other in channel.directions():
            source, target = domains[own.pd], domains[other.pd]
            if own.notify:
                slot = BASE_OUTPUT_NOTIFICATION_CAP + own.id
                await tools.mint_into(source.cnode, slot, PD_CNODE_BITS, target.notification, 1 << other.id, rt.WRITE)
                source.notifications |= 1 << own.id
            if own.pp:
                slot, badge = BASE_ENDPOINT_CAP + own.id, ENDPOINT_BADGE | other.id
                await tools.mint_into(source.cnode, slot, PD_CNODE_BITS, target.endpoint, badge, CALL_RIGHTS)
                source.pps |= 1 << own.id


async def wire_irqs(tools: Toolbox, domain: Domain) -> None:
    """An interrupt signals its domain's notification with the badge of its channel."""
    env = tools.env
    for irq in domain.spec.irqs:
        if not isinstance(irq, LineIrq):
            continue
        handler = env.slots.alloc()
        await stubs.irq_control_get_trigger(
            env.sys, env.irq_control, irq=irq.irq, trigger=int(irq.trigger is Trigger.EDGE), index=handler,
            depth=WORD_BITS, root=env.cnode,
        )  # fmt: skip
        badged = await tools.mint(domain.notification, 1 << irq.id, rt.WRITE)
        await stubs.irq_handler_set_notification(env.sys, handler, notification=badged)
        await tools.copy_into(domain.cnode, BASE_IRQ_CAP + irq.id, PD_CNODE_BITS, handler)


async def fault_endpoint(tools: Toolbox, domains: Domains, domain: Domain, monitor: int) -> int:
    """Where a domain's faults go: to its parent, who also gets its TCB, or else to the monitor."""
    spec = domain.spec
    if spec.parent is None or spec.child_id is None:
        return await tools.mint(monitor, domain.index + 1, CALL_RIGHTS)
    parent = domains[spec.parent]
    await tools.copy_into(parent.cnode, BASE_TCB_CAP + spec.child_id, PD_CNODE_BITS, domain.tcb)
    return await tools.mint(parent.endpoint, FAULT_BADGE | spec.child_id, CALL_RIGHTS)


async def wire_monitor(tools: Toolbox, domain: Domain, monitor: int) -> None:
    """A passive domain can tell the monitor that it is initialised."""
    if domain.spec.passive:
        badge = READY_BADGE | domain.index + 1
        await tools.mint_into(domain.cnode, MONITOR_EP, PD_CNODE_BITS, monitor, badge, rt.WRITE)


async def wire_shared_caps(tools: Toolbox, domains: Domains, domain: Domain) -> None:
    """Caps to other domains' TCB, scheduling context or VSpace, in slots of the root CNode."""
    for mapping in domain.spec.cap_mappings:
        other = domains[mapping.pd]
        cap = {CapKind.TCB: other.tcb, CapKind.SC: other.sched_context, CapKind.VSPACE: other.vspace.root}
        await tools.copy_into(domain.root_cnode, mapping.slot, ROOT_CNODE_BITS, cap[mapping.kind])


async def wire_grants(tools: Toolbox, domains: Domains, regions: Regions, grants: tuple[Grant, ...]) -> None:
    """Caps beyond Microkit's format, in slots of the holder's own CNode."""
    for grant in grants:
        holder = domains[grant.pd]
        source = await _granted(tools, domains, regions, grant)
        if grant.kind is GrantKind.CNODE:
            await tools.mint_into(holder.cnode, grant.slot, PD_CNODE_BITS, source, WORD_BITS - PD_CNODE_BITS)
        elif grant.badge:
            await tools.mint_into(holder.cnode, grant.slot, PD_CNODE_BITS, source, grant.badge, grant.rights)
        else:
            await tools.copy_into(holder.cnode, grant.slot, PD_CNODE_BITS, source, grant.rights)


async def _granted(tools: Toolbox, domains: Domains, regions: Regions, grant: Grant) -> int:
    match grant.kind:
        case GrantKind.ENDPOINT:
            return domains[grant.of].endpoint
        case GrantKind.NOTIFICATION:
            return domains[grant.of].notification
        case GrantKind.CNODE:
            return domains[grant.of].cnode
        case GrantKind.FRAME:
            return regions.frames[grant.of][0]
        case GrantKind.UNTYPED:
            return await tools.env.memory.alloc(obj.UNTYPED, grant.size_bits)
        case GrantKind.REPLY:
            return await tools.env.memory.alloc(obj.REPLY)


async def wire_io_space(tools: Toolbox, regions: Regions, space: IoAddressSpace, plan: Plan) -> None:
    """Let a device reach the regions of its I/O address space, and nothing else."""
    request_id = space.device.bus << 8 | space.device.device << 3 | space.device.function
    cap = await tools.mint(CAP_IO_SPACE, space.domain_id << 16 | request_id)
    for mapping in space.maps:
        region, rights = plan.system.region(mapping.region), rights_of(mapping.perms)
        for index, frame in enumerate(regions.frames[region.name]):
            copy = await tools.copy(frame, rights)
            await _map_io(tools, copy, cap, mapping.iovaddr + index * PAGE, rights)


async def _map_io(tools: Toolbox, frame: int, space: int, ioaddr: int, rights: int) -> None:
    while True:
        try:
            await stubs.page_map_io(tools.env.sys, frame, rights=rights, ioaddr=ioaddr, iospace=space)
            return
        except KernelError as error:
            if error.name != "FailedLookup":
                raise
        table = await tools.env.memory.alloc(io.OBJECT_IO_PAGE_TABLE, io.IO_PAGE_TABLE_BITS)
        await stubs.io_page_table_map(tools.env.sys, table, ioaddr=ioaddr, iospace=space)
