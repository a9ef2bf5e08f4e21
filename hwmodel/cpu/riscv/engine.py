"""One address space's engine: runs a thread's instructions until one of them traps, or so many are done.

An engine keeps two things that a hart keeps: address translations, which go stale until they are flushed, and
translated code. Code that somebody else wrote over must be translated again; so an engine remembers the pages that it
ran code from, as they were, and ``verify`` compares.
"""

import struct
from typing import Any, Final

from hwmodel.cpu.riscv import emulator
from hwmodel.cpu.riscv.emulator import EXCEPTION, GPR, LOAD_RESERVATION, MSTATUS, MSTATUS_FS, OK, PC, SATP, Handle
from hwmodel.memory import PAGE_SIZE, Memory
from hwmodel.mmu import FETCH, Mmu, PageFault

NEXT_PC: Final = 33
DONE, TRAPPED = 0, 1
"""How a run ended: with the last instruction that it was allowed, or at an instruction that traps."""

_REGISTERS = struct.Struct("<31Q")
_NO_RESERVATION = (1 << 64) - 1
_FFLAGS, _FRM_SHIFT, _FRM_MASK = 31, 5, 7
_HOOK_EDGE_GENERATED = 1 << 15


class Engine:
    """Runs code of the address space that ``enter`` named. ``executed`` is how many instructions the last run started,
    the one that trapped included. ``fpu_owner`` is whose floating point registers it holds.
    """

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.handle = Handle(emulator.layout(), memory.base, memory.size, memory.address)
        self.words = self.handle.words
        self.words[emulator.PRIVILEGE] = 0
        self.executed = 0
        self.tlb_is_stale = False
        self._root = 0
        self._code: dict[int, bytes] = {}
        self._translated: set[int] = set()
        self._watch_translation()

    def _watch_translation(self) -> None:
        """Have the first address of each newly translated piece of code noted."""
        note = self._translated.add

        def translated(uc: Any, current: Any, previous: Any, data: object) -> None:
            note(current.pc >> 12)

        self.handle.uc.hook_add(_HOOK_EDGE_GENERATED, translated)

    def enter(self, root: int, asid: int) -> None:
        """Use the tables at ``root``. Translations stay, as in a TLB with identifiers of address spaces."""
        if self.tlb_is_stale:
            self.handle.flush_tlb()
            self.tlb_is_stale = False
        if root != self._root:
            self._root = root
            self.words[SATP] = 8 << 60 | asid << 44 | root >> 12

    def run(self, x: list[int], fp: list[int] | None, limit: int) -> int:
        """Run a thread from its next pc for at most ``limit`` instructions (at least 1); DONE or TRAPPED.

        ``x`` is left as it was before the instruction that trapped, whose pc is the next pc. With ``fp`` the FPU is on.
        """
        words, handle = self.words, self.handle
        pc = x[NEXT_PC]
        _REGISTERS.pack_into(handle.state, 8, *x[1:32])
        words[LOAD_RESERVATION] = _NO_RESERVATION
        self._translated.add(pc >> 12)
        if fp is None:
            words[MSTATUS] &= ~MSTATUS_FS
        else:
            self._load_fpu(fp)
        outcome = handle.run(pc, limit)
        self.executed = handle.executed(limit)
        x[1:32] = _REGISTERS.unpack_from(handle.state, 8)
        if fp is not None:
            self._save_fpu(fp)
        x[NEXT_PC] = words[PC]
        if outcome == OK:
            return DONE
        if outcome == EXCEPTION:
            x[NEXT_PC] = words[PC] - emulator.BEHIND & _NO_RESERVATION
        elif outcome not in emulator.STOPS:
            raise emulator.EmulatorError(f"unicorn gave up at {words[PC]:#x} with error {outcome}")
        return TRAPPED

    # Floating point

    def _load_fpu(self, fp: list[int]) -> None:
        words = self.words
        words[MSTATUS] |= MSTATUS_FS
        struct.pack_into("<32Q", self.handle.state, 8 * emulator.FPR, *fp[:32])
        words[emulator.FRM] = fp[32] >> _FRM_SHIFT & _FRM_MASK
        self.handle.set_fflags(fp[32] & _FFLAGS)

    def _save_fpu(self, fp: list[int]) -> None:
        words = self.words
        fp[:32] = words[emulator.FPR : emulator.FPR + 32].tolist()
        fp[32] = words[emulator.FRM] << _FRM_SHIFT | self.handle.fflags()

    # Translated code

    def note_code(self, mmu: Mmu) -> None:
        """Remember, as they are now, the pages that code was translated from since the last call."""
        for page in self._translated:
            try:
                paddr = mmu.resolve(page << 12, FETCH)
            except PageFault:
                continue
            if paddr not in self._code and self.memory.contains(paddr, PAGE_SIZE):
                self._code[paddr] = self.memory.read(paddr, PAGE_SIZE)
        self._translated.clear()

    def verify(self) -> None:
        """Forget translated code of pages that are no longer as they were."""
        read = self.memory.read
        changed = [paddr for paddr, content in self._code.items() if read(paddr, PAGE_SIZE) != content]
        for paddr in changed:
            del self._code[paddr]
            self.handle.forget_code(paddr, PAGE_SIZE)
