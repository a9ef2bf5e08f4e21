"""One address space's engine: runs a thread's instructions until one of them traps, or so many are done.

An engine keeps two things that a hart keeps: address translations, which go stale until they are flushed, and
translated code. What somebody else wrote over must be translated again, which the emulator cannot know; so an engine
remembers the code that it ran as it was, and compares in each run.

There are two kinds, which do the same. ``PlainEngine`` has the emulator count each instruction. ``CompiledEngine`` has
the shim count by blocks, which is faster, and a plain engine, the ``stepper``, do the last few instructions before an
event that falls into the middle of a block.
"""

import struct
from typing import TYPE_CHECKING, Any, Final

from hwmodel.cpu.riscv import emulator
from hwmodel.cpu.riscv.emulator import BEHIND, EXCEPTION, LOAD_RESERVATION, MSTATUS, MSTATUS_FS, OK, PC, SATP, Handle
from hwmodel.memory import PAGE_BITS, PAGE_SIZE, Memory
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
_HOOK_EDGE_GENERATED = 1 << 15


class Engine:
    """Runs code of the address space that ``enter`` named.

    ``executed`` is how many instructions the last run began, one that trapped included.
    """

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.handle = Handle(emulator.layout(), memory.base, memory.size, memory.address)
        self.words = self.handle.words
        self.words[emulator.PRIVILEGE] = 0
        self.executed = 0
        self.tlb_is_stale = False
        self._root = 0

    def enter(self, root: int, asid: int) -> None:
        """Use the tables at ``root``. Translations stay, as in a TLB with identifiers of address spaces."""
        if self.tlb_is_stale:
            self.handle.flush_tlb()
            self.tlb_is_stale = False
        if root != self._root:
            self._root = root
            self.words[SATP] = 8 << 60 | asid << 44 | root >> 12

    def run(self, x: list[int], fp: list[int] | None, limit: int) -> int:
        """Run a thread from its next pc for at most ``limit`` instructions (1 or more); returns how it ended.

        ``x`` is left as it was before the instruction that trapped, whose pc is the next pc. With ``fp`` the FPU is on.
        """
        if fp is None:
            return self._execute(x, None, limit)
        self._load_fpu(fp)
        outcome = self._execute(x, fp, limit)
        self._save_fpu(fp)
        return outcome

    def _execute(self, x: list[int], fp: list[int] | None, limit: int) -> int:
        raise NotImplementedError

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
        note = self._new_pages.add

        def translated(uc: Any, block: Any, previous: Any, data: object) -> None:
            note(block.pc >> PAGE_BITS)
            note(block.pc + block.size - 1 >> PAGE_BITS)

        self.handle.uc.hook_add(_HOOK_EDGE_GENERATED, translated)

    def _execute(self, x: list[int], fp: list[int] | None, limit: int) -> int:
        words, handle = self.words, self.handle
        pc = x[NEXT_PC]
        self._verify(pc)
        _REGISTERS.pack_into(handle.state, 8, *x[1:32])
        words[LOAD_RESERVATION] = _NO_RESERVATION
        if fp is None:
            words[MSTATUS] &= ~MSTATUS_FS
        outcome = handle.run(pc, limit)
        self.executed = handle.executed(limit)
        if self._new_pages:
            self._note_code()
        x[1:32] = _REGISTERS.unpack_from(handle.state, 8)
        x[NEXT_PC] = words[PC]
        if outcome == OK:
            return DONE
        if outcome == EXCEPTION:
            x[NEXT_PC] = words[PC] - BEHIND & _WORD
        elif outcome not in emulator.STOPS:
            raise emulator.EmulatorError(f"unicorn gave up at {words[PC]:#x} with error {outcome}")
        return TRAPPED

    def _verify(self, pc: int) -> None:
        """Forget translated code of pages that are no longer as they were."""
        if not self._code:
            # The emulator does not report the first code that it translates.
            self._new_pages.add(pc >> PAGE_BITS)
            return
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
        self.handle.uc.ctl_flush_tb()
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
        functions = tuple(handle.function(name) for name in ("emu_start", "emu_stop", "hook_add", "vmem_read"))
        ram = (memory.address, memory.base, memory.size)
        self.runner = shim(handle.pointer, handle.address, functions, *ram)

    def enter(self, root: int, asid: int) -> None:
        """Use the tables at ``root``."""
        if root != self._root:
            self.runner.enter(root)
        super().enter(root, asid)

    def _execute(self, x: list[int], fp: list[int] | None, limit: int) -> int:
        runner = self.runner
        outcome = runner.run(x, limit, fp is not None)
        self.executed = runner.executed
        if outcome == DONE and not self.executed:
            return self._step(x, fp, limit)
        if outcome == _STALE:
            self._forget(runner.stale)
            return DONE
        if outcome < 0:
            raise emulator.EmulatorError(f"unicorn gave up at {x[NEXT_PC]:#x} with error {-outcome}")
        return outcome

    def _step(self, x: list[int], fp: list[int] | None, limit: int) -> int:
        """The next block is longer than the limit."""
        stepper = self.stepper
        stepper.forget_everything()
        stepper.enter(self._root, 0)
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
            self.handle.uc.ctl_flush_tb()
            self.runner.forget(0, _WORD)
