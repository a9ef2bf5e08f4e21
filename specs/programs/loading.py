"""Loading a thread with a step: a system call into its registers and its IPC buffer, garbage into all the rest."""

import struct
from functools import lru_cache

from capkernel.abi import message as msg
from capkernel.abi import registers as reg
from capkernel.abi import rights
from capkernel.abi import syscalls as sc
from capkernel.abi.words import WORD_MASK
from capkernel.kernel.caps import EndpointCap, NotificationCap, ReplyCap
from capkernel.kernel.cspace import lookup_cap
from capkernel.kernel.errors import LookupFault
from capkernel.kernel.objects import TCB, Cap
from capkernel.kernel.vspace import ipc_buffer
from hwmodel.machine import Machine
from specs.programs.layout import INSN_PC
from specs.programs.model import GARBAGE, Syscall

T6 = 31
BUFFER_WORDS = 1 << msg.IPC_BUFFER_BITS - 3
_WORD, _PATH = struct.Struct("<Q"), struct.Struct("<3Q")
_SAFE = frozenset((sc.NBSEND, *range(sc.DEBUG_NAME_THREAD, sc.YIELD + 1)))
"""Calls that never stop their caller."""
_NON_BLOCKING = {
    sc.SEND: sc.NBSEND, sc.RECV: sc.NBRECV, sc.WAIT: sc.NBWAIT, sc.REPLY_RECV: sc.NBSEND, sc.NBSEND_RECV: sc.NBSEND,
    sc.NBSEND_WAIT: sc.NBSEND,
}  # fmt: skip


def fill(machine: Machine, thread: TCB, garbage: int) -> int:
    """Put garbage wherever a program could: recognisable words, other ones for another ``garbage``.

    Returns where the thread's IPC buffer lies.
    """
    registers, content = _garbage(garbage)
    thread.registers[1 : reg.FAULT_IP] = registers
    buffer = ipc_buffer(thread, for_writing=True)
    if buffer:
        machine.write_bytes(buffer, content)
    return buffer


@lru_cache(maxsize=8)
def _garbage(garbage: int) -> tuple[list[int], bytes]:
    """Garbage for all registers, and for an IPC buffer."""
    base = GARBAGE | garbage << 32
    registers = [base | register for register in range(1, reg.FAULT_IP)]
    registers[T6 - 1] = 1  # What ``compute`` counts down, should somebody send the thread there.
    return registers, b"".join((base | 64 + n).to_bytes(8, "little") for n in range(BUFFER_WORDS))


@lru_cache(maxsize=8)
def _garbage_of_call(garbage: int) -> tuple[list[int], bytes]:
    """The same, with a receive path that leads nowhere."""
    registers, content = _garbage(garbage)
    path = slice(msg.BUFFER_RECEIVE_CNODE, msg.BUFFER_RECEIVE_CNODE + _PATH.size)
    return registers, content[: path.start] + bytes(_PATH.size) + content[path.stop :]


def load_syscall(machine: Machine, thread: TCB, step: Syscall, garbage: int = 1, number: int | None = None) -> None:
    """Put a system call into a thread's registers and IPC buffer, garbage into the rest, and its pc before it."""
    load_fields(
        machine, thread, garbage, number, step.number, step.cap, step.label, step.words, step.caps, step.length,
        step.ncaps, step.reply, step.dest, step.receive,
    )  # fmt: skip


def load_fields(
    machine: Machine, thread: TCB, garbage: int, instead: int | None, number: int, cap: int, label: int,
    words: tuple[int, ...], caps: tuple[int, ...], length: int | None, ncaps: int | None, reply: int, dest: int,
    receive: tuple[int, int, int],
) -> None:  # fmt: skip
    """``load_syscall`` by the fields of a ``Syscall``; ``instead`` is another number for it."""
    length = (len(words) if length is None else length) & msg.LENGTH_MASK
    ncaps = (len(caps) if ncaps is None else ncaps) & 3
    others, content = _garbage_of_call(garbage)
    registers = thread.registers
    registers[1 : reg.FAULT_IP] = others
    registers[reg.SYSCALL_REGISTER] = (number if instead is None else instead) & WORD_MASK
    registers[reg.CAP_REGISTER] = cap & WORD_MASK
    registers[reg.MSG_INFO_REGISTER] = msg.message_info(label, length, ncaps)
    registers[reg.REPLY_REGISTER] = (dest if number == sc.NBSEND_WAIT else reply) & WORD_MASK
    registers[reg.NBSEND_DEST_REGISTER] = dest & WORD_MASK
    registers[reg.NEXT_IP] = INSN_PC["ecall"]
    # What the message info announces is an input, whether the program says what it is or not.
    said = [word & WORD_MASK for word in words] + [0] * (length - len(words))
    in_registers = said[: msg.N_MSG_REGISTERS]
    registers[reg.A2 : reg.A2 + len(in_registers)] = in_registers
    buffer = ipc_buffer(thread, for_writing=True)
    if not buffer:
        return
    in_buffer = said[msg.N_MSG_REGISTERS : msg.MSG_MAX_LENGTH]
    if not (in_buffer or ncaps or any(receive)):
        machine.write_bytes(buffer, content)
        return
    filled = bytearray(content)
    if in_buffer:
        struct.pack_into(f"<{len(in_buffer)}Q", filled, msg.BUFFER_MSG + 8 * msg.N_MSG_REGISTERS, *in_buffer)
    for index in range(ncaps):
        extra = caps[index] & WORD_MASK if index < len(caps) else 0
        _WORD.pack_into(filled, msg.BUFFER_CAPS + 8 * index, extra)
    _PATH.pack_into(filled, msg.BUFFER_RECEIVE_CNODE, *[word & WORD_MASK for word in receive])
    machine.write_bytes(buffer, bytes(filled))


def harmless_number(number: int, cap: int, caps: tuple[int, ...], reply: int, thread: TCB) -> int:
    """The number of the call to be made by a thread that must not stop, instead of this one with these addresses."""
    if number == sc.CALL:
        found = [_cap_at(thread, address) for address in (cap, *caps)]
        return sc.NBSEND if None in found or isinstance(found[0], EndpointCap) else sc.CALL
    number = _NON_BLOCKING.get(number, number)
    if number not in (sc.NBRECV, sc.NBWAIT):
        return number if number in _SAFE else sc.YIELD
    return number if _can_receive(_cap_at(thread, cap), _cap_at(thread, reply), thread) else sc.YIELD


def _cap_at(thread: TCB, address: int) -> Cap | None:
    """What a cap address leads to; None if nowhere (which a Call would answer by a fault)."""
    try:
        return lookup_cap(thread, address & WORD_MASK)
    except LookupFault:
        return None


def _can_receive(cap: Cap | None, reply: Cap | None, thread: TCB) -> bool:
    """Whether a receive would not end in a cap fault."""
    if isinstance(cap, EndpointCap):
        # (A wait takes no reply object; that it is asked for one here only makes the guardian more careful.)
        return bool(cap.rights & rights.READ) and isinstance(reply, ReplyCap)
    if not isinstance(cap, NotificationCap) or not cap.rights & rights.READ:
        return False
    return cap.notification.bound_tcb in (None, thread)
