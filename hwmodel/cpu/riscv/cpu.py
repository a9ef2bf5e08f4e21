"""The RISC-V CPU: user-mode machine code, run by one engine for each address space.

What an engine stops at, and is no ``ecall``, is done again by the plain interpreter ``rv64``: it knows the exact cause
and address of every fault, and carries out what an engine cannot, such as an access to a device's registers.

Time passes by executed instructions, ``instructions_per_tick`` of them a tick; one that traps counts as one.
"""

from typing import Final, Protocol

from hwmodel.cpu import rv64
from hwmodel.cpu.floating import FP_REGISTERS
from hwmodel.cpu.riscv.emulator import LOAD_RESERVATION, LOAD_VALUE
from hwmodel.cpu.riscv.engine import DONE, ECALL, NEXT_PC, CompiledEngine, Engine, PlainEngine, find_shim
from hwmodel.cpu.trap import FETCH_CAUSES, STOP_ECALL, STOP_INTERRUPTED, Trap, access_trap
from hwmodel.machine import Machine
from hwmodel.mmu import PageFault
from hwmodel.stateful import Stateful

INSTRUCTIONS_PER_TICK: Final = 100
"""A nanosecond an instruction."""
MAX_ENGINES: Final = 16
SLICE: Final = 20_000_000
"""Instructions that are run at once at most, so that the host's user can interrupt."""
RESTART_PC: Final = 32
_NOWHERE: Final = (1 << 64) - 1
_NOTHING_RESERVED: Final = (_NOWHERE, 0)
_ECALL: Final = 0x73
_SYSTEM: Final = 0x73
_READS: Final = (2, 3)
"""csrrs and csrrc, also of an immediate; with nothing to set or clear they only read."""
_CYCLE, _TIME, _INSTRET = 0xC00, 0xC01, 0xC02
_COUNTERS: Final = (_CYCLE, _TIME, _INSTRET)


class Thread(Protocol):
    """What a thread has that a hart works on: 34 words (x0..x31, the restart pc, the next pc); f0..f31 and fcsr,
    None until it first uses the FPU.
    """

    registers: list[int]
    fp_registers: list[int] | None


class Retired(Stateful):
    """How many instructions a hart has executed: with the clock, all of its state that is in no thread's registers."""

    __slots__ = ("count",)
    STATE = ("count",)

    def __init__(self) -> None:
        self.count = 0


class RiscvCPU:
    """Runs threads on a machine. Everything about a thread is in its registers, and the rest in the machine, so a run
    can be copied at any point between two calls of ``run``.

    At ``stop_at`` executed instructions ``run`` returns as if time were up. An engine is kept for each of the
    ``max_engines`` address spaces that ran last. ``compiled`` asks for the compiled shim (True), or for none (False);
    None takes it if it was built.
    """

    def __init__(
        self,
        machine: Machine,
        instructions_per_tick: int = INSTRUCTIONS_PER_TICK,
        max_engines: int = MAX_ENGINES,
        *,
        compiled: bool | None = None,
    ) -> None:
        self.machine = machine
        self.mmu = machine.mmu
        self.instructions_per_tick = instructions_per_tick
        self.max_engines = max_engines
        self.stop_at: int | None = None
        self._retired = Retired()
        machine.attach("riscv", self._retired)
        self._engines: dict[int, Engine] = {}
        self._shim = find_shim() if compiled is not False else None
        if compiled and self._shim is None:
            raise ValueError("the compiled shim was not built when this package was installed; is there a C compiler?")
        self._stepper = PlainEngine(machine.memory)
        machine.mmu.tlb.on_flush.append(self._flush)

    @property
    def instructions(self) -> int:
        """Those executed so far; one that trapped counts."""
        return self._retired.count

    def run(self, thread: Thread, *, fpu_enabled: bool) -> Trap:
        """Run until a trap, or until the machine's next event is due.

        An interrupt that waits already is the caller's to notice.
        """
        limit = self._limit()
        while limit > 0:
            trap = self._run_once(thread, limit, fpu_enabled)
            if trap is not None:
                return trap
            limit = 0 if self.machine.must_stop() else self._limit()
        thread.registers[RESTART_PC] = thread.registers[NEXT_PC]
        return STOP_INTERRUPTED

    def _run_once(self, thread: Thread, limit: int, fpu_enabled: bool) -> Trap | None:
        """Run for at most ``limit`` instructions; the trap, if there is one."""
        x = thread.registers
        engine = self._engine()
        if engine is None or x[NEXT_PC] & 1:
            self._spend(1)
            return self._step(thread, fpu_enabled)
        fp = thread.fp_registers if fpu_enabled else None
        self._reserve(engine)
        outcome = engine.run(x, fp, limit)
        self._take_reservation(engine)
        executed = engine.executed
        # A trap at the limit is met again when the thread runs next.
        if outcome == DONE or executed == limit:
            self._spend(executed)
            return None
        if outcome == ECALL:
            self._spend(executed + 1)
            x[RESTART_PC] = pc = x[NEXT_PC]
            x[NEXT_PC] = pc + 4
            return STOP_ECALL
        if fp is None and fpu_enabled and self._needs_fpu(x[NEXT_PC]):
            thread.fp_registers = [0] * FP_REGISTERS
            self._spend(executed)
            return None
        self._spend(executed + 1)
        return self._step(thread, fpu_enabled)

    # The reservation of ``lr``: the machine's, which the kernel clears and snapshots save

    def _reserve(self, engine: Engine) -> None:
        words, held = engine.words, self.machine.lsu.reservation
        words[LOAD_RESERVATION], words[LOAD_VALUE] = held or _NOTHING_RESERVED

    def _take_reservation(self, engine: Engine) -> None:
        words, lsu = engine.words, self.machine.lsu
        vaddr = words[LOAD_RESERVATION]
        lsu.reservation = None if vaddr == _NOWHERE else (vaddr, words[LOAD_VALUE])

    # Time

    def _limit(self) -> int:
        """How many instructions fit in before the next event."""
        machine, per_tick, count = self.machine, self.instructions_per_tick, self._retired.count
        left = (machine.next_stop() - machine.timer.now) * per_tick - count % per_tick
        if self.stop_at is not None:
            left = min(left, self.stop_at - count)
        return left if left < SLICE else SLICE

    def _spend(self, executed: int) -> None:
        """Let as many whole ticks pass as the instructions so far make up."""
        per_tick, retired = self.instructions_per_tick, self._retired
        before = retired.count
        retired.count = after = before + executed
        ticks = after // per_tick - before // per_tick
        if ticks:
            self.machine.advance(ticks)

    # Engines

    def _engine(self) -> Engine | None:
        """The engine of the current address space, ready to run; None if there is no address space."""
        mmu = self.mmu
        root, asid = mmu._root, mmu._asid
        if not root:
            return None
        engine = self._engines.get(asid) or self._make(asid)
        engine.last_used = self._retired.count
        if engine.root != root or engine.tlb_is_stale:
            engine.enter(root, asid)
        return engine

    def _make(self, asid: int) -> Engine:
        """An engine for another address space: the one that was used least lately, if there are enough."""
        engines, memory = self._engines, self.machine.memory
        if len(engines) >= self.max_engines:
            engine = engines.pop(min(engines, key=lambda number: engines[number].last_used))
            engine.tlb_is_stale = True
        elif self._shim is not None:
            engine = CompiledEngine(memory, self._shim, self._stepper)
        else:
            engine = PlainEngine(memory)
        engines[asid] = engine
        return engine

    def _flush(self, asid: int | None) -> None:
        """The kernel flushed the TLB, for one address space or all."""
        engines = self._engines
        for number in engines if asid is None else engines.keys() & {asid}:
            engines[number].tlb_is_stale = True

    # What an engine does not do

    def _step(self, thread: Thread, fpu_enabled: bool) -> Trap | None:
        """Find out what the instruction at the next pc does: a trap, or its effect."""
        machine, x = self.machine, thread.registers
        x[RESTART_PC] = pc = x[NEXT_PC]
        fp = thread.fp_registers
        try:
            # As on the reference emulator, an odd pc (which only a kernel can set) is reported as it is.
            word = machine.fetch(pc & ~1)
            if word == _ECALL and not pc & 1:
                x[NEXT_PC] = pc + 4
                return STOP_ECALL
            if self._read_counter(word, x):
                x[NEXT_PC] = pc + 4
                return None
            trap = rv64.execute(machine, word, x, fp or [0] * FP_REGISTERS, fpu_enabled=fp is not None and fpu_enabled)
        except PageFault as fault:
            return access_trap(fault.cause, pc if fault.cause in FETCH_CAUSES and pc & 1 else fault.vaddr)
        return trap

    def _read_counter(self, word: int, x: list[int]) -> bool:
        """Whether an instruction reads a counter of user mode, and if so do it: the machine's time, or what has been
        executed, of which each instruction takes a cycle. There is no counter of the host.
        """
        funct3, rd, rs1, csr = word >> 12 & 7, word >> 7 & 31, word >> 15 & 31, word >> 20
        if word & 0x7F != _SYSTEM or funct3 & 3 not in _READS or rs1 or csr not in _COUNTERS:
            return False
        if rd:
            x[rd] = self.machine.now() if csr == _TIME else self._retired.count
        return True

    def _needs_fpu(self, pc: int) -> bool:
        """Whether a floating point instruction is at ``pc``."""
        try:
            return rv64.needs_fpu(self.machine.fetch(pc))
        except PageFault:
            return False
