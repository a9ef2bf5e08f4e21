"""A driver that lives and fails every request is started anew for a complaint, and no complainer can keep it down."""

from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capkernel.protocols.block import SECTOR
from capkernel.protocols.failures import DeviceError, NotPermitted, Refused
from capkernel.system.board import find_board
from capkernel.system.microkit import load
from capkernel.tools.demo.stage import BOARD, Stage, find_system
from hwmodel.block import RamDisk
from hwmodel.virtio import virtio_blk, virtio_net
from servers.net.echo_host import EchoHost
from servers.storage.disk import TRANSFER_TRIES, Disk
from servers.system.complaints import complaints_of
from servers.system.manifest import read_manifest
from servers.system.reincarnation import HEARD, Act, Table
from servers.system.supervisor import Program, Supervisor
from tests.servers.fakedisk import REGION, FakeDisk
from tests.servers.net.wire import needs_lwip
from tests.servers.shell_bench import Terminal
from tests.servers.update_bench import Lasting

LIARS = Path(__file__).parent / "liars"
MANIFEST = """
[[service]]
label = "disk"
child = 0
[[service]]
label = "other"
child = 1
[[service]]
label = "files"
child = 2
relies_on = ["disk"]
"""
TICKS_PER_MS, STARTED_US, POLL_US, LONGEST_MS = 10_000, 5_000, 100, 20_000
"""Of the machine's clock; until all is started; from one look at frames from outside to the next; at most."""
FILES = 12
"""The supervisor's channel to the file server."""


def table() -> Table:
    found = Table.of(each.service() for each in read_manifest(MANIFEST))
    for label in found.services:
        found.adopt(label)
    return found


@given(st.lists(st.booleans(), min_size=1, max_size=1500))
def test_however_often_somebody_complains_a_service_works_nearly_all_the_time(complains: list[bool]) -> None:
    found, heard = table(), list[int]()
    for beat, is_complaint in enumerate(complains):
        steps = found.complained("disk", "files") if is_complaint else None
        if steps:
            assert [step.act for step in steps] == [Act.DESTROY, Act.START]
            heard.append(beat)
        assert all(step.act is Act.PING for step in found.beat())
        found.lives("disk")
        found.lives("files")
        found.lives("other")
    for later in heard:
        assert sum(later - HEARD[-1] < beat <= later for beat in heard) <= len(HEARD)
    assert sum(later - before < HEARD[-1] for before, later in pairwise(heard)) <= (len(HEARD) - 1) * (
        1 + len(complains) // (2 * HEARD[-1])
    )


def test_who_complains_for_ever_is_heard_more_and_more_seldom() -> None:
    found, heard = table(), list[int]()
    for beat in range(400):
        if found.complained("disk", "files"):
            heard.append(beat)
        found.beat()
        for label in found.services:
            found.lives(label)
    assert [later - before for before, later in pairwise(heard)] == [*HEARD, *[HEARD[-1]] * 4]


def test_of_one_that_is_being_started_anyway_nothing_more_is_wanted() -> None:
    found = table()
    found.crashed("disk", "a reason")
    found.crashed("disk", "a reason")
    assert found.complained("disk", "files") == []
    assert not found.services["disk"].complaints


def asked_by(channel: int) -> Any:
    """The supervisor's object for whoever is on a channel."""
    program, lasting = Program(), Lasting()
    program.supervisor = Supervisor(lasting.pd(1, "supervisor"), read_manifest(MANIFEST))
    servant = program._root(channel)
    assert servant is not None
    return servant, lasting


def test_services_complain_of_those_that_they_rely_on_and_may_do_nothing_else() -> None:
    servant, lasting = asked_by(FILES)
    for provider in (-1, 1, 2):
        with pytest.raises(NotPermitted):
            lasting.run(servant.complain(provider))
    for ask in (servant.services(), servant.next_event(0), servant.restart("disk"), servant.update("disk", 0)):
        with pytest.raises(NotPermitted):
            lasting.run(ask)
    for channel in (FILES - 1, 3, 4):
        servant, lasting = asked_by(channel)
        with pytest.raises(NotPermitted):
            lasting.run(servant.complain(0))


def test_a_complaint_that_is_not_heard_is_refused() -> None:
    servant, lasting = asked_by(FILES)
    found = servant.supervisor.table
    for label in found.services:
        found.adopt(label)
    found.services["disk"].complaints = 1
    with pytest.raises(Refused, match="a short while ago"):
        lasting.run(servant.complain(0))


class Sullen(FakeDisk):
    """Fails so many requests."""

    failures = 0

    async def read(self, sector: int, count: int, offset: int) -> None:
        if self.failures:
            self.failures -= 1
            raise DeviceError("no")
        await super().read(sector, count, offset)


@pytest.mark.parametrize("is_heard", [True, False])
@pytest.mark.parametrize("failures", range(3 * TRANSFER_TRIES))
def test_a_driver_is_complained_of_once_for_a_request_when_all_tries_have_failed(failures: int, is_heard: bool) -> None:
    fake, complaints = Sullen(64), list[int]()

    async def complain() -> bool:
        complaints.append(fake.failures)
        return is_heard

    disk = Disk(fake, REGION, complain=complain)
    fake.run(disk.open())
    fake.failures = failures
    if failures < TRANSFER_TRIES * (1 + is_heard):
        assert fake.run(disk.read(0, 1)) == bytes(SECTOR)
    else:
        with pytest.raises(DeviceError):
            fake.run(disk.read(0, 1))
    assert complaints == [failures - TRANSFER_TRIES] * (failures >= TRANSFER_TRIES)


def test_who_cannot_ask_the_supervisor_does_not_complain() -> None:
    assert complaints_of(Lasting().pd(1), 1, 0) is None


@pytest.mark.parametrize("system", ["storage", "mirror"])
def test_a_sullen_driver_is_started_anew_and_nobody_sees_an_error(system: str) -> None:
    devices = {"virtio1": virtio_blk(RamDisk(1 << 20))} if system == "mirror" else {}
    stage = Stage(system, programs={"disk": str(LIARS / "sullen_disk.elf")}, devices=devices)
    assert stage.run_until(lambda: bool(stage.words("report", 1)[0]), 3_000_000)
    assert stage.words("report", 3) == (1, 0, 0)
    assert [began for _, name, began in stage.system.lives if name == "disk"].count(True) == 2
    output = stage.booted.output.text
    assert f"disk 1: {'files' if system == 'storage' else 'mirror'} complains of it" in output
    stage.close()


@needs_lwip
def test_a_sullen_card_is_started_anew_and_its_client_goes_on() -> None:
    host = EchoHost()
    programs = {"card": str(LIARS / "sullen_card.elf"), "client": "net_churner.elf"}
    stage = Stage("network", variant="campaign", programs=programs, devices={"virtio1": virtio_net(host)})
    machine = stage.system.machine
    host.clock = lambda: machine.now() // TICKS_PER_MS
    stage.run(time_us=STARTED_US)
    while machine.now() < LONGEST_MS * TICKS_PER_MS and stage.words("report", 1)[0] < 8:
        stage.run(time_us=POLL_US)
        machine.poll_input()
    rounds, lost, errors = stage.words("report", 3)
    assert (rounds >= 8, lost, errors) == (True, 0, 0)
    lives = Counter(name for _, name, has_begun in stage.system.lives if has_begun)
    assert (lives["card"], lives["network"]) == (2, 1)
    assert "card 1: network complains of it" in stage.booted.output.text
    stage.close()


def test_a_sullen_console_is_started_anew_and_the_shell_puts_out_what_it_was_to() -> None:
    terminal = Terminal(programs={"console": str(LIARS / "sullen_console.elf")})
    for _ in range(4):
        assert terminal.do("pwd") == "/"
    assert terminal.do("services").splitlines()[3].split()[:3] == ["console", "running", "2"]
    assert terminal.crashes() == []
    terminal.close()


@pytest.mark.parametrize("liar", ["disk", "disk2"])
def test_a_driver_that_reads_something_else_is_started_anew_and_its_disk_is_one_of_the_mirrors_again(liar: str) -> None:
    programs = {"client": "churner.elf", liar: str(LIARS / "crooked_disk.elf")}
    devices = {"virtio1": virtio_blk(RamDisk(1 << 20))}
    stage = Stage("mirror", variant="campaign", programs=programs, devices=devices)
    for rounds in (8, 16, 24):
        assert stage.run_until(lambda done=rounds: stage.words("report", 1)[0] >= done, 3_000_000)
        # So that nobody answers from memory.
        stage.injector.crash_next("files")
    lives = stage.system.lives
    assert stage.run_until(lambda: [began for _, name, began in lives if name == liar].count(True) == 2, 1_000_000)
    assert stage.run_until(lambda: not stage.words("mirror_state", 6)[5], 1_000_000)
    assert stage.words("report", 3)[1:] == (0, 0)
    assert "mirror complains of it" in stage.booted.output.text
    stage.close()


def test_of_one_that_never_does_better_the_client_is_told_and_nobody_else_comes_to_grief() -> None:
    stage = Stage("storage", programs={"disk": str(LIARS / "hopeless_disk.elf")})
    assert stage.run_until(lambda: bool(stage.system.faults), 3_000_000), "the second complaint came too early"
    assert [name for name, _ in stage.system.faults] == ["client"], "it expects no error"
    assert "client: DeviceError: the disk's driver answers: no" in stage.booted.output.text
    began = Counter(name for _, name, has_begun in stage.system.lives if has_begun)
    assert (began["disk"], began["files"]) == (2, 1)
    stage.close()


@pytest.mark.parametrize("name", ["storage", "mirror", "os", "replace_network"])
def test_whoever_can_complain_relies_on_somebody(name: str) -> None:
    """Who has a cap to the supervisor, besides those who give orders, has it for that alone."""
    path = find_system(name)
    system = load(path, search_path=[path.parent], board=find_board(BOARD))
    manifest = {each.channel: each for each in read_manifest((path.parent / f"{name}.toml").read_text())}
    callers = {
        other.id: own.pd
        for channel in system.channels
        for own, other in channel.directions()
        if own.pp and other.pd == "supervisor" and other.id in manifest
    }
    assert callers
    assert all(manifest[channel].label == pd and manifest[channel].relies_on for channel, pd in callers.items())
