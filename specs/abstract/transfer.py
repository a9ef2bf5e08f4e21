"""Messages: from thread to thread, of the kernel to a thread, and about faults (manual, chapters 4 and 6).

Four words travel in registers, the others through the IPC buffers. Where a buffer is missing they are cut off.
"""

from capkernel.abi import faults as flt
from capkernel.abi import message as msg
from capkernel.abi import registers as reg
from specs.abstract.caps import EndpointCap, NullCap
from specs.abstract.cdt import cap_insert, derive_cap
from specs.abstract.cspace import lookup_cap, lookup_slot_for_cnode_op, lookup_slot_for_thread
from specs.abstract.objects import CapFault, Fault, Ptr, Timeout, UnknownSyscall, UserException, VMFault
from specs.abstract.schedcontext import sched_context_update_consumed
from specs.abstract.state import (
    CSlot,
    LookupFailed,
    State,
    SyscallError,
    get_cap,
    get_register,
    get_tcb,
    load_word,
    set_registers,
    store_word,
)
from specs.abstract.vspace import lookup_ipc_buffer


class ExtraCapFailed(Exception):
    """The address of an extra cap leads nowhere."""

    def __init__(self, fault: CapFault) -> None:
        super().__init__(fault)
        self.fault = fault


def buffer_word(buffer: int, index: int) -> int:
    """Where message word ``index`` lies in an IPC buffer."""
    return buffer + msg.BUFFER_MSG + 8 * index


def load_words(s: State, thread: Ptr, buffer: int | None, count: int) -> list[int]:
    """The first message words of a thread, or as many as it can have."""
    context = get_tcb(s, thread).context
    words = [context[register] for register in reg.MSG_REGISTERS[:count]]
    if buffer is not None:
        words += [load_word(s, buffer_word(buffer, index)) for index in range(msg.N_MSG_REGISTERS, count)]
    return words


def set_mrs(s: State, thread: Ptr, buffer: int | None, words: list[int]) -> int:
    """Give a thread message words; returns how many it could take."""
    set_registers(s, thread, dict(zip(reg.MSG_REGISTERS, words, strict=False)))
    if buffer is None:
        return min(len(words), msg.N_MSG_REGISTERS)
    for index in range(msg.N_MSG_REGISTERS, len(words)):
        store_word(s, buffer_word(buffer, index), words[index])
    return len(words)


def lookup_extra_caps(s: State, thread: Ptr, buffer: int | None, info: int) -> tuple[CSlot, ...]:
    """The slots of the extra caps that a message names; none without a buffer. Raises ExtraCapFailed."""
    slots: list[CSlot] = []
    for index in range(0 if buffer is None else msg.info_extra_caps(info)):
        cptr = load_word(s, (buffer or 0) + msg.BUFFER_CAPS + 8 * index)
        try:
            slots.append(lookup_slot_for_thread(s, thread, cptr))
        except LookupFailed as failed:
            raise ExtraCapFailed(CapFault(cptr, False, failed.failure)) from None
    return tuple(slots)


def do_ipc_transfer(
    s: State, sender: Ptr, endpoint: Ptr | None, badge: int, can_grant: bool, receiver: Ptr
) -> None:
    """Give a receiver the sender's message, or the one about its fault."""
    fault = get_tcb(s, sender).fault
    if fault is None:
        do_normal_transfer(s, sender, endpoint, badge, can_grant, receiver)
    else:
        do_fault_transfer(s, sender, fault, badge, receiver)


def do_normal_transfer(
    s: State, sender: Ptr, endpoint: Ptr | None, badge: int, can_grant: bool, receiver: Ptr
) -> None:
    """Words always, caps if the sending cap grants."""
    info = get_register(s, sender, reg.MSG_INFO_REGISTER)
    send_buffer, receive_buffer = lookup_ipc_buffer(s, False, sender), lookup_ipc_buffer(s, True, receiver)
    caps: tuple[CSlot, ...] = ()
    if can_grant:
        try:
            caps = lookup_extra_caps(s, sender, send_buffer, info)
        except ExtraCapFailed:
            caps = ()
    words = load_words(s, sender, send_buffer, msg.info_length(info))
    count = set_mrs(s, receiver, receive_buffer, words)
    extra, unwrapped = transfer_caps(s, caps, endpoint, receiver, receive_buffer)
    got = msg.message_info(msg.info_label(info), count, extra, unwrapped)
    set_registers(s, receiver, {reg.MSG_INFO_REGISTER: got, reg.BADGE_REGISTER: badge})


def transfer_caps(
    s: State, caps: tuple[CSlot, ...], endpoint: Ptr | None, receiver: Ptr, buffer: int | None
) -> tuple[int, int]:
    """How many extra caps arrived, and as bits which of them as no more than a badge.

    Whoever receives through an endpoint needs no other cap to it: of such a cap the badge is told. Of the others one
    is copied, if the receiver has named a slot for it.
    """
    if not caps or buffer is None:
        return 0, 0
    dest, unwrapped = get_receive_slot(s, receiver, buffer), 0
    for index, slot in enumerate(caps):
        cap = get_cap(s, slot)
        if isinstance(cap, EndpointCap) and cap.ptr == endpoint:
            store_word(s, buffer + msg.BUFFER_CAPS + 8 * index, cap.badge)
            unwrapped |= 1 << index
            continue
        try:
            copy = derive_cap(s, slot, cap)
        except SyscallError:
            return index, unwrapped
        if dest is None or isinstance(copy, NullCap):
            return index, unwrapped
        cap_insert(s, copy, slot, dest)
        dest = None
    return len(caps), unwrapped


def get_receive_slot(s: State, receiver: Ptr, buffer: int) -> CSlot | None:
    """The slot that a receiver has named in its IPC buffer, if there is one and it is empty."""
    at = (msg.BUFFER_RECEIVE_CNODE, msg.BUFFER_RECEIVE_INDEX, msg.BUFFER_RECEIVE_DEPTH)
    root, index, depth = (load_word(s, buffer + offset) for offset in at)
    try:
        slot = lookup_slot_for_cnode_op(s, False, lookup_cap(s, receiver, root), index, depth)
    except (LookupFailed, SyscallError):
        return None
    return None if slot in s.caps else slot


def do_fault_transfer(s: State, sender: Ptr, fault: Fault, badge: int, receiver: Ptr) -> None:
    """Tell a handler of a fault."""
    label, words = make_fault_msg(s, fault, sender)
    count = set_mrs(s, receiver, lookup_ipc_buffer(s, True, receiver), words)
    set_registers(s, receiver, {reg.MSG_INFO_REGISTER: msg.message_info(label, count), reg.BADGE_REGISTER: badge})


def make_fault_msg(s: State, fault: Fault, thread: Ptr) -> tuple[int, list[int]]:
    """Label and words of the message about a fault. Registers are those of now, not of when it happened."""
    tcb = get_tcb(s, thread)
    restart_pc = tcb.context[reg.FAULT_IP]
    match fault:
        case CapFault(address, in_receive_phase, failure):
            return flt.CAP_FAULT, [restart_pc, address, int(in_receive_phase), failure.kind, *failure.words]
        case VMFault(address, is_fetch, status):
            return flt.VM_FAULT, [restart_pc, address, int(is_fetch), status]
        case UnknownSyscall(number):
            return flt.UNKNOWN_SYSCALL, [*(tcb.context[r] for r in flt.UNKNOWN_SYSCALL_MESSAGE), number]
        case UserException(number, code):
            return flt.USER_EXCEPTION, [*(tcb.context[r] for r in flt.USER_EXCEPTION_MESSAGE), number, code]
        case Timeout(badge):
            sc = tcb.sched_context
            return flt.TIMEOUT, [badge] if sc is None else [badge, sched_context_update_consumed(s, sc)]


_SET_BY_REPLY: dict[type, tuple[int, ...]] = {
    UnknownSyscall: flt.UNKNOWN_SYSCALL_MESSAGE, UserException: flt.USER_EXCEPTION_MESSAGE,
    Timeout: flt.TIMEOUT_REPLY_MESSAGE,
}  # fmt: skip


def handle_fault_reply(s: State, fault: Fault, thread: Ptr, sender: Ptr) -> bool:
    """Let the answer to a fault set the faulted thread's registers; says whether it is to go on."""
    registers = _SET_BY_REPLY.get(type(fault))
    if registers is None:
        return True
    info = get_register(s, sender, reg.MSG_INFO_REGISTER)
    count = min(msg.info_length(info), len(registers))
    words = load_words(s, sender, lookup_ipc_buffer(s, False, sender), count)
    set_registers(s, thread, dict(zip(registers, words, strict=False)))
    return msg.info_label(info) == 0


def reply_from_kernel(s: State, thread: Ptr, label: int, words: list[int]) -> None:
    """Answer a Call on an object: error code (0: none) and words."""
    count = set_mrs(s, thread, lookup_ipc_buffer(s, True, thread), words)
    set_registers(s, thread, {reg.BADGE_REGISTER: 0, reg.MSG_INFO_REGISTER: msg.message_info(label, count)})
