"""Fault injection: a protection domain that goes wrong at a step of its own, in a way that can be repeated.

A step is a kernel entry that the domain's thread causes: a system call or a fault. They are counted from 1, through all
its lives, or through one of them. An ``Injector`` stands between the loop and the CPU; the kernel sees what it would
see if the code itself had gone wrong. A fault that could have no effect where it was to happen is not counted as
``activated``. What is done to the thread is in ``tampering``; mistakes in its code are in ``mutation`` if that is
Python, in ``machine_mutation`` if it is machine code.
"""

import random
import sys
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from types import ModuleType
from typing import Final, Protocol

from attrs import define, field, frozen

from capkernel.abi.registers import SYSCALL_REGISTER
from capkernel.kernel.objects import TCB
from capkernel.runtime.described import DescribedSystem
from capkernel.runtime.mixed import MixedGlue
from capkernel.runtime.programs import MachineCode
from capkernel.system.elf import Elf
from capkernel.tools import tampering
from capkernel.tools.machine_mutation import MachineMutant, MachineText
from capkernel.tools.mutation import Text
from hwmodel.cpu import trap as traps
from hwmodel.cpu.trap import STOP_INTERRUPTED, Trap

_ILLEGAL: Final = Trap(traps.EXCEPTION, 2)


class Kind(StrEnum):
    """What goes wrong at a step."""

    CRASH = "crash"
    """An illegal instruction instead of the system call."""
    HANG = "hang"
    """From here on the thread computes for ever."""
    WRONG_ANSWER = "wrong answer"
    """A reply: a bit of its label or of its first four words is inverted."""
    LOST_REPLY = "lost reply"
    """A reply is not sent; the thread goes on as if it were."""
    DOUBLE_REPLY = "double reply"
    """A reply is sent, and then once more: the kernel finds nobody behind the reply object."""
    NO_MEMORY = "no memory"
    """An invocation that makes objects: the kernel answers that there is not enough memory."""
    MEMORY = "bit flip"
    """A bit of the thread's writable memory, devices aside, is inverted before the step."""
    STRAY_STORE = "stray store"
    """A word of the thread's writable memory is overwritten, as by a wild pointer."""
    VARIABLE = "variable"
    """A bit of a number that a Python program keeps in one of its objects is inverted, or of a variable in C."""
    MUTATION = "mutation"
    """The program's code gets ``count`` mistakes, until the thread's end; each is activated when it is executed."""


@frozen
class Fault:
    """What is to go wrong: ``kind`` at the ``step``-th step of the domain, of its ``life``-th life if that is not 0.

    ``seed`` decides what the kind leaves open. With ``or_later`` it happens at the first step from there on at which it
    can, and once.
    """

    pd: str
    step: int
    kind: Kind
    seed: int = 0
    life: int = 0
    count: int = 1
    or_later: bool = False


class Spoilt(Protocol):
    """A program with mistakes, for one thread. ``made`` are those that were executed so far."""

    made: set[int]

    def run(self, step: Callable[[], Trap]) -> tuple[Trap, bool]:
        """Run the thread with the mistakes in place; the trap, and whether it would have gone on for ever."""

    def undo(self) -> None:
        """Put the code back as it was written."""


@define
class Injector:
    """Faults for the domains of a system.

    ``steps`` counts each domain's steps so far, ``lives`` its threads; ``activated_at`` is when each fault happened,
    in ticks. A fault of many mistakes is in ``activated`` once for each that was executed. ``code`` is, for domains of
    several parts, the module of the one whose code gets mistakes.
    """

    system: DescribedSystem
    faults: list[Fault] = field(factory=list)
    steps: Counter[str] = field(factory=Counter)
    lives: Counter[str] = field(factory=Counter)
    activated: list[Fault] = field(factory=list)
    activated_at: list[int] = field(factory=list)
    code: dict[str, str] = field(factory=dict)
    _threads: dict[str, TCB] = field(factory=dict)
    _since: Counter[str] = field(factory=Counter)
    _hanging: dict[str, TCB] = field(factory=dict)
    _answered: dict[str, list[int]] = field(factory=dict)
    """The registers with which a thread is to answer once more."""
    _asked: dict[str, int] = field(factory=dict)
    """The system call that a thread of machine code believes to have made."""
    _texts: dict[str, Text | MachineText] = field(factory=dict)
    _mutants: dict[str, tuple[Fault, Spoilt]] = field(factory=dict)
    _run: Callable[[TCB], Trap] = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Stand between the system's loop and its CPU."""
        self._run = self.system.loop.cpu.run
        self.system.loop.cpu = self

    def crash_next(self, pd: str) -> None:
        """Let the domain crash at its next step."""
        self.faults.append(Fault(pd, self.steps[pd] + 1, Kind.CRASH))

    def clear(self) -> None:
        """What has not happened will not; programs' code is again as it was written."""
        self.faults = []
        for name, (_, mutant) in self._mutants.items():
            # What was the memory of a thread that is no more may be somebody else's.
            if self._threads.get(name) is self.system.threads.get(name):
                mutant.undo()
        self._mutants = {}

    def text(self, pd: str) -> Text | MachineText | None:
        """The code of a domain's program, if it can be spoilt."""
        if pd not in self._texts:
            program = self.system.programs[pd][0]
            hooks = sys.modules.get(self.code.get(pd, ""), getattr(program, "hooks", None))
            if isinstance(program, MachineCode):
                self._texts[pd] = MachineText(program.elf)
            elif isinstance(hooks, ModuleType):
                self._texts[pd] = Text(hooks)
        return self._texts.get(pd)

    def run(self, thread: TCB) -> Trap:
        """Run the thread until it traps, or goes wrong."""
        name = self._name(thread)
        if name is None:
            return self._run(thread)
        if self._threads.get(name) is not thread:
            self._begin_life(name, thread)
        if self._hanging.get(name) is thread:
            return self._compute()
        if name in self._answered:
            thread.registers[:] = self._answered.pop(name)
            return traps.STOP_ECALL
        if name in self._asked:
            thread.registers[SYSCALL_REGISTER] = self._asked.pop(name)
        trap = self._run(thread) if name not in self._mutants else self._run_mutant(name, thread)
        if trap.kind in (traps.HOST, traps.INTERRUPTED):
            return trap
        for fault in self._due(name):
            changed = self._apply(fault, thread, trap)
            if changed is not None:
                if fault.kind is not Kind.MUTATION:
                    self._note(fault)
                if fault.or_later:
                    self.faults.remove(fault)
                trap = changed
        return trap

    def _note(self, fault: Fault) -> None:
        self.activated.append(fault)
        self.activated_at.append(self.system.machine.now())

    def _begin_life(self, name: str, thread: TCB) -> None:
        self._threads[name] = thread
        self.lives[name] += 1
        self._since[name] = 0
        self._mutants.pop(name, None)
        self._answered.pop(name, None)
        self._asked.pop(name, None)

    def _due(self, name: str) -> list[Fault]:
        """Count a step; the faults that are to happen at it."""
        self.steps[name] += 1
        self._since[name] += 1
        if not self.faults:
            return []
        here = {0: self.steps[name], self.lives[name]: self._since[name]}
        return [
            fault
            for fault in self.faults
            if fault.pd == name
            and (step := here.get(fault.life)) is not None
            and (step == fault.step or (fault.or_later and step > fault.step))
        ]

    def _name(self, thread: TCB) -> str | None:
        """The domain whose present thread this is."""
        for name, live in self.system.threads.items():
            if live is thread:
                return name
        return None

    def _compute(self) -> Trap:
        machine = self.system.machine
        machine.advance(max(1, machine.next_stop() - machine.now()))
        return STOP_INTERRUPTED

    def _run_mutant(self, name: str, thread: TCB) -> Trap:
        fault, mutant = self._mutants[name]
        before = len(mutant.made)
        trap, is_endless = mutant.run(lambda: self._run(thread))
        for _ in range(len(mutant.made) - before):
            self._note(fault)
        if is_endless:
            self._hanging[name] = thread
            return self._compute()
        return trap

    def _apply(self, fault: Fault, thread: TCB, trap: Trap) -> Trap | None:
        """What the kernel sees instead of the trap; None if nothing could go wrong."""
        chance = random.Random(f"{fault.seed} {fault.step} {fault.kind}")
        machine = self.system.machine
        is_call = trap.kind == traps.ECALL
        match fault.kind:
            case Kind.CRASH:
                return _ILLEGAL
            case Kind.HANG:
                self._hanging[fault.pd] = thread
                return self._compute()
            case Kind.WRONG_ANSWER:
                return trap if is_call and tampering.wrong_answer(thread, chance) else None
            case Kind.LOST_REPLY:
                asked = thread.registers[SYSCALL_REGISTER]
                if not is_call or not tampering.lost_reply(thread):
                    return None
                if self._elf(fault.pd) is not None:
                    self._asked[fault.pd] = asked
                return trap
            case Kind.DOUBLE_REPLY:
                registers = list(thread.registers)
                if not is_call or not tampering.only_reply(thread):
                    return None
                self._answered[fault.pd] = registers
                return trap
            case Kind.NO_MEMORY:
                return trap if is_call and tampering.refused_memory(thread) else None
            case Kind.MEMORY:
                return trap if tampering.bit_flip(machine, thread, chance) else None
            case Kind.STRAY_STORE:
                return trap if tampering.stray_store(machine, thread, chance) else None
            case Kind.VARIABLE:
                return trap if self._flip_variable(fault.pd, thread, chance) else None
            case Kind.MUTATION:
                self._mutate(fault, thread)
                return trap

    def _elf(self, pd: str) -> Elf | None:
        """The file of a domain's program, if it is machine code."""
        program = self.system.programs[pd][0]
        return program.elf if isinstance(program, MachineCode) else None

    def _flip_variable(self, pd: str, thread: TCB, chance: random.Random) -> bool:
        elf = self._elf(pd)
        if elf is not None:
            return tampering.data_flip(self.system.machine, thread, elf, chance)
        return tampering.variable_flip(self.system.cpu.program_of(thread), chance)

    def _mutate(self, fault: Fault, thread: TCB) -> None:
        """Put mistakes into a program, in place of those that it may have."""
        if fault.pd in self._mutants:
            self._mutants.pop(fault.pd)[1].undo()
        text, cpu = self.text(fault.pd), self.system.cpu
        if isinstance(text, Text):
            self._mutants[fault.pd] = fault, text.mutant(fault.seed, fault.count)
        elif text is not None and isinstance(cpu, MixedGlue):
            drawn = text.drawn(fault.seed, fault.count)
            self._mutants[fault.pd] = fault, MachineMutant.of(self.system.machine, cpu, thread, drawn)
