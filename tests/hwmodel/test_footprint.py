"""A large machine costs the host only what is touched."""

from pathlib import Path

from hwmodel.board import GIB, MIB, find_board
from hwmodel.machine import Machine


def resident_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS in /proc/self/status")


def test_three_gigabytes_of_ram_cost_only_what_is_touched():
    before = resident_bytes()
    machine = Machine(find_board("qemu_virt_riscv64"))
    base = machine.board.ram.base
    assert machine.board.ram.size == 3 * GIB
    machine.clear(base, 3 * GIB)
    for paddr in range(base, base + 3 * GIB, 16 * MIB):
        machine.write_word(paddr, paddr)
    saved = machine.snapshot()
    assert len(saved.memory.pages) == 192
    machine.clear(base + GIB, GIB)
    machine.restore(saved)
    assert machine.read_word(base + GIB) == base + GIB
    machine.digest()
    assert resident_bytes() - before < 16 * MIB
