"""The coroutine CPU: a thread's code is a Python coroutine, which yields its system calls and memory accesses.

Each step goes through the MMU: the pc's page must be executable, and every access is made in the thread's own
address space and faults as a processor's would. What a thread is doing is in its registers. The coroutine itself is
found by a number in s11, and counts only if the page table root is the one that it was started in and the pc is one
of three: behind its last operation (it is resumed with what is in the result registers), at that operation (which
is made once more, with the registers as they now are), or before it (which loads the registers first). At an
image's entry a fresh coroutine starts. Everywhere else there is no instruction.

So a restart, a preemption or a debugger's change of registers does what it does on hardware. But host state can
neither be copied nor saved: to go back in time, run again from the start.

``registers`` is the thread's list of 34 words: x0..x31, the restart pc [32] and the next pc [33].
"""

import traceback
from collections.abc import Callable

from hwmodel.cpu import program as ops
from hwmodel.cpu.operations import A0, A1, A2, A3, A4, A5, A6, A7, T0, T6, check_operation, load_operands
from hwmodel.cpu.program import Crash, Operation, OperationError, Program, ProgramTable, Resumable, Start
from hwmodel.cpu.trap import EXCEPTION, HOST, STOP_ECALL, STOP_INTERRUPTED, Trap, access_trap
from hwmodel.machine import Machine
from hwmodel.mmu import ACCESS_FAULT_CAUSE, FETCH, LOAD, STORE, PageFault
from hwmodel.tlb import BY_BUS

SP, GP, TP, S11 = 2, 3, 4, 27
RESTART_PC, NEXT_PC = 32, 33
ILLEGAL_INSTRUCTION, BREAKPOINT = 2, 3
WORD, SYSCALL, SLOT_SIZE = ops.WORD, ops.SYSCALL, ops.SLOT_SIZE
ACTION = 4
"""Bytes from the start of an operation to where it acts."""
_PAGE = ~(ops.PAGE_SIZE - 1)
_FETCHED = BY_BUS | FETCH
_STUBBORN = 100
"""Times that a program is told to end."""
_WENT_ON = "ignored GeneratorExit"
"""What Python says of one that awaits something instead."""


class Live:
    """A coroutine that has started, and the operation that it waits for.

    ``after`` is the pc behind the operation. ``done`` says that the operation was carried out with the result
    ``value``, and ``total`` and ``data`` belong to an operation on many bytes.
    """

    __slots__ = ("after", "asid", "data", "done", "first", "kind", "last", "name", "operation", "root", "send",
                 "source", "total", "value")  # fmt: skip

    def __init__(self, source: Resumable, name: str, root: int, asid: int, first: int, last: int) -> None:
        self.source = source
        self.send = source.send
        self.name = name
        self.root = root
        self.asid = asid
        self.first = first
        self.last = last
        self.after = first
        self.kind = ops.COMPUTE
        self.operation: Operation = (ops.COMPUTE, 0)
        self.done = True
        self.value: object = None
        self.total = 0
        self.data = bytearray()


def _misfit(operation: Operation) -> str:
    names = ("a7", "a0", "a1", "a2", "a3", "a4", "a5", "a6", "t0")
    name, word = next((n, w) for n, w in zip(names, operation, strict=True) if not 0 <= w <= WORD)
    return f"register {name} has 64 bits and cannot hold {word}, nor can a message: a word is 0 to 2**64 - 1"


class CoroutineCPU:
    """Runs the programs of a table on a machine.

    ``access_ticks`` is the time that an access to memory takes (for many bytes: each page); it must not be 0 if
    programs poll memory. ``crashes`` lists the programs that ended. ``copied`` counts the bytes that they loaded and
    stored many at a time.
    """

    def __init__(self, machine: Machine, programs: ProgramTable, access_ticks: int = 1) -> None:
        self.machine = machine
        self.mmu = machine.mmu
        self.programs = programs
        self.access_ticks = access_ticks
        self.crashes: list[Crash] = []
        self.copied = 0
        self._live: dict[int, Live] = {}
        self._started = 0
        self.mmu.tlb.on_flush_asid.append(self._forget_asid)

    def run(self, x: list[int]) -> Trap:
        """Run until a trap, or until the machine's next event is due."""
        pc = x[NEXT_PC]
        mmu = self.mmu
        if mmu.bank.get(pc >> 12, 0) & _FETCHED != FETCH or pc & 3:
            fault = self._fetch_fault(pc)
            if fault is not None:
                x[RESTART_PC] = pc
                return fault
        live = self._live.get(x[S11])
        if live is not None and live.root == mmu._root:
            if pc == live.after:
                if live.kind == SYSCALL:
                    return self._resume(x, live, (x[A0], x[A1], x[A2], x[A3], x[A4], x[A5]))
                return self._resume(x, live, live.value if live.done else self._skipped(x, live))
            if pc == live.after - ACTION and not live.done:
                return self._act_again(x, live)
            if pc == live.after - SLOT_SIZE and not live.done:
                load_operands(x, live.operation)
                return self._act_again(x, live)
        return self._start(x, pc)

    def is_running(self, x: list[int]) -> bool:
        """Whether the thread has a coroutine here that goes on when it runs."""
        live = self._live.get(x[S11])
        return live is not None and live.root == self.mmu._root and (
            x[NEXT_PC] == live.after or (live.after - x[NEXT_PC] in (ACTION, SLOT_SIZE) and not live.done)
        )  # fmt: skip

    def program_of(self, x: list[int]) -> Resumable | None:
        """What runs for a thread here, to be looked at; None if nothing does."""
        live = self._live.get(x[S11])
        return live.source if live is not None else None

    def is_at_image(self, x: list[int]) -> bool:
        """Whether the thread's next instruction is the start of an image."""
        return self._fetch_fault(x[NEXT_PC]) is None and self._read_image(x[NEXT_PC]) is not None

    def _fetch_fault(self, pc: int) -> Trap | None:
        """The trap that fetching from ``pc`` takes, if any."""
        if pc & 3:
            return Trap(EXCEPTION, 0)
        try:
            self.mmu.resolve(pc, FETCH)
        except PageFault as fault:
            return access_trap(fault.cause, fault.vaddr)
        return None

    # Starting and ending

    def _start(self, x: list[int], pc: int) -> Trap:
        """There must be an image at ``pc``: begin its program."""
        x[RESTART_PC] = pc
        found = self._read_image(pc)
        if found is None:
            return Trap(EXCEPTION, ILLEGAL_INSTRUCTION)
        program, values = found
        # A thread that starts afresh gives up what it did before.
        former = self._live.get(x[S11])
        if former is not None and former.root == self.mmu._root:
            self._forget(x[S11])
        first = pc + ops.VALUES_OFFSET + 8 * len(values) + SLOT_SIZE - 1 & -SLOT_SIZE
        last = (pc & _PAGE) + ops.PAGE_SIZE - SLOT_SIZE
        start = Start(pc, tuple(x[A0 : A7 + 1]), x[SP], x[GP], x[TP], values)
        x[NEXT_PC] = first
        try:
            source = program(start)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            return self._crash(x, ops.name_of(program), error)
        self._started += 1
        x[S11] = self._started
        live = self._live[self._started] = Live(
            source, ops.name_of(program), self.mmu._root, self.mmu._asid, first, last
        )
        return self._resume(x, live, None)

    def _read_image(self, pc: int) -> tuple[Program, tuple[int, ...]] | None:
        """The program and the values of the image at ``pc``; None if there is no good one."""
        machine = self.machine
        paddr = self.mmu.resolve(pc, FETCH)
        room = ops.PAGE_SIZE - (pc & ops.PAGE_SIZE - 1)
        if room < ops.VALUES_OFFSET or not machine.memory.contains(paddr, room):
            return None
        magic, number, count = ops.HEADER.unpack(machine.read_bytes(paddr, ops.VALUES_OFFSET))
        program = self.programs.find(number)
        if magic != ops.MAGIC or program is None or ops.VALUES_OFFSET + 8 * count + 4 * ops.SLOT_SIZE > room:
            return None
        data = machine.read_bytes(paddr + ops.VALUES_OFFSET, 8 * count)
        return program, tuple(int.from_bytes(data[i : i + 8], "little") for i in range(0, 8 * count, 8))

    def _forget(self, number: int, *, quietly: bool = False) -> None:
        live = self._live.pop(number)
        for _ in range(_STUBBORN):
            try:
                live.source.close()
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                if isinstance(error, RuntimeError) and str(error).endswith(_WENT_ON):
                    # It would do something yet (in a `finally`), and cannot any more.
                    continue
                if not quietly:
                    self._note(live.name, live.after, "".join(traceback.format_exception(error)))
            break

    def _note(self, name: str, pc: int, report: str) -> None:
        self.crashes.append(Crash(name, pc, report))

    def _crash(self, x: list[int], name: str, error: BaseException) -> Trap:
        """The program is over: record why, and let the thread take a breakpoint exception."""
        if isinstance(error, StopIteration):
            report = "the program returned; a program runs until its thread is stopped"
        else:
            report = "".join(traceback.format_exception(error))
        self._note(name, x[NEXT_PC], report)
        self._live.pop(x[S11], None)
        x[RESTART_PC] = x[NEXT_PC]
        return Trap(EXCEPTION, BREAKPOINT)

    def forget_space(self, root: int) -> None:
        """Give up the programs in the address space of a root page table, which will be no more; quietly, as ``close``.

        Nobody but the host can tell: a thread could not get there again.
        """
        for number in [number for number, live in self._live.items() if live.root == root]:
            self._forget(number, quietly=True)

    def _forget_asid(self, asid: int) -> None:
        """An ASID is flushed as a whole when its address space is no more; then the programs there are given up."""
        for number in [number for number, live in self._live.items() if live.asid == asid]:
            self._forget(number, quietly=True)

    @property
    def live_count(self) -> int:
        """How many programs have started and are not over."""
        return len(self._live)

    def close(self) -> None:
        """Give up all programs, now rather than whenever the host collects them; what they say to that is lost."""
        for number in list(self._live):
            self._forget(number, quietly=True)

    # Running

    def _resume(self, x: list[int], live: Live, value: object) -> Trap:
        """Resume the coroutine with a result, and carry out what it yields until that traps."""
        step: Callable[..., Operation] = live.send
        while True:
            operation = _NOTHING
            try:
                operation = step(value)
                if operation[0] >= 0:
                    a7, a0, a1, a2, a3, a4, a5, a6, t0 = operation
                    if not 0 <= a7 | a0 | a1 | a2 | a3 | a4 | a5 | a6 | t0 <= WORD:
                        raise OperationError(_misfit(operation))
                    after = live.after
                    if after == live.last:
                        after = live.first
                    live.after = x[NEXT_PC] = after + SLOT_SIZE
                    x[RESTART_PC] = after + ACTION
                    live.kind = SYSCALL
                    live.operation = operation
                    live.done = False
                    x[A0], x[A1], x[A2], x[A3], x[A4], x[A5], x[A6], x[A7], x[T0] = a0, a1, a2, a3, a4, a5, a6, a7, t0
                    return STOP_ECALL
                self._begin(x, live, operation)
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                if operation is _NOTHING:
                    x[NEXT_PC] = live.after
                    return self._crash(x, live.name, error)
                step, value = live.source.throw, _complaint(error)
                continue
            trap = self._act(x, live)
            if trap is not None:
                return trap
            step, value = live.send, live.value

    def _begin(self, x: list[int], live: Live, operation: Operation) -> None:
        """Take in an operation that is no system call. Raises OperationError."""
        check_operation(operation)
        after = live.after
        if after == live.last:
            after = live.first
        live.after = after + SLOT_SIZE
        live.kind = operation[0]
        live.operation = operation
        live.done = False
        live.data = bytearray()
        load_operands(x, operation)

    def _act_again(self, x: list[int], live: Live) -> Trap:
        """Carry out, with the registers as they are, the operation that the coroutine waits for."""
        if live.kind == SYSCALL:
            x[RESTART_PC], x[NEXT_PC] = live.after - ACTION, live.after
            return STOP_ECALL
        return self._act(x, live) or self._resume(x, live, live.value)

    def _act(self, x: list[int], live: Live) -> Trap | None:
        """Carry out an operation that is no system call; None if it is done and the coroutine may go on."""
        x[RESTART_PC] = x[NEXT_PC] = live.after - ACTION
        try:
            trap = _HANDLERS[live.kind](self, x, live)
        except PageFault as fault:
            return access_trap(fault.cause, fault.vaddr)
        if trap is not STOP_INTERRUPTED:
            live.done = True
            x[NEXT_PC] = live.after
            if trap is None and self.machine.must_stop():
                # The operation is over: whoever restarts the thread lets it go on behind it.
                x[RESTART_PC] = live.after
                return STOP_INTERRUPTED
        return trap

    def _skipped(self, x: list[int], live: Live) -> object:
        """What a program gets when somebody moved its pc over an operation."""
        match live.kind:
            case ops.LOAD | ops.AMO | ops.CLOCK:
                return x[A0]
            case ops.READ:
                return bytes(live.data).ljust(live.operation[2], b"\0")
            case _:
                return None

    # Operations

    def _load(self, x: list[int], live: Live) -> Trap | None:
        live.value = x[A0] = self.machine.load(x[A1], live.operation[2])
        self._spend_access()
        return None

    def _store(self, x: list[int], live: Live) -> Trap | None:
        live.value = None
        self.machine.store(x[A1], live.operation[2], x[A0])
        self._spend_access()
        return None

    def _amo(self, x: list[int], live: Live) -> Trap | None:
        live.value = x[A0] = self.machine.amo(live.operation[4], x[A1], live.operation[2], x[A2])
        self._spend_access()
        return None

    def _read(self, x: list[int], live: Live) -> Trap | None:
        while x[A2]:
            paddr, size = self._piece(x, LOAD)
            live.data += self.machine.read_bytes(paddr, size)
            if self._piece_done(x, size):
                return STOP_INTERRUPTED
        live.value = bytes(live.data)
        return None

    def _write(self, x: list[int], live: Live) -> Trap | None:
        data = live.operation[2]
        while x[A2]:
            offset = max(0, len(data) - x[A2])
            paddr, size = self._piece(x, STORE)
            self.machine.write_bytes(paddr, data[offset : offset + size])
            if self._piece_done(x, size):
                return STOP_INTERRUPTED
        live.value = None
        return None

    def _piece(self, x: list[int], access: int) -> tuple[int, int]:
        """Physical address and size of the part of an operation on many bytes that lies in its first page."""
        vaddr = x[A1]
        size = min(x[A2], ops.PAGE_SIZE - (vaddr & ops.PAGE_SIZE - 1))
        paddr = self.mmu.resolve(vaddr, access)
        if not self.machine.memory.contains(paddr, size):
            raise PageFault(ACCESS_FAULT_CAUSE[access], vaddr)
        return paddr, size

    def _piece_done(self, x: list[int], size: int) -> bool:
        """Count a part as done; true if there is more, but the thread is interrupted."""
        x[A1] = x[A1] + size & WORD
        x[A2] -= size
        self.copied += size
        self._spend_access()
        return bool(x[A2]) and self.machine.must_stop()

    def _spend_access(self) -> None:
        if self.access_ticks:
            self.machine.advance(self.access_ticks)

    def _compute(self, x: list[int], live: Live) -> Trap | None:
        machine = self.machine
        live.value = None
        while x[T6]:
            ticks = min(x[T6], machine.next_stop() - machine.now())
            machine.advance(ticks)
            x[T6] -= ticks
            if x[T6] and machine.must_stop():
                return STOP_INTERRUPTED
        return None

    def _clock(self, x: list[int], live: Live) -> Trap | None:
        live.value = x[A0] = self.machine.now()
        return None

    def _tell(self, x: list[int], live: Live) -> Trap | None:
        live.value = None
        return Trap(HOST, 0, live.operation[1])


_NOTHING: Operation = ()
"""Nothing has been yielded yet."""


def _complaint(error: BaseException) -> OperationError:
    if isinstance(error, OperationError):
        return error
    return OperationError(f"a program yields flat tuples that start with a word or an operation's code: {error}")


_HANDLERS: dict[int, Callable[[CoroutineCPU, list[int], Live], Trap | None]] = {
    ops.LOAD: CoroutineCPU._load, ops.STORE: CoroutineCPU._store, ops.AMO: CoroutineCPU._amo,
    ops.READ: CoroutineCPU._read, ops.WRITE: CoroutineCPU._write, ops.COMPUTE: CoroutineCPU._compute,
    ops.CLOCK: CoroutineCPU._clock, ops.TELL: CoroutineCPU._tell,
}  # fmt: skip
