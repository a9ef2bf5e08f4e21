"""The page of claims: it says what the runs said, and nothing that could not be repeated."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from capkernel.cli import COMMANDS
from capkernel.tools.sources import ROOT, digest
from specs.assurance import records, running
from specs.assurance.claims import CLAIMS, find
from specs.assurance.command import PAGE
from specs.assurance.model import Claim, Run, Seen
from specs.assurance.page import page
from specs.assurance.reading import READERS, bugs, fuzzed, mutants, siege

RUN = Run("c", "capkernel c", True, "7 cases", "nothing", digest(), "abc", "3.11", 5)


def test_the_page_is_made_from_the_runs_that_are_kept() -> None:
    assert PAGE.read_text() == page(records.kept()), "run `capkernel assure --page`"


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_each_claim_names_a_command_that_there_is_and_pages_that_there_are(claim: Claim) -> None:
    for words in (claim.command, claim.quick):
        if words[0] == "-m":
            assert words[1] == "pytest" or (ROOT / words[1].replace(".", "/")).is_dir()
        else:
            assert words[0] in {*COMMANDS, *entry_points(group="capkernel.commands").names}
        assert all((ROOT / word).exists() for word in words if word.startswith("tests"))
    assert all((ROOT / "docs" / name).exists() for name in re.findall(r"\]\(([\w-]+\.md)\)", claim.assumes))


def test_a_claim_that_was_never_run_or_ran_on_another_kernel_or_was_broken_is_shown_so() -> None:
    name = CLAIMS[0].id
    assert "not run yet" in page({})
    assert "an earlier kernel" not in page({name: replace(RUN, claim=name)})
    assert "an earlier kernel" in page({name: replace(RUN, claim=name, kernel="other")})
    assert "**3 differ**" in page({name: replace(RUN, claim=name, held=False, against="3 differ")})
    assert "**not run**: no tool" in page({name: replace(RUN, claim=name, held=None, why="no tool")})


def test_what_could_not_run_leaves_an_earlier_run_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "runs.json"
    records.keep([RUN], file)
    records.keep([replace(RUN, held=None, why="no tool")], file)
    assert records.kept(file) == {"c": RUN}
    written = file.stat()
    records.keep([RUN], file)
    assert file.stat() == written
    records.keep([replace(RUN, held=False)], file)
    assert records.kept(file)["c"].held is False
    file.write_text('{"c": {"wrong": 1}}')
    with pytest.raises(ValueError, match="not a record of runs"):
        records.kept(file)


def claim(*words: str, read: Any = None) -> Claim:
    return Claim("c", "it holds", "a check", "nothing", words, words, read or (lambda data: Seen(str(data))))


def test_a_check_is_run_as_one_types_it_and_its_exit_status_is_the_verdict() -> None:
    found = running.run(replace(find(["refinement"])[0], quick=("refine", "--steps", "50")), full=False)
    assert found.held
    assert found.amount.endswith("programs")
    assert found.command == "capkernel refine --steps 50"


def test_tests_are_counted_and_one_that_fails_speaks_against_the_claim(tmp_path: Path) -> None:
    file = tmp_path / "test_two.py"
    skipped = "@pytest.mark.skip('no')\ndef test_c(): pass\n"
    file.write_text(f"import pytest\ndef test_a(): pass\ndef test_b(): assert 0\n{skipped}")
    found = running.run(claim("-m", "pytest", str(file), "-p", "no:cacheprovider", read=READERS["tests"]), full=False)
    assert (found.held, found.amount) == (False, "1 tests passed, 1 not run")
    assert found.against == "1 failed: test_b: assert 0"


def test_a_check_that_lacks_a_tool_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lacking.py").write_text("print('NOT RUN: coqc not found'); raise SystemExit(3)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = running.run(claim("-m", "lacking"), full=False)
    assert (found.held, found.why) == (None, "NOT RUN: coqc not found")


def test_tests_without_pytest_are_not_run_and_what_installs_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "find_spec", lambda name: None)
    found = running.run(replace(CLAIMS[0], quick=("-m", "pytest", "tests/assurance")), full=False)
    assert found.held is None
    assert "pip install -e '.[dev]'" in found.why


def test_what_prints_no_json_is_told_with_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken.py").write_text("print('Traceback'); print('KeyError: x')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(ValueError, match=r"c: .*KeyError: x"):
        running.run(claim("-m", "broken"), full=False)


def test_readers_see_what_speaks_against_a_claim() -> None:
    outcome = {"row": "S6", "violated": ["T12"]}
    assert bugs({"outcomes": [outcome]}).against == "nothing"
    assert "S6" in bugs({"outcomes": [outcome | {"violated": []}]}).against
    assert "S6" in bugs({"outcomes": [outcome | {"violated": ["G1"]}]}).against
    total = {"killed": 5, "timed out": 1, "survived": 2, "equivalent": 1, "not run": 3}
    seen = mutants({"total": total})
    assert (seen.amount, seen.against) == ("6 of 9 mutants noticed, 1 explained as equivalent", "2 survived; 3 not run")
    assert fuzzed({"steps": 9, "found": None}).against == "nothing"
    assert fuzzed({"steps": 9, "found": {"problem": "G1 is broken"}}).against == "G1 is broken"
    strong = {"attempts": 9, "successes": [], "findings": [{"claim": "she holds no more", "holds": True}]}
    assert siege({"sieges": [strong, strong | {"successes": ["x"]}]}).against == "nothing"
    assert "weak" in siege({"sieges": [strong, strong]}).against
    assert "y" in siege({"sieges": [strong | {"successes": ["y"]}, strong | {"successes": ["x"]}]}).against


def test_an_unknown_claim_is_refused_and_the_known_ones_are_named() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "capkernel", "assure", "nonsense"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "refinement" in done.stderr


def test_the_list_is_for_programs_too() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "capkernel", "assure", "--list", "--json"], capture_output=True, text=True, check=True
    )
    assert [row["id"] for row in json.loads(done.stdout)] == [each.id for each in CLAIMS]
