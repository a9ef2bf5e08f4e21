"""A system with changes laid over it: what is replaced, what is added, what is refused."""

import tomllib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capkernel.system.board import find_board
from capkernel.system.microkit import load
from capkernel.tools.demo.stage import BOARD, find_system
from capkernel.tools.overlay import OverlayError, described, lay_over, tabled
from capkernel.tools.shell import MIRRORED

NAMES = st.text(max_size=6)
VALUES = st.recursive(
    st.one_of(st.booleans(), st.integers(-(1 << 60), 1 << 60), NAMES),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=8,
)
TABLES = st.dictionaries(NAMES, VALUES, max_size=5)


def written(table: dict[str, Any]) -> str:
    return tabled("", tabled_from(table))


def tabled_from(table: dict[str, Any]) -> str:
    """The table as inline text, written another way than the one that is tried."""
    return "\n".join(f"{quoted(key)} = {inline(value)}" for key, value in table.items())


def quoted(text: str) -> str:
    return '"' + "".join(f"\\U{ord(each):08X}" for each in text) + '"'


def inline(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, list):
        return "[" + ", ".join(map(inline, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(key)} = {inline(each)}" for key, each in value.items()) + "}"
    return str(value)


@given(TABLES)
def test_a_table_is_written_as_it_was_read(table: dict[str, Any]) -> None:
    assert tomllib.loads(written(table)) == table
    assert tomllib.loads(tabled(written(table), "")) == table


@given(TABLES, TABLES)
def test_what_is_laid_over_a_table_replaces_values_and_keeps_the_rest(
    under: dict[str, Any], over: dict[str, Any]
) -> None:
    found = tomllib.loads(tabled(written(under), written(over)))
    assert set(found) == set(under) | set(over)
    for key, value in found.items():
        if key not in over:
            assert value == under[key]
        elif isinstance(value, dict) and isinstance(under.get(key), dict):
            assert {**under[key], **over[key]}.keys() == value.keys()
        else:
            assert value == over[key]


def test_services_are_replaced_by_their_labels_and_keep_their_places() -> None:
    under = '[[service]]\nlabel = "a"\nchild = 0\n[[service]]\nlabel = "b"\nchild = 1\nrelies_on = ["a"]\n'
    over = '[[service]]\nlabel = "b"\nchild = 1\nrelies_on = ["c"]\n[[service]]\nlabel = "c"\nchild = 2\n'
    assert tomllib.loads(tabled(under, over))["service"] == [
        {"label": "a", "child": 0}, {"label": "b", "child": 1, "relies_on": ["c"]}, {"label": "c", "child": 2},
    ]  # fmt: skip


def test_a_description_gets_what_is_laid_over_it_in_the_places_of_what_was_there() -> None:
    under = """<system><memory_region name="m" size="0x1000"/><?capkernel a?>
        <protection_domain name="out"><protection_domain name="in"><map mr="m" vaddr="0x1"/><map mr="n" vaddr="0x2"/>
        <cspace><cap_sc slot="1" pd="in"/></cspace></protection_domain></protection_domain>
        <channel><end pd="in" id="0"/><end pd="out" id="1"/></channel>
        <channel><end pd="in" id="2"/><end pd="out" id="3"/></channel></system>"""
    over = """<system><memory_region name="m" size="0x2000"/><memory_region name="o" size="0x1000"/>
        <protection_domain name="in"><map mr="o" vaddr="0x2"/><cspace><cap_sc slot="2" pd="out"/></cspace>
        <protection_domain name="new"/></protection_domain>
        <channel><end pd="new" id="0"/><end pd="out" id="1"/></channel><?capkernel b?></system>"""
    root = ElementTree.fromstring(
        described(under, over), ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_pis=True))
    )
    assert [(each.get("name"), each.get("size")) for each in root.iter("memory_region")] == [
        ("m", "0x2000"),
        ("o", "0x1000"),
    ]
    inside = next(each for each in root.iter("protection_domain") if each.get("name") == "in")
    assert [(each.get("mr"), each.get("vaddr")) for each in inside.findall("map")] == [("m", "0x1"), ("o", "0x2")]
    assert [each.get("slot") for each in inside.findall("cspace/cap_sc")] == ["1", "2"]
    assert [each.get("name") for each in inside.findall("protection_domain")] == ["new"]
    channels = [[(end.get("pd"), end.get("id")) for end in each] for each in root.findall("channel")]
    assert channels == [[("new", "0"), ("out", "1")], [("in", "2"), ("out", "3")]]
    assert [each.text for each in root.iter() if not isinstance(each.tag, str)] == ["capkernel a", "capkernel b"]


def test_what_cannot_be_laid_over_anything_is_refused(tmp_path: Path) -> None:
    base, over = tmp_path / "base", tmp_path / "over"
    for place in (base, over):
        place.mkdir()
    (base / "x.system").write_text("<system/>")
    (over / "y.toml").write_text("")
    with pytest.raises(OverlayError, match=r"y\.toml: there is no .*base/y\.toml over which it could be laid"):
        lay_over(base / "x.system", over, tmp_path)
    for wrong in (
        lambda: described("<system>", "<system/>"),
        lambda: tabled("a =", ""),
        lambda: tabled("", "a = 2020-01-01"),
    ):
        with pytest.raises(OverlayError):
            wrong()


def test_in_the_shells_system_on_a_mirror_only_the_mirror_can_ask_the_drivers_and_all_else_is_as_it_was(
    tmp_path: Path,
) -> None:
    path, board = find_system("os"), find_board(BOARD)
    place = lay_over(path, path.parent / MIRRORED, tmp_path)
    (tmp_path / "mirror_name.toml").write_text('name = "x"\n')
    plain, mirrored = (
        load(path, search_path=[path.parent], board=board),
        load(place, search_path=[tmp_path, path.parent], board=board),
    )

    def callers(system: Any) -> dict[str, set[str]]:
        pairs = [(own.pd, other.pd) for channel in system.channels for own, other in channel.directions() if own.pp]
        return {name: {caller for caller, called in pairs if called == name} for _, name in pairs}

    before, after = callers(plain), callers(mirrored)
    assert before["disk"] == after["mirror"] == {"files"}
    assert after["disk"] == after["disk2"] == {"mirror"}
    assert {name: after[name] - {"mirror"} for name in before if name != "disk"} == {
        name: callers for name, callers in before.items() if name != "disk"
    }
    names = [{pd.name for pd in system.protection_domains} for system in (plain, mirrored)]
    assert names[1] - names[0] == {"mirror", "disk2"}
    untouched = names[0] - {"files", "shell", "usage", "supervisor", "disk"}
    maps = [
        {pd.name: pd.maps for pd in system.protection_domains if pd.name in untouched} for system in (plain, mirrored)
    ]
    assert maps[0] == maps[1]
