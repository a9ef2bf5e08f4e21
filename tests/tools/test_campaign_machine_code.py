"""The fault campaign against a driver of machine code: it is survived, goes the same way again, is counted honestly."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

pytest.importorskip("unicorn", reason="NOT RUN: machine code needs the extra [riscv]")

from capkernel.runtime.programs import MachineCode
from capkernel.tools.campaign import copies
from capkernel.tools.campaign.batch import Batch
from capkernel.tools.campaign.command import campaign
from capkernel.tools.campaign.harms import TOLERATED
from capkernel.tools.campaign.schedule import Planned
from capkernel.tools.campaign.subjects import MIRROR_C, STORAGE, STORAGE_C
from capkernel.tools.inject import Kind
from capkernel.tools.mapped import read_mapped
from hwmodel.cpu.riscv import cpu
from hwmodel.cpu.riscv.engine import find_shim
from tests.crosscompiler import needs_compiler
from tests.runtime.pdelf import build_examples

EVERYWHERE = 10_000
"""More mistakes than the driver has instructions."""
LATE = 1001
"""A batch after the single faults."""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_examples(tmp_path_factory.mktemp("pd")) / "drivers"


def warm(compiled: Path) -> Batch:
    tried = Batch(STORAGE_C, compiled)
    tried.warm_up()
    return tried


@needs_compiler
def test_the_driver_in_c_survives_what_the_one_in_python_survives(compiled: Path) -> None:
    trials = []
    for seed, (target, kind) in enumerate(STORAGE_C.kinds(spoilt=False)):
        rouser = STORAGE_C.by_target.get(target.roused_by)
        more = () if rouser is None else (Planned(rouser, Kind.CRASH, 1, seed, or_later=True),)
        trials.append((Planned(target, kind, 1, seed, or_later=True), *more))
    result = warm(compiled).play_trials(trials)
    assert not result.failed
    assert result.states_checked
    assert set(result.planned) == set(result.activated)
    assert STORAGE_C.kinds(spoilt=False) == STORAGE.kinds(spoilt=False)


@needs_compiler
@pytest.mark.parametrize("kind", [Kind.MUTATION, Kind.MEMORY, Kind.STRAY_STORE, Kind.VARIABLE])
def test_spoilt_machine_code_that_goes_on_does_no_harm_beyond_its_data(compiled: Path, kind: Kind) -> None:
    disk = STORAGE_C.by_target["disk"]
    count = EVERYWHERE if kind is Kind.MUTATION else 1
    result = warm(compiled).play_trials([(Planned(disk, kind, 3, seed, count),) for seed in range(6)])
    assert result.activated[f"disk: {kind}"]
    assert {failed.harm for failed in result.failed} <= TOLERATED


@needs_compiler
@pytest.mark.slow
def test_a_mirror_keeps_its_data_and_its_client_though_one_of_two_drivers_is_spoilt(compiled: Path) -> None:
    tried = Batch(MIRROR_C, compiled)
    tried.warm_up()
    disk, files, mirror = (MIRROR_C.by_target[name] for name in ("disk2", "files", "mirror"))
    trials = [
        (Planned(disk, Kind.MUTATION, 3, seed, count), Planned(files if seed % 2 else mirror, Kind.CRASH, 20, seed))
        for seed, count in enumerate((EVERYWHERE, 100, 100, 10, 3, 1))
    ]
    result = tried.play_trials(trials)
    assert not result.failed
    assert result.activated["disk2: mutation"]


@needs_compiler
def test_after_a_trial_the_code_of_a_driver_that_lives_on_is_as_it_was_compiled(compiled: Path) -> None:
    tried, disk = warm(compiled), STORAGE_C.by_target["disk"]
    stage, outlived = tried.stage, 0
    program = stage.system.programs["disk"][0]
    assert isinstance(program, MachineCode)
    text, life = program.elf.segments[0], stage.injector.lives["disk"]

    def look(line: str) -> None:
        nonlocal life, outlived
        thread = stage.system.threads.get("disk")
        if thread is None or stage.injector.lives["disk"] != life:
            life = stage.injector.lives["disk"]
            return
        for page in text.pages:
            offset, content = text.page(page)
            assert read_mapped(stage.system.machine, thread, page + offset, len(content)) == content
        outlived += 1

    result = tried.play_trials([(Planned(disk, Kind.MUTATION, 1, seed, 2),) for seed in range(12)], look)
    assert outlived > 1
    assert result.activated["disk: mutation"]


@needs_compiler
@pytest.mark.parametrize("number", [0, pytest.param(LATE, marks=pytest.mark.campaign)])
def test_a_batch_of_machine_code_goes_the_same_way_in_every_copy_and_alone(compiled: Path, number: int) -> None:
    copied = copies.play(STORAGE_C.name, number, True, compiled)
    assert copies.play(STORAGE_C.name, number, True, compiled) == copied
    assert warm(compiled).play(number, spoilt=True).data() == copied
    assert copied["activated"]
    assert copied["states_checked"]


@needs_compiler
def test_a_batch_goes_the_same_way_without_the_shim_of_the_emulator(
    compiled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for shim in (find_shim(), None):
        monkeypatch.setattr(cpu, "find_shim", lambda shim=shim: shim)
        found.append(warm(compiled).play(0, spoilt=True).data())
    assert found[0] == found[1]
    assert found[0]["activated"]


def test_what_was_not_compiled_is_not_run_and_said_to_be(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(campaign)
    record = tmp_path / "record.json"
    options = ["--system", STORAGE_C.name, "--compiled", str(tmp_path), "--record", str(record)]
    for more in ([], ["--replay", "1"]):
        result = CliRunner().invoke(app, [*options, *more])
        assert result.exit_code == 3
        assert f"{STORAGE_C.name}: NOT RUN: {tmp_path / 'virtio_blk.elf'} is not there" in result.output
        assert not record.exists()


def test_what_is_no_program_is_said_to_be_none_and_others_do_not_need_it(tmp_path: Path) -> None:
    assert STORAGE.missing(tmp_path) == ""
    (tmp_path / "virtio_blk.elf").write_bytes(b"#!/bin/sh")
    assert "does not begin with the ELF magic number" in STORAGE_C.missing(tmp_path)


@needs_compiler
def test_nothing_is_missing_once_it_was_compiled(compiled: Path) -> None:
    assert STORAGE_C.missing(compiled) == ""
