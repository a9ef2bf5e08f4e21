"""An attacker for every server, beside an honest client; and that each gets in where a layer is left out."""

from collections.abc import Iterator
from importlib import import_module, util
from importlib.metadata import entry_points
from pathlib import Path
from random import Random

import pytest

from capkernel.kernel.caps import region_of
from capkernel.protocols.attacks import SERVERS, Account, Row, Trick, read_account, read_seen
from capkernel.protocols.interface import operations_of
from capkernel.protocols.log import Log
from capkernel.tools.demo import attackers
from capkernel.tools.demo.attackers import ATTACKED, SHOWN, WEAKNESSES, WEB, Siege, Weakness, besieged
from capkernel.tools.demo.network import why_not
from capkernel.tools.tour_audit import caps_of
from capkernel.user.codec import MessageError
from capkernel.user.messages import SPILLED, from_words
from servers.attackers.requests import malformed

PACKAGES = ("servers.drivers", "servers.storage", "servers.system", "servers.net")
OF_ANOTHER_KIND = {"virtio_blk_elevator", "console_sifive", "timer_sifive", "fat_server", "ram_server_sparse"}
"""Programs of a server that is attacked with another one of its programs; FAT's is attacked by its own name."""
WITH_ONE_CLIENT = {"disk", "card", "left", "right"}
"""Domains of which just one other domain is a client, whose memory they share: no place for an attacker beside him."""
ALONE = {
    "supervisor", "guardian", "metronome",  # watched in every run: they must not have anything to do
    "tickets", "tickets_2",  # an example of a server that hands on its state
    "absent",
}


Objects = dict[str, set[tuple[str, object]]]
"""Of each attacker, by his server."""


@pytest.fixture(scope="module")
def whole_siege() -> Iterator[tuple[Siege, Objects]]:
    """One that is over; also what the attackers had caps to when it began."""
    found = besieged()
    before = {server: objects_of(found, server) for server in ATTACKED}
    assert found.run_until(Siege.is_over)
    yield found, before
    found.stage.close()


@pytest.fixture
def siege(whole_siege: tuple[Siege, Objects]) -> Siege:
    return whole_siege[0]


def accounts(siege: Siege) -> dict[str, Account]:
    return {server: siege.account(server) for server in ATTACKED} | ({} if why_not() else {WEB: siege.web.account})


def test_no_attacker_gets_in(siege: Siege) -> None:
    assert {server: each.told for server, each in accounts(siege).items() if each.total.ways_in} == {}
    assert sum(each.total.tries for each in accounts(siege).values()) > 9_000


def test_every_attacker_tries_much_and_is_refused_most_of_it(siege: Siege) -> None:
    for server, each in accounts(siege).items():
        if server not in ("guardian", WEB):
            assert each.total.tries > 200, server
            assert each.total.refused > each.total.tries // 2, server


def test_every_kind_of_trick_is_tried(siege: Siege) -> None:
    tried = {trick for each in accounts(siege).values() for trick, row in each.rows.items() if row.tries}
    assert tried == set(Trick)


def test_the_honest_client_gets_every_answer_in_time(siege: Siege) -> None:
    seen = siege.seen
    assert seen.told == ()
    assert set(seen.servers) == set(SERVERS)
    for server, served in seen.servers.items():
        if server != "network" or not why_not():
            assert served.served >= attackers.ROUNDS, server
        assert not served.failed
        assert served.longest_us <= attackers.BOUND_US, server
    assert siege.web.longest_ms <= attackers.BOUND_WEB_MS
    assert not siege.web.failed


def test_no_server_stops_and_none_was_started_anew(siege: Siege) -> None:
    assert not siege.stage.system.faults
    assert not siege.stage.system.crashes
    assert [life for life in siege.stage.system.lives if not life[2]] == []
    # The honest client asks the supervisor in each round whether all services run, and have not crashed.
    assert siege.seen.servers["supervisor"].served >= attackers.ROUNDS


def objects_of(siege: Siege, server: str) -> set[tuple[str, object]]:
    """What an attacker has caps to: kinds, and where the objects are."""
    thread = siege.stage.system.threads[f"mallory_{server}"]
    return {(type(cap).__name__, region_of(cap)) for _, cap in caps_of(thread)}


def test_whoever_attacks_has_caps_to_nothing_new(whole_siege: tuple[Siege, Objects]) -> None:
    """Beyond what may be had of his own server: memory that he allocates ends with the account's clearing."""
    siege, began = whole_siege
    after = {server: objects_of(siege, server) for server in ATTACKED}
    # He was given a cap to the name server, as an honest client of it has one.
    before = began | {SHOWN: began[SHOWN] | after[SHOWN] & began["names"]}
    assert {server: after[server] - before[server] for server in ATTACKED if after[server] > before[server]} == {}
    assert all(len(each) >= 3 for each in before.values())


def test_what_the_honest_client_writes_stands_on_the_terminal_whole(siege: Siege) -> None:
    lines = siege.stage.booted.output.text.splitlines()
    assert all(f"neighbour {number}" in lines for number in range(siege.seen.rounds))
    assert not any("\x1b" in line for line in lines)


def test_what_the_console_refused_an_attacker_is_not_on_the_terminal(siege: Siege) -> None:
    """The terminal is slow now and then, so that all of his places to wait are taken."""
    refused, shown = siege.turned_away
    assert refused
    assert not shown
    assert siege.account("console").rows[Trick.SLOW].refused == len(refused)


def test_who_was_shown_names_to_read_tries_to_change_them(siege: Siege) -> None:
    assert siege.account(attackers.SHOWN).rows[Trick.RIGHTS].refused > 30


def servers_in_the_code() -> set[str]:
    """The installed programs of servers that answer requests."""
    found = set()
    for point in entry_points(group="capkernel.programs"):
        package, _, _ = point.value.rpartition(".")
        spec = util.find_spec(point.value)
        if package in PACKAGES and spec is not None and spec.origin is not None:
            program = getattr(import_module(point.value), "Program", None)
            if hasattr(program, "protected"):
                found.add(point.name)
    return found


def test_every_server_that_there_is_has_an_attacker() -> None:
    """By the programs that answer requests, whatever package they are in: a new one without an attacker is found."""
    description = (Path(attackers.find_system("attackers"))).read_text()
    programs = {
        line.split('"')[1].removesuffix(".elf") for line in description.splitlines() if "<program_image" in line
    }
    assert servers_in_the_code() - programs - OF_ANOTHER_KIND - ALONE == set()
    domains = {line.split('"')[1] for line in description.splitlines() if "<protection_domain name" in line}
    servers = {each for each in domains if f'pd="supervisor" kind="lifecycle" of="{each}"' in description}
    assert servers - set(ATTACKED) - {WEB} == WITH_ONE_CLIENT


@pytest.mark.slow
@pytest.mark.parametrize("weakness", WEAKNESSES, ids=lambda each: each.trick.name.lower())
def test_with_a_layer_left_out_the_attacker_gets_in(weakness: Weakness) -> None:
    assert attackers.weakened(weakness)


def test_each_kind_of_trick_is_shown_to_get_in_somewhere() -> None:
    assert {weakness.trick for weakness in WEAKNESSES} == set(Trick)


@pytest.mark.slow
def test_the_same_siege_has_the_same_trace() -> None:
    hashes = set()
    for _ in range(2):
        found = besieged(only=frozenset({"log", "names"}))
        assert found.run_until(lambda siege: siege.account("log").is_done and siege.account("names").is_done)
        hashes.add(found.stage.booted.trace.hash())
        found.stage.close()
    assert len(hashes) == 1


def is_readable(kind: type, words: tuple[int, ...]) -> bool:
    try:
        from_words(kind, words)
    except MessageError:
        return False
    return True


def test_what_is_called_malformed_cannot_be_read_by_any_server() -> None:
    operations = operations_of(Log)
    for what, message in malformed(Log, Random(1)):
        number = message.label & 0xFF
        if message.label & SPILLED or message.label >> 8 != Log.number or number not in operations:
            continue
        assert not is_readable(operations[number].request, tuple(message.words)), what


def test_a_report_says_what_was_written_into_it() -> None:
    empty = bytes(0x1000)
    assert read_account(empty) == Account(False, dict.fromkeys(Trick, Row()), ())
    assert read_seen(empty).rounds == 0
