"""docs/hurd.md: its example is what runs, and does what is said there; so do the other translators to build on."""

import re
from importlib.resources import files
from pathlib import Path

from capkernel.tools.demo.hurd.playing import play

PAGE = Path(__file__).parents[2] / "docs" / "hurd.md"


def test_the_example_is_the_program_and_serves_lines() -> None:
    found = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    source = (Path(str(files("servers.hurd.translators"))) / "lines.py").read_text()
    assert found is not None
    assert source.split('"""\n\n', 1)[1] == found[1]
    told = play(programs={"alice": "hurd_poet"}, users=("alice",), longest_us=100_000)
    assert not told.run.faults, told.run.crashes
    assert told.alice == {
        "passive": "two\n", "itself": "one\ntwo\nthree\n", "active": "three\n", "missing": "NotFound",
        "names": "1,2,3",
    }  # fmt: skip


def test_a_directory_in_memory_and_a_link_to_it_are_one() -> None:
    told = play(programs={"alice": "hurd_linker"}, users=("alice",), longest_us=100_000)
    assert not told.run.faults, told.run.crashes
    assert told.alice == {
        "read": "in memory", "back": "through the link", "names": "back,note", "read-only": "NotPermitted",
        "below": "0",
    }  # fmt: skip


def test_the_page_names_every_scenario_and_module() -> None:
    page = PAGE.read_text()
    assert all(f"hu-{number}" in page or f"`hu-1` to `hu-{number}`" in page for number in (1, 2, 3, 4, 5, 6))
    modules = [path.stem for path in Path(str(files("servers.hurd"))).glob("*.py") if path.stem != "__init__"]
    assert all(f"`{module}`" in page for module in modules)
