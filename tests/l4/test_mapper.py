"""The rules of recursive address spaces: what is true after any operations on any spaces, in any order."""

from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from capkernel.protocols.failures import Failure, Malformed, NotPermitted
from capkernel.protocols.l4 import EVERYTHING, RW, RWX, Fpage, R, Rights
from capkernel.user.codec import MessageError
from servers.l4.mapper import PAGE_LIMIT, ROOT, VSPACES, Mapper, kernel_rights
from servers.l4.mapping_tree import MappingTree, Node, fewest
from tests.l4.fake_kernel import FakeKernel, FrameCap, run

PAGE = 0x1000
FRAMES, PLACES = 8, 8
TASKS = (2, 3, 4)
spaces = st.sampled_from((ROOT, *TASKS))
tasks = st.sampled_from(TASKS)
rights = st.sampled_from((int(Rights.READ), int(Rights.WRITE), RW, RWX))


@st.composite
def fpages(draw: st.DrawFn) -> Fpage:
    bits = draw(st.integers(12, 15))
    return Fpage(draw(st.integers(0, (PLACES * PAGE >> bits) - 1)) << bits, bits, draw(rights))


def mapper_with(kernel: FakeKernel, frames: int) -> Mapper:
    """A mapper whose root space has so many pages, from address 0 on."""
    sys: Any = kernel
    mapper = Mapper(sys)
    for number in range(frames):
        slot = mapper.places.alloc()
        kernel.frames[slot] = FrameCap(number, kernel_rights(RW))
        mapper.tree.add(ROOT, number * PAGE, RWX, slot)
    return mapper


class Spaces(RuleBasedStateMachine):
    """Three tasks below the root space, which map, grant and unmap whatever they have."""

    @initialize()
    def begin(self) -> None:
        self.kernel = FakeKernel()
        self.mapper = mapper_with(self.kernel, FRAMES)
        self.caps = len(self.kernel.frames)

    def nodes(self) -> list[Node]:
        return [node for space in self.mapper.tree.spaces.values() for node in space.values()]

    def outline(self) -> Any:
        return sorted(
            (node.space, node.address, node.rights, self.kernel.frames[node.slot].frame) for node in self.nodes()
        )

    @rule(source=spaces, fpage=fpages(), space=tasks, base=st.integers(0, PLACES - 1))
    def map(self, source: int, fpage: Fpage, space: int, base: int) -> None:
        had = [
            (node.address, self.frame(node), node.rights & fpage.rights)
            for node in self.mapper.tree.within(source, fpage)
            if node.rights & fpage.rights
        ]
        before, place = self.outline(), base * PAGE
        try:
            run(self.mapper.map(source, fpage, space, place))
        except Malformed:
            assert self.outline() == before
            return
        for address, frame, granted in had:
            node = self.mapper.tree.find(space, place + address - fpage.address)
            assert node is not None
            assert self.frame(node) == frame
            assert not granted & ~node.rights

    @rule(source=spaces, fpage=fpages(), space=tasks, base=st.integers(0, PLACES - 1))
    def grant(self, source: int, fpage: Fpage, space: int, base: int) -> None:
        if source == ROOT:
            with pytest.raises(NotPermitted):
                run(self.mapper.grant(source, fpage, space, base * PAGE))
            return
        moved = [node for node in self.mapper.tree.within(source, fpage) if node.rights & fpage.rights]
        before, place = self.outline(), base * PAGE
        try:
            run(self.mapper.grant(source, fpage, space, place))
        except Malformed:
            assert self.outline() == before
            return
        for node in moved:
            assert node.space == space
            assert place <= node.address < place + fpage.size
            assert all(not each.rights & ~fpage.rights for each in node.subtree())

    @rule(space=spaces, fpage=fpages(), flush=st.booleans())
    def unmap(self, space: int, fpage: Fpage, flush: bool) -> None:
        own = self.mapper.tree.within(space, fpage)
        below = [each for node in own for each in node.subtree() if each is not node]
        kept = {node: node.rights for node in own}
        if flush and space == ROOT:
            with pytest.raises(NotPermitted):
                run(self.mapper.unmap(space, fpage, flush=flush))
            return
        run(self.mapper.unmap(space, fpage, flush=flush))
        assert not any(node.rights & fpage.rights for node in below)
        if flush:
            assert not any(node.rights & fpage.rights for node in own)
        else:
            # A page of the same space may have come of another of them.
            assert all(node.rights == kept[node] for node in own if node not in below)

    @rule(space=tasks)
    def clear(self, space: int) -> None:
        run(self.mapper.clear(space))
        assert not self.mapper.tree.pages(space)

    def frame(self, node: Node) -> int:
        return self.kernel.frames[node.slot].frame

    @invariant()
    def page_tables_are_what_the_tree_says(self) -> None:
        if not hasattr(self, "mapper"):
            return
        wanted = {
            (VSPACES + node.space << 58, node.address): (self.frame(node), kernel_rights(node.rights))
            for node in self.nodes()
            if node.space != ROOT
        }
        assert {place: (cap.frame, had) for place, (cap, had) in self.kernel.spaces.items()} == wanted

    @invariant()
    def a_page_has_no_right_that_it_did_not_come_with(self) -> None:
        if not hasattr(self, "mapper"):
            return
        for node in self.nodes():
            if node.parent is not None:
                assert not node.rights & ~node.parent.rights
                assert self.frame(node) == self.frame(node.parent)
                # Not even by its cap: the kernel would not let the mapper give it more.
                assert self.kernel.frames[node.slot].rights == kernel_rights(node.rights)

    @invariant()
    def there_is_a_cap_for_each_page_and_no_other(self) -> None:
        if not hasattr(self, "mapper"):
            return
        used = Counter(node.slot for node in self.nodes())
        assert set(used) == set(self.kernel.frames)
        assert max(used.values()) == 1
        assert sorted(self.frame(node) for node in self.nodes() if node.parent is None) == list(range(FRAMES))


Spaces.TestCase.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)
test_spaces_made_of_each_other = Spaces.TestCase


def test_what_a_unmaps_is_gone_below_however_deep() -> None:
    mapper = mapper_with(FakeKernel(), 1)
    run(mapper.map(ROOT, Fpage(0), 2, 0))
    run(mapper.map(2, Fpage(0), 3, 0))
    run(mapper.map(3, Fpage(0), 4, 0))
    assert run(mapper.unmap(2, EVERYTHING, flush=False)) == 2
    assert [len(mapper.tree.pages(space)) for space in (ROOT, *TASKS)] == [1, 1, 0, 0]


def test_what_comes_of_a_page_cannot_be_mapped_over_it() -> None:
    mapper = mapper_with(FakeKernel(), 2)
    run(mapper.map(ROOT, Fpage(0), 2, 0))
    run(mapper.map(2, Fpage(0), 3, 0))
    with pytest.raises(Malformed):
        run(mapper.map(3, Fpage(0), 2, 0))
    run(mapper.map(3, Fpage(0), 2, PAGE))
    assert len(mapper.tree.pages(2)) == 2


def test_a_space_has_no_more_pages_than_it_may_and_others_notice_nothing() -> None:
    mapper = mapper_with(FakeKernel(), 1)
    for number in range(PAGE_LIMIT):
        run(mapper.map(ROOT, Fpage(0), 2, number * PAGE))
    with pytest.raises(Failure):
        run(mapper.map(ROOT, Fpage(0), 2, PAGE_LIMIT * PAGE))
    assert run(mapper.map(ROOT, Fpage(0), 3, 0)) == 1


@given(st.sets(st.integers(0, 63)))
def test_the_fewest_flexpages_cover_just_the_pages(pages: set[int]) -> None:
    tree = MappingTree()
    nodes = [tree.add(2, page * PAGE, R, 0) for page in sorted(pages)]
    found = [fpage for fpage, _ in fewest(nodes)]
    covered = [place // PAGE for fpage in found for place in range(fpage.address, fpage.end, PAGE)]
    assert covered == sorted(pages)
    assert all(low.bits != high.bits or high.address ^ low.address != low.size for low, high in pairwise(found))


@given(st.integers(-1, 1 << 40), st.integers(-5, 70), st.integers(-1, 20))
def test_what_is_no_flexpage_is_refused(address: int, bits: int, kept: int) -> None:
    try:
        fpage = Fpage(address, bits, kept)
    except MessageError:
        return
    assert address % fpage.size == 0 <= address < fpage.end <= EVERYTHING.end
    assert 0 <= kept <= RWX
