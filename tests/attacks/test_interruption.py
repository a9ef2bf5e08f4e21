"""A program that is interrupted in the middle of what it does to memory: it sees the same, only later."""

from collections.abc import Callable, Generator
from contextlib import suppress
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capkernel.abi import syscalls as sc
from capkernel.abi.words import WORD_MASK
from capkernel.tools.demo import shared_memory
from capkernel.tools.demo.stage import Stage
from capkernel.tools.interruption import CALLS, RECEIVES, Account, Event, Interrupter, interrupt
from hwmodel.cpu import program as ops
from hwmodel.cpu.program import OperationError, ProgramTable

START, SIZE = 0x5000, 256
PLACES = (range(START, START + SIZE),)
RECEIVE, CALL = sc.RECV & WORD_MASK, sc.CALL & WORD_MASK
Work = Callable[[], Generator[Any, Any, Any]]


class Memory:
    """Carries out what a program yields; ``meanwhile`` is called whenever time passes."""

    def __init__(self, meanwhile: Callable[[bytearray], None] = lambda content: None) -> None:
        self.content = bytearray(range(SIZE))
        self.meanwhile = meanwhile
        self.done: list[tuple[Any, ...]] = []

    def look(self, vaddr: int, size: int) -> bytes:
        return bytes(self.content[vaddr - START : vaddr - START + size])

    def carry_out(self, operation: tuple[Any, ...]) -> Any:
        self.done.append(operation)
        match operation:
            case ops.READ, vaddr, size:
                return self.look(vaddr, size)
            case ops.LOAD, vaddr, size:
                return int.from_bytes(self.look(vaddr, size), "little")
            case ops.WRITE, vaddr, data:
                self.content[vaddr - START : vaddr - START + len(data)] = data
            case ops.STORE, vaddr, size, value:
                self.carry_out((ops.WRITE, vaddr, (value & (1 << 8 * size) - 1).to_bytes(size, "little")))
            case ops.COMPUTE, _:
                self.meanwhile(self.content)
        return None

    def run(self, work: Work, *, every: int = 3, seed: int = 0) -> tuple[Any, Account]:
        """What the program returns, and what was counted."""
        account, results = Account(), []

        def program() -> Generator[Any, Any, None]:
            results.append((yield from work()))

        interrupter = Interrupter(PLACES, self.look, Random(seed), account, every, 50)
        steps = interrupter.run(program())
        try:
            operation = steps.send(None)
            while True:
                operation = steps.send(self.carry_out(operation))
        except StopIteration:
            pass
        return results[0], account


def inverted(content: bytearray) -> None:
    content[:] = bytes(255 - byte for byte in content)


SPANS = st.tuples(st.integers(0, SIZE - 1), st.integers(0, SIZE)).map(lambda s: (s[0], min(s[1], SIZE - s[0])))


@given(st.lists(st.tuples(st.booleans(), SPANS)), st.integers(1, 9), st.integers(0, 99))
def test_a_program_whom_nobody_disturbs_sees_and_does_the_same(
    steps: list[tuple[bool, tuple[int, int]]], every: int, seed: int
) -> None:
    def work() -> Generator[Any, Any, list[bytes]]:
        found = []
        for number, (writes, (offset, size)) in enumerate(steps):
            if writes:
                yield ops.WRITE, START + offset, bytes([number % 256]) * size
            else:
                found.append((yield ops.READ, START + offset, size))
        return found

    plain, other = Memory(), Memory()
    expected = []
    for number, (writes, (offset, size)) in enumerate(steps):
        if writes:
            plain.content[offset : offset + size] = bytes([number % 256]) * size
        else:
            expected.append(plain.look(START + offset, size))
    found, account = other.run(work, every=every, seed=seed)
    assert found == expected
    assert other.content == plain.content
    assert not account.requests[Event.TORN]
    assert not account.requests[Event.CHANGED]


@given(SPANS, st.integers(1, 9), st.integers(0, 99))
def test_a_word_is_of_one_moment_and_no_run_of_words_is_longer_than_may_be(
    span: tuple[int, int], every: int, seed: int
) -> None:
    offset, size = span
    memory = Memory(inverted)

    def work() -> Generator[Any, Any, Any]:
        return (yield ops.READ, START + offset, size)

    found, account = memory.run(work, every=every, seed=seed)
    assert len(found) == size
    for word in range(offset // 8, (offset + size + 7) // 8):
        places = range(max(offset, 8 * word), min(offset + size, 8 * word + 8))
        kinds = {found[place - offset] == place % 256 for place in places}
        assert len(kinds) <= 1
    for operation in memory.done:
        if operation[0] == ops.READ:
            assert (operation[1] + operation[2] - 1) // 8 - operation[1] // 8 < every
    assert account.interruptions == sum(operation[0] == ops.COMPUTE for operation in memory.done)
    assert account.interruptions >= account.words // every - 1


def reading_twice(meets: bool) -> Work:
    def work() -> Generator[Any, Any, tuple[bytes, bytes]]:
        first = yield ops.READ, START, 64
        if meets:
            yield (RECEIVE, 0, 0, 0, 0, 0, 0, 0, 0)
        return first, (yield ops.READ, START, 64)

    return work


def test_what_is_read_twice_in_one_request_is_counted_and_whether_it_changed() -> None:
    (first, second), account = Memory(inverted).run(reading_twice(False), every=2)
    assert first != second
    assert account.requests == {Event.READ: 1, Event.TORN: 1, Event.AGAIN: 1, Event.CHANGED: 1}
    (first, second), account = Memory().run(reading_twice(False), every=2)
    assert first == second
    assert account.requests == {Event.READ: 1, Event.AGAIN: 1}


def test_two_requests_that_each_read_once_are_not_one_that_reads_twice() -> None:
    _, account = Memory(inverted).run(reading_twice(True), every=2)
    assert account.requests == {Event.READ: 2, Event.TORN: 2}


def test_of_memory_in_which_answers_are_found_each_call_is_a_request_of_its_own() -> None:
    def work() -> Generator[Any, Any, None]:
        yield ops.READ, START, 8
        yield (CALL, 0, 0, 0, 0, 0, 0, 0, 0)
        yield ops.READ, START, 8

    for ends, expected in ((RECEIVES, {Event.READ: 1, Event.AGAIN: 1}), (CALLS, {Event.READ: 2})):
        account, memory = Account(), Memory()
        steps = Interrupter(PLACES, memory.look, Random(0), account, ends=ends).run(work())
        answer = None
        with suppress(StopIteration):
            while True:
                answer = memory.carry_out(steps.send(answer))
        assert account.requests == expected


def test_what_the_program_wrote_itself_is_no_second_look() -> None:
    def work() -> Generator[Any, Any, None]:
        yield ops.READ, START, 8
        yield ops.STORE, START, 8, 5
        yield ops.LOAD, START, 8

    _, account = Memory().run(work)
    assert account.requests == {Event.READ: 1}


def test_other_memory_is_left_alone() -> None:
    def work() -> Generator[Any, Any, None]:
        yield ops.READ, START + SIZE, 512
        yield ops.COMPUTE, 7

    memory = Memory()
    _, account = memory.run(work, every=1)
    assert memory.done == [(ops.READ, START + SIZE, 512), (ops.COMPUTE, 7)]
    assert account == Account()


def test_an_error_at_an_operation_is_raised_in_the_program() -> None:
    account, seen = Account(), list[object]()

    def program() -> Generator[Any, Any, None]:
        try:
            yield ops.READ, START, 64
        except RuntimeError as error:
            seen.append(error)
        with pytest.raises(OperationError):
            yield ops.READ, START, -1
        seen.append("on")
        yield (ops.CLOCK,)

    steps = Interrupter(PLACES, Memory().look, Random(0), account).run(program())
    steps.send(None)
    steps.throw(RuntimeError("a fault"))
    assert isinstance(seen[0], RuntimeError)
    assert seen[1] == "on"


def test_a_program_that_is_given_up_is_closed() -> None:
    closed = []

    def program() -> Generator[Any, Any, None]:
        try:
            yield ops.READ, START, 64
        finally:
            closed.append(True)

    steps = Interrupter(PLACES, Memory().look, Random(0), Account()).run(program())
    steps.send(None)
    steps.close()
    assert closed == [True]


def test_only_memory_that_a_domain_maps_can_be_chosen_and_only_its_python_programs() -> None:
    stage = Stage(shared_memory.SYSTEM)
    with pytest.raises(ValueError, match="maps none of shared_fat"):
        interrupt(stage.system, "files", ["shared_fat"], 0)
    with pytest.raises(IndexError, match="not 2"):
        ProgramTable().wrap(2, lambda program: program)
    with pytest.raises(ValueError, match="one word or more"):
        Interrupter(PLACES, Memory().look, Random(0), Account(), 0)
    stage.close()
