"""Bytes are programs: all of them, near bytes near programs, and back."""

from hypothesis import given, settings
from hypothesis import strategies as st

from capkernel.abi import syscalls as sc
from capkernel.abi.labels import BY_LABEL
from specs.fuzz.decoder import HEADER, OPERATIONS, Steps, decode, encode
from specs.fuzz.records import RECORD, InexpressibleError
from specs.generate import RandomChooser, program
from specs.programs import Program, Syscall

QUICK = settings(max_examples=60, derandomize=True, deadline=None, database=None)


@QUICK
@given(st.binary(max_size=HEADER + 12 * RECORD))
def test_every_string_is_a_program_and_has_bytes_again(data: bytes) -> None:
    found = decode(data)
    assert len(found.steps) == max(0, -(-(len(data) - HEADER) // RECORD))
    assert decode(encode(found)) == found


@QUICK
@given(st.binary(min_size=HEADER + 8 * RECORD, max_size=HEADER + 8 * RECORD), st.integers(0, 7), st.data())
def test_a_changed_byte_changes_one_step(data: bytes, where: int, draw: st.DataObject) -> None:
    place = HEADER + RECORD * where + draw.draw(st.integers(0, RECORD - 1))
    changed = bytearray(data)
    changed[place] ^= draw.draw(st.integers(1, 255))
    before, after = decode(data), decode(bytes(changed))
    assert before.layout == after.layout
    assert [n for n in range(8) if before.steps[n] != after.steps[n]] in ([], [where])


@QUICK
@given(st.binary(min_size=HEADER + 8 * RECORD, max_size=HEADER + 8 * RECORD), st.integers(0, 7))
def test_a_record_that_is_cut_out_takes_one_step_away(data: bytes, where: int) -> None:
    start = HEADER + RECORD * where
    steps = decode(data).steps
    assert decode(data[:start] + data[start + RECORD :]).steps == steps[:where] + steps[where + 1 :]


def test_steps_are_the_same_whether_read_one_by_one_or_together() -> None:
    data = bytes(range(256)) * 4
    assert tuple(Steps(data)) == decode(data).steps
    assert Steps(data)[-1] == decode(data).steps[-1]


def test_every_invocation_and_system_call_has_bytes() -> None:
    names = {operation.name for operation in OPERATIONS}
    stops = {sc.NAMES[sc.DEBUG_HALT], sc.NAMES[sc.DEBUG_NAME_THREAD]}
    assert {spec.name for spec in BY_LABEL.values()} | set(sc.NAMES.values()) - stops <= names


def test_most_of_what_the_grammar_makes_up_has_bytes() -> None:
    steps = [(p.layout, step) for seed in range(20) for p in [program(RandomChooser(seed), 30)] for step in p.steps]
    expressed = 0
    for layout, step in steps:
        try:
            data = encode(Program(layout, (step,)))
        except InexpressibleError:
            continue
        assert decode(data) == Program(layout, (step,))
        expressed += 1
    assert expressed > 0.8 * len(steps)


def test_a_program_keeps_its_own_words() -> None:
    words = 0x1234567890ABCDEF, 0xFEDCBA
    step = Syscall(cap=1, label=18, words=words)
    assert decode(encode(Program(steps=(step, step)))).steps == (step, step)
