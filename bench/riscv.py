"""Machine code: ``python -m bench.riscv [--json] [PINGPONG.elf]``.

How many millions of instructions a second a loop of arithmetic, loads and stores runs at, next to the emulator alone in
the same process (there every page may be executed, and then its stores go the long way); and for a root task that makes
Calls (``examples/c/build/pingpong_fast.elf``, if it was built), what a Call and its ReplyRecv cost.
"""

import ctypes
import json
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from time import process_time

from capkernel.runtime.machine_code import MachineCodeSystem
from capkernel.system.elf import Elf, ElfSegment, read_program
from hwmodel.cpu.riscv.emulator import Handle
from hwmodel.cpu.riscv.engine import find_shim

PINGPONG = Path(__file__).resolve().parent.parent / "examples" / "c" / "build" / "pingpong_fast.elf"
BASE = 0x10000
_ARITHMETIC = (
    0x00150513,  # addi a0, a0, 1
    0x00A686B3,  # add a3, a3, a0
    0x02A686B3,  # mul a3, a3, a0
    0x0036D713,  # srli a4, a3, 3
    0x00E6C6B3,  # xor a3, a3, a4
    0x00D707B3,  # add a5, a4, a3
    0x0057D793,  # srli a5, a5, 5
    0x00F6C6B3,  # xor a3, a3, a5
    0x00168693,  # addi a3, a3, 1
)
_MEMORY = (
    0x00A5B023,  # sd a0, 0(a1)
    0x0005B603,  # ld a2, 0(a1)
)
LOOPS = {"arithmetic": _ARITHMETIC, "arithmetic, a load and a store": _ARITHMETIC[:-2] + _MEMORY}
"""The bodies of two loops of the same length."""
INSTRUCTIONS = 100_000_000
ROUNDS = 20_000
REPEATS = 3


def _loop_program(body: tuple[int, ...]) -> Elf:
    """A loop without end; a1 points into the boot information, which is writable."""
    words = (0x00050593, *body, _jump_back(len(body)))  # mv a1, a0
    code = struct.pack(f"<{len(words)}I", *words)
    segment = ElfSegment(BASE, code, 0x3000, readable=True, writable=True, executable=True)
    return Elf(entry=BASE, machine=243, kind=2, segments=(segment,), symbols={})


def _jump_back(count: int) -> int:
    """j to ``count`` instructions before."""
    offset = -4 * count & 0x1FFFFF
    return (
        (offset >> 20) << 31
        | (offset >> 1 & 0x3FF) << 21
        | (offset >> 11 & 1) << 20
        | (offset >> 12 & 0xFF) << 12
        | 0x6F
    )


def _branch_back(count: int) -> int:
    """bne a0, a6 to ``count`` instructions before."""
    offset = -4 * count & 0x1FFF
    high, low = (offset >> 12) << 6 | (offset >> 5 & 0x3F), (offset >> 1 & 15) << 1 | (offset >> 11 & 1)
    return high << 25 | 16 << 20 | 10 << 15 | 1 << 12 | low << 7 | 0x63


def _best(measure: Callable[[], float]) -> float:
    return min(measure() for _ in range(REPEATS))


def mips(body: tuple[int, ...], compiled: bool) -> float:
    """Millions of instructions a second, with time and preemption exact."""

    def measure() -> float:
        system = MachineCodeSystem(_loop_program(body), ram=1 << 26, compiled=compiled)
        cpu = system.cpu.cpu
        goal = INSTRUCTIONS if compiled else INSTRUCTIONS // 10
        cpu.stop_at = goal
        system.loop.stop_reason = lambda: "enough" if system.instructions == goal else None
        before = process_time()
        system.loop.run()
        return (process_time() - before) / goal * 1e6

    return 1 / _best(measure)


def emulator_alone(body: tuple[int, ...]) -> float:
    """The same loop on the emulator without hooks, without counting and without address translation."""
    size = 1 << 16
    ram = (ctypes.c_uint8 * (2 * size))()
    address = -(-ctypes.addressof(ram) // 4096) * 4096
    rounds = INSTRUCTIONS // (len(body) + 1)
    words = (*body, _branch_back(len(body)), 0x00000073)  # ecall
    ctypes.memmove(address, struct.pack(f"<{len(words)}I", *words), 4 * len(words))
    handle = Handle(None, 0x8000_0000, size, address)

    def measure() -> float:
        for register, value in ((10, 0), (11, 0x8000_1000), (16, rounds)):
            handle.write_register(1 + register, value)
        before = process_time()
        handle.run(0x8000_0000, 0)
        return (process_time() - before) / (rounds * (len(body) + 1)) * 1e6

    return 1 / _best(measure)


def round_trip(path: Path, compiled: bool) -> float:
    """Microseconds of a Call and its ReplyRecv between two address spaces, from the difference of two lengths."""

    def run(rounds: int) -> float:
        system = exchange(path, rounds, compiled=compiled)
        before = process_time()
        system.loop.run()
        return process_time() - before

    return (_best(lambda: run(2 * ROUNDS)) - _best(lambda: run(ROUNDS))) / ROUNDS * 1e6


def exchange(path: Path, rounds: int, *, compiled: bool) -> MachineCodeSystem:
    """A system whose root task makes so many round trips."""
    return MachineCodeSystem(_with_word(read_program(path.read_bytes()), "rounds", rounds), compiled=compiled)


def _with_word(program: Elf, name: str, value: int) -> Elf:
    """The program with another value in one of its words."""
    symbol = program.symbols[name]
    if symbol is None:
        raise ValueError(f"the program has several symbols {name}")
    segments = []
    for part in program.segments:
        data = bytearray(part.data)
        if symbol.value in part.addresses:
            struct.pack_into("<Q", data, symbol.value - part.vaddr, value)
        segments.append(
            ElfSegment(part.vaddr, bytes(data), part.memory_size, part.readable, part.writable, part.executable)
        )
    return Elf(
        entry=program.entry, machine=program.machine, kind=program.kind, segments=tuple(segments),
        symbols=program.symbols,
    )  # fmt: skip


def main() -> None:
    """Measure and print."""
    arguments = [a for a in sys.argv[1:] if a != "--json"]
    path = Path(arguments[0]) if arguments else PINGPONG
    kinds = {"without the shim": False} | ({"with the shim": True} if find_shim() else {})
    figures: dict[str, float] = {}
    for loop, body in LOOPS.items():
        figures[f"{loop}: the emulator alone, MIPS"] = emulator_alone(body)
        figures |= {f"{loop}: {name}, MIPS": mips(body, kind) for name, kind in kinds.items()}
    if path.exists():
        figures |= {f"Call + ReplyRecv: {name}, µs": round_trip(path, kind) for name, kind in kinds.items()}
    if "--json" in sys.argv:
        print(json.dumps(figures))
        return
    for name, figure in figures.items():
        floor = figures.get(f"{name.split(':')[0]}: the emulator alone, MIPS")
        share = f"   {figure / floor:6.0%} of the emulator alone" if floor and floor != figure else ""
        print(f"{name:<62} {figure:10,.1f}{share}")
    if not path.exists():
        print(f"no Calls were measured: there is no {path}; make -C examples/c builds it")


if __name__ == "__main__":
    main()
