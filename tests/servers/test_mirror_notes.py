"""What a mirror server's next life knows: who kept it waiting, what it was writing, who is behind."""

import pytest

from servers.storage.mirror_notes import ENOUGH, FIRST_PAUSE, LONGEST_PAUSE, MOST, Notes
from tests.servers.update_bench import STATE, Lasting


class Memory(Lasting):
    """Words that outlive their programs."""

    def lives(self, *waits: int, goes_on: bool = False) -> dict[int, int]:
        """Lives that end while they wait; whom the next one is not to ask."""
        for side in waits:
            notes = Notes(STATE)
            self.run(notes.in_vain())
            if goes_on:
                for each in range(2):
                    self.run(notes.pardon(each))
            self.run(notes.begin(side))
        return self.run(Notes(STATE).in_vain())


@pytest.mark.parametrize("side", [0, 1])
def test_who_keeps_one_life_after_the_other_waiting_is_not_asked_for_a_while(side: int) -> None:
    memory = Memory()
    assert memory.lives(*(side,) * MOST) == {}
    found = [memory.lives(side) for _ in range(9)]
    assert found[0] == {side: FIRST_PAUSE}
    assert found[1] == {side: 2 * FIRST_PAUSE}
    assert found[-1] == {side: LONGEST_PAUSE}


def test_who_was_not_started_anew_is_not_blamed() -> None:
    assert Memory().lives(0, 0, 0, 0, 0, goes_on=True) == {}


def test_nobody_is_left_out_if_both_are_to_blame() -> None:
    memory = Memory()
    assert memory.lives(0, 1, 0, 1, 0, 1, 0) == {}
    assert memory.lives(0, 0) == {0: 8 * FIRST_PAUSE}


def test_nobody_is_left_out_if_the_other_is_behind() -> None:
    memory = Memory()
    memory.run(Notes(STATE).set_behind((1,)))
    assert memory.lives(0, 0, 0, 0, 0) == {}
    memory.run(Notes(STATE).set_behind(()))
    assert memory.lives(0)


def test_who_answers_for_long_is_not_blamed_any_more() -> None:
    memory = Memory()
    assert memory.lives(0, 0, 0)
    notes = Notes(STATE)
    for _ in range(ENOUGH):
        memory.run(notes.begin(0))
        memory.run(notes.end(0))
    assert memory.lives(0) == {}


def test_what_was_being_written_is_known_until_it_is_written() -> None:
    memory = Memory()
    assert memory.run(Notes(STATE).unwritten()) is None
    memory.run(Notes(STATE).writing(70, 8))
    assert memory.run(Notes(STATE).unwritten()) == (70, 8)
    memory.run(Notes(STATE).writing(70, 0))
    assert memory.run(Notes(STATE).unwritten()) is None


def test_without_memory_nothing_is_known() -> None:
    memory, notes = Memory(), Notes(0)
    for work in (notes.begin(0), notes.end(0), notes.writing(1, 2), notes.set_behind((0,))):
        memory.run(work)
    assert memory.run(notes.in_vain()) == {}
    assert memory.run(notes.unwritten()) is None
    assert memory.run(notes.behind()) == set()
    assert not any(memory.memory)
