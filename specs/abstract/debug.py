"""Debug system calls: they take no time and choose nobody (CONFIG_DEBUG_BUILD, CONFIG_PRINTING).

What DebugDumpScheduler, DebugSnapshot and DebugHalt print is for people, and not specified.
"""

from typing import Final

from capkernel.abi import message as msg
from capkernel.abi import registers as reg
from capkernel.abi import syscalls as sc
from specs.abstract.caps import CAP_TYPE, NULL, Cap, ThreadCap
from specs.abstract.cspace import lookup_cap
from specs.abstract.objects import Ptr
from specs.abstract.state import LookupFailed, State, get_register, load_word, set_registers, set_tcb
from specs.abstract.untyped import NAME_LENGTH
from specs.abstract.vspace import lookup_ipc_buffer

DEBUG_SYSCALLS: Final = frozenset(range(sc.DEBUG_NAME_THREAD, sc.YIELD))


def handle_debug_syscall(s: State, number: int) -> None:
    """Carry one out."""
    thread = s.cur_thread
    word = get_register(s, thread, reg.CAP_REGISTER)
    match number:
        case sc.DEBUG_PUT_CHAR:
            s.out.text.append(word % 256)
        case sc.DEBUG_CAP_IDENTIFY:
            set_registers(s, thread, {reg.CAP_REGISTER: CAP_TYPE[type(_cap_at(s, thread, word))]})
        case sc.DEBUG_NAME_THREAD:
            _name_thread(s, thread, _cap_at(s, thread, word))
        case sc.DEBUG_HALT:
            s.out.halted = True
        case _:
            pass


def _cap_at(s: State, thread: Ptr, cptr: int) -> Cap:
    try:
        return lookup_cap(s, thread, cptr)
    except LookupFailed:
        return NULL


def _name_thread(s: State, thread: Ptr, cap: Cap) -> None:
    """The name is a string in the caller's IPC buffer. Whoever gets this wrong stops the machine."""
    buffer = lookup_ipc_buffer(s, True, thread)
    text = b""
    if buffer is not None:
        words = (load_word(s, buffer + msg.BUFFER_MSG + 8 * n) for n in range(msg.MSG_MAX_LENGTH))
        text = b"".join(word.to_bytes(8, "little") for word in words)
    if not isinstance(cap, ThreadCap) or 0 not in text:
        s.out.halted = True
        return
    set_tcb(s, cap.ptr, name=text[: text.index(0)][:NAME_LENGTH].decode("latin-1"))
