"""Threads: configuring, starting and stopping, reading and writing registers (manual, section 6.1)."""

from functools import partial

from capkernel.abi import errors as err
from capkernel.abi import flags as fl
from capkernel.abi import labels
from capkernel.abi import rights as rt
from capkernel.abi.message import IPC_BUFFER_BITS
from capkernel.abi.registers import FAULT_IP, FRAME_REGISTERS, GP_REGISTERS, NEXT_IP, TLS_BASE, USER_CONTEXT
from capkernel.abi.words import MASK
from capkernel.kernel import deletion, notification, refills, schedcontext, scheduler, slots
from capkernel.kernel.caps import (
    CNodeCap,
    FrameCap,
    NotificationCap,
    PageTableCap,
    SchedContextCap,
    ThreadCap,
    ZombieCap,
    same_object_as,
    update_cap_data,
)
from capkernel.kernel.errors import (
    SyscallError,
    illegal_operation,
    invalid_capability,
    range_error,
    truncated_message,
)
from capkernel.kernel.fault_delivery import is_valid_handler
from capkernel.kernel.invocations.call import Call, Invocation, Results
from capkernel.kernel.objects import NULL, TCB, Blocked, Cap, Notification, SchedContext, Slot
from capkernel.kernel.state import State
from capkernel.kernel.thread import restart, set_priority, suspend

Installation = tuple[Slot, Cap, Slot | None]
"""A TCB slot, the cap to put there, and where it was derived from (None: leave the slot empty)."""


def decode_tcb(state: State, call: Call, slot: Slot, cap: ThreadCap) -> Invocation:
    """All TCB methods."""
    tcb = cap.tcb
    match call.label:
        case labels.TCB_SUSPEND:
            return partial(suspend, state, tcb)
        case labels.TCB_RESUME:
            return partial(restart, state, tcb)
        case labels.TCB_READ_REGISTERS:
            return _decode_read_registers(state, call, tcb)
        case labels.TCB_WRITE_REGISTERS:
            return _decode_write_registers(state, call, tcb)
        case labels.TCB_COPY_REGISTERS:
            return _decode_copy_registers(state, call, tcb)
        case labels.TCB_SET_PRIORITY | labels.TCB_SET_MC_PRIORITY:
            return _decode_set_priority(state, call, tcb)
        case labels.TCB_SET_SCHED_PARAMS:
            return _decode_set_sched_params(state, call, slot, tcb)
        case labels.TCB_BIND_NOTIFICATION:
            return _decode_bind_notification(call, tcb)
        case labels.TCB_UNBIND_NOTIFICATION:
            if tcb.bound_notification is None:
                raise illegal_operation()
            return partial(notification.unbind, tcb)
        case labels.TCB_SET_TLS_BASE:
            call.require(1)
            return partial(perform_set_tls_base, state, tcb, call.arg(0))
        case labels.TCB_SET_FLAGS:
            call.require(2)
            return partial(perform_set_flags, tcb, call.arg(0), call.arg(1))
        case _:
            return _decode_install(state, call, slot, tcb)


def _decode_install(state: State, call: Call, slot: Slot, tcb: TCB) -> Invocation:
    """The methods that put caps into the TCB's own slots."""
    match call.label:
        case labels.TCB_CONFIGURE:
            call.require(3, caps=3)
            buffer = _checked_buffer(call, call.arg(2), tcb, 2)
            space = _checked_space(call, tcb, 0, 1)
            return partial(perform_install, state, slot, tcb, [*space, buffer], call.arg(2))
        case labels.TCB_SET_SPACE:
            call.require(2, caps=3)
            space = _checked_space(call, tcb, 1, 2)
            handler = _checked_handler(call, tcb.fault_slot, 0, error=1)
            return partial(perform_install, state, slot, tcb, [handler, *space], None)
        case labels.TCB_SET_IPC_BUFFER:
            call.require(1, caps=1)
            buffer = _checked_buffer(call, call.arg(0), tcb, 0)
            return partial(perform_install, state, slot, tcb, [buffer], call.arg(0))
        case labels.TCB_SET_TIMEOUT_ENDPOINT:
            call.require(0, caps=1)
            handler = _checked_handler(call, tcb.timeout_slot, 0, error=1)
            return partial(perform_install, state, slot, tcb, [handler], None)
        case _:
            raise illegal_operation()


def _checked_buffer(call: Call, address: int, tcb: TCB, index: int) -> Installation:
    """The IPC buffer frame; address 0 means none, whatever the cap is."""
    source = call.extra_caps[index]
    if address == 0:
        return tcb.buffer_slot, NULL, None
    cap = slots.derive_cap(source, source.cap)
    if not isinstance(cap, FrameCap) or cap.is_device:
        raise illegal_operation()
    if address & MASK[IPC_BUFFER_BITS]:
        raise SyscallError(err.ALIGNMENT_ERROR)
    return tcb.buffer_slot, cap, source


def _checked_space(call: Call, tcb: TCB, cspace_index: int, vspace_index: int) -> list[Installation]:
    """CSpace and VSpace roots; the words 0 and 1 are their data, 0 leaving a guard as it is."""
    if _is_long_running(tcb.cspace_slot) or _is_long_running(tcb.vspace_slot):
        raise illegal_operation()
    cspace = _checked_root(call, 0, cspace_index)
    if not isinstance(cspace, CNodeCap):
        raise illegal_operation()
    vspace = _checked_root(call, 1, vspace_index)
    if not isinstance(vspace, PageTableCap) or not vspace.is_mapped:
        raise illegal_operation()
    return [
        (tcb.cspace_slot, cspace, call.extra_caps[cspace_index]),
        (tcb.vspace_slot, vspace, call.extra_caps[vspace_index]),
    ]


def _checked_root(call: Call, word: int, index: int) -> Cap:
    source = call.extra_caps[index]
    data = call.arg(word)
    cap = update_cap_data(source.cap, data, preserve=False) if data else source.cap
    return slots.derive_cap(source, cap)


def _is_long_running(slot: Slot) -> bool:
    """Whether emptying this slot could take long (slotCapLongRunningDelete)."""
    return isinstance(slot.cap, (ThreadCap, ZombieCap, CNodeCap)) and slots.is_final(slot)


def _checked_handler(call: Call, target: Slot, index: int, *, error: int) -> Installation:
    source = call.extra_caps[index]
    if not is_valid_handler(source.cap):
        raise invalid_capability(error)
    return target, source.cap, source


def perform_install(state: State, slot: Slot, tcb: TCB, caps: list[Installation], buffer_address: int | None) -> None:
    """Replace caps in the TCB's slots, in order (invokeTCB_ThreadControlCaps).

    Emptying a slot may destroy the very cap that was to be put there, or the TCB: then it stays empty.
    """
    for target, cap, source in caps:
        deletion.delete(state, target)
        if target is tcb.buffer_slot and buffer_address is not None:
            tcb.ipc_buffer = buffer_address
        alive = isinstance(slot.cap, ThreadCap) and slot.cap.tcb is tcb
        if source is not None and cap is not NULL and alive and same_object_as(cap, source.cap):
            slots.insert_derived(cap, source, target)
    if buffer_address is not None and tcb is state.current:
        scheduler.reschedule_required(state)


def _authority(call: Call, index: int) -> TCB:
    """The TCB whose maximum controlled priority bounds what may be set."""
    cap = call.cap(index)
    if not isinstance(cap, ThreadCap):
        raise invalid_capability(1)
    return cap.tcb


def _check_priority(priority: int, authority: TCB) -> None:
    if priority > authority.mcp:
        raise range_error(0, authority.mcp)


def _decode_set_priority(state: State, call: Call, tcb: TCB) -> Invocation:
    call.require(1, caps=1)
    authority = _authority(call, 0)
    priority = call.arg(0)
    _check_priority(priority, authority)
    if call.label == labels.TCB_SET_PRIORITY:
        return partial(set_priority, state, tcb, priority)
    return partial(perform_set_mcp, tcb, priority)


def perform_set_mcp(tcb: TCB, mcp: int) -> None:
    """Bound the priorities that this thread may give out."""
    tcb.mcp = mcp


def _decode_set_sched_params(state: State, call: Call, slot: Slot, tcb: TCB) -> Invocation:
    call.require(2, caps=3)
    authority = _authority(call, 0)
    mcp, priority = call.arg(0), call.arg(1)
    _check_priority(mcp, authority)
    _check_priority(priority, authority)
    sc = _checked_sched_context(state, call.cap(1), tcb)
    handler = _checked_handler(call, tcb.fault_slot, 2, error=3)
    return partial(perform_set_sched_params, state, slot, tcb, mcp, priority, sc, handler)


def _checked_sched_context(state: State, cap: Cap, tcb: TCB) -> SchedContext | None:
    if cap is NULL:
        if tcb is state.current:
            raise illegal_operation()
        return None
    if not isinstance(cap, SchedContextCap):
        raise invalid_capability(2)
    sc = cap.sched_context
    if tcb.sched_context is not sc and (tcb.sched_context is not None or sc.tcb is not None):
        raise illegal_operation()
    if isinstance(tcb.state, Blocked) and not refills.is_released(state, sc):
        raise illegal_operation()
    return sc


def perform_set_sched_params(
    state: State, slot: Slot, tcb: TCB, mcp: int, priority: int, sc: SchedContext | None, handler: Installation
) -> None:
    """Fault handler, priorities, scheduling context, in this order (invokeTCB_ThreadControlSched)."""
    old = tcb.sched_context
    perform_install(state, slot, tcb, [handler], None)
    tcb.mcp = mcp
    set_priority(state, tcb, priority)
    if sc is old:
        return
    if sc is not None:
        schedcontext.bind_tcb(state, sc, tcb)
    elif tcb.sched_context is not None:
        schedcontext.unbind_tcb(state, tcb.sched_context)


def _decode_bind_notification(call: Call, tcb: TCB) -> Invocation:
    call.require(0, caps=1)
    cap = call.cap(0)
    if tcb.bound_notification is not None or not isinstance(cap, NotificationCap) or not cap.rights & rt.READ:
        raise illegal_operation()
    target: Notification = cap.notification
    if target.queue.head is not None or target.bound_tcb is not None:
        raise illegal_operation()
    return partial(notification.bind, tcb, target)


def perform_set_tls_base(state: State, tcb: TCB, base: int) -> None:
    """Set the thread pointer register."""
    tcb.registers[TLS_BASE] = base
    if tcb is state.current:
        scheduler.reschedule_required(state)


def perform_set_flags(tcb: TCB, clear: int, set_: int) -> Results:
    """Clear, then set, thread flags; unknown flags are dropped. Answers the new flags."""
    tcb.flags = tcb.flags & ~clear | set_ & fl.TCB_FPU_DISABLED
    return (tcb.flags,)


def _decode_read_registers(state: State, call: Call, tcb: TCB) -> Invocation:
    call.require(2)
    flags, count = call.arg(0), call.arg(1)
    if not 1 <= count <= len(USER_CONTEXT):
        raise range_error(1, len(USER_CONTEXT))
    if tcb is state.current:
        raise illegal_operation()
    return partial(perform_read_registers, state, tcb, bool(flags & fl.READ_SUSPEND), count)


def perform_read_registers(state: State, tcb: TCB, suspend_source: bool, count: int) -> Results:
    """The first ``count`` registers, in the order of ``abi.registers.USER_CONTEXT``."""
    if suspend_source:
        suspend(state, tcb)
    return [tcb.registers[register] for register in USER_CONTEXT[:count]]


def _decode_write_registers(state: State, call: Call, tcb: TCB) -> Invocation:
    call.require(2)
    flags, count = call.arg(0), call.arg(1)
    if call.length - 2 < count:
        raise truncated_message()
    if tcb is state.current:
        raise illegal_operation()
    values = [call.arg(2 + index) for index in range(min(count, len(USER_CONTEXT)))]
    return partial(perform_write_registers, state, tcb, bool(flags & fl.WRITE_RESUME), values)


def perform_write_registers(state: State, tcb: TCB, resume: bool, values: list[int]) -> None:
    """Set the first registers; both program counters follow the restart pc."""
    for register, value in zip(USER_CONTEXT, values, strict=False):
        tcb.registers[register] = value
    tcb.registers[NEXT_IP] = tcb.registers[FAULT_IP]
    if resume:
        restart(state, tcb)


def _decode_copy_registers(state: State, call: Call, tcb: TCB) -> Invocation:
    call.require(1, caps=1)
    source = call.cap(0)
    if not isinstance(source, ThreadCap):
        raise invalid_capability(1)
    return partial(perform_copy_registers, state, tcb, source.tcb, call.arg(0))


def perform_copy_registers(state: State, dest: TCB, source: TCB, flags: int) -> None:
    """Bit 0 suspends the source, 1 resumes the target, 2 copies the frame registers, 3 the integer registers."""
    if flags & 1:
        suspend(state, source)
    if flags & 2:
        restart(state, dest)
    if flags & 4:
        for register in FRAME_REGISTERS:
            dest.registers[register] = source.registers[register]
        dest.registers[NEXT_IP] = dest.registers[FAULT_IP]
    if flags & 8:
        for register in GP_REGISTERS:
            dest.registers[register] = source.registers[register]
    if dest is state.current:
        scheduler.reschedule_required(state)
