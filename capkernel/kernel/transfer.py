"""Moving messages: words, caps, fault messages, and the kernel's own replies (manual, chapter 4).

The first four words travel in registers, the rest through the IPC buffers; a side without a buffer cuts the
message to four words.
"""

from capkernel.abi import faults as flt
from capkernel.abi import message as msg
from capkernel.abi.registers import BADGE_REGISTER, FAULT_IP, MSG_INFO_REGISTER, MSG_REGISTERS
from capkernel.kernel import schedcontext
from capkernel.kernel.caps import EndpointCap
from capkernel.kernel.cspace import lookup_cap, lookup_cnode_slot, lookup_slot
from capkernel.kernel.errors import LookupFault, SyscallError
from capkernel.kernel.objects import (
    NULL,
    TCB,
    CapFault,
    Endpoint,
    Fault,
    KernelBug,
    Slot,
    Timeout,
    UnknownSyscall,
    UserException,
    VMFault,
)
from capkernel.kernel.slots import derive_cap, insert_derived
from capkernel.kernel.state import State
from capkernel.kernel.vspace import ipc_buffer


class ExtraCapFault(Exception):
    """An extra cap's address did not resolve."""

    def __init__(self, address: int, fault: LookupFault) -> None:
        super().__init__(address)
        self.fault = CapFault(address, False, fault.failure)


def lookup_extra_caps(state: State, sender: TCB, buffer: int, info: int) -> list[Slot]:
    """The slots of a message's extra caps; none without a buffer. Raises ExtraCapFault."""
    slots: list[Slot] = []
    if buffer == 0:
        return slots
    for index in range(info >> 7 & 3):
        address = state.machine.read_word(buffer + msg.BUFFER_CAPS + 8 * index)
        try:
            slots.append(lookup_slot(sender, address))
        except LookupFault as fault:
            raise ExtraCapFault(address, fault) from None
    return slots


def set_message(state: State, receiver: TCB, words: tuple[int, ...] | list[int]) -> int:
    """Put words into the receiver's message registers; returns how many found room."""
    count = min(len(words), msg.N_MSG_REGISTERS)
    registers = receiver.registers
    for index in range(count):
        registers[MSG_REGISTERS[index]] = words[index]
    if len(words) > count:
        buffer = ipc_buffer(receiver, for_writing=True)
        if buffer:
            for index in range(count, len(words)):
                state.machine.write_word(buffer + 8 + 8 * index, words[index])
            return len(words)
    return count


def _copy_message(state: State, sender: TCB, receiver: TCB, length: int, send_buffer: int, receive_buffer: int) -> int:
    """Copy message words from thread to thread; returns how many arrived (copyMRs)."""
    source, target = sender.registers, receiver.registers
    for register in MSG_REGISTERS[:length]:
        target[register] = source[register]
    if length <= msg.N_MSG_REGISTERS:
        return length
    if not send_buffer or not receive_buffer:
        return msg.N_MSG_REGISTERS
    machine = state.machine
    for offset in range(8 + 8 * msg.N_MSG_REGISTERS, 8 + 8 * length, 8):
        machine.write_word(receive_buffer + offset, machine.read_word(send_buffer + offset))
    return length


def do_ipc_transfer(
    state: State, sender: TCB, endpoint: Endpoint | None, badge: int, receiver: TCB, *, can_grant: bool
) -> None:
    """Hand the sender's message, or the message about its fault, to the receiver (doIPCTransfer)."""
    if sender.fault is not None:
        _do_fault_transfer(state, sender, sender.fault, badge, receiver)
        return
    info = sender.registers[MSG_INFO_REGISTER]
    length = info & msg.LENGTH_MASK
    if length <= msg.N_MSG_REGISTERS and not info >> 7 & 3:
        # Short and without caps: no buffer is touched.
        arrived, extra, unwrapped = _copy_message(state, sender, receiver, length, 0, 0), 0, 0
    else:
        send_buffer = ipc_buffer(sender, for_writing=False)
        receive_buffer = ipc_buffer(receiver, for_writing=True)
        caps = _granted_caps(state, sender, send_buffer, info) if can_grant else []
        length = msg.info_length(info)
        arrived = _copy_message(state, sender, receiver, length, send_buffer, receive_buffer)
        extra, unwrapped = _transfer_caps(state, caps, endpoint, receiver, receive_buffer)
    receiver.registers[MSG_INFO_REGISTER] = info >> 12 << 12 | unwrapped << 9 | extra << 7 | arrived
    receiver.registers[BADGE_REGISTER] = badge


def _granted_caps(state: State, sender: TCB, buffer: int, info: int) -> list[Slot]:
    """The extra caps to transfer; one that cannot be found means none at all."""
    try:
        return lookup_extra_caps(state, sender, buffer, info)
    except ExtraCapFault:
        return []


def _transfer_caps(
    state: State, caps: list[Slot], endpoint: Endpoint | None, receiver: TCB, buffer: int
) -> tuple[int, int]:
    """Unwrap or transfer extra caps in order; returns how many, and which were unwrapped (transferCaps)."""
    if not caps or not buffer:
        return 0, 0
    dest = _receive_slot(state, receiver, buffer)
    unwrapped = 0
    for index, slot in enumerate(caps):
        cap = slot.cap
        if isinstance(cap, EndpointCap) and cap.endpoint is endpoint:
            # A cap to the endpoint in use is worth no more than its badge to the one who serves it.
            state.machine.write_word(buffer + msg.BUFFER_CAPS + 8 * index, cap.badge)
            unwrapped |= 1 << index
        elif dest is None or not _insert_copy(slot, dest):
            return index, unwrapped
        else:
            dest = None
    return len(caps), unwrapped


def _insert_copy(slot: Slot, dest: Slot) -> bool:
    try:
        copy = derive_cap(slot, slot.cap)
    except SyscallError:
        return False
    if copy is NULL:
        return False
    insert_derived(copy, slot, dest)
    return True


def _receive_slot(state: State, receiver: TCB, buffer: int) -> Slot | None:
    """The empty slot that the receiver named in its IPC buffer, if there is one (getReceiveSlots)."""
    read = state.machine.read_word
    try:
        root = lookup_cap(receiver, read(buffer + msg.BUFFER_RECEIVE_CNODE))
        index, depth = read(buffer + msg.BUFFER_RECEIVE_INDEX), read(buffer + msg.BUFFER_RECEIVE_DEPTH)
        slot = lookup_cnode_slot(root, index, depth)
    except (LookupFault, SyscallError):
        return None
    return slot if slot.cap is NULL else None


def _do_fault_transfer(state: State, sender: TCB, fault: Fault, badge: int, receiver: TCB) -> None:
    label, words = fault_message(state, sender, fault)
    arrived = set_message(state, receiver, words)
    # A fault message longer than the registers keeps its full length only with a buffer to put it in.
    receiver.registers[MSG_INFO_REGISTER] = msg.message_info(label, arrived)
    receiver.registers[BADGE_REGISTER] = badge


def fault_message(state: State, sender: TCB, fault: Fault) -> tuple[int, list[int]]:
    """Label and words that tell a handler of a fault, as of now (setMRs_fault)."""
    registers = sender.registers
    match fault:
        case CapFault():
            head = [registers[FAULT_IP], fault.address, int(fault.in_receive_phase), fault.failure.kind]
            return flt.CAP_FAULT, head + list(fault.failure.words)
        case VMFault():
            return flt.VM_FAULT, [registers[FAULT_IP], fault.address, int(fault.is_fetch), fault.status]
        case UnknownSyscall():
            return flt.UNKNOWN_SYSCALL, [registers[r] for r in flt.UNKNOWN_SYSCALL_MESSAGE] + [fault.number]
        case UserException():
            words = [registers[r] for r in flt.USER_EXCEPTION_MESSAGE]
            return flt.USER_EXCEPTION, [*words, fault.number, fault.code]
        case Timeout():
            sc = sender.sched_context
            consumed = [] if sc is None else [schedcontext.take_consumed(state, sc)]
            return flt.TIMEOUT, [fault.badge, *consumed]
    raise KernelBug(f"fault without message: {fault!r}")


def handle_fault_reply(state: State, fault: Fault, receiver: TCB, sender: TCB) -> bool:
    """Apply a handler's answer to the faulted thread; true if that is to be restarted (handleFaultReply)."""
    match fault:
        case UnknownSyscall():
            targets = flt.UNKNOWN_SYSCALL_MESSAGE
        case UserException():
            targets = flt.USER_EXCEPTION_MESSAGE
        case Timeout():
            targets = flt.TIMEOUT_REPLY_MESSAGE
        case _:
            return True
    info = sender.registers[MSG_INFO_REGISTER]
    length = min(msg.info_length(info), len(targets))
    for index, word in enumerate(read_message(state, sender, length)):
        receiver.registers[targets[index]] = word
    return msg.info_label(info) == 0


def read_message(state: State, sender: TCB, length: int) -> list[int]:
    """The first ``length`` words that a thread sends, or as many as it has."""
    words = [sender.registers[r] for r in MSG_REGISTERS[:length]]
    if length > msg.N_MSG_REGISTERS:
        buffer = ipc_buffer(sender, for_writing=False)
        if buffer:
            words += [state.machine.read_word(buffer + 8 + 8 * n) for n in range(msg.N_MSG_REGISTERS, length)]
    return words


def reply_from_kernel(state: State, thread: TCB, error: int, words: tuple[int, ...] | list[int]) -> None:
    """Answer a Call on a kernel object: error code (0: success) and words, badge 0."""
    registers = thread.registers
    registers[BADGE_REGISTER] = 0
    length = set_message(state, thread, words) if words else 0
    registers[MSG_INFO_REGISTER] = error << msg.LABEL_SHIFT | length
