"""Memory that changes under a server's feet: nobody gets in, but where a server reads it twice."""

from collections import defaultdict
from collections.abc import Iterator
from importlib.metadata import entry_points

import pytest

from capkernel.system.board import find_board
from capkernel.system.description import Perms, SystemDescription
from capkernel.system.microkit import load
from capkernel.tools.demo import shared_memory
from capkernel.tools.demo.attackers import besieged
from capkernel.tools.demo.network import why_not
from capkernel.tools.demo.shared_memory import CARELESS, READING, SERVERS, Outcome, SharedSiege, played
from capkernel.tools.demo.stage import Stage, find_system
from capkernel.tools.interruption import CALLS, RECEIVES, Account, Event, interrupt
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
        # The supervisor's requests have two words.
        least = 0 if server == "supervisor" else 15
        assert outcomes[server].torn > least, server
        assert outcomes[server].account.interruptions > 5 * least, server


def test_requests_that_are_not_permitted_are_among_those_that_are_read(outcomes: dict[str, Outcome]) -> None:
    for server in set(HERE) & {"files", "fat", "network", "supervisor", "ports", "pulses"}:
        assert outcomes[server].row.refused > 2, server
        assert outcomes[server].row.refused < outcomes[server].row.tries


def test_no_server_reads_anything_twice_in_one_request(outcomes: dict[str, Outcome]) -> None:
    assert {server: each.again for server, each in outcomes.items() if each.again} == {}


def test_nobody_stops_of_it(outcomes: dict[str, Outcome]) -> None:
    assert {server: each.stopped for server, each in outcomes.items() if each.stopped} == {}


def test_the_server_is_not_even_started_anew(siege: SharedSiege) -> None:
    assert siege.run()
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


def shared_writably(system: SystemDescription) -> Iterator[tuple[str, str, str]]:
    """Domains and memory that another one may write to: the domain, its program, the region."""
    domains = system.protection_domains
    writers = {(each.region, pd.name) for pd in domains for each in pd.maps if each.perms & Perms.WRITE}
    for pd in domains:
        for each in pd.maps:
            if any(region == each.region and name != pd.name for region, name in writers):
                yield pd.name, pd.program.path.removesuffix(".elf"), each.region


@pytest.mark.slow
def test_in_the_great_siege_no_server_reads_memory_twice_that_others_write_to() -> None:
    """Nobody is interrupted there. Each server is looked at, in memory shared with clients and with whom it asks."""
    siege = besieged()
    accounts = watched(siege.stage)
    siege.run_until(type(siege).is_over)
    siege.stage.close()
    assert {where: each.requests for where, each in accounts.items() if each.requests[Event.AGAIN]} == {}
    read = {pd for (pd, _), each in accounts.items() if each.requests[Event.READ]}
    assert read >= {"files", "fat", "mirror", "ramdisk", "left", "right"}


def test_nor_do_the_pager_and_its_file_server() -> None:
    stage = Stage("processes")
    accounts = watched(stage)
    stage.booted.boot()
    stage.system.run(time_us=300_000)
    stage.close()
    assert {where: each.requests for where, each in accounts.items() if each.requests[Event.AGAIN]} == {}
    assert accounts["pager", "paging_files"].requests[Event.READ] > 20
    assert accounts["files", "paging_files"].requests[Event.READ] > 20


@pytest.mark.parametrize(("name", "readers"), [
    ("mach_memory", {("ports", f"{task}_shared") for task in ("pager", "default", "vm")} | {
        ("pager", "pager_shared"), ("default", "default_shared"), ("vm", "vm_shared"),
    }),
    ("qnx_pulses", {("server", f"ring_{sender}") for sender in ("a", "b", "forger")}),
    ("qnx_unblock", {("process_manager", "ring_manager"), ("server", "ring_manager"), ("server", "ring_device")}),
], ids=["mach_memory", "qnx_pulses", "qnx_unblock"])  # fmt: skip
def test_nor_do_machs_tasks_and_qnxs_servers(name: str, readers: set[tuple[str, str]]) -> None:
    stage = Stage(name)
    accounts = watched(stage, SERVING | QNX_SERVERS | MACH_TASKS)
    stage.booted.boot()
    stage.system.run(time_us=400_000)
    stage.close()
    assert {where: each.requests for where, each in accounts.items() if each.requests[Event.AGAIN]} == {}
    assert {where for where, each in accounts.items() if each.requests[Event.READ]} >= readers


def watched(stage: Stage, programs: set[str] | None = None) -> dict[tuple[str, str], Account]:
    """What servers do to each region that others write to; nobody is interrupted."""
    return {
        (pd, region): interrupt(
            stage.system, pd, [region], 0, every=1 << 30, ends=CALLS if region in ASKED[pd] else RECEIVES
        )
        for pd, program, region in shared_writably(stage.system.system)
        if program in (programs or SERVING)
    }


SERVING = {
    "file_server", "fat_server", "mirror_server", "ram_disk", "virtio_blk", "stack_server", "supervisor", "http_server",
    "pager", "process_server", "port_server", "vm_server", "default_pager", "qnx_process_manager", "qnx_booster",
}  # fmt: skip
"""Installed servers that share memory with anybody."""
QNX_SERVERS, MACH_TASKS = {"qnx_collector", "qnx_device_server"}, {"object_pager"}
"""Those of the stories."""
ASKED = defaultdict[str, set[str]](
    set, fat={"fat_transfer"}, mirror={"left_transfer", "right_transfer"}, files={"disk_transfer"},
    web={"web_bytes", "web_files"}, pager={"paging_files", "pager_shared"}, processes={"program_files"},
    vm={"vm_shared"}, default={"default_shared"},
)  # fmt: skip
"""Memory in which servers find the answers of those whom they ask."""


SYSTEMS = sorted(entry_points(group="capkernel.systems").names - {"remote"})
"""All but those of which a part is made while they are set up."""


def test_no_other_server_in_any_system_shares_memory_that_is_written_to() -> None:
    """A new one would have to be attacked, too."""
    packages = "servers.drivers", "servers.storage", "servers.system", "servers.net", "servers.mach", "servers.qnx"
    points = entry_points(group="capkernel.programs")
    installed = {point.name for point in points if point.value.rpartition(".")[0] in packages}
    found = set()
    for path in map(find_system, SYSTEMS):
        description = load(path, search_path=[path.parent], board=find_board("virt_iommu"))
        found |= {program for _, program, _ in shared_writably(description)} & installed
    assert found == SERVING


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
