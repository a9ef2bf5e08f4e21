"""How one program gives way to another: whole, once, or not at all, whatever becomes of the memory between them."""

import pytest
from attrs import frozen
from hypothesis import example, given, settings
from hypothesis import strategies as st

from servers.system.retiring import Handover, UnusableState
from tests.servers.update_bench import SUPERVISOR, UPDATE, Crashed, Lasting, Retired


@frozen
class State:
    numbers: list[int]
    text: str


STATES = st.builds(State, st.lists(st.integers(-(2**63), 2**63 - 1), max_size=9), st.text(max_size=40))


class Life:
    """A program that keeps a state, and nothing else."""

    def __init__(self, lasting: Lasting, life: int = 2) -> None:
        self.lasting = lasting
        self.state: State | None = None
        self.handover = Handover(lasting.pd(life), State, lasting.region, SUPERVISOR, UPDATE)

    async def _take_up(self, state: State) -> None:
        self.state = state

    def start(self) -> bool:
        return self.lasting.run(self.handover.go_on(self._take_up))

    def leave(self, state: State) -> None:
        with pytest.raises(Retired):
            self.lasting.run(self.handover.give_way(state))


def started(lasting: Lasting) -> State | None:
    life = Life(lasting)
    assert life.start() == (life.state is not None)
    return life.state


@given(st.lists(STATES, min_size=1, max_size=5))
def test_each_program_goes_on_from_what_the_one_before_left_and_once(states: list[State]) -> None:
    lasting = Lasting()
    assert started(lasting) is None
    for state in states:
        Life(lasting).leave(state)
        assert lasting.signals[-1] == UPDATE
        assert started(lasting) == state
        assert lasting.signals[-1] == SUPERVISOR
        assert started(lasting) is None


@settings(max_examples=300)
@given(STATES, STATES, st.integers(0, 2), st.integers(0, 40))
def test_a_crash_at_any_step_leaves_all_of_the_state_or_none_of_it(
    former: State, state: State, rounds: int, steps: int
) -> None:
    lasting = Lasting()
    for _ in range(rounds):
        started(lasting)
        Life(lasting).leave(former)
        assert started(lasting) == former
    life = Life(lasting)
    life.start()
    lasting.crash_at = steps
    try:
        lasting.run(life.handover.give_way(state))
    except Crashed:
        may_be_nothing = True
    except Retired:
        may_be_nothing = False
    lasting.crash_at = None
    found = started(lasting)
    assert found == state or (found is None and may_be_nothing)


@given(STATES, st.integers(0, 40))
def test_a_new_program_that_crashes_before_its_sign_of_life_leaves_the_state_to_the_former_one(
    state: State, steps: int
) -> None:
    lasting = Lasting()
    Life(lasting).leave(state)
    lasting.signals.clear()
    lasting.crash_at = steps
    try:
        started(lasting)
        has_crashed = False
    except Crashed:
        has_crashed = True
    lasting.crash_at = None
    has_lived = SUPERVISOR in lasting.signals
    found = started(lasting)
    assert found == state if has_crashed and not has_lived else found in (state, None)
    assert has_crashed or found is None


@settings(max_examples=300)
@example(State([1], "x"), State([2], "y"), 0, 1)
@given(STATES, STATES, st.integers(0, 0x3FFF), st.integers(1, 255))
def test_a_damaged_state_is_used_by_nobody_and_forgotten_by_the_second_who_finds_it(
    former: State, state: State, at: int, flipped: int
) -> None:
    lasting = Lasting()
    Life(lasting).leave(former)
    assert started(lasting) == former
    Life(lasting).leave(state)
    lasting.memory[at] ^= flipped
    outcomes: list[State | str | None] = []
    for _ in range(3):
        signals = len(lasting.signals)
        try:
            outcomes.append(started(lasting))
        except UnusableState:
            outcomes.append("refused")
            assert len(lasting.signals) == signals, "it gave a sign of life and cannot go on"
            assert "of no use" in lasting.said
    # Damage may be where nothing lies, or to the mark: then the state is whole all the same.
    assert outcomes in ([state, None, None], ["refused", "refused", None])


def test_a_state_of_which_the_new_program_can_make_nothing_is_there_for_the_former_one() -> None:
    lasting = Lasting()
    state = State([7], "seven")
    Life(lasting).leave(state)

    async def cannot(found: State) -> None:
        raise ValueError(f"this version knows no {found.text}")

    with pytest.raises(UnusableState, match="knows no seven"):
        lasting.run(Life(lasting).handover.go_on(cannot))
    assert started(lasting) == state


def test_a_state_that_does_not_fit_is_refused_and_the_program_goes_on() -> None:
    lasting = Lasting()
    life = Life(lasting)
    lasting.run(life.handover.give_way(State([], "x" * len(lasting.memory))))
    assert "cannot give way" in lasting.said
    assert UPDATE not in lasting.signals
    assert started(lasting) is None
    life.leave(State([1], "fits"))
    assert started(lasting) == State([1], "fits")
