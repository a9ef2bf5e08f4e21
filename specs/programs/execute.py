"""Running a program on the scripted CPU, with an observer at every kernel entry.

Steps are taken by whoever runs. The thread of lowest priority (the world's guardian) must not stop, or nothing more
would happen: what would block it is made the non-blocking call of the same kind, and it takes no steps that fault.
"""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from capkernel.abi import registers as reg
from capkernel.abi.words import WORD_MASK
from capkernel.kernel.objects import TCB
from capkernel.runtime.loop import Costs, Loop
from capkernel.runtime.scripted import ScriptedGlue
from hwmodel.cpu.trap import Trap
from hwmodel.iommu import DmaFault
from hwmodel.machine import Machine
from hwmodel.sv39 import PTE_R, PTE_W, walk
from specs.programs.layout import CODE_TABLE, DMA_REQUEST, INSN_PC, World
from specs.programs.loading import T6, fill, harmless_number, load_syscall
from specs.programs.model import Access, Compute, Dma, Interrupt, Program, Step, Syscall
from specs.programs.worlds import build, world_of
from specs.structure import Structure, structure

QUIET_ENTRIES = 60
"""So many kernel entries without a step, and the program is over: only timers fire, or a thread starves."""
RAISE = False
"""Let what comes out of the kernel through, with its traceback (for a person who looks for the cause)."""


class Watcher(Protocol):
    """Looks at each kernel entry."""

    def attach(self, loop: Loop, machine: Machine) -> None:
        """Begin: the loop is about to run."""

    @property
    def problem(self) -> str | None:
        """What was found to be wrong; the run ends as soon as there is something."""


@dataclass
class Execution:
    """What came of a run: how far it went, why it ended, what was wrong, a digest of it all."""

    program: Program
    taken: int = 0
    """How many steps were begun."""
    entries: int = 0
    reason: str = ""
    problem: str | None = None
    ran: list[str] = field(default_factory=list)
    """For each step begun, who took it (or that it was skipped)."""
    trace: list[tuple[int, ...]] = field(default_factory=list)
    """For each kernel entry: trap, time, address of the thread that goes on, its registers."""
    final: Structure = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Equal exactly if two runs agree in every entry and in the final state."""
        return hashlib.sha256(repr((self.trace, self.final)).encode()).hexdigest()


class Session:
    """A run that is given its steps one by one, or all at once.

    ``garbage`` is what distinguishes the words that the program does not set from another run's.
    """

    def __init__(self, world: World, watcher: Watcher | None = None, garbage: int = 1) -> None:
        self.world = world
        self.state, self.machine = world.state, world.machine
        self.watcher = watcher
        self.garbage = garbage
        self.steps: Sequence[Step] = []
        self.execution = Execution(Program(world.layout))
        self._last_step = 0
        layout = world.layout
        costs = Costs(syscall=layout.syscall_ticks, work_unit=layout.work_unit_ticks, interrupt=2, leave=1)
        glue = ScriptedGlue(world.machine, CODE_TABLE, 1)
        self.loop = Loop(world.state, world.machine, glue, costs, self._on_host)
        if watcher is not None:
            watcher.attach(self.loop, self.machine)
        self.loop.observers.append(self._record)

    def take(self, *steps: Step) -> Execution:
        """Run until these steps are taken too, or nothing can happen any more, or something is wrong."""
        self.steps = [*self.steps, *steps]
        self.execution.program = Program(self.world.layout, tuple(self.steps))
        return self.go_on()

    def go_on(self) -> Execution:
        """Run until all steps are taken, or nothing can happen any more, or something is wrong."""
        done = self.execution
        try:
            self._run()
        except Exception as error:  # Whatever comes out of the kernel is a finding, not ours to judge.
            done.problem = f"T15 total: {type(error).__name__}: {error}"
            done.reason = "exception"
            if RAISE:
                raise
        done.entries = self.loop.entries
        return done

    def _run(self) -> None:
        done = self.execution
        self._last_step = self.loop.entries
        while done.problem is None:
            done.reason = self._until_entry()
            if self.watcher is not None:
                done.problem = self.watcher.problem
            if done.reason != "entries":
                break
            if self.loop.entries - self._last_step > QUIET_ENTRIES:
                done.reason = "quiet"
                break

    def _until_entry(self) -> str:
        """Let a thread run until the kernel was entered once; returns why it stopped."""
        return self.loop.run(max_entries=1)

    def _record(self, trap: Trap) -> None:
        current = self.state.current
        entry = (trap.kind, trap.cause, trap.value, self.machine.now(), current.paddr, *current.registers)
        self.execution.trace.append(entry)

    def _on_host(self, thread: TCB, what: int) -> bool:
        """A thread asks for its next step; false when there is none."""
        done = self.execution
        while done.taken < len(self.steps):
            step = self.steps[done.taken]
            done.taken += 1
            self._last_step = self.loop.entries
            if self._skips(step, thread):
                done.ran.append(f"skipped, {thread.name} runs")
                continue
            done.ran.append(thread.name)
            if self._take(step, thread):
                return True
        return False

    def _skips(self, step: Step, thread: TCB) -> bool:
        wanted = getattr(step, "thread", None)
        if wanted is not None and self.world.threads.get(wanted) is not thread:
            return True
        return isinstance(step, Access) and thread is self.world.guardian and not self._is_safe(step)

    def _take(self, step: Step, thread: TCB) -> bool:
        """Begin a step; true if the thread is to go on (else the next step is taken at once)."""
        match step:
            case Syscall():
                number = step.number
                if thread is self.world.guardian:
                    number = harmless_number(number, step.cap, step.caps, step.reply, thread)
                load_syscall(self.machine, thread, step, self.garbage, number)
            case Access():
                fill(self.machine, thread, self.garbage)
                thread.registers[reg.A1], thread.registers[reg.A0] = step.address & WORD_MASK, step.value & WORD_MASK
                thread.registers[reg.NEXT_IP] = INSN_PC[step.op]
            case Compute():
                thread.registers[T6], thread.registers[reg.NEXT_IP] = step.ticks, INSN_PC["compute"]
            case Interrupt():
                self.machine.irqchip.pulse(step.irq)
            case Dma():
                self._touch(step)
                return False
        return True

    def _is_safe(self, step: Access) -> bool:
        """Whether an access succeeds: an aligned load or store to a page that is mapped for it."""
        needed = {"ld": PTE_R, "st": PTE_W}.get(step.op[:2])
        root = (self.machine.mmu.satp & (1 << 44) - 1) << 12
        if needed is None or not root or step.address % 8:
            return False
        found = walk(self.machine.memory, root, step.address)
        return found is not None and bool(found.flags & needed)

    def _touch(self, step: Dma) -> None:
        if self.machine.iommu is not None:
            with suppress(DmaFault):
                self.machine.iommu.translate(DMA_REQUEST, step.iova, step.write)


def run(
    program: Program, *, watcher: Watcher | None = None, garbage: int = 1, fresh: bool = False, final: bool = True
) -> Execution:
    """Run a program from its start.

    ``fresh`` builds the world anew instead of going back to its saved start; without ``final`` the execution has no
    final state.
    """
    world = build(program.layout) if fresh else world_of(program.layout)
    world.rewind()
    session = Session(world, watcher, garbage)
    execution = session.take(*program.steps)
    if final and execution.problem is None:
        execution.final = structure(session.state)
    return execution
