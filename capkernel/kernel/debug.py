"""Debug system calls (CONFIG_DEBUG_BUILD, CONFIG_PRINTING): no time is charged, nobody else is chosen."""

from capkernel.abi import registers as reg
from capkernel.abi import syscalls as sc
from capkernel.abi.message import BUFFER_MSG, MSG_MAX_LENGTH
from capkernel.kernel.caps import KIND, ThreadCap
from capkernel.kernel.cspace import lookup_cap
from capkernel.kernel.errors import LookupFault
from capkernel.kernel.objects import NULL, TCB, Cap
from capkernel.kernel.state import PRIORITIES, State
from capkernel.kernel.vspace import ipc_buffer

NAME_LENGTH = 127


def handle_debug_syscall(state: State, number: int) -> bool:
    """Carry out a debug system call; false if the number is none."""
    thread = state.current
    registers = thread.registers
    match number:
        case sc.DEBUG_PUT_CHAR:
            state.machine.put_char(registers[reg.CAP_REGISTER] & 0xFF)
        case sc.DEBUG_CAP_IDENTIFY:
            registers[reg.CAP_REGISTER] = KIND[type(_cap_or_null(thread))]
        case sc.DEBUG_NAME_THREAD:
            _name_thread(state, thread)
        case sc.DEBUG_DUMP_SCHEDULER:
            _print(state, dump_scheduler(state))
        case sc.DEBUG_SNAPSHOT:
            # Of time and threads only: the capability state is exported by tools, not by the kernel.
            _print(state, f"-- snapshot at tick {state.time}\n{dump_scheduler(state)}")
        case sc.DEBUG_HALT:
            _print(state, f'Debug halt syscall from user thread "{thread.name}"\n')
            state.machine.halt()
        case _:
            return False
    return True


def _cap_or_null(thread: TCB) -> Cap:
    try:
        return lookup_cap(thread, thread.registers[reg.CAP_REGISTER])
    except LookupFault:
        return NULL


def _name_thread(state: State, thread: TCB) -> None:
    """Name the thread of a cap after the string in the caller's IPC buffer; anything wrong stops the machine."""
    cap = _cap_or_null(thread)
    buffer = ipc_buffer(thread, for_writing=True)
    size = 8 * MSG_MAX_LENGTH
    text = state.machine.read_bytes(buffer + BUFFER_MSG, size) if buffer else b""
    end = text.find(b"\0")
    if not isinstance(cap, ThreadCap) or end < 0:
        state.machine.halt()
        return
    cap.tcb.name = text[:end][:NAME_LENGTH].decode("latin-1")


def _print(state: State, text: str) -> None:
    for code in text.encode("ascii", "replace"):
        state.machine.put_char(code)


def dump_scheduler(state: State) -> str:
    """The running thread and both queues of the scheduler, a line a thread."""
    lines = [f"current: {_name(state.current)}"]
    for index, queue in sorted(state.ready.items()):
        place = f"domain {index // PRIORITIES} priority {index % PRIORITIES}"
        lines += [f"ready: {place}: {_name(thread)}" for thread in queue]
    lines += [f"release: {_name(thread)}" for thread in state.release]
    return "\n".join(lines) + "\n"


def _name(thread: TCB) -> str:
    return thread.name or hex(thread.paddr)
