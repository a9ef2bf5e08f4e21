"""The pager's table: what a segment can take of it is known beforehand, so nobody can make it too large."""

from hypothesis import given
from hypothesis import strategies as st

from servers.system.page_table import FIXED_WORDS, PageTable, Pool, SegmentRow, words_for

WORD = 8


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(2, 5)), max_size=8), st.data())
def test_a_table_is_never_larger_than_its_segments_were_counted_for(
    segments: list[tuple[int, int]], data: st.DataObject
) -> None:
    table = PageTable()
    for pages, owner in segments:
        pool = table.new_id()
        table.pools[pool] = Pool(pool, 2)
        contents = [table.content(pool) if data.draw(st.booleans()) else None for _ in range(pages)]
        for content in contents:
            if content is not None and data.draw(st.booleans()):
                content.slot = table.slot()
        segment = table.new_id()
        numbers = [-1 if each is None else each.id for each in contents]
        table.segments[segment] = SegmentRow(segment, pool, owner, numbers)
    counted = sum(table.taken(owner) for owner in range(2, 6))
    assert counted == sum(words_for(pages) for pages, _ in segments)
    assert len(table.encode()) <= WORD * (FIXED_WORDS + counted)
    assert PageTable.decode(table.encode()) == table


def test_places_of_segments_that_are_gone_are_used_again_and_take_no_more_room() -> None:
    table = PageTable()
    sizes = []
    for _ in range(5):
        pool = table.new_id()
        table.pools[pool] = Pool(pool, 2)
        contents = [table.content(pool) for _ in range(10)]
        for content in contents:
            content.slot = table.slot()
        segment = table.new_id()
        table.segments[segment] = SegmentRow(segment, pool, 3, [each.id for each in contents])
        table.remove_segment(segment)
        sizes.append(len(table.encode()))
    assert len(set(sizes)) == 1
    assert table.taken(3) == 0
