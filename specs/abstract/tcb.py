"""TCB invocations (manual, section 6.1)."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from capkernel.abi import errors as err
from capkernel.abi import flags as fl
from capkernel.abi import labels
from capkernel.abi import registers as reg
from capkernel.abi import rights as rt
from capkernel.abi.message import IPC_BUFFER_BITS
from specs.abstract.caps import (
    NULL,
    Cap,
    CNodeCap,
    FrameCap,
    NotificationCap,
    NullCap,
    PageTableCap,
    SchedContextCap,
    ThreadCap,
    Zombie,
    same_object_as,
    update_cap_data,
)
from specs.abstract.cdt import cap_insert, derive_cap, is_final_cap
from specs.abstract.faults import valid_fault_handler
from specs.abstract.finalise import cap_delete
from specs.abstract.invocation import Call, Invocation, Results, require
from specs.abstract.notification import bind_notification, unbind_notification
from specs.abstract.objects import CTABLE, FAULT_HANDLER, IPC_BUFFER, TIMEOUT_HANDLER, VTABLE, Ptr
from specs.abstract.schedcontext import sched_context_bind_tcb, sched_context_unbind_tcb
from specs.abstract.scheduler import reschedule_required, sc_released
from specs.abstract.state import (
    CSlot,
    State,
    SyscallError,
    get_cap,
    get_notification,
    get_sched_context,
    get_tcb,
    set_registers,
    set_tcb,
)
from specs.abstract.thread import BLOCKED, restart, set_priority, suspend


class NewCap(NamedTuple):
    """What a slot of a TCB is to hold: a cap derived from the one in ``src``; without ``src``, nothing."""

    at: int
    cap: Cap = NULL
    src: CSlot | None = None


def decode_tcb_invocation(s: State, call: Call, cap: ThreadCap) -> Invocation:
    """All TCB methods. Raises SyscallError."""
    decode = _DECODERS.get(call.label)
    if decode is None:
        raise SyscallError(err.ILLEGAL_OPERATION)
    return decode(s, call, cap.ptr)


# Reading and writing registers


def _decode_read_registers(s: State, call: Call, thread: Ptr) -> Invocation:
    require(call, 2)
    if not 1 <= call.arg(1) <= len(reg.USER_CONTEXT):
        raise SyscallError(err.RANGE_ERROR, 1, len(reg.USER_CONTEXT))
    if thread == s.cur_thread:
        raise SyscallError(err.ILLEGAL_OPERATION)
    return partial(_read_registers, s, thread, bool(call.arg(0) & fl.READ_SUSPEND), call.arg(1))


def _read_registers(s: State, thread: Ptr, suspends: bool, count: int) -> Results:
    if suspends:
        suspend(s, thread)
    context = get_tcb(s, thread).context
    return [context[register] for register in reg.USER_CONTEXT[:count]]


def _decode_write_registers(s: State, call: Call, thread: Ptr) -> Invocation:
    require(call, 2)
    require(call, 2 + call.arg(1))
    if thread == s.cur_thread:
        raise SyscallError(err.ILLEGAL_OPERATION)
    words = [call.arg(2 + index) for index in range(min(call.arg(1), len(reg.USER_CONTEXT)))]
    return partial(_write_registers, s, thread, bool(call.arg(0) & fl.WRITE_RESUME), words)


def _write_registers(s: State, thread: Ptr, resumes: bool, words: list[int]) -> None:
    set_registers(s, thread, dict(zip(reg.USER_CONTEXT, words, strict=False)))
    set_registers(s, thread, {reg.NEXT_IP: get_tcb(s, thread).context[reg.FAULT_IP]})
    if resumes:
        restart(s, thread)


def _decode_copy_registers(s: State, call: Call, thread: Ptr) -> Invocation:
    require(call, 1, 1)
    source = get_cap(s, call.extra_caps[0])
    if not isinstance(source, ThreadCap):
        raise SyscallError(err.INVALID_CAPABILITY, 1)
    return partial(_copy_registers, s, thread, source.ptr, call.arg(0))


def _copy_registers(s: State, dest: Ptr, source: Ptr, flags: int) -> None:
    """Bits 0..3: suspend the source, resume the destination, copy frame registers, copy integer registers."""
    if flags & 1:
        suspend(s, source)
    if flags & 2:
        restart(s, dest)
    context = get_tcb(s, source).context
    if flags & 4:
        set_registers(s, dest, {register: context[register] for register in reg.FRAME_REGISTERS})
        set_registers(s, dest, {reg.NEXT_IP: context[reg.FAULT_IP]})
    if flags & 8:
        set_registers(s, dest, {register: context[register] for register in reg.GP_REGISTERS})
    if dest == s.cur_thread:
        reschedule_required(s)


def _decode_set_tls_base(s: State, call: Call, thread: Ptr) -> Invocation:
    require(call, 1)
    return partial(_set_tls_base, s, thread, call.arg(0))


def _set_tls_base(s: State, thread: Ptr, base: int) -> None:
    set_registers(s, thread, {reg.TLS_BASE: base})
    if thread == s.cur_thread:
        reschedule_required(s)


def _decode_set_flags(s: State, call: Call, thread: Ptr) -> Invocation:
    require(call, 2)
    return partial(_set_flags, s, thread, call.arg(0), call.arg(1))


def _set_flags(s: State, thread: Ptr, clear: int, also: int) -> Results:
    flags = get_tcb(s, thread).flags & ~clear | also & fl.TCB_FPU_DISABLED
    set_tcb(s, thread, flags=flags)
    return [flags]


# Priorities and scheduling contexts


def check_prio(s: State, priority: int, authority: Ptr) -> None:
    """Nobody gives what is above the maximum controlled priority of the thread in whose name it is given."""
    most = get_tcb(s, authority).mcpriority
    if priority > most:
        raise SyscallError(err.RANGE_ERROR, 0, most)


def _authority(s: State, call: Call) -> Ptr:
    cap = get_cap(s, call.extra_caps[0])
    if not isinstance(cap, ThreadCap):
        raise SyscallError(err.INVALID_CAPABILITY, 1)
    return cap.ptr


def _decode_set_priority(s: State, call: Call, thread: Ptr) -> Invocation:
    require(call, 1, 1)
    check_prio(s, call.arg(0), _authority(s, call))
    if call.label == labels.TCB_SET_MC_PRIORITY:
        return partial(set_tcb, s, thread, mcpriority=call.arg(0))
    return partial(set_priority, s, thread, call.arg(0))


def _decode_set_sched_params(s: State, call: Call, thread: Ptr) -> Invocation:
    require(call, 2, 3)
    authority, mcp, priority = _authority(s, call), call.arg(0), call.arg(1)
    check_prio(s, mcp, authority)
    check_prio(s, priority, authority)
    sc = _sched_context_for(s, get_cap(s, call.extra_caps[1]), thread)
    handler = _handler(s, call.extra_caps[2], FAULT_HANDLER, 3)
    return partial(_set_sched_params, s, call.slot, thread, mcp, priority, sc, handler)


def _sched_context_for(s: State, cap: Cap, thread: Ptr) -> Ptr | None:
    """The scheduling context that a thread is to have. Raises SyscallError."""
    if isinstance(cap, NullCap):
        if thread == s.cur_thread:
            raise SyscallError(err.ILLEGAL_OPERATION)
        return None
    if not isinstance(cap, SchedContextCap):
        raise SyscallError(err.INVALID_CAPABILITY, 2)
    tcb = get_tcb(s, thread)
    taken = tcb.sched_context is not None or get_sched_context(s, cap.ptr).tcb is not None
    if tcb.sched_context != cap.ptr and taken:
        raise SyscallError(err.ILLEGAL_OPERATION)
    if isinstance(tcb.state, BLOCKED) and not sc_released(s, cap.ptr):
        raise SyscallError(err.ILLEGAL_OPERATION)
    return cap.ptr


def _set_sched_params(
    s: State, slot: CSlot, thread: Ptr, mcp: int, priority: int, sc: Ptr | None, handler: NewCap
) -> None:
    before = get_tcb(s, thread).sched_context
    install(s, slot, thread, [handler])
    set_tcb(s, thread, mcpriority=mcp)
    set_priority(s, thread, priority)
    if sc is not None and sc != before:
        sched_context_bind_tcb(s, sc, thread)
    elif sc is None:
        now = get_tcb(s, thread).sched_context
        if now is not None:
            sched_context_unbind_tcb(s, now)


# The caps in the TCB


def install(s: State, slot: CSlot, thread: Ptr, caps: list[NewCap], buffer: int | None = None) -> None:
    """Replace caps of a TCB, one after the other. Raises Interrupted.

    To delete the old one may take the source of the new one, or the thread, away; then the slot stays empty.
    """
    for index, cap, src in caps:
        cap_delete(s, (thread, index))
        if index == IPC_BUFFER and buffer is not None:
            set_tcb(s, thread, ipc_buffer=buffer)
        if src is not None and get_cap(s, slot) == ThreadCap(thread) and same_object_as(cap, get_cap(s, src)):
            cap_insert(s, cap, src, (thread, index))
    if buffer is not None and thread == s.cur_thread:
        reschedule_required(s)


def _buffer(s: State, src: CSlot, address: int) -> NewCap:
    """The frame of an IPC buffer; address 0 means to have none. Raises SyscallError."""
    if address == 0:
        return NewCap(IPC_BUFFER)
    cap = derive_cap(s, src, get_cap(s, src))
    if not isinstance(cap, FrameCap) or cap.is_device:
        raise SyscallError(err.ILLEGAL_OPERATION)
    if address % 2**IPC_BUFFER_BITS:
        raise SyscallError(err.ALIGNMENT_ERROR)
    return NewCap(IPC_BUFFER, cap, src)


def _spaces(s: State, call: Call, thread: Ptr, cspace: CSlot, vspace: CSlot) -> list[NewCap]:
    """The roots of CSpace and VSpace, with the guards that words 0 and 1 say. Raises SyscallError."""
    if any(slot_cap_long_running_delete(s, (thread, index)) for index in (CTABLE, VTABLE)):
        raise SyscallError(err.ILLEGAL_OPERATION)
    croot = _root(s, cspace, call.arg(0))
    if not isinstance(croot, CNodeCap):
        raise SyscallError(err.ILLEGAL_OPERATION)
    vroot = _root(s, vspace, call.arg(1))
    if not isinstance(vroot, PageTableCap) or not vroot.mapped:
        raise SyscallError(err.ILLEGAL_OPERATION)
    return [NewCap(CTABLE, croot, cspace), NewCap(VTABLE, vroot, vspace)]


def _root(s: State, src: CSlot, data: int) -> Cap:
    cap = get_cap(s, src)
    return derive_cap(s, src, update_cap_data(False, data, cap) if data else cap)


def slot_cap_long_running_delete(s: State, slot: CSlot) -> bool:
    """Whether to empty a slot could mean to destroy a CNode or TCB."""
    return isinstance(get_cap(s, slot), (ThreadCap, Zombie, CNodeCap)) and is_final_cap(s, slot)


def _handler(s: State, src: CSlot, index: int, number: int) -> NewCap:
    """A fault or timeout handler, which is extra cap ``number`` to whom it is refused. Raises SyscallError."""
    cap = get_cap(s, src)
    if not valid_fault_handler(cap):
        raise SyscallError(err.INVALID_CAPABILITY, number)
    return NewCap(index, cap, None if isinstance(cap, NullCap) else src)


def _decode_configure(s: State, call: Call, thread: Ptr) -> Invocation:
    require(call, 3, 3)
    cspace, vspace, frame = call.extra_caps[:3]
    buffer = _buffer(s, frame, call.arg(2))
    caps = [*_spaces(s, call, thread, cspace, vspace), buffer]
    return partial(install, s, call.slot, thread, caps, call.arg(2))


def _decode_set_space(s: State, call: Call, thread: Ptr) -> Invocation:
    require(call, 2, 3)
    handler, cspace, vspace = call.extra_caps[:3]
    spaces = _spaces(s, call, thread, cspace, vspace)
    return partial(install, s, call.slot, thread, [_handler(s, handler, FAULT_HANDLER, 1), *spaces])


def _decode_set_ipc_buffer(s: State, call: Call, thread: Ptr) -> Invocation:
    require(call, 1, 1)
    buffer = _buffer(s, call.extra_caps[0], call.arg(0))
    return partial(install, s, call.slot, thread, [buffer], call.arg(0))


def _decode_set_timeout_endpoint(s: State, call: Call, thread: Ptr) -> Invocation:
    require(call, 0, 1)
    return partial(install, s, call.slot, thread, [_handler(s, call.extra_caps[0], TIMEOUT_HANDLER, 1)])


# Stopping, starting, notifications


def _decode_suspend(s: State, call: Call, thread: Ptr) -> Invocation:
    return partial(suspend, s, thread)


def _decode_resume(s: State, call: Call, thread: Ptr) -> Invocation:
    return partial(restart, s, thread)


def _decode_bind_notification(s: State, call: Call, thread: Ptr) -> Invocation:
    require(call, 0, 1)
    cap = get_cap(s, call.extra_caps[0])
    if get_tcb(s, thread).bound_notification is not None:
        raise SyscallError(err.ILLEGAL_OPERATION)
    if not isinstance(cap, NotificationCap) or not cap.rights & rt.READ:
        raise SyscallError(err.ILLEGAL_OPERATION)
    ntfn = get_notification(s, cap.ptr)
    if ntfn.waiting or ntfn.bound_tcb is not None:
        raise SyscallError(err.ILLEGAL_OPERATION)
    return partial(bind_notification, s, thread, cap.ptr)


def _decode_unbind_notification(s: State, call: Call, thread: Ptr) -> Invocation:
    if get_tcb(s, thread).bound_notification is None:
        raise SyscallError(err.ILLEGAL_OPERATION)
    return partial(unbind_notification, s, thread)


_DECODERS: dict[int, Callable[[State, Call, Ptr], Invocation]] = {
    labels.TCB_READ_REGISTERS: _decode_read_registers, labels.TCB_WRITE_REGISTERS: _decode_write_registers,
    labels.TCB_COPY_REGISTERS: _decode_copy_registers, labels.TCB_CONFIGURE: _decode_configure,
    labels.TCB_SET_PRIORITY: _decode_set_priority, labels.TCB_SET_MC_PRIORITY: _decode_set_priority,
    labels.TCB_SET_SCHED_PARAMS: _decode_set_sched_params,
    labels.TCB_SET_TIMEOUT_ENDPOINT: _decode_set_timeout_endpoint, labels.TCB_SET_IPC_BUFFER: _decode_set_ipc_buffer,
    labels.TCB_SET_SPACE: _decode_set_space, labels.TCB_SUSPEND: _decode_suspend, labels.TCB_RESUME: _decode_resume,
    labels.TCB_BIND_NOTIFICATION: _decode_bind_notification,
    labels.TCB_UNBIND_NOTIFICATION: _decode_unbind_notification, labels.TCB_SET_TLS_BASE: _decode_set_tls_base,
    labels.TCB_SET_FLAGS: _decode_set_flags,
}  # fmt: skip
