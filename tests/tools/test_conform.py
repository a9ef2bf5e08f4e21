"""Replaying recordings: a sample agrees, changes are found, shrunk to scripts that run, and bad input is refused."""

import copy
import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from capkernel.abi.errors import ERROR_NAMES
from capkernel.tools.conform.command import conform
from capkernel.tools.conform.coverage import INVOCATION, Coverage, coverage_of
from capkernel.tools.conform.coverage_report import exercised, not_exercised, to_markdown
from capkernel.tools.conform.possible import POSSIBLE
from capkernel.tools.conform.recordings import read
from capkernel.tools.conform.replay import GROUPS, STEPPED_GROUPS, Outcome, replay
from capkernel.tools.conform.shrink import script, shrink
from capkernel.tools.workers import WorkerDied

GOLDEN = Path(__file__).parent.parent / "golden"
PAGE = GOLDEN.parent.parent / "docs" / "not-checked-against-reality.md"
EVERY = 8
"""By default one program of so many is replayed."""


def programs(group):
    return [recorded.program for recorded in read(GOLDEN / f"{group}.jsonl.gz")]


@pytest.fixture(scope="module")
def first():
    """The first program of each step-by-step group."""
    return {group: next(read(GOLDEN / f"{group}.jsonl.gz")).program for group in STEPPED_GROUPS}


@pytest.fixture
def run():
    app = typer.Typer()
    app.command()(conform)
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


def written(path, *found):
    path.write_text("".join(json.dumps(program) + "\n" for program in found))
    return path


# The recordings agree


@pytest.mark.parametrize("group", GROUPS)
def test_a_sample_of_the_recordings_agrees(group):
    outcomes = [replay(program) for program in programs(group)[::EVERY]]
    assert [outcome.divergence for outcome in outcomes] == [None] * len(outcomes)
    assert sum(outcome.operations for outcome in outcomes) > 0


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS)
def test_all_recordings_agree(group):
    assert [found for program in programs(group) if (found := replay(program).divergence)] == []


def test_a_leftover_in_device_memory_is_assumed_visibly(run, tmp_path):
    program = next(p for p in programs("memory") if p["id"] == "memory-00370")
    result = run(written(tmp_path / "p.jsonl", program), "--jobs", 1)
    assert result.exit_code == 0
    assert "never wrote" in result.stdout
    assert result.stdout.endswith("conform: 1 programs, 49 operations, 0 divergences\n")
    data = json.loads(run(tmp_path / "p.jsonl", "--jobs", 1, "--json").stdout)
    assert [entry["program"] for entry in data["assumed"]] == ["memory-00370"]


def test_nothing_is_assumed_of_ordinary_memory():
    for program in programs("memory")[::EVERY]:
        executes = [i for i, record in enumerate(program["ops"]) if record.get("insn") == "exec" and record["busy"]]
        if executes:
            changed = copy.deepcopy(program)
            record = changed["ops"][executes[0]]
            record["busy"], record["done"] = [], [{"w": record["w"], "diff": {"ra": ["pc", "exec", 4]}}]
            outcome = replay(changed)
            assert outcome.divergence is not None
            assert outcome.assumed == []
            return
    pytest.fail("the sample holds no jump that faults")


# What differs is found


def changed_copy(program):
    """The program with the error of a late successful invocation changed; and which operation that is."""
    changed = copy.deepcopy(program)
    index = [i for i, record in enumerate(changed["ops"]) if record.get("err") == "NoError"][-1]
    changed["ops"][index]["err"] = "RangeError"
    return changed, index


@pytest.mark.parametrize("group", STEPPED_GROUPS)
def test_a_changed_record_is_a_divergence(first, group):
    changed, index = changed_copy(first[group])
    divergence = replay(changed).divergence
    assert divergence.operation == index
    assert divergence.differences == {"err": ("RangeError", "NoError")}


@pytest.mark.parametrize("field", ["map", "done", "busy", "res"])
def test_every_observed_field_counts(first, field):
    program = copy.deepcopy(first["faults"])
    index = max(i for i, record in enumerate(program["ops"]) if field in record)
    record = program["ops"][index]
    other = {"map": lambda v: "Z" + v[1:], "res": lambda v: {**v, "badge": v["badge"] + 1}}
    record[field] = other.get(field, lambda v: [*v, 77])(record[field])
    divergence = replay(program).divergence
    assert divergence.operation == index
    assert field in divergence.differences


def test_a_changed_start_state_is_a_divergence(first):
    program = copy.deepcopy(first["ipc"])
    program["init"]["map"] = "Z" + program["init"]["map"][1:]
    divergence = replay(program).divergence
    assert divergence.operation == -1
    assert "map" in divergence.differences


def test_null_agrees_with_everything(first):
    program = copy.deepcopy(first["faults"])
    received = [record for record in program["ops"] if record.get("res", {}).get("mrs")]
    for record in received:
        record["res"]["badge"] = None
        record["res"]["mrs"] = [None] * len(record["res"]["mrs"])
    assert received
    assert replay(program).divergence is None


def test_a_changed_timeline_is_a_divergence():
    program = copy.deepcopy(programs("time")[0])
    entry = next(entry for entry in program["log"] if "n" in entry)
    entry["n"] += 1
    assert replay(program).divergence is not None


def test_a_replay_that_raises_is_a_divergence(first, run, tmp_path):
    program = copy.deepcopy(first["capspace"])
    name = next(iter(program["ops"][3]["args"]))
    del program["ops"][3]["args"][name]
    result = run(written(tmp_path / "p.jsonl", program, first["capspace"]), "--jobs", 1)
    assert result.exit_code == 1
    assert f"KeyError: '{name}'" in result.stdout
    count = len(first["capspace"]["ops"]) + 4
    assert result.stdout.endswith(f"conform: 2 programs, {count} operations, 1 divergences\n")


def test_a_replay_that_never_ends_is_a_divergence():
    # Worker 0 stores ``j .`` through the alias of a frame and jumps there.
    program = next(p for p in programs("memory") if any(r.get("insn") == "exec" and r["done"] for r in p["ops"]))
    program = copy.deepcopy(program)
    index = next(i for i, r in enumerate(program["ops"]) if r.get("insn") == "exec" and r["done"])
    for record in program["ops"][:index]:
        for register, word in record.get("regs", {}).items():
            if word == 0x8067 and register == "a0":
                record["regs"][register] = 0x6F
                for done in record["done"]:
                    done.get("diff", {}).pop(register, None)
    divergence = replay(program).divergence
    assert divergence.operation == index
    assert "EndlessRunError" in divergence.error


# Scripts


def test_a_divergence_is_cut_to_the_operations_that_matter(first):
    changed, index = changed_copy(first["tcb"])
    divergence = replay(changed).divergence
    small = shrink(changed, divergence)
    assert len(small["ops"]) < index / 2
    assert replay(small).divergence.differences == divergence.differences
    for position in range(len(small["ops"]) - 1):
        fewer = {**small, "ops": small["ops"][:position] + small["ops"][position + 1 :]}
        found = replay(fewer).divergence
        assert found is None or found.differences != divergence.differences


def test_a_cut_map_compares_only_the_slots_that_differ(first):
    program = copy.deepcopy(first["capspace"])
    program["ops"][-1]["map"] = program["ops"][-1]["map"][:63] + "Z"
    divergence = replay(program).divergence
    small = shrink(program, divergence)
    assert small["ops"][-1]["map"] == "?" * 63 + "Z"
    assert replay(small).divergence is not None


def test_the_script_runs_and_shows_expected_and_actual(first, tmp_path):
    changed, _ = changed_copy(first["capspace"])
    divergence = replay(changed).divergence
    path = tmp_path / "divergence.py"
    path.write_text(script(shrink(changed, divergence), divergence))
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "expected 'RangeError'" in done.stdout
    assert "actual   'NoError'" in done.stdout


def test_the_command_prints_a_script_for_a_divergence(first, run, tmp_path):
    changed, index = changed_copy(first["capspace"])
    path = written(tmp_path / "p.jsonl", changed)
    result = run(path, "--jobs", 1)
    assert result.exit_code == 1
    assert f"p.jsonl:1: {changed['id']} differs at operation {index}" in result.stdout
    assert "PROGRAM = {" in result.stdout
    data = json.loads(run(path, "--jobs", 1, "--json").stdout)
    (found,) = data["divergences"]
    assert found["differences"] == {"err": {"expected": "RangeError", "actual": "NoError"}}
    compile(found["script"], "script", "exec")
    assert "PROGRAM" not in run(path, "--jobs", 1, "--scripts", 0).stdout


# The command


def test_several_processes_give_the_same_figures(run, tmp_path):
    path = written(tmp_path / "p.jsonl", *programs("vspace")[:24])
    assert run(path, "--jobs", 2).stdout == run(path, "--jobs", 1).stdout


def test_a_process_that_dies_is_told(run, tmp_path, monkeypatch):
    def dies(*_, **__):
        raise WorkerDied("a worker process ended")

    monkeypatch.setattr("capkernel.tools.conform.command.run", dies)
    result = run(written(tmp_path / "p.jsonl", programs("ipc")[0]))
    assert result.exit_code == 1
    assert result.stderr == "conform: a worker process ended; with --jobs 1 it would be seen why\n"


def test_directories_and_plain_files_are_read(run, first, tmp_path):
    written(tmp_path / "b.jsonl", first["capspace"])
    with gzip.open(tmp_path / "a.jsonl.gz", "wt") as file:
        file.write(json.dumps(first["ipc"]) + "\n\n")
    (tmp_path / "meta.json").write_text("{}")
    assert "conform: 2 programs," in run(tmp_path, "--jobs", 1).stdout


GOOD = {"id": "x", "group": "capspace", "init": {}, "ops": []}


SENT = {
    "op": "worker", "sys": "Send", "w": 0, "cap": 1, "label": 0, "len": 0, "mrs": [], "caps": [], "done": [],
    "busy": [], "map": "",
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("\n{", "bad.jsonl:2: not JSON"),
        ("[1]", "bad.jsonl:1: not a program but a list (expected a JSON object)"),
        ('{"group": "magic"}', "bad.jsonl:1: unknown group 'magic' (expected one of capspace,"),
        (json.dumps({**GOOD, "ops": {}}), "bad.jsonl:1: 'ops' is an object (expected a list)"),
        (json.dumps({**GOOD, "group": "time"}), "bad.jsonl:1: 'log' is nothing (expected a list)"),
        (json.dumps({**GOOD, "ops": [3]}), "bad.jsonl:1: ops[0] is a number (expected an object)"),
        (json.dumps({**GOOD, "ops": [{"op": "Fly"}]}), "bad.jsonl:1: ops[0]: unknown operation 'Fly'"),
        (json.dumps({**GOOD, "ops": [{**SENT, "caps": 5}]}), "ops[0]: 'caps' is a number (expected a list)"),
        (json.dumps({**GOOD, "ops": [{**SENT, "caps": [1] * 9}]}), "ops[0]: 9 caps (expected at most 3)"),
        (json.dumps({**GOOD, "ops": [{**SENT, "recv": [1]}]}), "'recv' has 1 numbers (expected root, index and depth)"),
        (json.dumps({**GOOD, "ops": [{"op": "TCB_Suspend"}]}), "ops[0]: 'args' is nothing (expected an object)"),
        ("", "no programs"),
    ],
)
def test_bad_programs_are_refused(run, tmp_path, text, complaint):
    path = tmp_path / "bad.jsonl"
    path.write_text(text)
    result = run(path)
    assert result.exit_code == 2
    assert complaint in result.stderr
    assert result.stdout == ""


def test_unreadable_files_are_refused(run, tmp_path):
    (tmp_path / "plain.jsonl.gz").write_text("not gzip")
    (tmp_path / "binary.jsonl").write_bytes(b"\xff\xfe")
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b"{}" * 5000)[:20])
    (tmp_path / "empty").mkdir()
    for name in ("plain.jsonl.gz", "binary.jsonl", "cut.jsonl.gz", "empty", "missing.jsonl"):
        result = run(tmp_path / name)
        assert result.exit_code == 2, name
        assert name in result.stderr


def test_markdown_is_a_form_of_coverage(run, tmp_path):
    path = written(tmp_path / "p.jsonl", *programs("capspace")[:2])
    assert run(path, "--markdown").exit_code == 2
    result = run(path, "--jobs", 1, "--coverage", "--markdown")
    assert result.exit_code == 0
    assert result.stdout.startswith("# Not checked against reality")
    count = sum(len(program["ops"]) for program in programs("capspace")[:2])
    assert result.stderr == f"conform: 2 programs, {count} operations, 0 divergences\n"


# Coverage


@pytest.fixture(scope="module")
def counts():
    coverage = Coverage()
    program = programs("ipc")[0]
    assert replay(program, [coverage]) == Outcome(len(program["ops"]), None)
    return coverage_of(program, coverage)


def test_coverage_counts_what_the_records_say(counts):
    program = programs("ipc")[0]
    recorded = {}
    for record in program["ops"]:
        if "err" in record:
            key = record["op"], record["err"]
            recorded[key] = recorded.get(key, 0) + 1
    met = {}
    for (kind, *rest), number in counts.items():
        if kind == INVOCATION:
            key = rest[0], rest[1]
            met[key] = met.get(key, 0) + number
    assert {key: met.get(key, 0) for key in recorded} == recorded


def test_only_possible_errors_are_met():
    for group in ("capspace", "tcb", "vspace"):
        for program in programs(group)[::EVERY]:
            for record in program["ops"]:
                assert ERROR_NAMES.index(record["err"]) in POSSIBLE[record["op"]], record


def test_what_is_not_exercised_is_listed(counts):
    missing = {row[1] for row in not_exercised(counts)[0].rows}
    assert {"DomainSet_ScheduleConfigure", "giga_page", "Timeout"} <= missing
    assert "endpoint" not in missing
    titles = [section.title for section in exercised(counts)]
    assert all(f"## {title}\n" in to_markdown(counts) for title in titles)


def test_the_checked_in_page_names_every_group():
    assert all(f"| {group} |" in PAGE.read_text() for group in GROUPS)


@pytest.mark.campaign
def test_the_checked_in_page_is_up_to_date(run):
    assert run(GOLDEN, "--coverage", "--markdown").stdout == PAGE.read_text()
