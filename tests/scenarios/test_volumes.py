"""Several file systems as one tree: the claims of `capkernel demo volumes`; what others' tools find on the disks."""

from pathlib import Path

import pytest

from capkernel.tools.demo import volumes
from capkernel.tools.demo.story import Story
from servers.clients.three_trees import FILES, PIECES, content
from servers.storage.littlefs_volume import BLOCK, LittlefsVolume
from tests.servers.fakedisk import FakeDisk
from tests.servers.storage_bench import mounted
from tests.servers.test_fat import needs_tools, tool

NAMES = [f"File {number}.text" for number in range(FILES)]


def expected(name: str) -> bytes:
    return b"".join(content(name, number) for number in range(PIECES))


@pytest.mark.slow
def test_three_file_systems_are_one_tree_whoever_crashes() -> None:
    story = Story("volumes", volumes.TITLE, 0)
    volumes.story(story)
    assert story.holds, list(story.failed())


@pytest.mark.campaign
def test_three_file_systems_are_one_tree_whoever_crashes_at_any_point() -> None:
    story = Story("volumes", volumes.TITLE, 0)
    volumes.story(story, everywhere=True)
    assert story.holds, list(story.failed())


@needs_tools
@pytest.mark.slow
def test_others_tools_find_the_files_on_both_disks(tmp_path: Path) -> None:
    outcome = volumes.play()
    image = tmp_path / "fat"
    image.write_bytes(outcome.fat)
    tool("fsck.fat", "-n", image)
    for name in NAMES:
        assert tool("mtype", "-i", image, f"::{name}").encode() == expected(name)
    disk = FakeDisk(len(outcome.littlefs) // 512)
    disk.durable[:] = outcome.littlefs
    volume = mounted(LittlefsVolume, disk, may_format=False).tree.volume
    for name in NAMES:
        assert disk.run(volume.read(name, 0, BLOCK * 4)) == expected(name)
