"""Memory that changes under a server's feet: nobody gets in, but where a server reads it twice."""

from collections import Counter
from collections.abc import Iterator

import pytest

from capkernel.tools.demo import shared_memory
from capkernel.tools.demo.attackers import besieged
from capkernel.tools.demo.network import why_not
from capkernel.tools.demo.shared_memory import CARELESS, READING, SERVERS, Outcome, SharedSiege, played
from capkernel.tools.interruption import Event, interrupt
from servers.attackers.aim import MOST, Aim, Mode, Swap, between
from servers.attackers.shared_attacker import PLANS

HERE = tuple(server for server in SERVERS if server != "network" or not why_not())


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Outcome]:
    return {server: played(server) for server in HERE}


@pytest.fixture
def siege() -> Iterator[SharedSiege]:
    found = shared_memory.besieged(only=("files",))
    yield found
    found.stage.close()


def test_nobody_gets_in_and_every_attack_is_played_to_its_end(outcomes: dict[str, Outcome]) -> None:
    assert {server: each.told for server, each in outcomes.items() if each.row.ways_in} == {}
    assert all(each.is_done for each in outcomes.values())
    assert all(each.row.tries > 20 for each in outcomes.values())


def test_the_accomplice_comes_in_while_a_server_reads(outcomes: dict[str, Outcome]) -> None:
    for server in set(HERE) & set(READING):
        assert outcomes[server].torn > 10, server
        assert outcomes[server].account.interruptions > 100, server


def test_requests_that_are_not_permitted_are_among_those_that_are_read(outcomes: dict[str, Outcome]) -> None:
    for server in set(HERE) & {"files", "fat", "network"}:
        assert outcomes[server].row.refused > 3, server
        assert outcomes[server].row.refused < outcomes[server].row.tries


def test_no_server_reads_anything_twice_in_one_request(outcomes: dict[str, Outcome]) -> None:
    assert {server: each.again for server, each in outcomes.items() if each.again} == {}


def test_no_server_stops_or_is_started_anew(siege: SharedSiege) -> None:
    assert siege.run()
    assert not siege.stage.system.faults
    assert not siege.stage.system.crashes
    assert [life for life in siege.stage.system.lives if not life[2]] == []


@pytest.mark.parametrize("server", list(CARELESS))
def test_a_server_that_reads_it_twice_is_got_the_better_of(server: str) -> None:
    found = played(server, is_careless=True)
    assert found.is_done
    assert found.again > 10
    assert found.changed > 10
    assert found.row.ways_in > 0


def test_nobody_gets_in_even_there_if_the_server_is_not_interrupted() -> None:
    """The accomplice is as busy as ever; but he is never in the middle."""
    siege = shared_memory.besieged(only=("files",), programs={"files": CARELESS["files"]}, is_interrupted=False)
    account = interrupt(siege.stage.system, "files", ["shared_files"], 0, every=1 << 30)
    assert siege.run()
    siege.stage.close()
    assert account.requests[Event.AGAIN] > 100
    assert account.requests[Event.CHANGED] == account.requests[Event.TORN] == account.interruptions == 0
    assert not siege.outcome("files").row.ways_in


def test_the_same_seed_gives_the_same_run_and_another_one_another() -> None:
    hashes = []
    for seed in (1, 1, 2):
        siege = shared_memory.besieged(seed=seed, only=("files",))
        siege.run()
        hashes.append(siege.stage.booted.trace.hash())
        siege.stage.close()
    assert hashes[0] == hashes[1] != hashes[2]


def test_in_the_great_siege_no_server_reads_a_clients_memory_twice() -> None:
    """Nobody is interrupted there; every server that shares memory with a client is looked at."""
    siege = besieged()
    system = siege.stage.system
    with_clients = {
        "files": ["mallory_files", "web_files"], "mirror": ["mirror_transfer"], "network": ["web_bytes"],
        "ramdisk": ["fat_transfer"], "left": ["left_transfer"], "right": ["right_transfer"],
    }  # fmt: skip
    if why_not():
        del with_clients["network"]
    accounts = {pd: interrupt(system, pd, regions, 0, every=1 << 30) for pd, regions in with_clients.items()}
    siege.run_until(type(siege).is_over)
    siege.stage.close()
    assert {pd: dict(each.requests) for pd, each in accounts.items() if each.requests[Event.AGAIN]} == {}
    assert sum((each.requests for each in accounts.values()), Counter())[Event.READ] > 100


def test_every_server_that_shares_memory_with_an_attacker_has_a_plan(siege: SharedSiege) -> None:
    maps = {pd.name: {each.region for each in pd.maps} for pd in siege.stage.system.system.protection_domains}
    devices = {space.name for space in siege.stage.system.system.io_address_spaces}
    for server in SERVERS:
        assert f"shared_{server}" in maps[server] or server in devices
        assert maps[f"mallory_{server}"] & maps[f"accomplice_{server}"] == {f"shared_{server}"}
    assert set(PLANS) == set(SERVERS)


# What attacker and accomplice agree on


def test_an_aim_is_read_as_it_was_written() -> None:
    aim = Aim(Mode.SWAPS, tuple(Swap(8 * n, n, 1 << 63) for n in range(MOST)))
    assert Aim.decode(aim.encode().ljust(0x400, b"\0")) == aim
    assert Aim.decode(bytes(0x400)) == Aim(Mode.NOISE)
    with pytest.raises(ValueError, match=f"room for {MOST}"):
        Aim(Mode.SWAPS, aim.swaps * 2).encode()
    with pytest.raises(ValueError, match=f"room for {MOST}"):
        Aim.decode(Aim(Mode.SWAPS).encode()[:8] + (MOST + 1).to_bytes(8, "little"))


def test_what_goes_to_and_fro_is_where_two_requests_differ() -> None:
    assert between([1, 2, 3], [1, 5, 3], 16) == (Swap(24, 2, 5),)
    with pytest.raises(ValueError, match="argument"):
        between([1], [1, 2])
