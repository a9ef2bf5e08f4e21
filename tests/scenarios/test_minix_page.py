"""docs/minix.md: its manifest can be read, and the modules, programs and demonstrations that it names are there."""

import re
from importlib.metadata import entry_points
from pathlib import Path

from capkernel.tools.demo.command import DEMOS
from servers.system.manifest import read_manifest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "minix.md").read_text()


def test_the_manifest_of_the_page_is_one() -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    timer = '[[service]]\nlabel = "timer"\nchild = 1\npatience = 3\n'
    disk, _ = read_manifest(block + timer)
    assert (disk.label, disk.patience, disk.relies_on) == ("disk", 3, ("timer",))


def test_what_the_page_names_is_there() -> None:
    named = re.findall(r"`(servers/[a-z_]+/[a-z_]+)`(?:, )?((?:`[a-z_0-9]+`(?:, )?)*)", PAGE)
    paths = {first for first, _ in named} | {
        f"{first.rpartition('/')[0]}/{other}" for first, others in named for other in re.findall("`([^`]+)`", others)
    }
    assert len(paths) >= 10
    assert not [path for path in paths if not (ROOT / f"{path}.py").exists()]
    demos = {point.name for point in entry_points(group=DEMOS)}
    assert set(re.findall(r"^\| (mx-\d) ", PAGE, re.MULTILINE)) == {name for name in demos if name.startswith("mx-")}
