"""One function for each invocation of a kernel object, with the names of the table ``abi.labels``.

The first two arguments are the thread's system calls and the cap that is invoked; caps are cap addresses of the
calling thread. Raises KernelError if the kernel refuses. (TCB_WriteRegisters takes the registers themselves instead
of their number.)
"""

from collections.abc import Sequence

from capkernel.abi.labels import BY_NAME
from capkernel.user.errors import KernelError
from capkernel.user.syscalls import Message, Syscalls


async def invoke(
    sys: Syscalls, name: str, cptr: int, words: Sequence[int] = (), caps: Sequence[int] = ()
) -> tuple[int, ...]:
    """Call the invocation of that name in the table; returns the reply's words. Raises KernelError."""
    row = BY_NAME[name]
    reply = await sys.call(cptr, Message(row.label, words, caps))
    if reply.label:
        raise KernelError(row, cptr, reply.label, reply.words)
    return tuple(reply.words)


async def untyped_retype(
    sys: Syscalls, untyped: int, *,
    object_type: int, size_bits: int, node_index: int, node_depth: int, node_offset: int,
    num_objects: int, root: int,
) -> None:  # fmt: skip
    """Make objects out of untyped memory; their caps go into ``num_objects`` slots from ``node_offset`` on."""
    await invoke(
        sys, "Untyped_Retype", untyped,
        (object_type, size_bits, node_index, node_depth, node_offset, num_objects),
        (root,),
    )  # fmt: skip


async def tcb_read_registers(sys: Syscalls, tcb: int, *, flags: int, count: int) -> tuple[int, ...]:
    """The first ``count`` registers of ``abi.registers.USER_CONTEXT``; bit 0 of ``flags`` suspends the thread."""
    return await invoke(sys, "TCB_ReadRegisters", tcb, (flags, count))


async def tcb_write_registers(sys: Syscalls, tcb: int, *, flags: int, registers: Sequence[int]) -> None:
    """Set the first registers of ``abi.registers.USER_CONTEXT``; bit 0 of ``flags`` resumes the thread."""
    await invoke(sys, "TCB_WriteRegisters", tcb, (flags, len(registers), *registers))


async def tcb_copy_registers(sys: Syscalls, tcb: int, *, flags: int, source: int) -> None:
    """Copy registers from another thread: bit 0 suspends the source, 1 resumes this, 2 frame, 3 integer registers."""
    await invoke(sys, "TCB_CopyRegisters", tcb, (flags,), (source,))


async def tcb_configure(
    sys: Syscalls, tcb: int, *,
    cspace_root_data: int, vspace_root_data: int, buffer: int, cspace_root: int, vspace_root: int,
    buffer_frame: int,
) -> None:  # fmt: skip
    """Give a thread its CSpace, VSpace and IPC buffer."""
    await invoke(
        sys, "TCB_Configure", tcb,
        (cspace_root_data, vspace_root_data, buffer),
        (cspace_root, vspace_root, buffer_frame),
    )  # fmt: skip


async def tcb_set_priority(sys: Syscalls, tcb: int, *, priority: int, authority: int) -> None:
    """Set a thread's priority, at most the authority's maximum controlled priority."""
    await invoke(sys, "TCB_SetPriority", tcb, (priority,), (authority,))


async def tcb_set_mc_priority(sys: Syscalls, tcb: int, *, mcp: int, authority: int) -> None:
    """Set a thread's maximum controlled priority."""
    await invoke(sys, "TCB_SetMCPriority", tcb, (mcp,), (authority,))


async def tcb_set_sched_params(
    sys: Syscalls, tcb: int, *, mcp: int, priority: int, authority: int, sched_context: int, fault_ep: int
) -> None:
    """Set priorities, scheduling context and fault endpoint at once."""
    await invoke(sys, "TCB_SetSchedParams", tcb, (mcp, priority), (authority, sched_context, fault_ep))


async def tcb_set_timeout_endpoint(sys: Syscalls, tcb: int, *, timeout_fault_ep: int) -> None:
    """Say who hears of used-up budgets."""
    await invoke(sys, "TCB_SetTimeoutEndpoint", tcb, (), (timeout_fault_ep,))


async def tcb_set_ipc_buffer(sys: Syscalls, tcb: int, *, buffer: int, buffer_frame: int) -> None:
    """Give a thread its IPC buffer."""
    await invoke(sys, "TCB_SetIPCBuffer", tcb, (buffer,), (buffer_frame,))


async def tcb_set_space(
    sys: Syscalls, tcb: int, *,
    cspace_root_data: int, vspace_root_data: int, fault_ep: int, cspace_root: int, vspace_root: int,
) -> None:  # fmt: skip
    """Give a thread its fault endpoint, CSpace and VSpace."""
    await invoke(sys, "TCB_SetSpace", tcb, (cspace_root_data, vspace_root_data), (fault_ep, cspace_root, vspace_root))


async def tcb_suspend(sys: Syscalls, tcb: int) -> None:
    """Stop a thread."""
    await invoke(sys, "TCB_Suspend", tcb)


async def tcb_resume(sys: Syscalls, tcb: int) -> None:
    """Let a thread go on."""
    await invoke(sys, "TCB_Resume", tcb)


async def tcb_bind_notification(sys: Syscalls, tcb: int, *, notification: int) -> None:
    """Let a thread also hear of a notification while it waits on an endpoint."""
    await invoke(sys, "TCB_BindNotification", tcb, (), (notification,))


async def tcb_unbind_notification(sys: Syscalls, tcb: int) -> None:
    """Undo the binding."""
    await invoke(sys, "TCB_UnbindNotification", tcb)


async def tcb_set_tls_base(sys: Syscalls, tcb: int, *, tls_base: int) -> None:
    """Set the thread pointer register."""
    await invoke(sys, "TCB_SetTLSBase", tcb, (tls_base,))


async def tcb_set_flags(sys: Syscalls, tcb: int, *, clear_flags: int, set_flags: int) -> int:
    """Clear, then set, thread flags; returns them."""
    return (await invoke(sys, "TCB_SetFlags", tcb, (clear_flags, set_flags)))[0]


async def cnode_revoke(sys: Syscalls, cnode: int, *, index: int, depth: int) -> None:
    """Delete every cap that was derived from the one in a slot."""
    await invoke(sys, "CNode_Revoke", cnode, (index, depth))


async def cnode_delete(sys: Syscalls, cnode: int, *, index: int, depth: int) -> None:
    """Empty a slot."""
    await invoke(sys, "CNode_Delete", cnode, (index, depth))


async def cnode_cancel_badged_sends(sys: Syscalls, cnode: int, *, index: int, depth: int) -> None:
    """Restart those who wait to send through a badged endpoint cap."""
    await invoke(sys, "CNode_CancelBadgedSends", cnode, (index, depth))


async def cnode_copy(
    sys: Syscalls, cnode: int, *,
    dest_index: int, dest_depth: int, src_index: int, src_depth: int, rights: int,
    src_root: int,
) -> None:  # fmt: skip
    """Derive a cap with the same or fewer rights."""
    await invoke(sys, "CNode_Copy", cnode, (dest_index, dest_depth, src_index, src_depth, rights), (src_root,))


async def cnode_mint(
    sys: Syscalls, cnode: int, *,
    dest_index: int, dest_depth: int, src_index: int, src_depth: int, rights: int,
    badge: int, src_root: int,
) -> None:  # fmt: skip
    """Derive a cap with a badge or a guard, and the same or fewer rights."""
    await invoke(sys, "CNode_Mint", cnode, (dest_index, dest_depth, src_index, src_depth, rights, badge), (src_root,))


async def cnode_move(
    sys: Syscalls, cnode: int, *, dest_index: int, dest_depth: int, src_index: int, src_depth: int, src_root: int
) -> None:
    """Move a cap."""
    await invoke(sys, "CNode_Move", cnode, (dest_index, dest_depth, src_index, src_depth), (src_root,))


async def cnode_mutate(
    sys: Syscalls, cnode: int, *,
    dest_index: int, dest_depth: int, src_index: int, src_depth: int, badge: int,
    src_root: int,
) -> None:  # fmt: skip
    """Move a cap and change its guard."""
    await invoke(sys, "CNode_Mutate", cnode, (dest_index, dest_depth, src_index, src_depth, badge), (src_root,))


async def cnode_rotate(
    sys: Syscalls, cnode: int, *,
    dest_index: int, dest_depth: int, dest_badge: int, pivot_index: int, pivot_depth: int,
    pivot_badge: int, src_index: int, src_depth: int, pivot_root: int, src_root: int,
) -> None:  # fmt: skip
    """Move source to pivot to destination; destination and source may be the same."""
    await invoke(
        sys, "CNode_Rotate", cnode,
        (dest_index, dest_depth, dest_badge, pivot_index, pivot_depth, pivot_badge, src_index, src_depth),
        (pivot_root, src_root),
    )  # fmt: skip


async def irq_control_get(sys: Syscalls, irq_control: int, *, irq: int, index: int, depth: int, root: int) -> None:
    """Get the handler cap of an interrupt line."""
    await invoke(sys, "IRQControl_Get", irq_control, (irq, index, depth), (root,))


async def irq_handler_ack(sys: Syscalls, irq_handler: int) -> None:
    """The interrupt was served; the line may fire again."""
    await invoke(sys, "IRQHandler_Ack", irq_handler)


async def irq_handler_set_notification(sys: Syscalls, irq_handler: int, *, notification: int) -> None:
    """Say which notification the line signals."""
    await invoke(sys, "IRQHandler_SetNotification", irq_handler, (), (notification,))


async def irq_handler_clear(sys: Syscalls, irq_handler: int) -> None:
    """Let the line signal nobody."""
    await invoke(sys, "IRQHandler_Clear", irq_handler)


async def domain_set_set(sys: Syscalls, domain_set: int, *, domain: int, thread: int) -> None:
    """Put a thread into a domain."""
    await invoke(sys, "DomainSet_Set", domain_set, (domain,), (thread,))


async def domain_set_schedule_configure(
    sys: Syscalls, domain_set: int, *, index: int, domain: int, duration: int
) -> None:
    """Set an entry of the domain schedule; ``duration`` in ticks."""
    await invoke(sys, "DomainSet_ScheduleConfigure", domain_set, (index, domain, duration))


async def domain_set_schedule_set_start(sys: Syscalls, domain_set: int, *, index: int) -> None:
    """Start the domain schedule at an entry, now."""
    await invoke(sys, "DomainSet_ScheduleSetStart", domain_set, (index,))


async def sched_control_configure_flags(
    sys: Syscalls, sched_control: int, *,
    budget: int, period: int, extra_refills: int, badge: int, flags: int,
    sched_context: int,
) -> None:  # fmt: skip
    """Set budget and period in microseconds; equal means round robin. Bit 0 of ``flags``: sporadic."""
    await invoke(
        sys, "SchedControl_ConfigureFlags", sched_control,
        (budget, period, extra_refills, badge, flags),
        (sched_context,),
    )  # fmt: skip


async def sched_context_bind(sys: Syscalls, sched_context: int, *, cap: int) -> None:
    """Give the time to a thread or a notification."""
    await invoke(sys, "SchedContext_Bind", sched_context, (), (cap,))


async def sched_context_unbind(sys: Syscalls, sched_context: int) -> None:
    """Take the time away from all."""
    await invoke(sys, "SchedContext_Unbind", sched_context)


async def sched_context_unbind_object(sys: Syscalls, sched_context: int, *, cap: int) -> None:
    """Take the time away from a thread or a notification."""
    await invoke(sys, "SchedContext_UnbindObject", sched_context, (), (cap,))


async def sched_context_consumed(sys: Syscalls, sched_context: int) -> int:
    """Microseconds used since the last such question."""
    return (await invoke(sys, "SchedContext_Consumed", sched_context))[0]


async def sched_context_yield_to(sys: Syscalls, sched_context: int) -> int:
    """Let its thread run first; returns the microseconds that it used."""
    return (await invoke(sys, "SchedContext_YieldTo", sched_context))[0]


async def page_table_map(sys: Syscalls, page_table: int, *, vaddr: int, attr: int, vspace: int) -> None:
    """Put a page table where one is missing for ``vaddr``."""
    await invoke(sys, "PageTable_Map", page_table, (vaddr, attr), (vspace,))


async def page_table_unmap(sys: Syscalls, page_table: int) -> None:
    """Take a page table out."""
    await invoke(sys, "PageTable_Unmap", page_table)


async def page_map(sys: Syscalls, frame: int, *, vaddr: int, rights: int, attr: int, vspace: int) -> None:
    """Map a frame; bit 0 of ``attr`` forbids execution."""
    await invoke(sys, "Page_Map", frame, (vaddr, rights, attr), (vspace,))


async def page_unmap(sys: Syscalls, frame: int) -> None:
    """Unmap a frame."""
    await invoke(sys, "Page_Unmap", frame)


async def page_get_address(sys: Syscalls, frame: int) -> int:
    """The frame's physical address."""
    return (await invoke(sys, "Page_GetAddress", frame))[0]


async def asid_control_make_pool(
    sys: Syscalls, asid_control: int, *, index: int, depth: int, untyped: int, root: int
) -> None:
    """Make an ASID pool out of an untyped of 4 KiB."""
    await invoke(sys, "ASIDControl_MakePool", asid_control, (index, depth), (untyped, root))


async def asid_pool_assign(sys: Syscalls, asid_pool: int, *, vspace: int) -> None:
    """Make a page table the root of an address space."""
    await invoke(sys, "ASIDPool_Assign", asid_pool, (), (vspace,))


async def irq_control_get_trigger(
    sys: Syscalls, irq_control: int, *, irq: int, trigger: int, index: int, depth: int, root: int
) -> None:
    """Get the handler cap of an interrupt line; ``trigger`` 1 is edge, 0 level."""
    await invoke(sys, "IRQControl_GetTrigger", irq_control, (irq, trigger, index, depth), (root,))


async def io_page_table_map(sys: Syscalls, io_page_table: int, *, ioaddr: int, iospace: int) -> None:
    """Put an I/O page table where one is missing for ``ioaddr``."""
    await invoke(sys, "IOPageTable_Map", io_page_table, (ioaddr,), (iospace,))


async def io_page_table_unmap(sys: Syscalls, io_page_table: int) -> None:
    """Take an I/O page table out."""
    await invoke(sys, "IOPageTable_Unmap", io_page_table)


async def page_map_io(sys: Syscalls, frame: int, *, rights: int, ioaddr: int, iospace: int) -> None:
    """Map a frame for a device."""
    await invoke(sys, "Page_MapIO", frame, (rights, ioaddr), (iospace,))
