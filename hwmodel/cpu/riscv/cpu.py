"""The RISC-V CPU: user-mode machine code, run by one engine for each address space.

What an engine stops at, and is no ``ecall``, is done again by the plain interpreter ``rv64``: it knows the exact cause
and address of every fault, and carries out what an engine cannot, such as an access to a device's registers.

Time passes by executed instructions, ``instructions_per_tick`` of them a tick; one that traps counts as one.
"""

from collections import OrderedDict
from typing import Final, Protocol

from hwmodel.cpu import rv64
from hwmodel.cpu.riscv.engine import DONE, ECALL, NEXT_PC, TRAPPED, CompiledEngine, Engine, PlainEngine, find_shim
from hwmodel.cpu.trap import STOP_ECALL, STOP_INTERRUPTED, Trap, access_trap
from hwmodel.machine import Machine
from hwmodel.mmu import PageFault

INSTRUCTIONS_PER_TICK: Final = 100
"""A nanosecond an instruction."""
MAX_ENGINES: Final = 16
SLICE: Final = 20_000_000
"""Instructions that are run at once at most, so that the host's user can interrupt."""
FP_REGISTERS: Final = 33
"""f0..f31 and fcsr."""
RESTART_PC: Final = 32
_ECALL: Final = 0x73


class Thread(Protocol):
    """What a thread has that a hart works on: 34 words (x0..x31, the restart pc, the next pc); f0..f31 and fcsr,
    None until it first uses the FPU.
    """

    registers: list[int]
    fp_registers: list[int] | None


class RiscvCPU:
    """Runs threads on a machine. Everything about a thread is in its registers, so a run can be copied at any point
    between two calls of ``run``.

    ``instructions`` counts those executed so far; at ``stop_at`` of them ``run`` returns as if time were up. An engine
    is kept for each of the ``max_engines`` address spaces that ran last. ``compiled`` asks for the compiled shim
    (True), or for none (False); None takes it if it was built.
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
        self.instructions = 0
        self.stop_at: int | None = None
        self._engines: OrderedDict[int, Engine] = OrderedDict()
        self._shim = find_shim() if compiled is not False else None
        if compiled and self._shim is None:
            raise ValueError("the compiled shim was not built when this package was installed; is there a C compiler?")
        self._stepper = PlainEngine(machine.memory, machine.mmu)
        machine.mmu.tlb.on_flush.append(self._flush)

    def run(self, thread: Thread, *, fpu_enabled: bool) -> Trap:
        """Run until a trap, or until the machine's next event is due."""
        machine, x = self.machine, thread.registers
        while not (machine.must_stop() or self.instructions == self.stop_at):
            engine = self._engine()
            if engine is not None:
                fp = thread.fp_registers if fpu_enabled else None
                limit = self._limit()
                outcome = engine.run(x, fp, limit)
                if outcome == DONE or engine.executed == limit:
                    self._spend(engine.executed)
                    continue
                if outcome == TRAPPED and fp is None and fpu_enabled and self._needs_fpu(x[NEXT_PC]):
                    thread.fp_registers = [0] * FP_REGISTERS
                    self._spend(engine.executed)
                    continue
                self._spend(engine.executed + 1)
                if outcome == ECALL:
                    x[RESTART_PC] = pc = x[NEXT_PC]
                    x[NEXT_PC] = pc + 4
                    return STOP_ECALL
            trap = self._step(thread, fpu_enabled)
            if trap is not None:
                return trap
        x[RESTART_PC] = x[NEXT_PC]
        return STOP_INTERRUPTED

    # Time

    def _limit(self) -> int:
        """How many instructions fit in before the next event; at least one."""
        machine = self.machine
        per_tick = self.instructions_per_tick
        left = (machine.next_stop() - machine.now()) * per_tick - self.instructions % per_tick
        if self.stop_at is not None:
            left = min(left, self.stop_at - self.instructions)
        return min(left, SLICE)

    def _spend(self, executed: int) -> None:
        """Let as many whole ticks pass as the instructions so far make up."""
        per_tick = self.instructions_per_tick
        before = self.instructions
        self.instructions = before + executed
        ticks = self.instructions // per_tick - before // per_tick
        if ticks:
            self.machine.advance(ticks)

    # Engines

    def _engine(self) -> Engine | None:
        """The engine of the current address space, ready to run; None if there is no address space."""
        mmu = self.mmu
        root, asid = mmu._root, mmu._asid
        if not root:
            return None
        engine = self._engines.get(asid)
        if engine is None:
            engine = self._make(asid)
        else:
            self._engines.move_to_end(asid)
        engine.enter(root, asid)
        return engine

    def _make(self, asid: int) -> Engine:
        if len(self._engines) >= self.max_engines:
            self._engines.popitem(last=False)
        memory = self.machine.memory
        engine: Engine
        if self._shim is not None:
            engine = CompiledEngine(memory, self._shim, self._stepper)
        else:
            engine = PlainEngine(memory, self.mmu)
        self._engines[asid] = engine
        return engine

    def _flush(self, asid: int | None) -> None:
        """The kernel flushed the TLB, for one address space or all."""
        if asid is None:
            for engine in self._engines.values():
                engine.tlb_is_stale = True
        elif asid in self._engines:
            self._engines[asid].tlb_is_stale = True

    # What an engine does not do

    def _step(self, thread: Thread, fpu_enabled: bool) -> Trap | None:
        """Find out what the instruction at the next pc does: a trap, or its effect."""
        machine, x = self.machine, thread.registers
        x[RESTART_PC] = pc = x[NEXT_PC]
        fp = thread.fp_registers
        try:
            word = machine.fetch(pc)
            if word == _ECALL:
                x[NEXT_PC] = pc + 4
                return STOP_ECALL
            trap = rv64.execute(machine, word, x, fp or [0] * FP_REGISTERS, fpu_enabled=fp is not None and fpu_enabled)
        except PageFault as fault:
            return access_trap(fault.cause, fault.vaddr)
        return trap

    def _needs_fpu(self, pc: int) -> bool:
        """Whether a floating point instruction is at ``pc``."""
        try:
            return rv64.needs_fpu(self.machine.fetch(pc))
        except PageFault:
            return False
