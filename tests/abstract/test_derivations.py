"""The derivation tree of the abstract kernel, on trees made by hand."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capkernel.abi import rights
from specs.abstract.caps import Cap, EndpointCap, UntypedCap, should_be_parent_of
from specs.abstract.cdt import cap_insert, cap_move, cap_swap, children, create_cap, empty_slot, set_cap
from specs.abstract.state import Config, CSlot, State

CONFIG = Config(1, 256, 96, 10, 20, 10**6, 10, 100, 8, True, False)
NODE = 0x1000
UNTYPED = UntypedCap(0x8000, 12, False, 0)
ENDPOINT = EndpointCap(0x8000, 0, rights.ALL)


def slot(index: int) -> CSlot:
    """A slot of the one CNode."""
    return NODE, index


@pytest.fixture
def s() -> State:
    """An untyped in slot 0, an endpoint made of it in 1, a badged cap to that in 2, and a copy of this in 3."""
    state = State(CONFIG)
    set_cap(state, UNTYPED, slot(0))
    state.is_original_cap.add(slot(0))
    create_cap(state, ENDPOINT, slot(0), slot(1))
    cap_insert(state, ENDPOINT._replace(badge=7), slot(1), slot(2))
    cap_insert(state, ENDPOINT._replace(badge=7), slot(2), slot(3))
    return state


def test_a_badged_cap_is_an_original_with_copies_of_its_own(s: State) -> None:
    assert s.cdt == {slot(1): slot(0), slot(2): slot(1), slot(3): slot(2)}
    assert s.is_original_cap == {slot(0), slot(1), slot(2)}


def test_a_copy_of_a_copy_is_its_sibling_and_stands_behind_it(s: State) -> None:
    cap_insert(s, ENDPOINT._replace(badge=7), slot(3), slot(4))
    assert s.cdt[slot(4)] == slot(2)
    assert children(s, slot(2)) == (slot(3), slot(4))


def test_the_latest_child_is_the_first(s: State) -> None:
    cap_insert(s, ENDPOINT._replace(badge=8), slot(1), slot(4))
    assert children(s, slot(1)) == (slot(4), slot(2))


def test_what_was_derived_from_a_deleted_cap_comes_from_its_parent(s: State) -> None:
    cap_insert(s, ENDPOINT._replace(badge=8), slot(1), slot(4))
    empty_slot(s, slot(2))
    assert s.cdt[slot(3)] == slot(1)
    assert children(s, slot(1)) == (slot(4), slot(3))


def test_a_moved_cap_keeps_its_place(s: State) -> None:
    cap_move(s, s.caps[slot(2)], slot(2), slot(9))
    assert s.cdt == {slot(1): slot(0), slot(9): slot(1), slot(3): slot(9)}
    assert slot(9) in s.is_original_cap
    assert slot(2) not in s.caps


def test_a_swap_of_parent_and_child_changes_their_places(s: State) -> None:
    cap_swap(s, s.caps[slot(1)], slot(1), s.caps[slot(2)], slot(2))
    assert s.cdt == {slot(2): slot(0), slot(1): slot(2), slot(3): slot(1)}
    assert (s.caps[slot(1)], s.caps[slot(2)]) == (ENDPOINT._replace(badge=7), ENDPOINT)


def test_a_state_and_its_copy_do_not_share_what_changes(s: State) -> None:
    other = s.copy()
    empty_slot(other, slot(2))
    assert s.cdt[slot(3)] == slot(2)
    assert slot(2) in s.caps


SLOTS = st.integers(0, 9)
OPERATIONS = st.lists(st.tuples(st.integers(0, 3), SLOTS, SLOTS, st.integers(0, 3)), max_size=30)


@settings(max_examples=80, deadline=None, derandomize=True, database=None)
@given(OPERATIONS)
def test_tree_and_lists_of_children_agree_and_parents_could_be_parents(
    operations: list[tuple[int, int, int, int]],
) -> None:
    state = State(CONFIG)
    for index, cap in enumerate((UNTYPED, ENDPOINT)):
        set_cap(state, cap, slot(index))
        state.is_original_cap.add(slot(index))
    for what, a, b, badge in operations:
        _apply(state, what, slot(a), slot(b), badge)
        assert {child: parent for parent, below in state.cdt_list.items() for child in below} == state.cdt
        assert len(state.cdt) == sum(len(below) for below in state.cdt_list.values())
        assert state.cdt.keys() | set(state.cdt.values()) | state.is_original_cap <= state.caps.keys()
        for child, parent in state.cdt.items():
            caps = state.caps[parent], state.caps[child]
            assert should_be_parent_of(caps[0], parent in state.is_original_cap, caps[1], False) or caps[0][1:2] != (0,)


def _apply(state: State, what: int, a: CSlot, b: CSlot, badge: int) -> None:
    if a not in state.caps:
        return
    cap: Cap = state.caps[a]
    if what == 0 and b not in state.caps and not isinstance(cap, UntypedCap):
        assert isinstance(cap, EndpointCap)
        cap_insert(state, cap._replace(badge=cap.badge or badge), a, b)
    elif what == 1 and b not in state.caps:
        cap_move(state, cap, a, b)
    elif what == 2 and b in state.caps and a != b:
        cap_swap(state, cap, a, state.caps[b], b)
    elif what == 3:
        empty_slot(state, a)
