"""One address space's engine: runs a thread's instructions until one of them traps, or so many are done.

An engine keeps two things that a hart keeps: address translations, which go stale until they are flushed, and
translated code. What somebody else wrote over must be translated again, which the emulator cannot know; so an engine
remembers the code that it ran as it was, and compares in each run.

The emulator passes over some compressed instructions that it should refuse: reserved ones, and those that load or store
floating point registers while the FPU is off. Code with such instructions is not begun, for the interpreter to do.

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
from hwmodel.cpu.riscv.emulator import BEHIND, EXCEPTION, LOAD_RESERVATION, MSTATUS, MSTATUS_FS, OK, PC, SATP, Handle
from hwmodel.cpu.rv64 import needs_fpu
from hwmodel.memory import PAGE_BITS, PAGE_SIZE, BusError, Memory
from hwmodel.mmu import FETCH, Mmu, PageFault

if TYPE_CHECKING:
    from hwmodel.cpu.riscv._shim import Runner

NEXT_PC: Final = 33
DONE, TRAPPED, ECALL = 0, 1, 2
"""How a run ended: short of or at its limit; at an instruction that traps; at one that is known to be an ``ecall``."""
_STALE = 3

_REGISTERS = struct.Struct("<31Q")
_FP_REGISTERS = struct.Struct("<32Q")
_WORD = _NO_RESERVATION = (1 << 64) - 1
_FFLAGS, _FRM_SHIFT, _FRM_MASK = 31, 5, 7
_ECALL_CODE = b"\x73\0\0\0"

RESERVED, FLOATING = 1, 2
"""What the emulator would pass over: always; while the FPU is off."""


@cache
def oddities() -> bytes:
    """RESERVED, FLOATING or 0 for each 16-bit instruction."""
    return bytes(_oddity(parcel) for parcel in range(1 << 16))


def _oddity(parcel: int) -> int:
    if parcel & 3 == 3:
        return 0
    expanded = expand(parcel)
    return RESERVED if expanded == RESERVED_ENCODING else FLOATING if needs_fpu(expanded) else 0


def oddities_of(code: bytes) -> int:
    """The same, or-ed, for all instructions of a block."""
    odd, at = 0, 0
    table = oddities()
    while at + 1 < len(code):
        parcel = code[at] | code[at + 1] << 8
        odd |= table[parcel]
        at += 4 if parcel & 3 == 3 else 2
    return odd


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

        TRAPPED means that the instruction at the next pc traps, or that an engine cannot do it; ``x`` is as it was
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

    def __init__(self, memory: Memory, mmu: Mmu) -> None:
        super().__init__(memory)
        self.mmu = mmu
        self._code: dict[int, bytes] = {}
        self._new_pages: set[int] = set()
        self._refused_kinds = RESERVED
        self._is_refused = False
        self.handle.watch_translation(self._translated)
        self._new_pages.clear()

    def _translated(self, pc: int, size: int) -> bool:
        """Take note of a block that is about to begin, and whether it must not. One without bytes is illegal."""
        self._new_pages.update((pc >> PAGE_BITS, pc + size - 1 >> PAGE_BITS))
        self._is_refused = size == 0 or bool(oddities_of(self._read(pc, size)) & self._refused_kinds)
        return self._is_refused

    def _read(self, vaddr: int, size: int) -> bytes:
        """Code as it is in memory; nothing of what is not RAM."""
        first = min(size, PAGE_SIZE - vaddr % PAGE_SIZE)
        parts = ((vaddr, first), (vaddr + first, size - first))
        try:
            return b"".join(self.memory.read(self.mmu.resolve(at, FETCH), part) for at, part in parts if part)
        except (PageFault, BusError):
            return b""

    def _execute(self, x: list[int], limit: int, *, fpu: bool) -> int:
        words, handle = self.words, self.handle
        self._verify()
        _REGISTERS.pack_into(handle.state, 8, *x[1:32])
        words[LOAD_RESERVATION] = _NO_RESERVATION
        if not fpu:
            words[MSTATUS] &= ~MSTATUS_FS
        self._refused_kinds = RESERVED if fpu else RESERVED | FLOATING
        outcome = handle.run(x[NEXT_PC], limit)
        self.executed = handle.executed(limit)
        if self._new_pages:
            self._note_code()
        x[1:32] = _REGISTERS.unpack_from(handle.state, 8)
        x[NEXT_PC] = words[PC]
        if self._is_refused:
            return self._refuse()
        if outcome == OK:
            return DONE
        if outcome == EXCEPTION:
            x[NEXT_PC] = words[PC] - BEHIND & _WORD
        elif outcome not in emulator.STOPS:
            raise emulator.EmulatorError(f"unicorn gave up at {words[PC]:#x} with error {outcome}")
        code = self._read(x[NEXT_PC], 4)
        if self._was_begun(x[NEXT_PC], code):
            self.executed -= 1
        return ECALL if code == _ECALL_CODE else TRAPPED

    def _was_begun(self, pc: int, code: bytes) -> bool:
        """Whether the emulator counted the instruction at ``pc``, which traps: not if it could not be translated."""
        code = code or self._read(pc, 2)
        if not code or code[0] & 3 == 3:
            return len(code) == 4
        # The emulator looks for a block without bytes in the page before.
        return pc % PAGE_SIZE != 0 or oddities_of(code[:2]) != RESERVED

    def _refuse(self) -> int:
        """A block was not begun. Forget it, so that it is not begun the next time either."""
        for page in self._code:
            self.handle.forget_code(page, PAGE_SIZE)
        self._code.clear()
        self._is_refused = False
        return TRAPPED

    def _verify(self) -> None:
        """Forget translated code of pages that are no longer as they were."""
        read = self.memory.read
        changed = [paddr for paddr, content in self._code.items() if read(paddr, PAGE_SIZE) != content]
        for paddr in changed:
            del self._code[paddr]
            self.handle.forget_code(paddr, PAGE_SIZE)

    def _note_code(self) -> None:
        """Remember the pages of new code as they are now."""
        for page in self._new_pages:
            try:
                paddr = self.mmu.resolve(page << PAGE_BITS, FETCH)
            except PageFault:
                continue
            if self.memory.contains(paddr, PAGE_SIZE):
                self._code[paddr] = self.memory.read(paddr, PAGE_SIZE)
        self._new_pages.clear()

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
        if outcome == DONE and not self.executed:
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
        """The next block is longer than the limit."""
        stepper = self.stepper
        stepper.forget_everything()
        stepper.enter(self.root, 0)
        outcome = stepper.run(x, fp, limit)
        self.executed = stepper.executed
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
