"""The fault campaign: a sample of every kind of fault is survived, goes the same way again, and is counted honestly."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from capkernel.cli import COMMANDS
from capkernel.tools.campaign import copies
from capkernel.tools.campaign import record as records
from capkernel.tools.campaign.batch import Batch
from capkernel.tools.campaign.command import campaign
from capkernel.tools.campaign.copies import HostKilled
from capkernel.tools.campaign.harms import TOLERATED, Harm
from capkernel.tools.campaign.promises import Campaign, all_that_keep_data
from capkernel.tools.campaign.record import Record, Sums
from capkernel.tools.campaign.schedule import TRIALS, Planned, batch
from capkernel.tools.campaign.subjects import STORAGE, SUBJECTS, Subject
from capkernel.tools.inject import Kind
from capkernel.tools.mutation import Text
from hwmodel.block import SECTOR
from hwmodel.faults import FaultKind
from tests.servers.net.wire import needs_lwip

EVERYWHERE = 10_000
"""More mistakes than a program has places for."""
LATE = 1001
"""A batch after the single faults."""


def found(**changes: Any) -> dict[str, Any]:
    """What came of a batch."""
    return {
        "planned": {"disk: crash": 2}, "activated": {"disk: crash": 1}, "failed": [], "trials": 2, "retries": 1,
        "rounds": 4, "recoveries_us": [5.0, 1.0, 3.0], "states_checked": 3, "trace_hash": "x", **changes,
    }  # fmt: skip


def failure(harm: Harm) -> dict[str, Any]:
    return {
        "trial": 7, "kind": "disk: crash", "planned": "disk: crash 3 steps ahead", "harm": harm, "detail": "",
    }  # fmt: skip


def sample(subject: Subject, *, spoilt: bool) -> Iterator[tuple[Planned, ...]]:
    """Each kind in each target, at the next step at which it can happen."""
    for seed, (target, kind) in enumerate(subject.kinds(spoilt=spoilt)):
        planned = Planned(target, kind, 1, seed, count=EVERYWHERE if kind is Kind.MUTATION else 1, or_later=True)
        rouser = subject.by_target.get(target.roused_by)
        yield (planned,) if rouser is None else (planned, Planned(rouser, Kind.CRASH, 1, seed, or_later=True))


@pytest.mark.parametrize("name", [
    "storage", pytest.param("mirror", marks=pytest.mark.slow),
    pytest.param("network", marks=[needs_lwip, pytest.mark.slow]),
    pytest.param("console", marks=pytest.mark.slow), pytest.param("processes", marks=pytest.mark.slow),
])  # fmt: skip
def test_a_fault_of_every_kind_in_every_target_happens_and_is_survived(name: str) -> None:
    tried = Batch(SUBJECTS[name])
    tried.warm_up()
    trials = list(sample(SUBJECTS[name], spoilt=False))
    if name == "processes":
        # Its rounds take long, so there are fewer trials, of more faults.
        trials = [tuple(chain(*trials[first :: len(trials) // 3])) for first in range(len(trials) // 3)]
    result = tried.play_trials(trials)
    assert not result.failed
    assert result.states_checked
    kinds = {f"{target.name}: {kind}" for target, kind in SUBJECTS[name].kinds(spoilt=False)}
    assert kinds == set(result.planned) == set(result.activated)


@pytest.mark.parametrize("kind", [Kind.MUTATION, Kind.MEMORY, Kind.STRAY_STORE, Kind.VARIABLE])
def test_a_driver_that_is_spoilt_and_goes_on_does_no_harm_beyond_its_data(kind: Kind) -> None:
    tried = Batch(STORAGE)
    tried.warm_up()
    disk = STORAGE.by_target["disk"]
    count = EVERYWHERE if kind is Kind.MUTATION else 1
    result = tried.play_trials([(Planned(disk, kind, 3, seed, count),) for seed in range(3)])
    assert result.activated[f"disk: {kind}"]
    assert {failed.harm for failed in result.failed} <= TOLERATED


@pytest.mark.parametrize("name", SUBJECTS)
def test_the_schedule_has_each_kind_at_each_step_and_then_pairs_and_groups(name: str) -> None:
    subject = SUBJECTS[name]
    single = [faults[0] for number in range(60) for faults in batch(subject, number) if faults[-1].seed < 60 * TRIALS]
    steps = {(target.name, kind, ahead) for target, kind in subject.kinds(spoilt=False)
             for ahead in range(1, target.steps + 1)}  # fmt: skip
    assert {(fault.target.name, fault.kind, fault.ahead) for fault in single} >= steps
    assert {len(faults) for number in (LATE, LATE + 1) for faults in batch(subject, number)} == {2, 6}
    assert list(batch(subject, LATE)) == list(batch(subject, LATE))
    assert list(batch(subject, LATE, spoilt=True)) != list(batch(subject, LATE + 1, spoilt=True))


@pytest.mark.campaign
def test_a_batch_goes_the_same_way_in_every_copy_of_a_system_and_in_one_of_its_own() -> None:
    copied = copies.play("storage", LATE, spoilt=True)
    assert copies.play("storage", LATE, spoilt=True) == copied
    alone = Batch(STORAGE)
    alone.warm_up()
    assert alone.play(LATE, spoilt=True).data() == copied
    assert copied["activated"]
    assert copied["states_checked"]


def test_a_record_counts_batches_once_and_goes_on_with_those_that_are_missing(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    record = Record(path)
    for number in (0, 1, 3):
        record.add("storage", number, found())
    again = Record(path).of("storage")
    assert again.done == [[0, 2], [3, 4]]
    missing = again.missing()
    assert [next(missing) for _ in range(3)] == [2, 4, 5]
    assert (again.planned.total(), again.activated.total()) == (6, 3)
    assert (again.recoveries.total(), again.median_us, again.trials) == (9, 3.0, 6)


def test_a_record_does_not_grow_with_the_faults(tmp_path: Path) -> None:
    record = Record(tmp_path / "record.json")
    sizes = []
    for number in range(400):
        record.add("storage", number, found(failed=[failure(Harm.LOST)], recoveries_us=[float(number % 7)]))
        sizes.append((tmp_path / "record.json").stat().st_size)
    assert sizes[399] - sizes[200] < 100
    assert record.of("storage").harms == Counter({Harm.LOST: 400})


@pytest.mark.parametrize(("corruption", "harm", "status"), [
    (False, Harm.LOST, 1), (False, Harm.ERROR, 1), (True, Harm.LOST, 0), (True, Harm.HANG, 1),
    (True, Harm.INVARIANT, 1),
])  # fmt: skip
def test_what_was_not_survived_is_said_and_fails(tmp_path: Path, corruption: bool, harm: Harm, status: int) -> None:
    path = tmp_path / "record.json"
    Record(path).add("storage, corruption" if corruption else "storage", 0, found(failed=[failure(harm)]))
    app = typer.Typer()
    app.command()(campaign)
    options = ["--system", "storage", "--faults", "1", "--record", str(path), *["--corruption"] * corruption]
    result = CliRunner().invoke(app, options)
    assert result.exit_code == status
    assert f"batch 0, trial 7 (disk: crash 3 steps ahead): {harm}" in " ".join(result.output.split())
    assert COMMANDS["campaign"]
    assert Harm.HANG not in TOLERATED


def played(path: Path, name: str, *, corruption: bool, **changes: Any) -> Result:
    """What the command says of a record with one batch, enough for it to play nothing more."""
    Record(path).add(f"{name}, corruption" if corruption else name, 0, found(**changes))
    app = typer.Typer()
    app.command()(campaign)
    options = ["--system", name, "--faults", "1", "--record", str(path), *["--corruption"] * corruption]
    return CliRunner().invoke(app, options)


@pytest.mark.parametrize("harm", [Harm.LOST, Harm.ERROR])
def test_a_mirror_must_keep_its_data_though_a_driver_is_spoilt(harm: Harm, tmp_path: Path) -> None:
    protected = played(tmp_path / "mirror", "mirror", corruption=True, failed=[failure(harm)])
    assert protected.exit_code == 1
    assert f"mirror, corruption: NOT KEPT: {harm}: 1" in protected.output
    bare = played(tmp_path / "storage", "storage", corruption=True, failed=[failure(harm)])
    assert bare.exit_code == 0
    told = f"storage, corruption: A CONTRAST: kept what it promises in 2 trials; {harm}: 1: that is not promised"
    assert told in " ".join(bare.output.split())


@pytest.mark.parametrize(("name", "corruption", "harm", "mark"), [
    ("mirror", True, Harm.LOST, "promised, NOT KEPT"), ("mirror", True, Harm.HANG, "promised, NOT KEPT"),
    ("storage", False, Harm.LOST, "promised, NOT KEPT"), ("storage", True, Harm.HANG, "promised, NOT KEPT"),
    ("storage", True, Harm.LOST, "NOT PROMISED, and it happened"),
    ("network", True, Harm.ERROR, "NOT PROMISED, and it happened"),
    ("network", True, Harm.LOST, "promised, NOT KEPT"),
    ("monolith", False, Harm.DIED, "NOT PROMISED, and it happened"),
])  # fmt: skip
def test_the_table_says_of_each_harm_whether_it_was_promised_not_to_happen_and_if_that_was_kept(
    name: str, corruption: bool, harm: Harm, mark: str, tmp_path: Path
) -> None:
    if name == "network":
        pytest.importorskip("servers.net.lwip._lwip", reason="NOT RUN: the network needs lwIP")
    result = played(tmp_path / "record.json", name, corruption=corruption, failed=[failure(harm)])
    rows = [line.split() for line in result.output.splitlines()]
    for each in Harm:
        words = next(row for row in rows if row[: len(each.split())] == each.split())
        times, said = words[len(each.split())], " ".join(words[len(each.split()) + 1 :])
        if each is harm:
            assert (times, said) == ("1", mark)
        else:
            assert times == "0"
            assert said in ("promised, kept", "not promised")
    assert result.exit_code == (1 if "KEPT" in mark else 0)


def test_json_says_what_is_promised_and_whether_it_was_kept(tmp_path: Path) -> None:
    for name, kept in (("mirror", False), ("storage", True)):
        path = tmp_path / f"{name}.json"
        Record(path).add(f"{name}, corruption", 0, found(failed=[failure(Harm.LOST)]))
        app = typer.Typer()
        app.command()(campaign)
        options = ["--system", name, "--corruption", "--faults", "1", "--record", str(path), "--json"]
        result = CliRunner().invoke(app, options)
        assert result.exit_code == (0 if kept else 1)
        told = json.loads(result.stdout)[f"{name}, corruption"]
        assert told["harms"][Harm.LOST] == 1
        assert (told["promised"][Harm.LOST], told["contrast"]) == (not kept, kept)
        assert told["promised"][Harm.HANG] is True
        assert told["kept"] is kept


def test_only_one_driver_of_a_mirror_is_spoilt_in_a_batch_and_who_remembers_crashes() -> None:
    subject = SUBJECTS["mirror"]
    for number in range(6):
        trials = list(batch(subject, number, spoilt=True))
        spoilt = {fault.target.name for faults in trials for fault in faults if fault.kind is not Kind.CRASH}
        assert spoilt == {subject.one_of[number % 2]}
        assert {faults[-1].target.name for faults in trials} == {"files", "mirror"}
        assert all(faults[-1].kind is Kind.CRASH for faults in trials)
    singles = {
        (fault.target.name, fault.kind, fault.ahead)
        for number in range(8)
        for fault, _ in batch(subject, number, spoilt=True)
    }
    assert singles >= {
        (target.name, kind, ahead)
        for number in range(2)
        for target, kind in subject.kinds(spoilt=True, number=number)
        for ahead in range(1, target.steps + 1)
    }


def test_the_client_hardly_works_while_what_was_left_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capkernel.tools.campaign.batch.REST_US", 200_000)
    tried = Batch(SUBJECTS["mirror"])
    tried.warm_up()
    assert tried.subject.spare
    region, word = tried.subject.spare
    tried.stage.write_words(region, *[0] * word, 1)
    began, rounds = tried.stage.system.machine.now(), tried.stage.words("report", 1)[0]
    crash = Planned(tried.subject.by_target["files"], Kind.CRASH, 1, 0)
    result = tried.play_trials([(crash,)])
    assert not result.failed
    assert tried.stage.system.machine.now() - began > 200_000 * 10
    assert 5 < result.rounds - rounds < 50


def test_sums_of_several_campaigns_are_added() -> None:
    together = Sums()
    for harm in (Harm.LOST, Harm.HANG):
        sums = Sums()
        sums.add(0, found(failed=[failure(harm)]))
        together.merge(sums)
    assert together.planned.total() == 4
    assert together.harms.total() == len(together.failed) == 2


def test_a_system_that_is_not_there_is_refused() -> None:
    app = typer.Typer()
    app.command()(campaign)
    assert "none of storage" in CliRunner().invoke(app, ["--system", "nothing"]).output
    assert CliRunner().invoke(app, ["--replay", "1"]).exit_code == 2


def test_what_is_no_record_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(campaign)
    for text in ("# A page", "[1, 2]", '{"storage": 3}'):
        file = tmp_path / "page.md"
        file.write_text(text)
        result = CliRunner().invoke(app, ["--record", str(file), "--system", "storage", "--faults", "1"])
        assert result.exit_code == 2
        assert "no record of a campaign" in result.output
        assert file.read_text() == text


@pytest.mark.parametrize(("name", "device_name"), [
    ("monolith", "disk device"), pytest.param("monolith-network", "card device", marks=needs_lwip),
])  # fmt: skip
def test_a_monolith_promises_nothing_and_its_client_dies_of_what_isolated_servers_survive(
    name: str, device_name: str
) -> None:
    tried = Batch(SUBJECTS[name])
    tried.warm_up()
    domain, device = (SUBJECTS[name].by_target[target] for target in ("monolith", device_name))
    kinds = [(domain, Kind.CRASH), (device, FaultKind.RESET), (domain, Kind.HANG)]
    result = tried.play_trials((Planned(target, kind, 3, seed),) for seed, (target, kind) in enumerate(kinds))
    assert [(failed.trial, failed.harm) for failed in result.failed] == [(0, Harm.DIED), (2, Harm.DIED)]
    assert result.trials == 3
    assert len(result.recoveries_us) == 2
    assert result.rounds > 3 * 8
    assert result.states_checked


def test_the_next_life_of_a_client_looks_for_what_the_former_was_told_would_last() -> None:
    tried = Batch(SUBJECTS["monolith"])
    tried.warm_up()
    domain, disk = SUBJECTS["monolith"].by_target["monolith"], tried.stage.disk

    def trials() -> Iterator[tuple[Planned, ...]]:
        yield (Planned(domain, Kind.CRASH, 3, 0),)
        disk.write(0, bytes(SECTOR * disk.sectors))
        yield (Planned(domain, Kind.CRASH, 3, 1),)

    result = tried.play_trials(trials())
    harms = [(failed.trial, failed.harm) for failed in result.failed]
    assert harms == [(0, Harm.DIED), (1, Harm.DIED), (1, Harm.LOST)]


def test_mistakes_are_made_in_the_drivers_code_alone_whether_it_is_isolated_or_a_part() -> None:
    found = []
    for name, domain in (("storage", "disk"), ("monolith", "monolith")):
        tried = Batch(SUBJECTS[name])
        tried.warm_up()
        text = tried.stage.injector.text(domain)
        assert isinstance(text, Text)
        found.append({function.__qualname__ for function in text.functions})
        tried.stage.close()
    isolated, linked = found
    assert isolated == linked
    assert {"Program.notified", "Disk.perform"} < linked
    assert not any(name.startswith(("LittlefsVolume", "Churning", "Domain")) for name in linked)


@pytest.mark.parametrize(("harm", "status"), [(Harm.DIED, 0), (Harm.HANG, 0), (Harm.LOST, 0), (Harm.INVARIANT, 1)])
def test_what_happens_in_a_monolith_is_told_and_only_the_kernels_part_fails(
    tmp_path: Path, harm: Harm, status: int
) -> None:
    path = tmp_path / "record.json"
    Record(path).add("monolith", 0, found(failed=[failure(harm)]))
    app = typer.Typer()
    app.command()(campaign)
    result = CliRunner().invoke(app, ["--system", "monolith", "--faults", "1", "--record", str(path)])
    assert result.exit_code == status
    assert f"{harm}: 1" in " ".join(result.output.split())
    assert ("A CONTRAST" in result.output) is not bool(status)


def test_all_systems_are_those_that_promise_to_lose_nothing() -> None:
    sound, spoilt = ({each.system for each in all_that_keep_data(corruption=flag)} for flag in (False, True))
    assert set(SUBJECTS) - sound == {"monolith", "monolith-network"}
    assert spoilt == {"mirror", "mirror-c", "network"}
    assert {name for name in SUBJECTS if Campaign(name, corruption=True).is_contrast} == set(SUBJECTS) - spoilt


class Stand:
    """In place of a system that is warm: its batch does something to its process, or says what came of it."""

    def __init__(self, work: Callable[[], None]) -> None:
        self.work = work
        self.stage = self.system = self.machine = self.memory = self

    def separate(self) -> None:
        """There is no memory."""

    def play(self, number: int, *, spoilt: bool) -> copies.Result:
        self.work()
        return copies.Result(trials=number)


def played_alone(monkeypatch: pytest.MonkeyPatch, work: Callable[[], None]) -> dict[str, Any]:
    monkeypatch.setattr(copies, "_warm", lambda subject, compiled: Stand(work))
    return copies.play("storage", 7, spoilt=False)


def compute_for_ever() -> None:
    while True:
        pass


def compute_deaf() -> None:
    signal.signal(signal.SIGXCPU, signal.SIG_IGN)
    compute_for_ever()


def crash() -> None:
    """As code in C might."""
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGSEGV)


def take_all_memory() -> None:
    assert bytearray(2 * copies.MEMORY)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_a_batch_whose_process_the_host_ends_is_no_failure_of_the_batch(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    def end() -> None:
        if number is not signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)  # Tests that run in the background may have been told to ignore it.
        os.kill(os.getpid(), number)

    with pytest.raises(HostKilled, match=f"the host ended its process by {number.name}"):
        played_alone(monkeypatch, end)


def test_a_batch_that_uses_up_its_processor_time_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "SECONDS", 1)
    monkeypatch.setattr(copies, "GRACE", 1)
    for work, name in ((compute_for_ever, "SIGXCPU"), (compute_deaf, "SIGKILL")):
        (failed,) = played_alone(monkeypatch, work)["failed"]
        assert failed["harm"] == Harm.GAVE_UP
        assert failed["detail"] == f"its process was ended by {name}, after the 1 s of processor time that it may take"


@pytest.mark.parametrize(("work", "detail"), [
    (take_all_memory, "its process ended with status 1"), (crash, "its process was ended by SIGSEGV"),
])  # fmt: skip
def test_a_batch_that_ends_its_process_itself_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], work: Callable[[], None], detail: str
) -> None:
    (failed,) = played_alone(monkeypatch, work)["failed"]
    assert (failed["harm"], failed["detail"]) == (Harm.GAVE_UP, detail)
    assert ("MemoryError" in capfd.readouterr().err) is (work is take_all_memory)


def test_a_batch_that_ends_as_it_should_says_what_came_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert played_alone(monkeypatch, lambda: None)["trials"] == 7


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(each) for task in tasks for each in task.read_text().split()]


def batches(pid: int) -> list[int]:
    """The processes in which batches are played: what the command's workers have forked."""
    found = [each for worker in children(pid) for each in children(worker)]
    return [each for each in found if "spawn_main" in Path(f"/proc/{each}/cmdline").read_text()]


def playing(record: Path) -> tuple["subprocess.Popen[str]", list[int]]:
    """A campaign that has begun to play, and the processes of its batches."""
    command = ["campaign", "--system", "storage", "--faults", "1", "--record", str(record)]
    run = subprocess.Popen(
        [sys.executable, "-m", "capkernel", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )  # fmt: skip
    while not (found := batches(run.pid)):
        assert run.poll() is None
        time.sleep(0.01)
    return run, found


@pytest.mark.slow
def test_a_batch_that_the_host_killed_is_told_and_played_again_and_not_recorded_as_a_failure(tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    run, found = playing(record)
    os.kill(found[0], signal.SIGKILL)
    _, err = run.communicate(timeout=300)
    assert "storage, batch 0: the host ended its process by SIGKILL" in err
    assert "it is not recorded, and played again" in err
    sums = Record(record).of("storage")
    assert sums.done == [[0, 1]]
    assert not sums.failed
    assert run.returncode == 0


@pytest.mark.slow
def test_a_campaign_whose_worker_is_killed_says_so_and_goes_on_when_it_is_called_again(tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    run, found = playing(record)
    worker = next(each for each in children(run.pid) if found[0] in children(each))
    os.kill(worker, signal.SIGKILL)
    os.kill(found[0], signal.SIGKILL)
    _, err = run.communicate(timeout=300)
    assert run.returncode == 3
    assert "NOT RUN to its end" in err
    assert f"the same command goes on from {record}" in " ".join(err.split())
    assert not Record(record).of("storage").done


@pytest.mark.slow
def test_a_batch_that_is_killed_again_and_again_ends_the_campaign_and_is_not_recorded(tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    command = ["campaign", "--system", "storage", "--faults", "1", "--record", str(record)]
    run = subprocess.Popen(
        [sys.executable, "-m", "capkernel", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )  # fmt: skip
    while run.poll() is None:
        for each in batches(run.pid):
            os.kill(each, signal.SIGKILL)
        time.sleep(0.01)
    _, err = run.communicate()
    assert run.returncode == 3
    assert "was not played in 3 attempts" in err
    assert not Record(record).of("storage").done


def test_it_is_told_how_many_trials_are_of_earlier_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "record.json"
    monkeypatch.setattr(records, "sources", lambda: "earlier")
    Record(path).add("storage", 5, found(trials=3))
    monkeypatch.undo()
    result = played(path, "storage", corruption=False)
    said = " ".join(result.output.split())
    assert "storage: kept what it promises in 5 trials (3 of them of earlier sources)" in said
    assert Record(path).of("storage").trials_of == Counter({"earlier": 3, records.sources(): 2})
