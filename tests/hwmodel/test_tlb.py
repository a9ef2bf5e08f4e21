"""The TLB believes what it read until it is flushed, and exactly that long."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodel.bus import Bus
from hwmodel.memory import Memory
from hwmodel.mmu import LOAD, STORE, Mmu, PageFault
from hwmodel.tlb import Tlb

BASE = 0x8000_0000
ROOTS = (BASE, BASE + 0x10000)
READ_WRITE, READ_ONLY = 0xD7, 0xD3
steps = st.one_of(
    st.tuples(st.just("map"), st.integers(0, 1), st.integers(0, 3), st.integers(0, 15)),
    st.tuples(st.just("unmap"), st.integers(0, 1), st.integers(0, 3), st.just(0)),
    st.tuples(st.sampled_from(["load", "store"]), st.integers(0, 1), st.integers(0, 3), st.just(0)),
    st.tuples(st.just("flush page"), st.integers(0, 1), st.integers(0, 3), st.just(0)),
    st.tuples(st.just("flush asid"), st.integers(0, 1), st.just(0), st.just(0)),
    st.tuples(st.just("flush all"), st.just(0), st.just(0), st.just(0)),
)


def try_resolve(mmu: Mmu, vaddr: int, access: int) -> int | None:
    try:
        return mmu.resolve(vaddr, access)
    except PageFault:
        return None


@settings(max_examples=70, deadline=None)
@given(script=st.lists(steps, min_size=40, max_size=80))
def test_stale_exactly_until_flushed(address_space, script):
    """Pages 2 and 3 lie in one 2 MiB page, so that flushing one address flushes both."""
    mmu = Mmu(Bus(Memory(BASE, 1 << 20)))
    memory = mmu._bus.memory
    spaces = [address_space(memory, root) for root in ROOTS]
    vaddrs = (0x1000, 0x2000, 0x20_0000, 0x20_1000)
    leaf = (0, 1, 2, 2)  # which leaf an address belongs to
    tables: dict[tuple[int, int], tuple[int, int]] = {}
    believed: dict[tuple[int, int], tuple[int, int]] = {}
    for kind, asid, page, choice in script:
        place, big = (asid, leaf[page]), page >= 2
        if kind in ("map", "unmap"):
            flags = READ_WRITE if choice & 1 else READ_ONLY
            target = 0x4000_0000 + (choice >> 1 << 21)
            vaddr = 0x20_0000 if big else vaddrs[page]
            spaces[asid].map(vaddr, target, flags if kind == "map" else 0, level=1 if big else 0)
            tables[place] = (target, flags if kind == "map" else 0)
        elif kind == "flush page":
            mmu.flush_page(asid, vaddrs[page])
            believed.pop(place, None)
        elif kind == "flush asid":
            mmu.flush_asid(asid)
            believed = {key: value for key, value in believed.items() if key[0] != asid}
        elif kind == "flush all":
            mmu.flush_all()
            believed.clear()
        else:
            mmu.set_vspace(ROOTS[asid], asid)
            if place not in believed and tables.get(place, (0, 0))[1]:
                believed[place] = tables[place]
            target, flags = believed.get(place, (0, 0))
            allowed = flags == READ_WRITE or (flags == READ_ONLY and kind == "load")
            expected = target + (vaddrs[page] & (0x1FFFFF if big else 0xFFF)) if allowed else None
            assert try_resolve(mmu, vaddrs[page], LOAD if kind == "load" else STORE) == expected
        seen = {(e.asid, e.vaddr): (e.paddr, e.flags) for e in mmu.tlb.entries()}
        bases = (0x1000, 0x2000, 0x20_0000)
        assert seen == {(place[0], bases[place[1]]): value for place, value in believed.items()}


def test_a_forgotten_flush_shows(address_space):
    mmu = Mmu(Bus(Memory(BASE, 1 << 20)))
    space = address_space(mmu._bus.memory)
    pte = space.map(0x1000, BASE + 0x8000)
    mmu.set_vspace(space.root, 1)
    assert mmu.resolve(0x1008, LOAD) == BASE + 0x8008
    mmu._bus.memory.write_word(pte, 0)
    assert mmu.resolve(0x1008, STORE) == BASE + 0x8008
    mmu.flush_page(1, 0x1FFF)
    with pytest.raises(PageFault):
        mmu.resolve(0x1008, LOAD)


def test_banks_are_bounded_and_evict_the_oldest(address_space):
    mmu = Mmu(Bus(Memory(BASE, 1 << 20)), Tlb(bank_size=4, max_banks=2))
    space = address_space(mmu._bus.memory)
    for page in range(6):
        space.map(page << 12, BASE)
    mmu.set_vspace(space.root, 1)
    for page in range(6):
        mmu.resolve(page << 12, LOAD)
    assert [entry.vaddr >> 12 for entry in mmu.tlb.entries()] == [2, 3, 4, 5]
    for asid in (2, 3):
        mmu.set_vspace(space.root, asid)
        mmu.resolve(0, LOAD)
    assert [(entry.asid, entry.vaddr) for entry in mmu.tlb.entries()] == [(2, 0), (3, 0)]


def test_the_tlb_is_part_of_a_snapshot(address_space):
    mmu = Mmu(Bus(Memory(BASE, 1 << 20)))
    space = address_space(mmu._bus.memory)
    pte = space.map(0x1000, BASE)
    mmu.set_vspace(space.root, 1)
    mmu.resolve(0x1000, LOAD)
    mmu._bus.memory.write_word(pte, 0)
    saved = mmu.snapshot()
    mmu.flush_all()
    mmu.set_vspace(0, 0)
    mmu.restore(saved)
    assert mmu.resolve(0x1000, LOAD) == BASE
