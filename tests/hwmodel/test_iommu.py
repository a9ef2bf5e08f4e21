"""The IOMMU against a second reading of its table format; its caches go stale until invalidated."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodel.iommu import (
    CONTEXT_ABSENT,
    FAULT_LOG_SIZE,
    READ,
    READ_DENIED,
    ROOT_ABSENT,
    WRITE,
    WRITE_DENIED,
    Context,
    DmaFault,
    FaultRecord,
    IoMapping,
    Iommu,
)
from hwmodel.memory import Memory

BASE = 0x8000_0000
TABLES = BASE
PAGE_TABLES = BASE + 257 * 4096
DEVICE = 0x0018


def new_unit(pages: int = 8) -> tuple[Memory, Iommu]:
    memory = Memory(BASE, (257 + pages) * 4096)
    return memory, Iommu(memory, TABLES)


def reached(unit: Iommu, request_id: int, iova: int, write: bool) -> int | None:
    try:
        return unit.translate(request_id, iova, write)
    except DmaFault:
        return None


def reference(memory: Memory, root: int, levels: int, iova: int, need: int) -> int | None:
    if iova >> 12 + 9 * levels:
        return None
    table = root
    for level in range(levels - 1, -1, -1):
        place = table + (iova >> 12 + 9 * level) % 512 * 8
        if not memory.contains(place, 8):
            return None
        pte = int.from_bytes(memory.read(place, 8), "little")
        if pte >> 52 or pte % 4096 >> 2 or not pte & need:
            return None
        table = pte >> 12 << 12
    return table + iova % 4096


INDICES = (0, 1, 511)
tables = st.lists(
    st.dictionaries(
        st.sampled_from(INDICES),
        st.builds(
            lambda rights, page, low, high: PAGE_TABLES + page * 4096 | rights | low | high,
            st.sampled_from([0, 1, 2, 3, 3, 3, 3]),
            st.integers(0, 7),
            st.sampled_from([0] * 9 + [4, 0x80]),
            st.sampled_from([0] * 9 + [1 << 63, 1 << 50]),
        ),
        max_size=3,
    ),
    min_size=8,
    max_size=8,
)
iovas = st.builds(
    lambda parts, low: sum(part << 12 + 9 * level for level, part in enumerate(parts)) | low,
    st.lists(st.sampled_from(INDICES), min_size=1, max_size=4),
    st.integers(0, 4095),
)


@settings(max_examples=100, deadline=None)
@given(script=tables, levels=st.integers(2, 4), addresses=st.lists(st.tuples(iovas, st.booleans()), max_size=10))
def test_translation_agrees_with_the_format(script, levels, addresses):
    memory, unit = new_unit()
    for page, table in enumerate(script):
        for index, pte in table.items():
            memory.write_word(PAGE_TABLES + page * 4096 + 8 * index, pte)
    unit.set_context(DEVICE, 5, PAGE_TABLES, levels)
    assert unit.context(DEVICE) == Context(5, PAGE_TABLES, levels)
    for iova, write in addresses:
        expected = reference(memory, PAGE_TABLES, levels, iova, 2 if write else 1)
        assert reached(unit, DEVICE, iova, write) == expected
    if levels > 2:  # the tables may loop, so that four levels list too many pages
        return
    listed = {mapping.iova: mapping for mapping in unit.mappings(DEVICE)}
    for first in INDICES:
        for second in INDICES:
            iova = first << 21 | second << 12
            for bit in (READ, WRITE):
                found = listed.get(iova)
                target = found.paddr if found and found.rights & bit else None
                assert target == reference(memory, PAGE_TABLES, levels, iova, bit)


def map_page(memory: Memory, iova: int, paddr: int, rights: int) -> None:
    """Map one page in a two-level table at the first two page-table pages."""
    memory.write_word(PAGE_TABLES + 8 * (iova >> 21), PAGE_TABLES + 4096 | 3)
    memory.write_word(PAGE_TABLES + 4096 + 8 * (iova >> 12 & 511), paddr | rights)


steps = st.one_of(
    st.tuples(st.just("map"), st.integers(0, 3), st.integers(0, 3)),
    st.tuples(st.just("access"), st.integers(0, 3), st.integers(0, 1)),
    st.tuples(st.just("context"), st.integers(0, 2), st.just(0)),
    st.tuples(st.just("invalidate"), st.integers(1, 2), st.just(0)),
)


@settings(max_examples=100, deadline=None)
@given(script=st.lists(steps, min_size=25, max_size=50))
def test_stale_exactly_until_invalidated(script):
    memory, unit = new_unit()
    rights = [0] * 4
    in_ram = cached = 0  # the domain of the context entry; 0: absent
    pages: dict[tuple[int, int], int] = {}
    for page in range(4):
        map_page(memory, page << 12, BASE, 0)
    for kind, first, second in script:
        if kind == "map":
            rights[first] = second
            map_page(memory, first << 12, BASE + first * 4096, second)
        elif kind == "context":
            in_ram = first
            unit.set_context(DEVICE, first, PAGE_TABLES if first else None, 2)
        elif kind == "invalidate":
            unit.invalidate(first)
            cached = 0 if cached == first else cached
            pages = {key: value for key, value in pages.items() if key[0] != first}
        else:
            cached = cached or in_ram
            if cached and rights[first] & (READ | WRITE):
                pages.setdefault((cached, first), rights[first])
            allowed = pages.get((cached, first), 0) & (WRITE if second else READ)
            expected = BASE + first * 4096 + 8 if allowed else None
            assert reached(unit, DEVICE, (first << 12) + 8, bool(second)) == expected
        seen = {(domain, m.iova >> 12): m.rights for domain, m in unit.iotlb_entries()}
        assert seen == pages


def test_unknown_devices_reach_nothing_and_faults_are_logged():
    memory, unit = new_unit()
    with pytest.raises(DmaFault) as caught:
        unit.translate(0x0100, 0x1000, True)
    assert caught.value.reason == ROOT_ABSENT
    map_page(memory, 0x1000, BASE, READ)
    unit.set_context(DEVICE, 1, PAGE_TABLES, 2)
    assert reached(unit, DEVICE + 1, 0, False) is None
    assert reached(unit, DEVICE, 0x1000, True) is None
    assert reached(unit, DEVICE, 0x5000, False) is None
    assert unit.fault_log() == (
        FaultRecord(0x0100, 0x1000, True, ROOT_ABSENT),
        FaultRecord(DEVICE + 1, 0, False, CONTEXT_ABSENT),
        FaultRecord(DEVICE, 0x1000, True, WRITE_DENIED),
        FaultRecord(DEVICE, 0x5000, False, READ_DENIED),
    )
    for _ in range(FAULT_LOG_SIZE):
        reached(unit, 0x0100, 0, False)
    assert (len(unit.fault_log()), unit.fault_overflow) == (FAULT_LOG_SIZE, True)
    unit.clear_fault_log()
    assert (unit.fault_log(), unit.fault_overflow) == ((), False)


def test_the_tables_are_words_in_ram():
    memory, unit = new_unit()
    unit.set_context(0x0218, 0x1234, PAGE_TABLES, 3)
    assert memory.read_word(TABLES + 16 * 2) == TABLES + 4096 * 3 | 1
    assert memory.read_word(TABLES + 4096 * 3 + 16 * 0x18) == PAGE_TABLES | 1
    assert memory.read_word(TABLES + 4096 * 3 + 16 * 0x18 + 8) == 0x1234 << 8 | 1
    unit.set_context(0x0218, 1, None, 0)
    assert unit.context(0x0218) is None


def test_mappings_and_rights_of_all_levels():
    memory, unit = new_unit()
    map_page(memory, 0x1000, BASE + 0x5000, READ | WRITE)
    map_page(memory, 0x2000, BASE + 0x6000, WRITE)
    unit.set_context(DEVICE, 1, PAGE_TABLES, 2)
    both = [IoMapping(0x1000, BASE + 0x5000, READ | WRITE), IoMapping(0x2000, BASE + 0x6000, WRITE)]
    assert list(unit.mappings(DEVICE)) == both
    memory.write_word(PAGE_TABLES, PAGE_TABLES + 4096 | READ)
    assert list(unit.mappings(DEVICE)) == [IoMapping(0x1000, BASE + 0x5000, READ)]
    assert reached(unit, DEVICE, 0x1000, False) == BASE + 0x5000
    assert reached(unit, DEVICE, 0x1000, True) is None
    assert reached(unit, DEVICE, 0x2000, True) is None


@pytest.mark.parametrize(
    ("request_id", "domain_id", "root", "levels"),
    [(1 << 16, 1, BASE, 2), (1, 1 << 16, BASE, 2), (1, 1, BASE + 8, 2), (1, 1, BASE, 1), (1, 1, BASE, 7)],
)
def test_senseless_contexts_are_refused(request_id, domain_id, root, levels):
    with pytest.raises(ValueError, match=r"bits|levels"):
        new_unit()[1].set_context(request_id, domain_id, root, levels)
