"""One address space's engine: runs a thread's instructions until one of them traps, or so many are done.

An engine keeps two things that a hart keeps: address translations, which go stale until they are flushed, and
translated code. What somebody else wrote over must be translated again, which the emulator cannot know; so an engine
remembers the code that it ran as it was, and compares in each run.

Some instructions are kept from the emulator: code is run up to them, and they are left to the interpreter. It passes
over compressed instructions that it should refuse: reserved ones, and those that load or store floating point registers
while the FPU is off. And at a ``fence.i`` a plain engine must compare the code that it ran.

There are two kinds of engine, which do the same. ``PlainEngine`` has the emulator count each instruction.
``CompiledEngine`` has the shim count by blocks, which is faster, and a plain engine, the ``stepper``, do the last few
instructions before an event that falls into the middle of a block.
"""

import struct
from abc import ABC, abstractmethod
from functools import cache
from typing import TYPE_CHECKING, Final

from hwmodel.cpu.compressed import RESERVED as RESERVED_ENCODING
from hwmodel.cpu.compressed import expand
from hwmodel.cpu.riscv import emulator
from hwmodel.cpu.riscv.emulator import (
    BEHIND,
    EXCEPTION,
    LOAD_RESERVATION,
    LOAD_VALUE,
    MSTATUS,
    MSTATUS_FS,
    OK,
    PC,
    SATP,
    Handle,
)
from hwmodel.cpu.rv64 import needs_fpu
from hwmodel.memory import PAGE_BITS, PAGE_SIZE, BusError, Memory
from hwmodel.sv39 import PTE_A, PTE_U, PTE_X, walk

if TYPE_CHECKING:
    from hwmodel.cpu.riscv._shim import Runner

NEXT_PC: Final = 33
DONE, TRAPPED, ECALL = 0, 1, 2
"""How a run ended: short of or at its limit; at an instruction that traps; at one that is known to be an ``ecall``."""
_STALE, _REFUSED = 3, 4

_REGISTERS = struct.Struct("<31Q")
_FP_REGISTERS = struct.Struct("<32Q")
_WORD = (1 << 64) - 1
_RESERVATION = slice(LOAD_RESERVATION, LOAD_VALUE + 1)
_EXECUTABLE = PTE_X | PTE_U | PTE_A
_FFLAGS, _FRM_SHIFT, _FRM_MASK = 31, 5, 7
_ECALL_CODE = b"\x73\0\0\0"

RESERVED, FLOATING, FENCE_I = 1, 2, 4
"""What is kept from the emulator: always; while the FPU is off; by plain engines."""
_FENCE_I_MASK, _FENCE_I_CODE = 0x707F, 0x100F
_LONGEST_BLOCK = 512
"""Instructions."""


@cache
def oddities() -> bytes:
    """RESERVED, FLOATING or 0 for each 16-bit instruction."""
    return bytes(_oddity(parcel) for parcel in range(1 << 16))


def _oddity(parcel: int) -> int:
    if parcel & 3 == 3:
        return 0
    expanded = expand(parcel)
    return RESERVED if expanded == RESERVED_ENCODING else FLOATING if needs_fpu(expanded) else 0


def count_before(code: bytes, kinds: int) -> int | None:
    """How many instructions come before the first one of the given kinds; None if there is no such one."""
    table, at, count = oddities(), 0, 0
    while at + 1 < len(code):
        parcel = code[at] | code[at + 1] << 8
        if parcel & 3 != 3:
            kind, at = table[parcel], at + 2
        else:
            kind, at = FENCE_I if parcel & _FENCE_I_MASK == _FENCE_I_CODE else 0, at + 4
        if kind & kinds:
            return count
        count += 1
    return None


def ends_block(code: bytes) -> bool:
    """Whether an instruction ends a block of translated code: a jump, a branch, or one of the system's."""
    word = int.from_bytes(code, "little")
    if word & 3 == 3:
        return word & 0x7F in (0x63, 0x67, 0x6F, 0x73) or word & _FENCE_I_MASK == _FENCE_I_CODE
    quadrant, funct3, source = word & 3, word >> 13 & 7, word >> 2 & 31
    return (quadrant == 1 and funct3 >= 5) or (quadrant == 2 and funct3 == 4 and source == 0)


class Engine(ABC):
    """Runs code of the address space that ``enter`` named.

    ``executed`` is how many instructions the last run completed, so without one that trapped. ``root`` is the address
    space's table; ``tlb_is_stale`` asks ``enter`` for a flush; ``last_used`` is for whoever keeps a few engines.
    """

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.handle = Handle(emulator.layout(), memory.base, memory.size, memory.address)
        self.words = self.handle.words
        self.words[emulator.PRIVILEGE] = 0
        self.executed = 0
        self.root = 0
        self.tlb_is_stale = False
        self.last_used = 0

    def enter(self, root: int, asid: int) -> None:
        """Use the tables at ``root``. Translations stay, as in a TLB with identifiers of address spaces."""
        if self.tlb_is_stale:
            self.handle.flush_tlb()
            self.tlb_is_stale = False
        if root != self.root:
            self.root = root
            self.words[SATP] = 8 << 60 | asid << 44 | root >> 12

    def run(self, x: list[int], fp: list[int] | None, limit: int) -> int:
        """Run a thread from its next pc for at most ``limit`` instructions (1 or more); returns how it ended.

        TRAPPED means that the instruction at the next pc traps, or that it is kept from the engine; ``x`` is as it was
        before that. With ``fp`` the FPU is on.
        """
        if fp is None:
            return self._execute(x, limit, fpu=False)
        self._load_fpu(fp)
        outcome = self._execute(x, limit, fpu=True)
        self._save_fpu(fp)
        return outcome

    @abstractmethod
    def _execute(self, x: list[int], limit: int, *, fpu: bool) -> int:
        """The same, with the floating point registers in place."""

    # Floating point

    def _load_fpu(self, fp: list[int]) -> None:
        words = self.words
        words[MSTATUS] |= MSTATUS_FS
        _FP_REGISTERS.pack_into(self.handle.state, 8 * emulator.FPR, *fp[:32])
        words[emulator.FRM] = fp[32] >> _FRM_SHIFT & _FRM_MASK
        self.handle.set_fflags(fp[32] & _FFLAGS)

    def _save_fpu(self, fp: list[int]) -> None:
        fp[:32] = _FP_REGISTERS.unpack_from(self.handle.state, 8 * emulator.FPR)
        fp[32] = self.words[emulator.FRM] << _FRM_SHIFT | self.handle.fflags()


class PlainEngine(Engine):
    """Counts by the emulator's own count of instructions, and compares all the pages that code was translated from."""

    def __init__(self, memory: Memory) -> None:
        super().__init__(memory)
        self._code: dict[int, bytes] = {}
        self._kept = RESERVED
        self._before: int | None = None
        self._not_begun = 0, 0
        self.handle.watch_translation(self._translated)
        self._before = None

    def _translated(self, pc: int, size: int) -> bool:
        """Remember the code of a block that is about to begin, and say whether it must not: one without bytes is
        illegal, one with instructions that are kept from the emulator is run only up to them.
        """
        for page in {pc >> PAGE_BITS, pc + size - 1 >> PAGE_BITS}:
            paddr = self._translate(page << PAGE_BITS)
            if paddr is not None and paddr not in self._code:
                self._code[paddr] = self.memory.read(paddr, PAGE_SIZE)
        self._before = count_before(self._read(pc, size), self._kept) if size else 0
        self._not_begun = pc, size
        return self._before is not None

    def _translate(self, vaddr: int) -> int | None:
        """The physical address that code at ``vaddr`` is fetched from, if that is RAM. Leaves no trace in the TLB."""
        try:
            found = walk(self.memory, self.root, vaddr)
        except BusError:
            return None
        if found is None or found.flags & _EXECUTABLE != _EXECUTABLE:
            return None
        paddr = found.paddr + vaddr % found.size
        return paddr if self.memory.contains(paddr & -PAGE_SIZE, PAGE_SIZE) else None

    def _read(self, vaddr: int, size: int) -> bytes:
        """Code as it is in memory; nothing if it cannot be fetched from RAM."""
        first = min(size, PAGE_SIZE - vaddr % PAGE_SIZE)
        code = b""
        for at, part in ((vaddr, first), (vaddr + first, size - first)):
            paddr = self._translate(at) if part else 0
            if paddr is None:
                return b""
            code += self.memory.read(paddr, part) if part else b""
        return code

    def _execute(self, x: list[int], limit: int, *, fpu: bool) -> int:
        words, handle = self.words, self.handle
        self._verify()
        _REGISTERS.pack_into(handle.state, 8, *x[1:32])
        if not fpu:
            words[MSTATUS] &= ~MSTATUS_FS
        self._kept = RESERVED | FENCE_I | (0 if fpu else FLOATING)
        outcome = self._go(x[NEXT_PC], limit)
        if self._before is not None:
            outcome = self._go_on_to_kept(limit)
        x[1:32] = _REGISTERS.unpack_from(handle.state, 8)
        x[NEXT_PC] = words[PC]
        return outcome

    def _go(self, pc: int, limit: int) -> int:
        """Run; leaves in ``words`` the pc of the instruction that comes next."""
        words, handle = self.words, self.handle
        outcome = handle.run(pc, limit)
        self.executed = handle.executed(limit)
        if outcome == OK:
            return DONE
        if outcome == EXCEPTION:
            words[PC] = words[PC] - BEHIND & _WORD
        elif outcome not in emulator.STOPS:
            raise emulator.EmulatorError(f"unicorn gave up at {words[PC]:#x} with error {outcome}")
        code = self._read(words[PC], 4)
        if self._was_begun(words[PC], code):
            self.executed -= 1
        return ECALL if code == _ECALL_CODE else TRAPPED

    def _was_begun(self, pc: int, code: bytes) -> bool:
        """Whether the emulator counted the instruction at ``pc``, which traps: not if it could not be translated."""
        code = code or self._read(pc, 2)
        if not code or (code[0] & 3 == 3 and len(code) < 4):
            return False
        if pc % PAGE_SIZE == 0 and count_before(code[:2], RESERVED) == 0:
            # The emulator looks for a block without bytes in the page before.
            return False
        return not self._is_block_cut_off(pc)

    def _is_block_cut_off(self, pc: int) -> bool:
        """Whether the block from ``pc`` on ends in half an instruction, the rest of which cannot be fetched: then the
        emulator begins none of it.
        """
        end = (pc | PAGE_SIZE - 1) + 1
        if self._translate(end) is not None:
            return False
        code = self._read(pc, end - pc)
        at = 0
        for _ in range(_LONGEST_BLOCK):
            if at + 2 >= len(code):
                return at + 2 == len(code) and code[at] & 3 == 3
            if ends_block(code[at : at + 4]):
                return False
            at += 4 if code[at] & 3 == 3 else 2
        return False

    def _go_on_to_kept(self, limit: int) -> int:
        """A block was not begun. Run it up to the instruction that is kept from the emulator."""
        before, executed = self._before or 0, self.executed
        before = min(before, limit - executed)
        outcome = TRAPPED
        self._forget_block()
        if before:
            self._kept = 0
            outcome = self._go(self.words[PC], before)
            self.executed += executed
            self._forget_block()
        return outcome

    def _forget_block(self) -> None:
        """Have the block that was not begun translated anew, so that it is not begun the next time either."""
        pc, size = self._not_begun
        for page in {pc >> PAGE_BITS, pc + size >> PAGE_BITS}:
            start, end = max(pc, page << PAGE_BITS), min(pc + size, page + 1 << PAGE_BITS)
            paddr = self._translate(start)
            if paddr is not None:
                self.handle.forget_code(paddr, max(end - start, 2))
        self._before = None

    def _verify(self) -> None:
        """Forget translated code of pages that are no longer as they were."""
        read = self.memory.read
        changed = [paddr for paddr, content in self._code.items() if read(paddr, PAGE_SIZE) != content]
        for paddr in changed:
            del self._code[paddr]
            self.handle.forget_code(paddr, PAGE_SIZE)

    def forget_everything(self) -> None:
        """Forget all translations, of addresses and of code."""
        self.handle.flush_tlb()
        self.handle.forget_all_code()
        self._code.clear()


def find_shim() -> "type[Runner] | None":
    """The compiled half of an engine, if it was built when this package was installed."""
    try:
        from hwmodel.cpu.riscv._shim import Runner
    except ImportError:
        return None
    return Runner


class CompiledEngine(Engine):
    """Counts and compares by blocks; ``stepper`` serves all engines of a hart."""

    def __init__(self, memory: Memory, shim: "type[Runner]", stepper: PlainEngine) -> None:
        super().__init__(memory)
        self.stepper = stepper
        handle = self.handle
        handle.fill_tlb_by_hook()
        functions = tuple(handle.function(name) for name in ("emu_start", "emu_stop", "hook_add", "vmem_read"))
        ram = (memory.address, memory.base, memory.size)
        self.runner = shim(handle.pointer, handle.address, functions, oddities(), *ram)

    def enter(self, root: int, asid: int) -> None:
        """Use the tables at ``root``."""
        if root != self.root:
            self.runner.enter(root)
        super().enter(root, asid)

    def run(self, x: list[int], fp: list[int] | None, limit: int) -> int:
        """Run a thread, as every engine does."""
        outcome = super().run(x, fp, limit)
        if outcome == _STALE:
            self._forget(self.runner.stale)
            return DONE
        if outcome == _REFUSED or (outcome == DONE and not self.executed):
            return self._step(x, fp, limit)
        return outcome

    def _execute(self, x: list[int], limit: int, *, fpu: bool) -> int:
        runner = self.runner
        outcome = runner.run(x, limit, fpu)
        self.executed = runner.executed
        if outcome < 0:
            raise emulator.EmulatorError(f"unicorn gave up at {x[NEXT_PC]:#x} with error {-outcome}")
        return outcome

    def _step(self, x: list[int], fp: list[int] | None, limit: int) -> int:
        """Have the stepper go on with a block that is longer than the limit, or has an instruction that is kept from
        the emulator.
        """
        stepper, executed = self.stepper, self.executed
        if executed == limit:
            return DONE
        stepper.forget_everything()
        stepper.enter(self.root, asid=0)
        stepper.words[_RESERVATION] = self.words[_RESERVATION]
        outcome = stepper.run(x, fp, limit - executed)
        self.words[_RESERVATION] = stepper.words[_RESERVATION]
        self.executed = executed + stepper.executed
        return outcome

    def _forget(self, paddr: int) -> None:
        """Have the page of a block that changed translated anew; all code, if it is not known where the block is."""
        if paddr:
            page = paddr & -PAGE_SIZE
            self.handle.forget_code(page, PAGE_SIZE)
            self.runner.forget(page, PAGE_SIZE)
        else:
            self.handle.forget_all_code()
            self.runner.forget(0, _WORD)
