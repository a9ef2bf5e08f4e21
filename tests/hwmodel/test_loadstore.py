"""Loads, stores, fetches and atomics, at pages' edges above all."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodel.board import find_board
from hwmodel.loadstore import AMO_OPERATIONS
from hwmodel.machine import Machine
from hwmodel.mmu import PageFault

BASE = 0x8000_0000
FRAMES = BASE + 0x10_0000
RW, RO, XO, RWX = 0xD7, 0x53, 0x59, 0xDF
UART = 0x1000_0000


def machine_with(address_space, mapped: dict[int, tuple[int, int]]) -> Machine:
    """A machine whose current address space maps virtual page numbers to (paddr, flags)."""
    machine = Machine(find_board("qemu_virt_riscv64"), ram_size=1 << 22)
    space = address_space(machine.memory)
    for page, (paddr, flags) in mapped.items():
        space.map(page << 12, paddr, flags)
    machine.set_vspace(space.root, 1)
    return machine


def fault_of(action, *arguments) -> tuple[int, int]:
    with pytest.raises(PageFault) as caught:
        action(*arguments)
    return caught.value.cause, caught.value.vaddr


accesses = st.tuples(
    st.builds(lambda page, low: page * 4096 + low, st.integers(1, 4), st.sampled_from([*range(-8, 9), 0x100, 0x123])),
    st.sampled_from([1, 2, 4, 8]),
    st.one_of(st.none(), st.integers(0, 2**64 - 1)),
)


@settings(max_examples=60, deadline=None)
@given(script=st.lists(accesses, min_size=20, max_size=30))
def test_any_alignment_against_a_bytearray(address_space, script):
    """Pages 1 and 2 are writable and lie in reverse order in RAM, page 3 is read-only."""
    frames = {1: (FRAMES + 0x2000, RW), 2: (FRAMES, RW), 3: (FRAMES + 0x5000, RO)}
    machine = machine_with(address_space, frames)
    machine.write_bytes(FRAMES + 0x5000, bytes(range(256)) * 16)
    model = bytearray(0x2000) + bytes(range(256)) * 16
    for vaddr, size, value in script:
        action, arguments = (machine.load, (vaddr, size))
        if value is not None:
            action, arguments = (machine.store, (vaddr, size, value))
        end = 0x4000 if value is None else 0x3000
        first_bad = vaddr if not 0x1000 <= vaddr < end else end
        if vaddr < 0x1000 or vaddr + size > end:
            assert fault_of(action, *arguments) == (13 if value is None else 15, first_bad)
        elif value is None:
            assert action(*arguments) == int.from_bytes(model[vaddr - 0x1000 :][:size], "little")
        else:
            action(*arguments)
            low = vaddr - 0x1000
            model[low : low + size] = (value % 256**size).to_bytes(size, "little")
    assert machine.read_bytes(FRAMES + 0x2000, 4096) == model[:0x1000]
    assert machine.read_bytes(FRAMES, 4096) == model[0x1000:0x2000]


def test_fetch_reads_parcels(address_space):
    machine = machine_with(address_space, {1: (FRAMES, RWX), 3: (FRAMES + 0x1000, RW), 5: (FRAMES, XO)})
    machine.store(0x1000, 8, 0x00000073_4501_8082)
    assert machine.fetch(0x1000) == 0x8082
    assert machine.fetch(0x1002) == 0x4501
    assert machine.fetch(0x1004) == 0x00000073
    assert machine.fetch(0x5004) == 0x00000073
    machine.store(0x1FFE, 2, 0x0003)
    assert fault_of(machine.fetch, 0x1FFE) == (12, 0x2000)
    machine.store(0x1FFE, 2, 0x0001)
    assert machine.fetch(0x1FFE) == 1
    assert fault_of(machine.fetch, 0x1001) == (0, 0x1001)
    assert fault_of(machine.fetch, 0x3000) == (12, 0x3000)
    assert fault_of(machine.fetch, 0x9000) == (12, 0x9000)
    assert fault_of(machine.load, 0x5004, 4) == (13, 0x5004)


def test_a_32_bit_fetch_crosses_into_the_next_page(address_space):
    machine = machine_with(address_space, {1: (FRAMES + 0x1000, RWX), 2: (FRAMES, RWX)})
    machine.store(0x1FFE, 4, 0x1234_5673)
    assert machine.fetch(0x1FFE) == 0x1234_5673
    assert machine.read_bytes(FRAMES, 2) == b"\x34\x12"


def signed(value: int, size: int) -> int:
    return int.from_bytes(value.to_bytes(size, "little"), "little", signed=True)


AMO_MODEL = {
    "swap": lambda a, b, s: b,
    "add": lambda a, b, s: (a + b) % 256**s,
    "and": lambda a, b, s: a & b,
    "or": lambda a, b, s: a | b,
    "xor": lambda a, b, s: a ^ b,
    "max": lambda a, b, s: a if signed(a, s) >= signed(b, s) else b,
    "min": lambda a, b, s: a if signed(a, s) <= signed(b, s) else b,
    "maxu": lambda a, b, s: a if a >= b else b,
    "minu": lambda a, b, s: a if a <= b else b,
}
words = st.one_of(st.integers(0, 2**64 - 1), st.sampled_from([0, 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1]))


@settings(max_examples=60, deadline=None)
@given(operation=st.sampled_from(sorted(AMO_OPERATIONS)), size=st.sampled_from([4, 8]), old=words, new=words)
def test_amo_operations(address_space, operation, size, old, new):
    machine = machine_with(address_space, {1: (FRAMES, RW)})
    machine.store(0x1010, 8, old)
    assert machine.amo(operation, 0x1010, size, new) == old % 256**size
    expected = AMO_MODEL[operation](old % 256**size, new % 256**size, size)
    high = old >> 8 * size << 8 * size
    assert machine.load(0x1010, 8) == high | expected


def test_amo_faults(address_space):
    machine = machine_with(address_space, {1: (FRAMES, RO), 2: (FRAMES, XO)})
    assert fault_of(machine.amo, "add", 0x1000, 8, 1) == (15, 0x1000)
    assert fault_of(machine.amo, "add", 0x2000, 8, 1) == (13, 0x2000)
    assert fault_of(machine.amo, "swap", 0x8000, 4, 1) == (13, 0x8000)
    assert fault_of(machine.amo, "swap", 0x8002, 4, 1) == (4, 0x8002)
    assert fault_of(machine.load_reserved, 0x8004, 8) == (4, 0x8004)
    assert not machine.store_conditional(0x8004, 8, 0)


def test_a_store_conditional_faults_only_where_something_is_reserved(address_space):
    machine = machine_with(address_space, {1: (FRAMES, RO)})
    assert not machine.store_conditional(0x1000, 8, 1)
    assert machine.load_reserved(0x1000, 8) == 0
    assert fault_of(machine.store_conditional, 0x1000, 8, 1) == (15, 0x1000)


def test_load_reserved_and_store_conditional(address_space):
    machine = machine_with(address_space, {1: (FRAMES, RW), 2: (FRAMES, RW)})
    assert not machine.store_conditional(0x1000, 8, 1)
    assert machine.load_reserved(0x1000, 8) == 0
    assert not machine.store_conditional(0x2000, 8, 5)  # the same bytes by another name
    assert not machine.store_conditional(0x1000, 8, 6)
    assert machine.load_reserved(0x1000, 8) == 0
    assert machine.store_conditional(0x1000, 8, 5)
    assert machine.load_reserved(0x1000, 8) == 5
    machine.store(0x1000, 8, 7)
    assert not machine.store_conditional(0x1000, 8, 6)
    machine.store(0x1000, 8, 5)
    assert machine.load_reserved(0x1000, 8) == 5
    machine.clear_reservation()
    assert not machine.store_conditional(0x1000, 8, 6)
    machine.store(0x1004, 4, 1)
    machine.load_reserved(0x1000, 4)
    assert not machine.store_conditional(0x1000, 8, 6)  # not what was loaded
    assert machine.load(0x1000, 8) == 1 << 32 | 5


def test_device_pages_go_to_the_bus(address_space):
    machine = machine_with(address_space, {1: (UART, RW), 2: (0x3000_0000, RW), 3: (FRAMES, RW)})
    machine.store(0x1000, 1, ord("x"))
    assert machine.uart_backend.text == "x"
    assert machine.load(0x1005, 1) == 0x60
    assert fault_of(machine.load, 0x1005, 4) == (5, 0x1005)
    assert fault_of(machine.store, 0x1000, 8, 0) == (7, 0x1000)
    assert fault_of(machine.load, 0x2000, 8) == (5, 0x2000)
    assert fault_of(machine.amo, "add", 0x2000, 8, 0) == (5, 0x2000)
    assert fault_of(machine.store, 0x2FFF, 4, 0) == (7, 0x2FFF)
    assert machine.load(0x3000, 8) == 0


def test_a_load_that_crosses_into_registers_reads_none_of_them(address_space):
    machine = machine_with(address_space, {1: (FRAMES, RW), 2: (UART, RW)})
    machine.uart_backend.feed(b"k")
    machine.poll_input()
    assert fault_of(machine.load, 0x1FFF, 2) == (5, 0x2000)
    assert fault_of(machine.store, 0x1FFF, 2, 0) == (7, 0x2000)
    assert machine.load(0x2000, 1) == ord("k")


def test_superpages_hit_the_tlb_too(address_space):
    machine = Machine(find_board("qemu_virt_riscv64"), ram_size=1 << 22)
    space = address_space(machine.memory)
    space.map(0x20_0000, BASE + (1 << 21), level=1)
    machine.set_vspace(space.root, 1)
    machine.store(0x20_0000 + 0x12340, 8, 7)
    machine.store(0x20_0000 + 0x1FFFFC, 4, 8)
    assert machine.read_word(BASE + (1 << 21) + 0x12340) == 7
    assert len(list(machine.mmu.tlb.entries())) == 1
    assert fault_of(machine.load, 0x3FFFFC, 8) == (13, 0x40_0000)
