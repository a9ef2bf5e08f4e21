"""Live replacement: every claim of `capkernel demo replace`, and that they can fail."""

import pytest

from capkernel.tools.demo import replace
from capkernel.tools.demo.stage import DISK_BYTES, Stage
from capkernel.tools.demo.story import Story
from capkernel.tools.inject import Fault, Kind
from hwmodel.block import RamDisk
from hwmodel.virtio import virtio_blk


def told(*, everywhere: bool = False) -> Story:
    story = Story("replace", replace.TITLE, 0)
    replace.story(story, everywhere=everywhere)
    return story


@pytest.mark.slow
def test_servers_give_way_to_others_while_clients_use_them() -> None:
    story = told()
    assert story.holds, list(story.failed())


@pytest.mark.campaign
def test_whenever_the_new_file_server_crashes_while_it_starts_the_old_one_goes_on() -> None:
    story = told(everywhere=True)
    assert story.holds, list(story.failed())


@pytest.mark.slow
def test_a_file_server_that_loses_its_state_is_noticed_by_its_clients() -> None:
    """Once it serves there is no way back: after a crash the caps lead nowhere, and the clients say so."""
    outcome = replace.play((Fault("files", 260, Kind.CRASH, life=2),))
    assert outcome.activated
    assert outcome.refused == replace.REFUSED
    assert outcome.total(replace.FAILED)


@pytest.mark.slow
def test_a_client_with_more_caps_than_can_be_written_down_holds_up_an_update_and_nobody_else() -> None:
    stage = Stage("replace", devices={"virtio1": virtio_blk(RamDisk(DISK_BYTES))}, programs={"client2": "hoarder.elf"})
    assert stage.run_until(lambda: stage.words("report", 2)[1] > replace.REFUSED, 4_000_000, 1_000)
    run = stage.run(time_us=2_000)
    reports = [stage.words(name, 8) for name in replace.REPORTS[:2]]
    stage.close()
    assert "files: cannot give way" in run.output
    assert all(words[replace.ROUNDS] for words in reports)
    assert all(not words[place] for words in reports for place in (replace.FAILED, replace.WRONG, replace.WAYS_IN))
    assert not run.faults
