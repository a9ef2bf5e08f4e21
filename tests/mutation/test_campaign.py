"""The campaign's own machinery: mutants are named, made, tried, and explained or not."""

import mmap
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from specs.mutation import explained, mutants
from specs.mutation.campaign import Campaign, Entry, Record
from specs.mutation.cases import Case, Generated
from specs.mutation.explained import Unreadable, explanations, named, stale
from specs.mutation.figures import EQUIVALENT, figures
from specs.mutation.mutants import Mutant, path_of
from specs.mutation.survey import Sources, Survey, Unfit
from specs.mutation.tests import NotCollected, with_tests
from specs.mutation.trial import MEMORY, alone
from specs.mutation.verdict import KILLED, SAME, SURVIVED, TIMED_OUT
from specs.programs import Layout, world_of

GOLDEN = Path(__file__).parent.parent / "golden"
NOTICED = "- state.current = thread", "+ state.current = None"
ENDLESS = "- dequeue(state, thread)", "+ while True: dequeue(state, thread)"
UNNOTICED = "- if thread.queued == READY_QUEUE:", "+ if READY_QUEUE == thread.queued:"
UNCHANGED = "- return", "+ return None"


def _mutant(function: str, change: tuple[str, str], source: str, line: int) -> Mutant:
    removed, added = (text[2:] for text in change)
    return Mutant("scheduler", function, (removed,), (added,), 1, (line,), source.replace(removed, added, 1))


def _written(function: str, change: tuple[str, str]) -> Mutant:
    """A mutant that is written here, of a function of the scheduler."""
    lines = path_of("scheduler").read_text(encoding="utf-8").split("\n")
    first = next(n for n, line in enumerate(lines) if line.startswith(f"def {function}("))
    last = next(n for n, line in enumerate(lines) if n > first and not line and not lines[n + 1])
    at = next(n for n in range(first, last) if change[0][2:] in lines[n])
    return _mutant(function, change, "\n".join(lines[first:last]), at + 1)


MUTANTS = (
    _written("_switch_to", NOTICED), _written("_switch_to", ENDLESS), _written("_enter_ready_queue", UNNOTICED),
    _written("dequeue", UNCHANGED),
)  # fmt: skip


def _campaign(tmp_path: Path, cases: Sequence[Case]) -> Campaign:
    sources = Sources(GOLDEN)
    survey = Survey(tmp_path / "survey.json.gz", cases, sources)
    for _ in survey.complete(1):
        pass
    return Campaign(MUTANTS, survey, sources, Record(tmp_path / "record.json"), 5.0)


def test_mutants_are_tried_and_the_campaign_goes_on_where_it_was(tmp_path: Path) -> None:
    cases = [Generated(1)]
    first = _campaign(tmp_path, cases)
    assert len(list(first.run(1, 2))) == 2
    second = _campaign(tmp_path, cases)
    assert len(second.pending()) == 2
    assert not set(second.pending()) & {mutant for mutant in MUTANTS if first.verdict(mutant)}
    assert len(list(second.run(2))) == 2
    verdicts = [second.verdict(mutant) for mutant in MUTANTS]
    assert [verdict and verdict.verdict for verdict in verdicts] == [KILLED, TIMED_OUT, SURVIVED, SAME], verdicts
    assert verdicts[0] is not None
    assert verdicts[0].by.startswith("generated ")
    assert _campaign(tmp_path, cases).pending() == []


def test_what_survived_is_tried_again_when_more_time_is_allowed_and_all_when_the_kernel_has_changed(
    tmp_path: Path,
) -> None:
    campaign = _campaign(tmp_path, [Generated(1)])
    list(campaign.run(1))
    assert campaign.pending() == []
    campaign._seconds = 6.0
    again = [mutant for mutant in MUTANTS if (entry := campaign.record.entries[mutant.key]).verdict.verdict == SURVIVED]
    assert sorted(m.key for m in campaign.pending()) == sorted(m.key for m in again)
    for key, entry in campaign.record.entries.items():
        campaign.record.entries[key] = Entry(entry.verdict, "another kernel", entry.judges, 9.0)
    assert len(campaign.pending()) == len(MUTANTS)


class _Wrong:
    name = "wrong"

    def run(self) -> str | None:
        return "the clean kernel is not clean"


def test_a_case_that_finds_fault_with_the_clean_kernel_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unfit, match="the clean kernel is not clean"):
        _campaign(tmp_path, [_Wrong()])


class _Greedy:
    name = "greedy"

    def run(self) -> str | None:
        mmap.mmap(-1, MEMORY + (1 << 30), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
        return None


def test_a_case_that_needs_more_than_a_trial_allows_is_refused_instead_of_killing_whatever_it_judges(
    tmp_path: Path,
) -> None:
    with pytest.raises(Unfit, match="Cannot allocate memory"):
        _campaign(tmp_path, [_Greedy()])


def test_names_outlive_what_is_added_elsewhere() -> None:
    text = path_of("cancel").read_text(encoding="utf-8")
    before, after = mutants.made("cancel", text), mutants.made("cancel", f"# A line more.\n\n{text}")
    assert [mutant.key for mutant in before] == [mutant.key for mutant in after]
    assert len({mutant.key for mutant in before}) == len(before) > 20
    assert before[0].lines != after[0].lines


def _explained(tmp_path: Path, *blocks: str) -> Path:
    path = tmp_path / "equivalent.toml"
    path.write_text("[[equivalent]]\nwhy = 'so it is'\nmutants = '''\n" + "\n\n".join(blocks) + "\n'''\n")
    return path


def test_an_explained_survivor_counts_as_equivalent_a_noticed_one_as_wrong_and_a_missing_one_as_stale(
    tmp_path: Path,
) -> None:
    campaign = _campaign(tmp_path, [Generated(1)])
    list(campaign.run(1))
    results = [(mutant, campaign.verdict(mutant)) for mutant in MUTANTS]
    names = [named(MUTANTS[2]), named(MUTANTS[0]), named(MUTANTS[0]).replace("None", "0")]
    found = figures(results, explanations(_explained(tmp_path, *names)))
    assert dict(found.total) == {KILLED: 1, TIMED_OUT: 1, EQUIVALENT: 2}
    assert [explanation.name for explanation, _ in found.wrong] == names[1:2]
    assert [explanation.name for explanation in found.stale] == names[2:]
    assert not found.good
    assert figures(results, explanations(_explained(tmp_path, names[0]))).good
    assert not figures(results, {}).good


def test_an_explanation_has_a_reason_and_is_given_once(tmp_path: Path) -> None:
    name = named(MUTANTS[2])
    with pytest.raises(Unreadable, match="explained twice"):
        explanations(_explained(tmp_path, name, name))
    (tmp_path / "other.toml").write_text("[[equivalent]]\nwhy = ''\nmutants = '''\na.b\n- c\n+ d\n'''\n")
    with pytest.raises(Unreadable, match="no reason"):
        explanations(tmp_path / "other.toml")


def test_what_is_explained_is_still_in_the_kernel() -> None:
    for one in explanations().values():
        module = explained.module_of(one)
        lines = {line.strip() for line in path_of(module).read_text(encoding="utf-8").split("\n")}
        removed = [line[2:] for line in one.name.split("\n") if line.startswith("- ")]
        assert set(removed) <= lines, f"stale: {one.name}"


@pytest.mark.campaign
def test_every_explanation_has_its_mutant() -> None:
    every = [mutant for module in mutants.modules() for mutant in mutants.mutants_of(module)]
    assert stale(explanations(), every) == []


def test_tests_are_cases_each_run_by_itself_and_what_happens_inside_comes_out(tmp_path: Path) -> None:
    (tmp_path / "test_two.py").write_text(
        "import pytest\n\n@pytest.fixture\ndef three():\n    return 3\n\n"
        "def test_right(three):\n    assert three == 3\n\ndef test_wrong(three):\n    assert three == 4\n"
    )
    found: dict[str, str | None] = {}

    def look(cases: Sequence[Case]) -> None:
        found.update({case.name.partition("::")[2]: case.run() for case in cases})
        raise Unfit("as it should be")

    with pytest.raises(Unfit, match="as it should be"):
        with_tests(look, [tmp_path])
    assert found["test_right"] is None
    assert "assert 3 == 4" in str(found["test_wrong"])
    (tmp_path / "test_three.py").write_text("import nothing_like_it\n")
    with pytest.raises(NotCollected):
        with_tests(look, [tmp_path / "test_three.py"])


def test_what_a_mutant_does_to_the_memory_of_a_machine_others_do_not_see() -> None:
    """Several are tried at the same time, all in children of one process."""
    memory = world_of(Layout()).machine.memory
    place, kept = memory.base, memory.read_word(memory.base)
    child = os.fork()
    if child == 0:
        alone(lambda: memory.write_word(place, kept ^ 1))
    _, status = os.waitpid(child, 0)
    assert status == 0
    assert memory.read_word(place) == kept
