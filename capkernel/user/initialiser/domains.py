"""Protection domains: what of them lasts, what belongs to one life, and how a life is built and started.

A life is built in the domain's arena: TCB, scheduling context, CNodes, address space with its page tables, IPC buffer,
stack and program. What others hold on to lasts, so that calls and signals to a domain that is down wait for the next
life: endpoint, notification, reply objects.
"""

from attrs import Factory, define

from capkernel.abi import objects as obj
from capkernel.abi import registers as reg
from capkernel.abi import rights as rt
from capkernel.abi.bootinfo import CAP_ASID_CONTROL, CAP_DOMAIN
from capkernel.abi.flags import EXECUTE_NEVER, TCB_FPU_DISABLED
from capkernel.abi.words import WORD_BITS
from capkernel.system.description import LineIrq, ProtectionDomain, Trigger
from capkernel.system.elf import ElfSegment
from capkernel.system.grants import Grant, GrantKind
from capkernel.system.symbols import symbol_patches
from capkernel.user import stubs
from capkernel.user.allocators import OutOfMemory
from capkernel.user.arenas import Arena
from capkernel.user.initialiser.footprint import arena_bits, cnode_sizes
from capkernel.user.initialiser.memory import Regions
from capkernel.user.initialiser.plan import PAGE, Image, Plan
from capkernel.user.initialiser.toolbox import Toolbox
from capkernel.user.lifecycle import State
from capkernel.user.loop import IPC_BUFFER, REPLY_CAP, ROOT_CNODE_BITS
from capkernel.user.pdimage import PDValues
from capkernel.user.threads import SCHED_CONTEXT_BITS, ThreadSpec, configure_time, write_start
from capkernel.user.vspaces import VSpace

SC_BADGE = 0x100


@define
class Life:
    """One life of a domain: caps in the initial task's CSpace. All are in the arena but the copies of regions' frames.

    ``cnodes`` are those but the root CNode, by number. Copies of frame caps are mapped in the domain, those of devices
    apart, or (``io_copies``) for its devices.
    """

    tcb: int
    sched_context: int
    root_cnode: int
    cnodes: dict[int, int]
    vspace: VSpace
    buffer: int
    entry: int = 0
    device_copies: list[int] = Factory(list)
    io_copies: list[int] = Factory(list)
    copies: list[int] = Factory(list)


@define
class Domain:
    """A protection domain: what of it lasts, as caps in the initial task's CSpace (0: none), and its life, if any.

    By number: ``irq_handlers`` (their channel), all others (the slot they are granted in); ``lasting`` are the numbers
    of the untypeds out of which a life makes things that outlive it, and of time that threads keep.
    ``is_starting`` is a passive domain that was started and has not said yet that it is about to wait.
    """

    index: int
    spec: ProtectionDomain
    arena: Arena
    notification: int
    endpoint: int = 0
    fault_ep: int = 0
    replies: dict[int, int] = Factory(dict)
    untypeds: dict[int, int] = Factory(dict)
    lasting: set[int] = Factory(set)
    slots: dict[int, int] = Factory(dict)
    asid_pools: dict[int, int] = Factory(dict)
    times: dict[int, int] = Factory(dict)
    irq_handlers: dict[int, int] = Factory(dict)
    life: Life | None = None
    state: State = State.BUILT
    incarnation: int = 1
    program: int = 0
    is_starting: bool = False

    @property
    def name(self) -> str:
        """As in the description."""
        return self.spec.name

    def living(self) -> Life:
        """Its life. Raises ValueError if it is destroyed."""
        if self.life is None:
            raise ValueError(f"{self.name} is destroyed")
        return self.life

    def lasting_caps(self) -> tuple[int, ...]:
        """Caps to all the memory that lasts: the arena, and what was made for it beside that."""
        single = (self.arena.untyped, self.notification, *((self.endpoint,) if self.endpoint else ()))
        made = (self.replies, self.untypeds, self.slots, self.asid_pools, self.times)
        return (*single, *(cap for caps in made for cap in caps.values()))


async def create_domain(tools: Toolbox, plan: Plan, index: int, spec: ProtectionDomain) -> Domain:
    """Make what lasts of a domain. Raises OutOfMemory or OutOfSlots."""
    memory = tools.env.memory
    try:
        arena = await Arena.create(memory, arena_bits(plan, spec))
    except OutOfMemory as error:
        raise OutOfMemory(f"{spec.where}: protection domain {spec.name} cannot be made: {error}") from None
    domain = Domain(index, spec, arena, await memory.alloc(obj.NOTIFICATION))
    if plan.has_endpoint(spec.name):
        domain.endpoint = await memory.alloc(obj.ENDPOINT)
    domain.replies[REPLY_CAP] = await memory.alloc(obj.REPLY)
    for grant in plan.grants:
        if grant.pd == spec.name:
            await _create_granted(tools, domain, grant)
    await _create_irqs(tools, domain)
    return domain


async def _create_granted(tools: Toolbox, domain: Domain, grant: Grant) -> None:
    """Make what lasts of what the description grants a domain."""
    env, slot = tools.env, grant.slot
    domain.lasting |= {slot} if grant.lasts else set()
    match grant.kind:
        case GrantKind.REPLY:
            domain.replies[slot] = await env.memory.alloc(obj.REPLY)
        case GrantKind.UNTYPED:
            domain.untypeds[slot] = await env.memory.alloc(obj.UNTYPED, grant.size_bits)
        case GrantKind.SLOTS if grant.lasts:
            domain.slots[slot] = await env.memory.alloc(obj.CNODE, grant.size_bits)
        case GrantKind.ASID_POOL:
            pool, untyped = env.slots.alloc(), await env.memory.alloc(obj.UNTYPED, obj.ASID_POOL_BITS)
            await stubs.asid_control_make_pool(
                env.sys, CAP_ASID_CONTROL, index=pool, depth=WORD_BITS, untyped=untyped, root=env.cnode
            )
            domain.asid_pools[slot] = pool
        case GrantKind.TIME:
            time = domain.times[slot] = await env.memory.alloc(obj.SCHED_CONTEXT, SCHED_CONTEXT_BITS)
            await configure_time(env, time, grant.budget, grant.period, badge=SC_BADGE + domain.index)


async def _create_irqs(tools: Toolbox, domain: Domain) -> None:
    """An interrupt signals its domain's notification with the badge of its channel."""
    env = tools.env
    for irq in domain.spec.irqs:
        if not isinstance(irq, LineIrq):
            continue
        handler = domain.irq_handlers[irq.id] = env.slots.alloc()
        await stubs.irq_control_get_trigger(
            env.sys, env.irq_control, irq=irq.irq, trigger=int(irq.trigger is Trigger.EDGE), index=handler,
            depth=WORD_BITS, root=env.cnode,
        )  # fmt: skip
        badged = await tools.mint(domain.notification, 1 << irq.id, rt.WRITE)
        await stubs.irq_handler_set_notification(env.sys, handler, notification=badged)


async def create_life(tools: Toolbox, plan: Plan, domain: Domain) -> None:
    """Make the objects of a new life; nothing is connected yet."""
    arena = domain.arena
    cnodes = {number: await arena.alloc(obj.CNODE, bits) for number, bits in cnode_sizes(plan, domain.name).items()}
    root_cnode, tcb = await arena.alloc(obj.CNODE, ROOT_CNODE_BITS), await arena.alloc(obj.TCB)
    sched_context = await arena.alloc(obj.SCHED_CONTEXT, SCHED_CONTEXT_BITS)
    vspace = await VSpace.create(arena, tools.env.asid_pool)
    domain.life = Life(tcb, sched_context, root_cnode, cnodes, vspace, await arena.alloc(obj.PAGE))


async def build_address_space(tools: Toolbox, plan: Plan, regions: Regions, domain: Domain) -> None:
    """Map regions, IPC buffer, stack and code."""
    life = domain.living()
    for mapping in domain.spec.maps:
        copies = life.device_copies if regions.is_device(mapping.region) else life.copies
        await regions.map(mapping, life.vspace, copies)
    await life.vspace.map(life.buffer, IPC_BUFFER)
    top = plan.system.platform.stack_top
    await life.vspace.map_new(top - domain.spec.stack_size, domain.spec.stack_size)
    image = await _image(plan, regions, domain)
    life.entry = image.entry
    for segment in image.segments:
        await _load_segment(tools, domain.arena, life.vspace, segment)


async def _image(plan: Plan, regions: Regions, domain: Domain) -> Image:
    """The program with its symbols set."""
    settings = {}
    for patch in symbol_patches(plan.system, domain.spec):
        value = patch.value
        if value is None and patch.region is not None:
            value = await regions.physical_address(patch.region)
        settings[patch.symbol] = value or 0
    return plan.programs_of(domain.name)[domain.program].image(values_of(plan, domain.spec), settings)


def values_of(plan: Plan, spec: ProtectionDomain) -> PDValues:
    """What a domain is told of itself."""
    ends = [own for own, _ in plan.system.ends(spec.name)]
    return PDValues(
        name=spec.name, passive=spec.passive, debug=plan.debug, irqs=sum(1 << irq.id for irq in spec.irqs),
        notifications=sum(1 << own.id for own in ends if own.notify), pps=sum(1 << own.id for own in ends if own.pp),
    )  # fmt: skip


async def _load_segment(tools: Toolbox, arena: Arena, vspace: VSpace, segment: ElfSegment) -> None:
    """Put a segment in place, each page with the segment's rights."""
    rights = rt.READ_WRITE if segment.writable else rt.READ if segment.readable else 0
    for address in segment.pages:
        frame = await arena.alloc(obj.PAGE)
        offset, content = segment.page(address)
        if content:
            await tools.fill(frame, PAGE, content, offset)
        await vspace.map(frame, address, rights, 0 if segment.executable else EXECUTE_NEVER)


async def configure_domain(tools: Toolbox, plan: Plan, domain: Domain) -> None:
    """Give the thread its spaces, buffer, notification, priority, domain and time."""
    sys, env, scheduling, life = tools.env.sys, tools.env, domain.spec.scheduling, domain.living()
    await stubs.tcb_set_space(
        sys, life.tcb, cspace_root_data=0, vspace_root_data=0, fault_ep=domain.fault_ep, cspace_root=life.root_cnode,
        vspace_root=life.vspace.root,
    )  # fmt: skip
    await stubs.tcb_set_ipc_buffer(sys, life.tcb, buffer=IPC_BUFFER, buffer_frame=life.buffer)
    if not domain.spec.passive:
        # A passive one hears of signals when it waits; see ``passive``.
        await stubs.tcb_bind_notification(sys, life.tcb, notification=domain.notification)
    await stubs.tcb_set_mc_priority(sys, life.tcb, mcp=scheduling.priority, authority=env.tcb)
    await stubs.tcb_set_priority(sys, life.tcb, priority=scheduling.priority, authority=env.tcb)
    if not domain.spec.fpu:
        await stubs.tcb_set_flags(sys, life.tcb, clear_flags=0, set_flags=TCB_FPU_DISABLED)
    if plan.system.domains:
        number = plan.system.domain_id(domain.spec)
        await stubs.domain_set_set(sys, CAP_DOMAIN, domain=number, thread=life.tcb)
    await configure_time(env, life.sched_context, scheduling.budget, scheduling.period, badge=SC_BADGE + domain.index)
    await stubs.sched_context_bind(sys, life.sched_context, cap=life.tcb)


async def start_domain(tools: Toolbox, plan: Plan, domain: Domain) -> None:
    """Set the first registers and let the thread go; a debug kernel is told its name. a0 says which life this is."""
    life = domain.living()
    if plan.debug:
        await tools.env.sys.name_thread(life.tcb, domain.name)
    registers = {reg.SP: plan.system.platform.stack_top}
    spec = ThreadSpec(entry=life.entry, arguments=(domain.incarnation,), registers=registers)
    await write_start(tools.env, life.tcb, spec, resume=True)
