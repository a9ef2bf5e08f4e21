"""What recordings exercise, noted while they are replayed.

Noted are only the recorded operations, not the set-up of a program; and of invocations only calls, since only a
caller is told of an error.
"""

from collections import Counter
from typing import Final

from capkernel.abi import errors as err
from capkernel.abi import objects as obj
from capkernel.abi import registers as reg
from capkernel.abi import syscalls as sc
from capkernel.abi.faults import CAP_FAULT, FAULT_NAMES, TIMEOUT, UNKNOWN_SYSCALL, USER_EXCEPTION, VM_FAULT
from capkernel.abi.labels import BY_LABEL, INVOCATIONS, UNTYPED_RETYPE
from capkernel.abi.message import info_label
from capkernel.abi.words import signed
from capkernel.kernel.caps import ThreadCap
from capkernel.kernel.cspace import lookup_cap
from capkernel.kernel.decode import DECODERS
from capkernel.kernel.errors import LookupFault, SyscallError
from capkernel.kernel.objects import (
    INACTIVE,
    TCB,
    Blocked,
    Cap,
    CapFault,
    Fault,
    NullCap,
    PlainState,
    Timeout,
    UnknownSyscall,
    UserException,
    VMFault,
)
from capkernel.tools.conform.replay import TIMELINE_GROUP, Program
from capkernel.tools.conform.steps import Record
from capkernel.tools.conform.timeline import LEAVE_TICKS, Timeline
from capkernel.tools.conform.world import IDLE, PRIVATE, World
from hwmodel.cpu.trap import ECALL, Trap

INVOCATION, LOOKUP, SYSCALL, FAULT, STATE, OBJECT, PROGRAM, OPERATION = (
    "invocation", "lookup failure", "system call", "fault", "thread state", "object", "program", "operation",
)  # fmt: skip
COMPLETED, BLOCKED, FAULTED, STOPPED = OUTCOMES = ("completed", "blocked", "faulted", "stopped")
DESTINATION, SOURCE, SEND_PHASE, RECEIVE_PHASE = LOOKUP_PLACES = (
    "invocation, first address", "invocation, source address", "cap fault, send phase", "cap fault, receive phase",
)  # fmt: skip
STATES: Final = (
    "Inactive", "Running", "Restart", "BlockedOnSend", "BlockedOnReceive", "BlockedOnReply", "BlockedOnNotification",
)  # fmt: skip
SYSCALLS: Final = tuple(name for number, name in sc.NAMES.items() if number >= sc.YIELD)

Counts = Counter[tuple[str, ...]]
"""How often what was met: kind (the constants above), and what identifies it within its kind."""


def state_name(thread: TCB) -> str:
    """The name of a thread's state."""
    return thread.state.name if isinstance(thread.state, PlainState) else type(thread.state).__name__


def type_name(cap: Cap | None) -> str:
    """What kind a cap is, without the word Cap; ``Null`` for an empty slot."""
    return type(cap).__name__.removesuffix("Cap") if cap is not None else "none"


class Coverage:
    """Looks on during a replay and counts."""

    def __init__(self) -> None:
        self.counts: Counts = Counter()
        self._world: World | None = None
        self._thread: TCB | None = None
        self._fault: Fault | None = None
        self._call: tuple[str, str, int] | None = None

    def begin(self, world: World) -> None:
        """Watch the kernel entries of a replay."""
        self._world = world
        world.loop.before.append(self._before)
        world.loop.observers.append(self._after)

    def step(self, record: Record) -> None:
        """Note the states of the threads in the test CNode."""
        assert self._world is not None
        for slot in self._world.test.slots.values():
            if isinstance(slot.cap, ThreadCap):
                self.counts[STATE, state_name(slot.cap.tcb)] += 1

    def _before(self, trap: Trap) -> None:
        assert self._world is not None
        state = self._world.loop.state
        self._thread = thread = state.current
        self._fault, state.refusal, self._call = thread.fault, None, None
        if trap.kind == ECALL and signed(thread.registers[reg.SYSCALL_REGISTER]) == sc.CALL:
            self._call = _called(thread)

    def _after(self, trap: Trap) -> None:
        assert self._world is not None
        assert self._thread is not None
        thread, refusal = self._thread, self._world.loop.state.refusal
        if not self._is_machinery(thread):
            self._note_refusal(thread, refusal)
            if trap.kind == ECALL:
                self._note_syscall(thread, refusal)
        self.counts[STATE, state_name(thread)] += 1

    def _is_machinery(self, thread: TCB) -> bool:
        """An idle worker's wait for commands, and the root thread's signal that gives one."""
        assert self._world is not None
        waits = thread.registers[reg.FAULT_IP] == IDLE
        return waits or (thread is self._world.root and self._wakes_worker(thread))

    def _wakes_worker(self, thread: TCB) -> bool:
        number = signed(thread.registers[reg.SYSCALL_REGISTER])
        return number == sc.NBSEND and thread.registers[reg.CAP_REGISTER] >= PRIVATE

    def _note_refusal(self, thread: TCB, refusal: SyscallError | Fault | None) -> None:
        counts = self.counts
        if self._call is not None and not isinstance(refusal, Fault):
            self._note_call(*self._call, refusal)
        if isinstance(refusal, SyscallError) and refusal.code == err.FAILED_LOOKUP:
            place = SOURCE if refusal.words[0] else DESTINATION
            counts[LOOKUP, place, err.LOOKUP_FAILURE_NAMES[refusal.words[1]]] += 1
        if isinstance(refusal, CapFault):
            place = RECEIVE_PHASE if refusal.in_receive_phase else SEND_PHASE
            counts[LOOKUP, place, err.LOOKUP_FAILURE_NAMES[refusal.failure.kind]] += 1
        if isinstance(refusal, Fault) and _is_stopped(thread):
            counts[FAULT, *_described(refusal)] += 1
        if isinstance(thread.fault, Timeout) and thread.fault is not self._fault:
            counts[FAULT, *_described(thread.fault)] += 1

    def _note_call(self, label: str, cap_type: str, object_type: int, refusal: SyscallError | None) -> None:
        code = refusal.code if refusal is not None else err.NO_ERROR
        self.counts[INVOCATION, label, err.ERROR_NAMES[code], cap_type] += 1
        if code == err.NO_ERROR and 0 <= object_type < obj.OBJECT_TYPE_COUNT:
            self.counts[OBJECT, obj.TYPE_NAMES[object_type]] += 1

    def _note_syscall(self, thread: TCB, refusal: SyscallError | Fault | None) -> None:
        # The number is still there: no system call changes a7.
        name = sc.NAMES.get(signed(thread.registers[reg.SYSCALL_REGISTER]))
        if name not in SYSCALLS:
            return
        if isinstance(refusal, Fault) and _is_stopped(thread):
            outcome = FAULTED
        elif isinstance(thread.state, Blocked):
            outcome = BLOCKED
        else:
            outcome = STOPPED if thread.state is INACTIVE else COMPLETED
        self.counts[SYSCALL, name, outcome] += 1


def _is_stopped(thread: TCB) -> bool:
    """Whether the thread does not go on: the fault that it met was not dropped silently."""
    return thread.state is INACTIVE or isinstance(thread.state, Blocked)


def _called(thread: TCB) -> tuple[str, str, int] | None:
    """Label, kind of cap, and object type (Retype only, else -1) of a Call that invokes a kernel object."""
    registers = thread.registers
    try:
        cap = lookup_cap(thread, registers[reg.CAP_REGISTER])
    except LookupFault:
        return None
    if type(cap) not in DECODERS and not isinstance(cap, NullCap):
        return None
    label = info_label(registers[reg.MSG_INFO_REGISTER])
    spec = BY_LABEL.get(label)
    made = registers[reg.MSG_REGISTERS[0]] if label == UNTYPED_RETYPE else -1
    return (spec.name if spec in INVOCATIONS and spec is not None else "another label"), type_name(cap), made


def _described(fault: Fault) -> tuple[str, str]:
    """Kind and detail of a fault."""
    match fault:
        case CapFault():
            return FAULT_NAMES[CAP_FAULT], "receive phase" if fault.in_receive_phase else "send phase"
        case VMFault():
            return FAULT_NAMES[VM_FAULT], f"status {fault.status}"
        case UserException():
            return FAULT_NAMES[USER_EXCEPTION], f"number {fault.number}"
        case UnknownSyscall():
            return FAULT_NAMES[UNKNOWN_SYSCALL], ""
        case _:
            return FAULT_NAMES[TIMEOUT], ""


def timeline_coverage(program: Program) -> Counts:
    """What a program of the group ``time`` exercises: it is run once more, and looked on."""
    timeline, coverage = Timeline(program, LEAVE_TICKS[0]), Coverage()
    coverage.begin(timeline.world)
    timeline.run()
    return coverage.counts


def coverage_of(program: Program, coverage: Coverage) -> Counts:
    """The counts of a replayed program that agreed; ``coverage`` looked on (not needed for the group ``time``)."""
    group = program["group"]
    counts = timeline_coverage(program) if group == TIMELINE_GROUP else Counter(coverage.counts)
    counts[PROGRAM, group] += 1
    counts[OPERATION, group] += len(program["log" if group == TIMELINE_GROUP else "ops"])
    return counts
