"""Mistakes in the machine code of a program that runs: in the frames of its text, as MINIX's campaign made them.

A ``MachineText`` knows the instructions of a program's functions. A ``MachineMutant`` has mistakes in some of them,
drawn by a seed, in the memory of one thread; its next life begins with what is in the file.

A mistake counts as made when the processor was about to execute its instruction, and no sooner: until then a breakpoint
is in place of the instruction's first half, and the kernel sees nothing of it. Its second half, if it has one, is that
of the mistake already, for somebody may jump there. An instruction that became longer by the mistake takes what follows
along, whose own mistake then is not counted if it was not made before.

Code that computes for ever would hold up the simulation, so instructions are counted: a thread that executes
``PATIENCE`` of them in one step is given up, and counts as one that computes for ever.
"""

import random
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Final

from attrs import define, evolve, field, frozen

from capkernel.kernel.objects import TCB
from capkernel.runtime.mixed import MixedGlue
from capkernel.system.elf import Elf
from capkernel.tools.instruction_mutation import mistaken, size_of, slips_of
from capkernel.tools.mapped import read_mapped, write_mapped
from hwmodel.cpu import trap as traps
from hwmodel.cpu.rv64 import BREAKPOINT, NEXT_PC
from hwmodel.cpu.trap import Trap
from hwmodel.machine import Machine

PATIENCE: Final = 400_000
"""Instructions. If they do nothing but ask a device's register, they take the host a few seconds."""
_PARCEL: Final = 2
"""Bytes: instructions consist of one or two such pieces."""
_SHORT_BREAKPOINT: Final = 0x9002


@frozen
class Instruction:
    """What is at an address where the program has an instruction of ``size`` bytes."""

    vaddr: int
    size: int
    word: int

    @property
    def parcels(self) -> tuple[int, ...]:
        """Its pieces of 16 bits."""
        return tuple(self.word >> 8 * at & 0xFFFF for at in range(0, self.size, _PARCEL))


@frozen(slots=False)
class MachineText:
    """The code of an ELF program."""

    elf: Elf

    @cached_property
    def instructions(self) -> tuple[Instruction, ...]:
        """Those of its functions, by address; what else lies between them are constants."""
        found: dict[int, Instruction] = {}
        for function in self.elf.functions:
            if function.is_function:
                found |= {each.vaddr: each for each in self._within(function.start, function.start + function.size)}
        return tuple(found[vaddr] for vaddr in sorted(found))

    def _within(self, start: int, end: int) -> Iterator[Instruction]:
        for segment in self.elf.segments:
            if not segment.executable or start not in segment.addresses:
                continue
            at, code = start, segment.data[start - segment.vaddr : end - segment.vaddr]
            while at + _PARCEL <= end:
                offset = at - start
                size = size_of(int.from_bytes(code[offset : offset + _PARCEL], "little"))
                yield Instruction(at, size, int.from_bytes(code[offset : offset + size], "little"))
                at += size

    @property
    def places(self) -> int:
        """How many places there are for a mistake."""
        return len(self.instructions)

    def drawn(self, seed: int, count: int) -> list[tuple[Instruction, Instruction]]:
        """So many different instructions (or all), each with what a mistake makes of it."""
        chance = random.Random(seed)
        chosen = sorted(chance.sample(range(self.places), min(count, self.places)))
        pairs = []
        for number in chosen:
            was = self.instructions[number]
            word = mistaken(was.word, chance.choice(slips_of(was.word)), chance)
            pairs.append((was, evolve(was, word=word)))
        return pairs


@define
class _Mistake:
    """What was at an address, what is there in its place, and whether a breakpoint still hides that."""

    was: Instruction
    becomes: Instruction
    is_hidden: bool = True


@define(eq=False)
class MachineMutant:
    """A thread whose code has mistakes. ``made`` are the addresses of those that were executed so far."""

    machine: Machine
    glue: MixedGlue
    thread: TCB
    made: set[int] = field(factory=set)
    _mistakes: dict[int, _Mistake] = field(factory=dict)
    _left: int = PATIENCE

    @classmethod
    def of(
        cls, machine: Machine, glue: MixedGlue, thread: TCB, drawn: list[tuple[Instruction, Instruction]]
    ) -> "MachineMutant":
        """Put mistakes into a thread's code, where it is the code that was drawn from."""
        mutant = cls(machine, glue, thread)
        for was, becomes in drawn:
            if mutant._parcels_at(was.vaddr, len(was.parcels)) == was.parcels:
                mutant._mistakes[was.vaddr] = _Mistake(was, becomes)
                mutant._put(was.vaddr, _SHORT_BREAKPOINT, *becomes.parcels[1:])
        return mutant

    def run(self, step: Callable[[], Trap]) -> tuple[Trap, bool]:
        """Run the thread; the trap that it ends with, and whether it would have gone on for ever."""
        cpu = self.glue.riscv.cpu
        before = cpu.instructions
        while True:
            cpu.stop_at = before + self._left
            try:
                trap = step()
            finally:
                cpu.stop_at = None
            if trap != BREAKPOINT or not self._come_by(self.thread.registers[NEXT_PC]):
                break
        self._left -= cpu.instructions - before
        is_endless = trap.kind == traps.INTERRUPTED and self._left <= 0
        if trap.kind != traps.INTERRUPTED:
            self._left = PATIENCE
        return trap, is_endless

    def undo(self) -> None:
        """Put the code back as it was written."""
        for mistake in self._mistakes.values():
            self._put(mistake.was.vaddr, *mistake.was.parcels)
        self._mistakes = {}

    def _come_by(self, vaddr: int) -> bool:
        """Whether a mistake was hidden where the thread stands; it is no longer."""
        mistake = self._mistakes.get(vaddr)
        if mistake is None or not mistake.is_hidden:
            return False
        self.made.add(vaddr)
        self._uncover(mistake)
        return True

    def _uncover(self, mistake: _Mistake) -> None:
        mistake.is_hidden = False
        vaddr, first = mistake.was.vaddr, mistake.becomes.parcels[0]
        self._put(vaddr, first)
        behind = self._mistakes.get(vaddr + _PARCEL)
        if size_of(first) > _PARCEL and behind is not None and behind.is_hidden:
            self._uncover(behind)

    def _parcels_at(self, vaddr: int, count: int) -> tuple[int, ...]:
        parcels = (read_mapped(self.machine, self.thread, vaddr + _PARCEL * n, _PARCEL) for n in range(count))
        return tuple(int.from_bytes(parcel, "little") for parcel in parcels if parcel is not None)

    def _put(self, vaddr: int, *parcels: int) -> None:
        for number, parcel in enumerate(parcels):
            write_mapped(self.machine, self.thread, vaddr + _PARCEL * number, parcel.to_bytes(_PARCEL, "little"))
