"""The proofs in Coq go through, and the model that they are about does what the specification does."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from specs.abstract import cnode
from specs.abstract.caps import Cap
from specs.abstract.cdt import cap_insert
from specs.abstract.state import CSlot, State
from specs.proofs import coq_model, lockstep

needs_coq = pytest.mark.skipif(
    bool(coq_model.missing_tools()), reason=f"NOT RUN: {', '.join(coq_model.missing_tools())} not found (Debian: coq)"
)


@pytest.fixture(scope="module")
def program() -> Iterator[Path]:
    with coq_model.workspace() as folder:
        yield coq_model.build(Path(folder))


def test_what_is_proved_has_names() -> None:
    proved = set(coq_model.theorems())
    assert {"steps_keep_wf", "objects_are_disjoint", "authority_is_confined", "revoke_is_complete"} <= proved
    assert {"family_is_below", "no_copy_outlives_revoke"} <= proved


@needs_coq
def test_the_proofs_go_through_and_the_model_agrees_with_the_specification(program: Path) -> None:
    results = [lockstep.run(program, seed, 400) for seed in range(6)]
    assert [result.difference for result in results if result.difference] == []
    kinds = set().union(*(result.performed for result in results))
    assert kinds == {"copy", "mint", "move", "delete", "revoke", "retype", "untyped", "reset"}


@needs_coq
def test_a_specification_that_puts_copies_elsewhere_is_noticed(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def elsewhere(s: State, new: Cap, src: CSlot, dest: CSlot) -> None:
        cap_insert(s, new, src, dest)
        s.is_original_cap.add(dest)

    monkeypatch.setattr(cnode, "cap_insert", elsewhere)
    assert any(lockstep.run(program, seed, 200).difference for seed in range(3))


@needs_coq
@pytest.mark.parametrize("name", coq_model.PROOFS)
@pytest.mark.parametrize("word", ["Admitted.", "Axiom"])
def test_a_proof_that_is_none_is_refused(word: str, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sources = tmp_path / "coq"
    shutil.copytree(coq_model.SOURCES, sources)
    text = (sources / name).read_text()
    (sources / name).write_text(text.replace("Qed.", word, 1) if word == "Admitted." else f"{word}\n{text}")
    monkeypatch.setattr(coq_model, "SOURCES", sources)
    with pytest.raises(coq_model.ProofError, match=f"{name}: .* is no proof"):
        coq_model.build(tmp_path)
