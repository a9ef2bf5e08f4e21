"""Tables of the managers: paths by the longest prefix, unions, recoveries in stages, manifests that are refused."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capkernel.protocols.failures import Malformed, NotFound, QuotaExceeded
from capkernel.protocols.qnx_paths import Place
from servers.qnx import ham_table
from servers.qnx.ham_table import Deed, HamTable, Heartbeats, When, read_rules
from servers.qnx.path_table import MAX_ATTACHMENTS, PathTable
from servers.qnx.process_manifest import ManifestError, read_process_manifest

SYSTEMS = Path(ham_table.__file__).parent / "systems"
NAMES = st.lists(st.sampled_from(["a", "b", "ab"]), max_size=4)


def path(names: list[str]) -> str:
    return "/" + "/".join(names)


@given(st.lists(st.tuples(NAMES, st.booleans(), st.sampled_from(Place))), NAMES)
def test_candidates_are_those_whose_path_is_a_prefix_and_the_longest_come_first(
    attached: list[tuple[list[str], bool, Place]], wanted: list[str]
) -> None:
    table = PathTable()
    for names, is_directory, place in attached[:8]:
        table.attach(1, path(names), 0, place, is_directory=is_directory, is_opaque=False)
    found = table.candidates(path(wanted))
    lengths = [len(table.find(each.number).path) for each in found]
    assert lengths == sorted(lengths, reverse=True)
    expected = [n for n, d, _ in attached[:8] if n == wanted or (d and wanted[: len(n)] == n)]
    assert sorted(table.find(each.number).path for each in found) == sorted(map(path, expected))
    for each in found:
        above = table.find(each.number).path.rstrip("/")
        assert f"{above}/{each.rest}".rstrip("/") == path(wanted).rstrip("/")


def test_the_place_says_who_is_asked_first() -> None:
    table = PathTable()
    for place in (Place.BEFORE, Place.BEFORE, Place.AFTER):
        table.attach(1, "/x", 0, place, is_directory=False, is_opaque=False)
    assert [each.number for each in table.candidates("/x")] == [2, 1, 3]


def test_an_opaque_attachment_hides_shorter_paths() -> None:
    table = PathTable()
    table.attach(1, "/", 0, Place.BEFORE, is_directory=True, is_opaque=False)
    table.attach(1, "/dev", 0, Place.BEFORE, is_directory=True, is_opaque=True)
    assert [each.number for each in table.candidates("/dev/x")] == [2]
    assert [each.number for each in table.candidates("/etc")] == [1]


@pytest.mark.parametrize("wrong", ["", "x", "/a//b", "/a/", "/../x", "/a/.", "/\n", "/" + "x" * 255])
def test_what_is_no_path_is_malformed(wrong: str) -> None:
    with pytest.raises(Malformed):
        PathTable().candidates(wrong)


def test_a_client_detaches_only_what_is_its_own_and_attaches_only_so_often() -> None:
    table = PathTable()
    for _ in range(MAX_ATTACHMENTS):
        number = table.attach(1, "/x", 0, Place.AFTER, is_directory=False, is_opaque=False).number
    with pytest.raises(QuotaExceeded):
        table.attach(1, "/x", 0, Place.AFTER, is_directory=False, is_opaque=False)
    with pytest.raises(NotFound):
        table.detach(2, number)
    table.detach(1, number)


def test_a_recovery_goes_through_its_stages_and_waits_where_it_is_told_to() -> None:
    rules = read_rules((SYSTEMS / "qnx_ha.toml").read_text())
    table = HamTable()
    assert table.failed("server", When.DEATH)
    assert not table.failed("server", When.HEARTBEAT_MISSED)
    seen: list[tuple[int, Deed]] = []
    for _ in range(4):
        while (found := table.next_action(rules)) is not None:
            seen.append((table.beat, found[1].deed))
            table.done(*found)
        table.beat += 1
    assert seen == [(0, Deed.NOTIFY), (0, Deed.WAIT), (2, Deed.RESTART)]
    assert not table.recoveries


def test_a_stage_that_failed_is_tried_again_at_the_next_beat() -> None:
    rules = read_rules((SYSTEMS / "qnx_ha.toml").read_text())
    table = HamTable()
    table.failed("server", When.HEARTBEAT_MISSED)
    found = table.next_action(rules)
    assert found is not None
    table.put_off(found[0])
    assert table.next_action(rules) is None
    table.beat += 1
    assert table.next_action(rules) is not None


def test_who_is_silent_for_longer_than_its_patience_has_missed_its_heartbeat() -> None:
    rules, hearts = read_rules((SYSTEMS / "qnx_ha.toml").read_text()), Heartbeats()
    assert [len(hearts.pass_beat(rules, HamTable())) for _ in range(4)] == [0, 0, 0, 1]
    hearts.lives("server")
    assert hearts.pass_beat(rules, HamTable()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[server", "no TOML"),
        ("x = 1", "no x"),
        ("[[server]]\nname = 'a'", "server"),
        ("[[client]]\nchannel = 2\nserver = 'b'\nconnection = 1", "no server 'b'"),
    ],
)
def test_a_manifest_that_cannot_be_is_refused_with_the_reason(text: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        read_process_manifest(text)
