"""Making and starting threads: a TCB, its time, its IPC buffer, its first registers."""

from attrs import field, frozen

from capkernel.abi import objects as obj
from capkernel.abi import registers as reg
from capkernel.abi import rights as rt
from capkernel.abi.flags import WRITE_RESUME
from capkernel.user import stubs
from capkernel.user.bootstrap import Environment
from capkernel.user.vspaces import VSpace

SCHED_CONTEXT_BITS = 8


@frozen(kw_only=True)
class ThreadSpec:
    """What a thread is to be. Times are microseconds; ``budget`` 0 means a passive thread.

    ``cspace`` and ``vspace`` are caps (None: the maker's own), ``fault_ep`` and ``timeout_ep`` caps or 0. The IPC
    buffer gets a frame of its own at ``buffer`` (0: none), and tp points to it. ``arguments`` go into a0, a1, ...
    """

    entry: int
    arguments: tuple[int, ...] = ()
    buffer: int = 0
    priority: int = 100
    mcp: int = 0
    budget: int = 5_000
    period: int = 5_000
    cspace: int | None = None
    vspace: VSpace | None = None
    fault_ep: int = 0
    timeout_ep: int = 0
    registers: dict[int, int] = field(factory=dict)


@frozen
class Thread:
    """A thread that was made: its caps, in the maker's CSpace. 0 where there is none."""

    tcb: int
    sched_context: int
    buffer_frame: int


async def start_thread(env: Environment, spec: ThreadSpec) -> Thread:
    """Make a thread and let it run."""
    thread = await make_thread(env, spec)
    await write_start(env, thread.tcb, spec, resume=True)
    return thread


async def make_thread(env: Environment, spec: ThreadSpec) -> Thread:
    """Make a thread that does not run yet. Raises KernelError, OutOfMemory, OutOfSlots."""
    tcb = await env.memory.alloc(obj.TCB)
    vspace = spec.vspace or VSpace(env.memory, env.vspace)
    frame = 0
    if spec.buffer:
        frame = await env.memory.alloc(obj.PAGE)
        await vspace.map(frame, spec.buffer)
    cspace = env.cnode if spec.cspace is None else spec.cspace
    await stubs.tcb_set_space(
        env.sys, tcb, cspace_root_data=0, vspace_root_data=0, fault_ep=spec.fault_ep, cspace_root=cspace,
        vspace_root=vspace.root,
    )  # fmt: skip
    if frame:
        await stubs.tcb_set_ipc_buffer(env.sys, tcb, buffer=spec.buffer, buffer_frame=frame)
    if spec.timeout_ep:
        await stubs.tcb_set_timeout_endpoint(env.sys, tcb, timeout_fault_ep=spec.timeout_ep)
    sched_context = await _give_time(env, tcb, spec) if spec.budget else 0
    await stubs.tcb_set_mc_priority(env.sys, tcb, mcp=spec.mcp, authority=env.tcb)
    await stubs.tcb_set_priority(env.sys, tcb, priority=spec.priority, authority=env.tcb)
    return Thread(tcb, sched_context, frame)


async def _give_time(env: Environment, tcb: int, spec: ThreadSpec) -> int:
    sched_context = await env.memory.alloc(obj.SCHED_CONTEXT, SCHED_CONTEXT_BITS)
    await configure_time(env, sched_context, spec.budget, spec.period)
    await stubs.sched_context_bind(env.sys, sched_context, cap=tcb)
    return sched_context


async def configure_time(
    env: Environment, sched_context: int, budget: int, period: int, *, badge: int = 0, sporadic: bool = False
) -> None:
    """Set a scheduling context's budget in each period, in microseconds; equal numbers mean round robin."""
    await stubs.sched_control_configure_flags(
        env.sys, env.sched_control, budget=budget, period=period, extra_refills=0, badge=badge, flags=int(sporadic),
        sched_context=sched_context,
    )  # fmt: skip


async def write_start(env: Environment, tcb: int, spec: ThreadSpec, *, resume: bool) -> None:
    """Set all registers for a fresh start at the entry."""
    values = dict.fromkeys(reg.USER_CONTEXT, 0)
    values[reg.FAULT_IP] = spec.entry
    values[reg.TP] = spec.buffer
    for index, argument in enumerate(spec.arguments):
        values[reg.A0 + index] = argument
    values.update(spec.registers)
    registers = [values[register] for register in reg.USER_CONTEXT]
    await stubs.tcb_write_registers(env.sys, tcb, flags=WRITE_RESUME if resume else 0, registers=registers)


async def mint_endpoint(env: Environment, endpoint: int, badge: int, rights: int = rt.ALL) -> int:
    """A badged cap to an endpoint or notification, in a new slot of the maker's CSpace."""
    slot = env.slots.alloc()
    await stubs.cnode_mint(
        env.sys, env.cnode, dest_index=slot, dest_depth=env.slots.depth, src_root=env.cnode, src_index=endpoint,
        src_depth=env.slots.depth, rights=rights, badge=badge,
    )  # fmt: skip
    return slot
