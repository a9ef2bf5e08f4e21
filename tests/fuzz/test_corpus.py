"""The corpus that is kept: it runs, it is small, and nothing in it is superfluous."""

from pathlib import Path

from specs.fuzz.corpus import keep, load, minimised
from specs.fuzz.coverage import Kind
from specs.fuzz.running import Checking, Runner

CORPUS = Path(__file__).with_name("corpus")


def test_all_invariants_hold_in_what_is_kept() -> None:
    runner = Runner(Checking(1))
    strings = load(CORPUS)
    for data in strings:
        assert runner.run(data).problem is None, data.hex()
    assert len(strings) > 50
    assert len(runner.coverage.kinds) > 250


def test_a_corpus_is_reduced_to_what_adds_something(tmp_path: Path) -> None:
    kinds: dict[bytes, frozenset[Kind]] = {
        b"a": frozenset([("Yield", "done")]),
        b"both": frozenset([("Yield", "done"), ("Call", "blocked")]),
        b"c": frozenset([("Send", "done")]),
    }
    assert minimised(kinds, kinds.__getitem__) == [b"both", b"c"]
    assert minimised([], kinds.__getitem__) == []
    keep(tmp_path / "new", b"a")
    keep(tmp_path / "new", b"a")
    assert load(tmp_path / "new") == [b"a"]
    assert load(tmp_path / "nowhere") == []
