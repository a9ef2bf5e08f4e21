"""What is paged, as a table: which page has which content, and where that is. Without any of the memory.

A content is what one page holds, or several pages of segments that are snapshots of each other. It is in a frame of its
pool, or on the disk, or it is still a file's, or zeros. One that ``is_dirty`` is in its frame only.
"""

import struct
from typing import Final

from attrs import define, field


@define
class Content:
    """What is in a page. ``frame``, ``slot`` (on the disk), ``file`` (a page of the pool's file): -1 for none."""

    id: int
    pool: int
    frame: int = -1
    slot: int = -1
    file: int = -1
    is_dirty: bool = False


@define
class Pool:
    """Frames for a family of segments, and what happened in it. ``file`` is where its file's cap is, -1 for none."""

    id: int
    frames: int
    file: int = -1
    faults: int = 0
    page_ins: int = 0
    page_outs: int = 0
    dropped: int = 0
    copies: int = 0


@define
class SegmentRow:
    """A segment: its contents by page; -1 is zeros that nobody has touched. ``owner`` is who asked for it."""

    id: int
    pool: int
    owner: int
    pages: list[int]

    @property
    def most_words(self) -> int:
        """How many words of the table it can take, with its pool, when each of its pages has a content of its own."""
        return words_for(len(self.pages))


@define
class SpaceRow:
    """A process: which segment it has at which address."""

    id: int
    segment: int
    address: int


FIXED_WORDS: Final = 7
"""Of the table: the counts."""
SPACE_WORDS: Final = 3
_PAGE_WORDS: Final = 1 + 6 + 1
"""A page's content, what is known of that, and a place on the disk that is left when it is gone."""
_SEGMENT_WORDS: Final = 4 + 8


def words_for(pages: int) -> int:
    """The words that a segment of so many pages can take."""
    return _SEGMENT_WORDS + pages * _PAGE_WORDS


@define
class PageTable:
    """All of it, by ids; none is used twice."""

    next_id: int = 1
    pools: dict[int, Pool] = field(factory=dict)
    contents: dict[int, Content] = field(factory=dict)
    segments: dict[int, SegmentRow] = field(factory=dict)
    spaces: dict[int, SpaceRow] = field(factory=dict)
    slots: int = 0
    """Of the disk, how many have ever been used."""
    free_slots: list[int] = field(factory=list)

    def new_id(self) -> int:
        """A number for something new."""
        self.next_id += 1
        return self.next_id - 1

    def content(self, pool: int, file: int = -1) -> Content:
        """A new content: a page of the file, or zeros."""
        row = Content(self.new_id(), pool, file=file)
        self.contents[row.id] = row
        return row

    def sharers(self, content: int) -> int:
        """How many pages have it."""
        return sum(segment.pages.count(content) for segment in self.segments.values())

    def resident(self, pool: int) -> list[Content]:
        """The contents that are in frames of a pool, the oldest first."""
        return [row for row in self.contents.values() if row.pool == pool and row.frame >= 0]

    def free_frame(self, pool: int) -> int | None:
        """A frame of a pool that nothing is in."""
        taken = {row.frame for row in self.resident(pool)}
        return next((frame for frame in range(self.pools[pool].frames) if frame not in taken), None)

    def slot(self) -> int:
        """A place on the disk."""
        if self.free_slots:
            return self.free_slots.pop()
        self.slots += 1
        return self.slots - 1

    def taken(self, owner: int) -> int:
        """The words that one client's segments can take."""
        return sum(segment.most_words for segment in self.segments.values() if segment.owner == owner)

    def remove_segment(self, segment: int) -> int | None:
        """Forget a segment and what only it had; returns its pool, if nobody needs that any more."""
        row = self.segments.pop(segment)
        kept = {content for other in self.segments.values() for content in other.pages}
        for content in set(row.pages) - kept - {-1}:
            gone = self.contents.pop(content)
            if gone.slot >= 0:
                self.free_slots.append(gone.slot)
        if any(other.pool == row.pool for other in self.segments.values()):
            return None
        del self.pools[row.pool]
        return row.pool

    def encode(self) -> bytes:
        """All of it, to be kept."""
        words = [self.next_id, self.slots, len(self.pools), len(self.contents), len(self.segments), len(self.spaces)]
        words += [len(self.free_slots), *self.free_slots]
        for pool in self.pools.values():
            words += pool.id, pool.frames, pool.file, pool.faults, pool.page_ins, pool.page_outs, pool.dropped
            words.append(pool.copies)
        for row in self.contents.values():
            words += row.id, row.pool, row.frame, row.slot, row.file, row.is_dirty
        for segment in self.segments.values():
            words += segment.id, segment.pool, segment.owner, len(segment.pages), *segment.pages
        for space in self.spaces.values():
            words += space.id, space.segment, space.address
        return struct.pack(f"<{len(words)}q", *words)

    @classmethod
    def decode(cls, data: bytes) -> "PageTable":
        """The same read back."""
        words = iter(struct.unpack(f"<{len(data) // 8}q", data))

        def take(count: int) -> list[int]:
            return [next(words) for _ in range(count)]

        next_id, slots, pools, contents, segments, spaces, free = take(7)
        table = cls(next_id, slots=slots, free_slots=take(free))
        for pool in (Pool(*take(8)) for _ in range(pools)):
            table.pools[pool.id] = pool
        for _ in range(contents):
            id, pool_id, frame, slot, file, is_dirty = take(6)
            table.contents[id] = Content(id, pool_id, frame, slot, file, bool(is_dirty))
        for _ in range(segments):
            id, of, owner, count = take(4)
            table.segments[id] = SegmentRow(id, of, owner, take(count))
        for space in (SpaceRow(*take(3)) for _ in range(spaces)):
            table.spaces[space.id] = space
        return table
