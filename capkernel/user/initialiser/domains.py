"""Protection domains: their objects, their address spaces, and their place in time."""

from attrs import define, field

from capkernel.abi import objects as obj
from capkernel.abi import registers as reg
from capkernel.abi import rights as rt
from capkernel.abi.bootinfo import CAP_DOMAIN
from capkernel.abi.flags import EXECUTE_NEVER, TCB_FPU_DISABLED
from capkernel.system.description import DurationUnit, ProtectionDomain, ScheduleEntry
from capkernel.system.elf import ElfSegment
from capkernel.system.symbols import symbol_patches
from capkernel.user import stubs
from capkernel.user.initialiser.memory import Regions
from capkernel.user.initialiser.plan import PAGE, Plan
from capkernel.user.initialiser.toolbox import Toolbox
from capkernel.user.loop import IPC_BUFFER, PD_CNODE_BITS, ROOT_CNODE_BITS
from capkernel.user.pdimage import PDValues
from capkernel.user.threads import SCHED_CONTEXT_BITS, ThreadSpec, configure_time, write_start
from capkernel.user.vspaces import VSpace

PD_GUARD_SIZE = 64 - ROOT_CNODE_BITS - PD_CNODE_BITS
SC_BADGE = 0x100


@define
class Domain:
    """A protection domain that is being built: caps in the initial task's CSpace (0: none)."""

    index: int
    spec: ProtectionDomain
    tcb: int
    sched_context: int
    cnode: int
    root_cnode: int
    notification: int
    reply: int
    vspace: VSpace
    buffer: int
    endpoint: int = 0
    entry: int = 0
    notifications: int = field(default=0)
    pps: int = field(default=0)


async def create_domain(tools: Toolbox, plan: Plan, index: int, spec: ProtectionDomain) -> Domain:
    """Make a domain's objects; nothing is connected yet."""
    memory = tools.env.memory
    domain = Domain(
        index, spec, await memory.alloc(obj.TCB), await memory.alloc(obj.SCHED_CONTEXT, SCHED_CONTEXT_BITS),
        await memory.alloc(obj.CNODE, PD_CNODE_BITS), await memory.alloc(obj.CNODE, ROOT_CNODE_BITS),
        await memory.alloc(obj.NOTIFICATION), await memory.alloc(obj.REPLY),
        await VSpace.create(memory, tools.env.asid_pool), await memory.alloc(obj.PAGE),
    )  # fmt: skip
    if plan.has_endpoint(spec.name):
        domain.endpoint = await memory.alloc(obj.ENDPOINT)
    await tools.mint_into(domain.root_cnode, 0, ROOT_CNODE_BITS, domain.cnode, PD_GUARD_SIZE)
    return domain


async def build_address_space(tools: Toolbox, plan: Plan, regions: Regions, domain: Domain) -> None:
    """Map regions, IPC buffer, stack and code."""
    for mapping in domain.spec.maps:
        await regions.map(mapping, domain.vspace)
    await domain.vspace.map(domain.buffer, IPC_BUFFER)
    top = plan.system.platform.stack_top
    await domain.vspace.map_new(top - domain.spec.stack_size, domain.spec.stack_size)
    await _load_program(tools, plan, regions, domain)


async def _load_program(tools: Toolbox, plan: Plan, regions: Regions, domain: Domain) -> None:
    """Patch the program's symbols and put its segments in place, each page with the segment's rights."""
    settings = {}
    for patch in symbol_patches(plan.system, domain.spec):
        value = patch.value
        if value is None and patch.region is not None:
            value = await regions.physical_address(patch.region)
        settings[patch.symbol] = value or 0
    values = PDValues(
        name=domain.spec.name, passive=domain.spec.passive, irqs=sum(1 << irq.id for irq in domain.spec.irqs),
        notifications=domain.notifications, pps=domain.pps,
    )  # fmt: skip
    image = plan.programs[domain.spec.name].image(values, settings)
    domain.entry = image.entry
    for segment in image.segments:
        await _load_segment(tools, domain.vspace, segment)


async def _load_segment(tools: Toolbox, vspace: VSpace, segment: ElfSegment) -> None:
    rights = rt.READ_WRITE if segment.writable else rt.READ if segment.readable else 0
    for address in segment.pages:
        frame = await tools.env.memory.alloc(obj.PAGE)
        offset, content = segment.page(address)
        if content:
            await tools.fill(frame, PAGE, content, offset)
        await vspace.map(frame, address, rights, 0 if segment.executable else EXECUTE_NEVER)


async def configure_domain(tools: Toolbox, plan: Plan, domain: Domain, fault_ep: int) -> None:
    """Give the thread its spaces, buffer, notification, priority, domain and time."""
    sys, env, scheduling = tools.env.sys, tools.env, domain.spec.scheduling
    await stubs.tcb_set_space(
        sys, domain.tcb, cspace_root_data=0, vspace_root_data=0, fault_ep=fault_ep, cspace_root=domain.root_cnode,
        vspace_root=domain.vspace.root,
    )  # fmt: skip
    await stubs.tcb_set_ipc_buffer(sys, domain.tcb, buffer=IPC_BUFFER, buffer_frame=domain.buffer)
    await stubs.tcb_bind_notification(sys, domain.tcb, notification=domain.notification)
    await stubs.tcb_set_mc_priority(sys, domain.tcb, mcp=scheduling.priority, authority=env.tcb)
    await stubs.tcb_set_priority(sys, domain.tcb, priority=scheduling.priority, authority=env.tcb)
    if not domain.spec.fpu:
        await stubs.tcb_set_flags(sys, domain.tcb, clear_flags=0, set_flags=TCB_FPU_DISABLED)
    if plan.system.domains:
        number = plan.system.domain_id(domain.spec)
        await stubs.domain_set_set(sys, CAP_DOMAIN, domain=number, thread=domain.tcb)
    await configure_time(env, domain.sched_context, scheduling.budget, scheduling.period, badge=SC_BADGE + domain.index)
    await stubs.sched_context_bind(sys, domain.sched_context, cap=domain.tcb)


async def start_domain(tools: Toolbox, plan: Plan, domain: Domain) -> None:
    """Set the first registers and let the thread go; a debug kernel is told its name."""
    if plan.debug:
        await tools.env.sys.name_thread(domain.tcb, domain.spec.name)
    spec = ThreadSpec(entry=domain.entry, registers={reg.SP: plan.system.platform.stack_top})
    await write_start(tools.env, domain.tcb, spec, resume=True)


async def set_schedule(tools: Toolbox, plan: Plan) -> None:
    """Write the domain schedule, if there is one, and start it."""
    schedule = plan.system.schedule
    if schedule is None:
        return
    sys, first = tools.env.sys, schedule.index_shift or 0
    ids = {domain.name: domain.id for domain in plan.system.domains}
    for offset, entry in enumerate(schedule.entries):
        number, duration = 0, 0
        if isinstance(entry, ScheduleEntry):
            number, duration = ids[entry.domain], entry.duration
            if entry.unit is DurationUnit.MICROSECONDS:
                duration *= plan.ticks_per_us
        await stubs.domain_set_schedule_configure(
            sys, CAP_DOMAIN, index=first + offset, domain=number, duration=duration
        )
    await stubs.domain_set_schedule_set_start(sys, CAP_DOMAIN, index=first + schedule.start_index)
