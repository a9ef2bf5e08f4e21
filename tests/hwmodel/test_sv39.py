"""The page-table walk against a second reading of the privileged specification."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodel.bus import Bus
from hwmodel.memory import BusError, Memory
from hwmodel.mmu import FETCH, LOAD, STORE, Mmu, PageFault
from hwmodel.sv39 import Mapping, make_satp, mappings, walk

BASE = 0x8000_0000
PAGES = 8
MEMORY_SIZE = PAGES * 4096
INDICES = (0, 1, 255, 256, 511)
"""The table entries in use; 255 and 256 are either side of the canonical hole in the root."""


def reference_translate(ram: bytes, root: int, vaddr: int, access: str) -> int:
    """Return the physical address, or minus the exception code. Steps as numbered in the
    specification's "Virtual Address Translation Process".
    """
    page_fault = -{"fetch": 12, "load": 13, "store": 15}[access]
    access_fault = -{"fetch": 1, "load": 5, "store": 7}[access]
    upper = vaddr >> 38
    if upper not in (0, (1 << 26) - 1):
        return page_fault
    a, i = root, 2  # step 1
    while True:
        vpn = [vaddr >> 12 & 0x1FF, vaddr >> 21 & 0x1FF, vaddr >> 30 & 0x1FF]
        where = a + vpn[i] * 8 - BASE
        if not 0 <= where <= len(ram) - 8:
            return access_fault  # step 2
        (pte,) = struct.unpack_from("<Q", ram, where)
        bits = {name: bool(pte >> n & 1) for n, name in enumerate("VRWXUGAD")}
        ppn = pte >> 10 & (1 << 44) - 1
        if not bits["V"] or (bits["W"] and not bits["R"]) or pte >> 54:
            return page_fault  # step 3
        if bits["R"] or bits["X"]:
            break  # step 4
        if bits["U"] or bits["A"] or bits["D"]:
            return page_fault
        i -= 1
        if i < 0:
            return page_fault
        a = ppn * 4096
    if not bits["U"] or not bits[{"fetch": "X", "load": "R", "store": "W"}[access]]:
        return page_fault  # steps 5 and 6
    if i > 0 and ppn % 512**i:
        return page_fault  # step 7
    if not bits["A"] or (access == "store" and not bits["D"]):
        return page_fault  # step 8
    low_bits = 12 + 9 * i
    return ppn * 4096 >> low_bits << low_bits | vaddr % (1 << low_bits)  # step 10


POINTER, LEAF = 0x01, 0xDF
ROOT, MIDDLE, BOTTOM = (0,), (1, 2), (3, 4)
"""The pages that hold tables, by level: root, then levels 1 and 0."""


def ptes(next_tables: tuple[int, ...], alignment: int) -> st.SearchStrategy[int]:
    """PTEs that make sense in a table, and others that are one bit away from sense."""
    pointer = st.sampled_from(next_tables).map(lambda page: (BASE >> 12) + page << 10 | POINTER)
    number = st.sampled_from([BASE >> 12, 3 << 18, (1 << 44) - (1 << 18), 1 << 43])
    leaf = st.builds(lambda p, flags: p << 10 | flags, number, st.sampled_from([LEAF, 0x5B, 0xD7, 0x53, 0xD9]))
    odd_bit = st.sampled_from([0] * 12 + [1 << bit for bit in (*range(8), 10, 18, 19, 27, 28, 54, 63)])
    sensible = st.one_of(pointer, pointer, leaf)
    outside = st.just((1 << 20) << 10 | POINTER)
    return st.one_of(*[st.builds(lambda pte, odd: pte ^ odd, sensible, odd_bit)] * 8, outside, st.just(alignment))


def tables(next_tables: tuple[int, ...], alignment: int) -> st.SearchStrategy[list[int]]:
    return st.lists(ptes(next_tables, alignment), min_size=len(INDICES), max_size=len(INDICES))


scripts = st.tuples(
    tables(MIDDLE, 1 << 18), tables(BOTTOM, 1 << 9), tables(BOTTOM, 1 << 9), tables((5,), 0), tables((0,), 0)
)
vaddrs = st.builds(
    lambda i2, i1, i0, low, noise: (
        (i2 << 30 | i1 << 21 | i0 << 12 | low | (((1 << 25) - 1) << 39 if i2 & 256 else 0)) ^ noise
    ),
    *[st.sampled_from(INDICES)] * 3,
    st.integers(0, 4095),
    st.sampled_from([0] * 12 + [1 << 38, 1 << 39, 1 << 63]),
)


def fill(script: tuple[list[int], ...]) -> Memory:
    memory = Memory(BASE, MEMORY_SIZE)
    for page, table in enumerate(script):
        for index, pte in zip(INDICES, table, strict=True):
            memory.write_word(BASE + page * 4096 + 8 * index, pte)
    return memory


@settings(max_examples=200, deadline=None)
@given(
    script=scripts,
    addresses=st.lists(vaddrs, min_size=12, max_size=12),
    access=st.sampled_from(["fetch", "load", "store", "store"]),
)
def test_translation_agrees_with_the_specification(script, addresses, access):
    memory = fill(script)
    ram = memory.read(BASE, MEMORY_SIZE)
    mmu = Mmu(Bus(memory))
    kind = {"fetch": FETCH, "load": LOAD, "store": STORE}[access]
    for vaddr in addresses * 2:  # the second time from the TLB
        expected = reference_translate(ram, BASE, vaddr, access)
        try:
            found = mmu.translate(make_satp(BASE, 7), vaddr, kind)
        except PageFault as fault:
            found = -fault.cause if fault.vaddr == vaddr else fault
        assert found == expected


@settings(max_examples=60, deadline=None)
@given(script=scripts, addresses=st.lists(vaddrs, min_size=12, max_size=12))
def test_the_list_of_mappings_agrees_with_single_walks(script, addresses):
    memory = fill(script)
    try:
        listed = list(mappings(memory, BASE))
        walked = {vaddr: walk(memory, BASE, vaddr) for vaddr in addresses}
    except BusError:  # a table outside RAM: for a walk an error, for the list a hole
        return
    for mapping in listed:
        assert walk(memory, BASE, mapping.vaddr) == mapping
    for vaddr, found in walked.items():
        covering = [m for m in listed if m.vaddr <= vaddr < m.vaddr + m.size]
        assert covering == ([found] if found else [])


def test_leaves_of_all_sizes(address_space):
    memory = Memory(BASE, MEMORY_SIZE)
    space = address_space(memory)
    space.map(0x1000, BASE)
    space.map(0x20_0000, 0x4000_0000, level=1)
    space.map(0x40_0000_0000 - (1 << 30), 0x8000_0000, level=2)
    assert list(mappings(memory, space.root)) == [
        Mapping(0x1000, BASE, 4096, 0xD7),
        Mapping(0x20_0000, 0x4000_0000, 2 << 20, 0xD7),
        Mapping(0x3F_C000_0000, 0x8000_0000, 1 << 30, 0xD7),
    ]
    assert walk(memory, space.root, 0x20_1234) == Mapping(0x20_0000, 0x4000_0000, 2 << 20, 0xD7)
    assert walk(memory, space.root, 0x3000) is None


def test_without_an_address_space_every_access_faults():
    mmu = Mmu(Bus(Memory(BASE, MEMORY_SIZE)))
    with pytest.raises(PageFault) as caught:
        mmu.resolve(0, FETCH)
    assert (caught.value.cause, mmu.satp) == (12, 0)
    with pytest.raises(PageFault):
        mmu.translate(0, BASE, LOAD)
    with pytest.raises(PageFault):
        mmu.translate(9 << 60 | BASE >> 12, BASE, LOAD)
