"""Live replacement: every claim of `capkernel demo replace`, and that they can fail."""

from typing import Any

import pytest

from capkernel.tools.demo import replace, replace_watchers
from capkernel.tools.demo.replacing import ClientReport, total
from capkernel.tools.demo.stage import DISK_BYTES
from capkernel.tools.demo.story import Story
from capkernel.tools.inject import Fault, Kind
from hwmodel.block import RamDisk
from hwmodel.virtio import virtio_blk
from servers.clients import network_user
from servers.system.retiring import LEFT, NOTHING
from tests.servers.unhurried import UnhurriedStage


def told(*, everywhere: bool = False) -> Story:
    story = Story("replace", replace.TITLE, 0)
    replace.story(story, everywhere=everywhere)
    return story


@pytest.mark.slow
@pytest.mark.parametrize("is_busy", [False, pytest.param(True, marks=pytest.mark.campaign)])
def test_servers_give_way_to_others_while_clients_use_them(is_busy: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where others are replaced than those whose clients are to wait, and it is not to be as busy, these pause."""
    if not is_busy:
        monkeypatch.setattr(replace_watchers, "Stage", UnhurriedStage)
        monkeypatch.setattr(network_user, "BROWSERS", 1)
    story = told()
    assert story.holds, list(story.failed())


@pytest.mark.campaign
def test_whenever_the_new_file_server_crashes_while_it_starts_the_old_one_goes_on() -> None:
    story = told(everywhere=True)
    assert story.holds, list(story.failed())


@pytest.fixture
def pausing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that pause between their rounds."""
    monkeypatch.setattr(replace, "Stage", UnhurriedStage)


@pytest.mark.slow
@pytest.mark.usefixtures("pausing")
def test_a_file_server_that_loses_its_state_is_noticed_by_its_clients() -> None:
    """Once it serves there is no way back: after a crash the caps lead nowhere, and the clients say so."""
    outcome = replace.play((Fault("files", 260, Kind.CRASH, life=2),))
    assert outcome.activated
    assert outcome.refused == replace.REFUSED
    assert outcome.total.failed


@pytest.mark.slow
@pytest.mark.usefixtures("pausing")
@pytest.mark.parametrize("server", ["scratch", "mounts"])
def test_so_is_another_server_that_loses_its_state(server: str) -> None:
    outcome = replace.play((Fault(server, 4, Kind.CRASH, life=2),))
    assert outcome.activated
    assert outcome.refused == replace.REFUSED
    assert outcome.total.failed


@pytest.mark.slow
@pytest.mark.parametrize(("server", "region"), [("scratch", "scratch_state"), ("mounts", "mounts_state")])
def test_a_state_that_is_damaged_is_refused_by_both_programs_and_then_forgotten(server: str, region: str) -> None:
    stage = UnhurriedStage("replace", devices={"virtio1": virtio_blk(RamDisk(DISK_BYTES))})
    former: set[Any] = set()

    def damage(trap: Any) -> None:
        """As soon as the server has another life; the first word says whether there is a state."""
        thread = stage.system.threads.get(server)
        if thread is not None and thread not in former:
            mark = stage.words(region, 1)[0] if former else NOTHING
            former.add(thread)
            if mark == LEFT:
                stage.write_words(region, mark, *[0xDEAD] * 100)

    stage.system.loop.observers.append(damage)
    assert stage.run_until(lambda: stage.words("report", 3)[2] == 1, 4_000_000)
    run = stage.run(time_us=2_000)
    replaced, refused, _ = stage.words("report", 3)
    clients = [stage.report(ClientReport, name) for name in replace.REPORTS]
    stage.close()
    assert run.output.count(f"{server}: what was left is of no use") == 2
    assert (replaced, refused) == (replace.REPLACEMENTS, replace.REFUSED + 1), "it works when it is tried again"
    assert total(clients).failed, "what was lost is known to be lost"
    assert not total(clients[:3]).bad, "nobody else is concerned"


@pytest.mark.slow
def test_more_files_in_memory_than_can_be_handed_over_hold_up_an_update_and_nobody_else() -> None:
    devices = {"virtio1": virtio_blk(RamDisk(DISK_BYTES))}
    stage = UnhurriedStage("replace", devices=devices, programs={"client3": "hoarder.elf"})
    assert stage.run_until(lambda: stage.words("report", 2)[1] > replace.REFUSED, 4_000_000, 1_000)
    run = stage.run(time_us=2_000)
    reports = [stage.report(ClientReport, name) for name in replace.REPORTS if name != "journal3"]
    stage.close()
    assert "scratch: cannot give way" in run.output
    assert all(report.rounds and not report.bad for report in reports)
    assert not run.faults


@pytest.mark.slow
def test_a_client_with_more_caps_than_can_be_written_down_holds_up_an_update_and_nobody_else() -> None:
    devices = {"virtio1": virtio_blk(RamDisk(DISK_BYTES))}
    stage = UnhurriedStage("replace", devices=devices, programs={"client2": "hoarder.elf"})
    assert stage.run_until(lambda: stage.words("report", 2)[1] > replace.REFUSED, 4_000_000, 1_000)
    run = stage.run(time_us=2_000)
    reports = [stage.report(ClientReport, name) for name in replace.REPORTS[:2]]
    stage.close()
    assert "files: cannot give way" in run.output
    assert all(report.rounds and not report.bad for report in reports)
    assert not run.faults
