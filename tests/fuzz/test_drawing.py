"""Strings that are drawn at once are still Hypothesis': of a seed, of all lengths, shrunk when something is wrong."""

import pytest
from hypothesis import HealthCheck, Phase, find, given, seed, settings
from hypothesis import strategies as st

from specs.fuzz.drawing import BACKEND

QUIET = settings(
    backend=BACKEND, database=None, deadline=None, max_examples=200, suppress_health_check=list(HealthCheck),
    print_blob=False,
)  # fmt: skip


def drawn(number: int, least: int, most: int | None) -> list[bytes]:
    found: list[bytes] = []

    @seed(number)
    @settings(QUIET, phases=[Phase.generate])
    @given(st.binary(min_size=least, max_size=most))
    def one(data: bytes) -> None:
        found.append(data)

    one()
    return found


@pytest.mark.parametrize(("least", "most"), [(0, 0), (7, 7), (0, 50), (272, 992)])
def test_a_seed_says_which_strings_there_are_and_all_lengths_occur(least: int, most: int) -> None:
    strings = drawn(3, least, most)
    assert strings == drawn(3, least, most)
    lengths = sorted(map(len, strings))
    assert least <= lengths[0]
    assert lengths[-1] <= most
    assert lengths[-1] - lengths[0] >= (most - least) * 0.9
    if most > 7:
        assert strings != drawn(4, least, most)
        assert {byte for string in strings for byte in string} == set(range(256))


def test_what_is_wrong_is_shrunk() -> None:
    strings = st.binary(min_size=2, max_size=400)
    assert find(strings, lambda data: 0xC8 in data[10:], settings=QUIET) == bytes(10) + b"\xc8"


def test_strings_of_any_length_are_short_ones() -> None:
    assert max(map(len, drawn(3, 0, None))) < 1000
