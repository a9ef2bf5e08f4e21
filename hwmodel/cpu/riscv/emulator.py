"""PyPI's ``unicorn``, as far as the hart needs it: found, pinned, and checked before it is believed.

The emulator's public interface costs a microsecond a register and does not tell how many instructions ran. Both are
plain words in its memory, so they are read and written there. Where they lie is found out by experiment on a throw-away
engine, once a process: known values are put in through the public interface and looked for. Only memory that the
process really has is looked at, so a build that differs gives an error and no crash.
"""

import ctypes
import os
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any, Final

VERSION: Final = "2.1.4"
TRANSLATION_BUFFER: Final = 32 << 20
"""Bytes of host code an engine may keep; committed as they are used."""

FPR, PC, LOAD_RESERVATION, LOAD_VALUE, FRM, MISA, PRIVILEGE, MSTATUS, SATP = 32, 64, 65, 66, 67, 71, 74, 78, 84
"""Word numbers in the emulator's CPU state (QEMU's ``CPURISCVState``)."""
STATE_WORDS: Final = SATP + 1

OK, READ_UNMAPPED, WRITE_UNMAPPED, FETCH_UNMAPPED, INSN_INVALID, EXCEPTION = 0, 6, 7, 8, 10, 21
"""Results of a run: the limit was reached; or why not."""
STOPS: Final = (READ_UNMAPPED, WRITE_UNMAPPED, FETCH_UNMAPPED, INSN_INVALID, EXCEPTION)
BEHIND: Final = 4
"""Bytes that the pc is ahead of an instruction that ended a run with ``EXCEPTION``, whatever its length."""

MSTATUS_FS: Final = 3 << 13
"""Both bits: the FPU is on."""

_RWX = 7
_REG_FFLAGS = 41
_CTL_WRITE = 1 << 30
_CTL_TLB_FLUSH = 11
_HOOK_EDGE_GENERATED, _TLB_BY_HOOK = 1 << 15, 1
_PAGE = 4096
_SCRATCH = 1 << 48
"""A physical address where no machine has anything."""
_SELF_JUMP = 0x6F
_FEATURES = bytes((1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1))
"""``RISCVCPU.cfg``: i, e, g, m, a, f, d, c, s, u, h, counters, ifencei, icsr."""
_COUNTERS = 11


class EmulatorError(RuntimeError):
    """The emulator is not there, or is not the one that this code was written for."""


@dataclass(frozen=True)
class Layout:
    """Where things are: in the engine's handle, the executed instructions and the pointer to the CPU;
    from there the CPU's state and the switch for the user-mode counters. All in bytes.
    """

    executed: int
    cpu: int
    state: int
    counters: int


class Handle:
    """One engine: an emulated hart in user mode over a RAM that it shares with the machine.

    ``words`` are the CPU's state, by the word numbers above; ``state`` the same as bytes; ``address`` its host address.
    """

    def __init__(self, layout: Layout | None, ram_base: int, ram_size: int, ram_address: int) -> None:
        unicorn, library = _load()
        self.exports = library
        self._raised: BaseException | None = None
        self.uc = unicorn.Uc(unicorn.unicorn_const.UC_ARCH_RISCV, unicorn.unicorn_const.UC_MODE_RISCV64)
        self.uc.ctl_set_tcg_buffer_size(TRANSLATION_BUFFER)
        self.uc.ctl_exits_enabled(True)
        self.uc.mem_map_ptr(ram_base, ram_size, _RWX, ram_address)
        self.pointer = _pointer(self.uc)
        self._ctl = library["uc_ctl"]
        self._ctl.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
        self._start = library["uc_emu_start"]
        self._start.argtypes = [ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_size_t]
        if layout is not None:
            self._reach_in(layout)

    def _reach_in(self, layout: Layout) -> None:
        cpu = ctypes.c_uint64.from_address(self.pointer + layout.cpu).value
        self.address = cpu + layout.state
        self.state = memoryview((ctypes.c_uint8 * (8 * STATE_WORDS)).from_address(self.address)).cast("B")
        self.words = self.state.cast("Q")
        self.counter = ctypes.c_uint64.from_address(self.pointer + layout.executed)
        ctypes.c_uint8.from_address(cpu + layout.counters).value = 0

    def function(self, name: str) -> int:
        """The address of a function of the emulator, named without its ``uc_``."""
        return ctypes.cast(self.exports[f"uc_{name}"], ctypes.c_void_p).value or 0

    def run(self, pc: int, limit: int) -> int:
        """Run from ``pc`` for at most ``limit`` instructions; a limit of 0 is none, and then nothing is counted."""
        outcome = int(self._start(self.pointer, pc, 0, 0, limit))
        if self._raised is not None:
            error, self._raised = self._raised, None
            raise error
        return outcome

    def executed(self, limit: int) -> int:
        """How many instructions the last run began, one that ended it with an exception included."""
        return min(int(self.counter.value), limit)

    def flush_tlb(self) -> None:
        """Forget all translations of addresses."""
        self._ctl(self.pointer, _CTL_TLB_FLUSH | _CTL_WRITE)

    def forget_code(self, paddr: int, size: int) -> None:
        """Forget what was translated of the code at physical addresses."""
        words = self.words
        privilege, words[PRIVILEGE] = words[PRIVILEGE], 3
        try:
            self.uc.ctl_remove_cache(paddr, paddr + size)
        finally:
            words[PRIVILEGE] = privilege

    def fflags(self) -> int:
        """The floating point exception flags; the FPU must be on."""
        return self.read_register(_REG_FFLAGS)

    def set_fflags(self, flags: int) -> None:
        """Set the floating point exception flags; the FPU must be on."""
        self.write_register(_REG_FFLAGS, flags)

    def forget_all_code(self) -> None:
        """Forget everything that was translated of any code."""
        self.uc.ctl_flush_tb()

    def watch_translation(self, tell: Callable[[int, int], bool]) -> None:
        """Have ``tell`` called with address and size of each newly translated block, which is about to begin; if it
        answers true, the run ends before it.
        """

        def translated(uc: Any, block: Any, previous: Any, data: object) -> None:
            # The emulator's C code would lose an exception, a user's interrupt for one.
            try:
                stops = tell(block.pc, block.size)
            except BaseException as error:
                self._raised, stops = error, True
            if stops:
                uc.emu_stop()

        self.uc.hook_add(_HOOK_EDGE_GENERATED, translated)
        self._run_anything()

    def _run_anything(self) -> None:
        """The emulator does not report the first code that it translates: let that be a jump to itself."""
        page = (ctypes.c_uint32 * (_PAGE // 2))()
        start = -(-ctypes.addressof(page) // _PAGE) * _PAGE
        ctypes.c_uint32.from_address(start).value = _SELF_JUMP
        self.uc.mem_map_ptr(_SCRATCH, _PAGE, _RWX, start)
        privilege, self.words[PRIVILEGE] = self.words[PRIVILEGE], 3
        self.run(_SCRATCH, 1)
        self.words[PRIVILEGE] = privilege
        self.uc.mem_unmap(_SCRATCH, _PAGE)

    def fill_tlb_by_hook(self) -> None:
        """Ask a hook for each translation of an address, instead of walking the tables."""
        self.uc.ctl_set_tlb_mode(_TLB_BY_HOOK)

    def read_register(self, number: int) -> int:
        """A register by the emulator's own number for it."""
        return int(self.uc.reg_read(number))

    def write_register(self, number: int, value: int) -> None:
        """Set a register by the emulator's own number for it."""
        self.uc.reg_write(number, value)


def _load() -> tuple[Any, ctypes.CDLL]:
    try:
        import unicorn
        from unicorn.unicorn_py3 import unicorn as binding
    except ImportError as error:
        raise EmulatorError(
            "machine code needs the emulator unicorn, which is not installed: pip install 'capkernel[riscv]'"
        ) from error
    found = version("unicorn")
    if found != VERSION:
        raise EmulatorError(f"this is unicorn {found}; {VERSION} is wanted: pip install unicorn=={VERSION}")
    return unicorn, binding.uclib


def _pointer(uc: Any) -> int:
    handle = uc._uch
    return int(handle.value if hasattr(handle, "value") else handle)


# Finding out the layout

_RAM, _PAGES = 0x8000_0000, 16
_LOOP = (0x00150513, 0xFFDFF06F)
"""addi a0, a0, 1; j -4."""
_RDCYCLE = 0xC0002573
_PATTERN = tuple(0x5EA4_C000_0000_0000 + 0x0101 * n for n in range(32))
_SEARCHED = 1 << 18


@cache
def layout() -> Layout:
    """Where the emulator keeps what we need. Raises EmulatorError if it is not what this code was written for."""
    ram = (ctypes.c_uint8 * (4096 * (_PAGES + 1)))()
    address = -(-ctypes.addressof(ram) // 4096) * 4096
    code = (ctypes.c_uint32 * 4).from_address(address)
    code[:3] = [*_LOOP, _RDCYCLE]
    handle, another = (Handle(None, _RAM, 4096 * _PAGES, address) for _ in range(2))
    with _OwnMemory() as memory:
        executed = _find_counter(handle, memory)
        cpu, state = _find_state(handle, another, memory)
        base = memory.word(handle.pointer + cpu)
        features = memory.read(base + state, _SEARCHED).find(_FEATURES)
    if features < 0:
        raise EmulatorError("unicorn's description of its CPU is not where it was; is this the build from PyPI?")
    found = Layout(executed, cpu, state, state + features + _COUNTERS)
    _check(handle, found)
    return found


class _OwnMemory:
    """This process's memory, read through the host, which refuses what is not there instead of crashing."""

    def __enter__(self) -> "_OwnMemory":
        try:
            self._fd = os.open("/proc/self/mem", os.O_RDONLY)
        except OSError as error:
            raise EmulatorError(f"running machine code needs Linux's /proc/self/mem: {error}") from error
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def read(self, address: int, size: int) -> bytes:
        """What there is of so many bytes."""
        try:
            return os.pread(self._fd, size, address)
        except (OSError, OverflowError):
            return b""

    def word(self, address: int) -> int:
        return int.from_bytes(self.read(address, 8), "little")


def _find_counter(handle: Handle, memory: _OwnMemory) -> int:
    """The word in the handle that is one more than the limit, after a run that reached it."""
    places: set[int] | None = None
    for limit in (1237, 6151, 40129):
        handle.run(_RAM, limit)
        found = {at for at, word in _words(memory.read(handle.pointer, _SEARCHED)) if word == limit + 1}
        places = found if places is None else places & found
    return _only(places or set(), "count of instructions")


def _find_state(handle: Handle, another: Handle, memory: _OwnMemory) -> tuple[int, int]:
    """A pointer in the handle behind which the integer registers lie; in another handle, too, where other things
    happen to lie in front of them.
    """
    _write_registers(handle, _PATTERN)
    wanted = struct.pack("<31Q", *_PATTERN[1:])
    places: list[tuple[int, int]] = []
    for at, word in _words(memory.read(handle.pointer, 1 << 14)):
        if 4096 < word < 1 << 47 and not word & 7:
            behind = memory.read(word, _SEARCHED)
            starts = [found.start() for found in re.finditer(re.escape(wanted), behind)]
            places += [(at, start - 8) for start in starts if start >= 8]
    # Our own memory holds copies of the pattern, ``wanted`` for one. The registers are where other values appear next.
    other = [value ^ (1 << 63) for value in _PATTERN]
    for each in (handle, another):
        _write_registers(each, other)
        places = [place for place in places if _registers_behind(each, memory, *place) == other[1:]]
    # Several pointers lead to the same CPU; the one nearest to it is the pointer to the CPU itself.
    nearest = min((offset for _, offset in places), default=-1)
    return _only({at for at, offset in places if offset == nearest}, "state of the CPU"), nearest


def _write_registers(handle: Handle, values: Sequence[int]) -> None:
    from unicorn.riscv_const import UC_RISCV_REG_X0

    for number in range(1, 32):
        handle.write_register(UC_RISCV_REG_X0 + number, values[number])


def _registers_behind(handle: Handle, memory: _OwnMemory, at: int, offset: int) -> list[int]:
    """Where the registers from x1 on would be, word by word: they must not come to lie side by side anywhere else."""
    first = memory.word(handle.pointer + at) + offset + 8
    return [memory.word(first + 8 * number) for number in range(31)]


def _words(data: bytes) -> Iterator[tuple[int, int]]:
    for index, (word,) in enumerate(struct.iter_unpack("<Q", data[: len(data) & ~7])):
        yield 8 * index, word


def _only(places: set[int], what: str) -> int:
    if not places:
        raise EmulatorError(f"unicorn's {what} is not where it was; is this the build from PyPI?")
    return min(places)


def _check(handle: Handle, found: Layout) -> None:
    """Try what the hart relies on."""
    from unicorn import riscv_const as registers

    handle._reach_in(found)
    words = handle.words
    same = (
        (words[MISA], handle.read_register(registers.UC_RISCV_REG_MISA)),
        (words[MSTATUS], handle.read_register(registers.UC_RISCV_REG_MSTATUS)),
        (words[PC], handle.read_register(registers.UC_RISCV_REG_PC)),
    )
    if any(ours != theirs for ours, theirs in same):
        raise EmulatorError(f"unicorn's CPU state is not laid out as it was: {same}")
    words[PRIVILEGE] = 0
    words[10] = 0
    outcome = handle.run(_RAM, 1001)
    if (outcome, words[10], words[PC], handle.executed(1001)) != (OK, 501, _RAM + 4, 1001):
        raise EmulatorError("unicorn does not stop after the wanted number of instructions")
    if handle.run(_RAM + 8, 10) != EXCEPTION or words[PC] != _RAM + 8 + BEHIND:
        raise EmulatorError("unicorn lets user mode read the host's cycle counter")
