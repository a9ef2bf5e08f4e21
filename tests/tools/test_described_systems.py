"""Every description in the repository is accepted as ``capkernel check`` reads it, with the tables that it names."""

import re
from pathlib import Path
from typing import Final

import pytest

from capkernel.system.board import find_board
from capkernel.system.diagnostics import DescriptionError
from capkernel.system.extensions import load_extensions
from capkernel.system.microkit import load
from capkernel.tools.overlay import lay_over
from capkernel.tools.tables import need_tables
from hwmodel.board import BOARDS

ROOT: Final = Path(__file__).parents[2]
OVERLAYS: Final = {
    "mirrored": ["mirrored"], "on_virt_sifive": ["on_virt_sifive"],
    "mirrored_on_virt_sifive": ["mirrored", "on_virt_sifive", "mirrored_on_virt_sifive"],
}  # fmt: skip
"""Directories of changes to the description above them, and what is laid over that, in order."""
IDENTITY: Final = 'identity = "00112233445566778899aabbccddeeff"\n'
SYSTEMS: Final = [
    path for top in ("examples", "policies", "servers", "bench") for path in sorted((ROOT / top).rglob("*.system"))
    if path.name != "remote.system"
]  # fmt: skip
"""The story of ``remote`` makes the files that it names."""


def refused(path: Path, places: list[Path], board: str) -> str:
    """Why a description is refused for a board; empty if it is accepted."""
    try:
        system = load(path, search_path=places, board=find_board(board))
        need_tables(system, load_extensions(path, system), places)
    except DescriptionError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("path", SYSTEMS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_description_is_accepted_for_a_board(path: Path, tmp_path: Path) -> None:
    places = [path.parent, path.parent.parent]
    for overlay in OVERLAYS.get(path.parent.name, []):
        base = tmp_path / path.name
        path = lay_over(base if base.exists() else places[1] / path.name, places[1] / overlay, tmp_path)
    if path.parent == tmp_path:
        (tmp_path / "mirror_name.toml").write_text(IDENTITY)
        places = [tmp_path, places[1]]
    why = {board: refused(path, places, board) for board in BOARDS}
    assert "" in why.values(), why


def test_the_descriptions_that_a_stage_takes_in_place_of_others_are_among_them() -> None:
    names = {str(path.relative_to(ROOT / "servers" / "systems")) for path in SYSTEMS if "servers/systems" in str(path)}
    assert {"alone/monolith.system", "campaign/monolith_network.system", "no_iommu/storage.system"} <= names


OS: Final = ROOT / "servers" / "systems" / "os.system"
MOVED: Final = [
    ("every end of a channel", r'<end pd="\w+" id="(\d+)"', "59"), ("interrupts", r'<irq irq="\d+" id="(\d+)"', "58"),
    ("slots of lifecycles and endpoints", r'kind="(?:lifecycle|endpoint)" of="\w+" slot="(\d+)"', "505"),
    ("variables", r'setvar_vaddr="(\w+)"', "nonsense"),
]  # fmt: skip
OPTIONAL: Final = {"files", "network", "scratch", "mounts", "bin"}
"""Servers that can do without a slot of their own endpoint: they are not given caps in every system."""


@pytest.mark.parametrize(("what", "pattern", "instead"), MOVED, ids=[each[0] for each in MOVED])
def test_whatever_of_the_operating_system_is_moved_is_refused(
    what: str, pattern: str, instead: str, tmp_path: Path
) -> None:
    text, silent = OS.read_text(), []
    found = list(re.finditer(pattern, text))
    assert len(found) > 5
    for each in found[:: 1 if len(found) < 40 else 5]:
        start, end = each.span(1)
        path = tmp_path / OS.name
        path.write_text(text[:start] + instead + text[end:])
        why = refused(path, [tmp_path, OS.parent], "virt_iommu")
        own = re.search(r'kind="endpoint" of="(\w+)" slot="300"', each.group())
        if not why and not (own and own[1] in OPTIONAL):
            silent.append(each.group())
        assert not why or re.search(r"\bos\.(system|toml):\d+", why)
    assert silent == []
