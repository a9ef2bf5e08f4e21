"""The boot protocol: what the initial thread finds in its registers, its memory and its slots."""

import itertools
import subprocess
import sys
from dataclasses import replace

import pytest

from capkernel.abi import bootinfo as bi
from capkernel.abi import objects as obj
from capkernel.abi import registers as reg
from capkernel.abi import syscalls as sc
from capkernel.kernel.boot import RootImage, boot, cut_region
from capkernel.kernel.caps import KIND, CNodeCap, FrameCap, UntypedCap
from capkernel.runtime.platform import PRESETS, configure
from hwmodel.board import QEMU_VIRT_RISCV64
from hwmodel.machine import Machine
from tests.kernel.rootcalls import Root

RECORDED_TYPES = [0, 12, 10, 3, 14, 11, 13, 0, 0, 1, 1, 20, 0, 0, 22, 0]
"""DebugCapIdentify of slots 0..15, as the real kernel answered."""


def test_the_fixed_slots_hold_what_the_real_kernel_puts_there() -> None:
    root = Root()
    types = []
    for slot in range(bi.NUM_INITIAL_CAPS):
        root.ecall(sc.DEBUG_CAP_IDENTIFY, a0=slot)
        types.append(root.thread.registers[reg.A0])
    assert types == RECORDED_TYPES


def test_the_other_slots_follow_in_the_recorded_order() -> None:
    root = Root(fdt=b"\xd0\x0d\xfe\xed" + bytes(4400))
    info = root.info
    regions = [
        info.user_image_paging, info.extra_bootinfo_pages, info.sched_control, info.user_image_frames, info.untyped,
        info.empty,
    ]  # fmt: skip
    assert regions[0][0] == bi.NUM_INITIAL_CAPS
    assert all(before[1] == after[0] for before, after in itertools.pairwise(regions))
    kinds = [KIND[type(root.cap(region[0]))] for region in regions]
    assert kinds == [obj.CAP_PAGE_TABLE, obj.CAP_FRAME, obj.CAP_SCHED_CONTROL, obj.CAP_FRAME, obj.CAP_UNTYPED, 0]
    assert info.extra_len == 16 + 4404
    assert info.extra_bootinfo_pages[1] - info.extra_bootinfo_pages[0] == 2


def test_registers_priority_and_time_of_the_initial_thread() -> None:
    root = Root()
    x = root.thread.registers
    assert x[reg.NEXT_IP] == 0x10000
    assert x[reg.A0] == root.info.ipc_buffer + 0x1000
    assert [word for index, word in enumerate(x[:32]) if index != reg.A0] == [0] * 31
    assert (root.thread.priority, root.thread.mcp, root.thread.domain) == (255, 255, 0)
    sc_ = root.thread.sched_context
    assert sc_ is not None
    assert (sc_.period, sc_.refills[0].amount) == (0, 50_000)


def test_image_buffer_and_bootinfo_are_mapped_one_after_the_other() -> None:
    machine = Machine(QEMU_VIRT_RISCV64, ram_size=1 << 30)
    image = RootImage(0x20000, ((0x20010, b"code", 0x1800), (0x40000, b"data", 0x10)))
    state = boot(configure(PRESETS["sel4test"], machine.board), machine, image)
    assert machine.load(0x20010, 4) == int.from_bytes(b"code", "little")
    assert machine.load(0x40000, 4) == int.from_bytes(b"data", "little")
    assert machine.load(0x30000, 8) == 0
    bootinfo = state.current.registers[reg.A0]
    assert bootinfo == 0x41000 + 0x1000
    assert machine.load(bootinfo + 32, 8) == 0x41000


def test_untypeds_start_full_are_disjoint_and_leave_out_what_the_kernel_keeps() -> None:
    root = Root()
    pieces = sorted((u.paddr, u.paddr + (1 << u.size_bits)) for u in root.info.untyped_list)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(pieces))
    for slot in range(*root.info.untyped):
        cap = root.cap(slot)
        assert isinstance(cap, UntypedCap)
        assert cap.free_offset == 1 << cap.size_bits
    kept = [*root.state.config.reserved, root.state.config.kernel_image]
    frames = [root.cap(slot) for slot in range(*root.info.user_image_frames)]
    kept += [(f.paddr, f.paddr + 4096) for f in frames if isinstance(f, FrameCap)]
    assert not [(piece, keep) for piece in pieces for keep in kept if piece[0] < keep[1] and keep[0] < piece[1]]


def test_device_memory_is_cut_as_on_the_reference_machine() -> None:
    assert cut_region(0, 0x2000000) == [(0, 25)]
    sizes = [bits for _, bits in cut_region(0x2200000, 0xC000000)]
    assert sizes == [21, 22, 23, 24, 26, 26]


def test_root_cnode_consumes_a_whole_address() -> None:
    root = Root()
    cap = root.cap(bi.CAP_INIT_CNODE)
    assert isinstance(cap, CNodeCap)
    assert cap.radix + cap.guard_size == 64
    assert cap.guard == 0


def test_an_image_that_does_not_fit_is_refused() -> None:
    machine = Machine(QEMU_VIRT_RISCV64, ram_size=1 << 28)
    image = RootImage(0x10000, ((0x10000, b"", 1 << 29),))
    with pytest.raises(ValueError, match="does not fit"):
        boot(configure(PRESETS["demo"], machine.board), machine, image)


def test_without_debug_the_debug_calls_are_unknown() -> None:
    root = Root()
    root.state.config = replace(root.state.config, debug=False)
    root.ecall(sc.DEBUG_PUT_CHAR, a0=65)
    assert root.state.current is root.state.idle
    assert root.printed == ""


def test_debug_calls_name_print_and_halt() -> None:
    root = Root()
    buffer = root.state.machine
    frame = root.cap(bi.CAP_INIT_IPC_BUFFER)
    assert isinstance(frame, FrameCap)
    buffer.write_bytes(frame.paddr + 8, b"alice\0")
    root.ecall(sc.DEBUG_NAME_THREAD, a0=bi.CAP_INIT_TCB)
    assert root.thread.name == "alice"
    root.ecall(sc.DEBUG_PUT_CHAR, a0=0x141)
    root.ecall(sc.DEBUG_DUMP_SCHEDULER)
    assert root.printed.startswith("Acurrent: alice\n")
    root.ecall(sc.DEBUG_NAME_THREAD, a0=bi.CAP_INIT_CNODE)
    assert root.machine.halted


def test_a_machine_with_three_gigabytes_costs_the_process_less_than_sixty_megabytes() -> None:
    """In a process of its own, so that nothing else is counted."""
    script = (
        "from pathlib import Path\n"
        "from capkernel.kernel.boot import boot\n"
        "from capkernel.runtime.platform import PRESETS, configure\n"
        "from hwmodel.board import QEMU_VIRT_RISCV64 as board\n"
        "from hwmodel.machine import Machine\n"
        "def resident():\n"
        "    return int(next(l for l in Path('/proc/self/status').open() if l.startswith('VmRSS')).split()[1])\n"
        "before = resident()\n"
        "state = boot(configure(PRESETS['sel4test'], board), Machine(board))\n"
        "assert board.ram.size == 3 << 30\n"
        "print(resident() - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 60 * 1024
