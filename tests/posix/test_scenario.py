"""LX-5 as a test, and the parts of the POSIX server that the host cannot be compared with."""

from pathlib import Path

import pytest

from capkernel.protocols import posix as px
from capkernel.tools.demo import lx5
from capkernel.tools.demo.stage import Stage
from capkernel.tools.explain.census import threads
from capkernel.tools.inject import Fault, Kind
from hwmodel.cpu.trap import Trap
from servers.posix.calls import Calls
from servers.posix.world import World
from servers.storage.ram_volume import RamVolume
from servers.storage.tree import Tree
from specs.sampling import Sampler
from tests.posix.test_against_the_host import now
from tests.scenarios.playing import must_hold


@pytest.mark.slow
def test_posix_is_one_server_among_others() -> None:
    must_hold("lx-5", lx5)


@pytest.mark.campaign
def test_posix_is_one_server_among_others_wherever_it_dies() -> None:
    must_hold("lx-5", lx5, everywhere=True)


@pytest.mark.slow
def test_the_invariants_hold_under_posix() -> None:
    stage = Stage("posix")
    sampler = Sampler(stage.system.loop, stage.system.machine, 211)
    stage.run_until(lambda: bool(stage.words("report_init", 1)[0]), lx5.LONGEST_US)
    assert sampler.violations == []
    assert sampler.checked > 20
    stage.close()


@pytest.mark.parametrize("step", [700, 760, 820])
def test_a_posix_server_ends_the_processes_that_a_former_life_has_left(step: int) -> None:
    """Some compute, and would for ever: they make no call of which they could learn that it died."""
    stage = Stage("posix", faults=(Fault("posix", step, Kind.CRASH),))
    system, left = stage.system, list[int]()

    def strangers() -> int:
        known = {id(thread) for thread in (*system.threads.values(), system.state.initial)}
        return sum(id(thread) not in known for thread in threads(system.state))

    def look(trap: Trap) -> None:
        if stage.injector.activated and not left:
            left.append(strangers())

    system.loop.observers.append(look)
    assert stage.run_until(lambda: stage.have_reported("report_init"), lx5.LONGEST_US)
    assert left[0]
    assert not strangers()
    stage.close()


def world() -> World:
    found = World(Tree(RamVolume(1 << 20)).root_directory())
    now(found.open())
    return found


def first(found: World) -> Calls:
    """The calls of init."""
    return Calls(found, found.table.entries[1])


def test_a_directory_in_which_somebody_is_is_busy() -> None:
    calls = first(world())
    assert now(calls.mkdir("/a")) == now(calls.chdir("/a")) == 0
    assert now(calls.rmdir("/a")) == -px.Errno.EBUSY


def test_who_is_in_a_directory_that_is_moved_is_where_it_was_moved_to() -> None:
    calls = first(world())
    for path in ("/a", "/a/b", "/c"):
        assert now(calls.mkdir(path)) == 0
    now(calls.chdir("/a/b"))
    assert now(calls.rename("/a", "/c/d")) == 0
    assert now(calls.getcwd()).path == "/c/d/b"


def test_the_graveyard_of_open_files_is_nowhere_and_ends_empty() -> None:
    found = world()
    calls = first(found)
    fd = now(calls.open("/a", px.O_CREAT | px.O_RDWR))
    assert now(calls.unlink("/a")) == 0
    assert now(calls.readdir("/", 0)).names == []
    assert now(calls.stat("/.deleted")).error == now(calls.stat("/.deleted/1")).error == px.Errno.ENOENT
    assert now(calls.open("/.deleted/1", px.O_RDONLY)) == -px.Errno.ENOENT
    assert now(calls.write(fd, b"on")) == 2
    assert now(calls.close(fd)) == 0
    graveyard = now(found.tree.directory((".deleted",)))
    assert now(graveyard.list(0)) == []


def test_a_file_that_is_replaced_while_it_is_open_goes_on() -> None:
    calls = first(world())
    fd = now(calls.open("/old", px.O_CREAT | px.O_RDWR))
    now(calls.write(fd, b"old"))
    now(calls.close(now(calls.open("/new", px.O_CREAT | px.O_WRONLY))))
    assert now(calls.rename("/new", "/old")) == 0
    assert now(calls.lseek(fd, 0, px.SEEK_SET)) == 0
    assert now(calls.read(fd, 10)).data == b"old"
    assert now(calls.stat("/old")).size == 0


def test_there_are_so_many_file_descriptors_and_no_more() -> None:
    calls = first(world())
    assert [now(calls.open("/", px.O_RDONLY)) for _ in range(px.OPEN_MAX)] == list(range(px.OPEN_MAX))
    assert now(calls.open("/", px.O_RDONLY)) == -px.Errno.EMFILE
    assert now(calls.pipe()).error == px.Errno.EMFILE
    assert now(calls.dup(0, -1)) == -px.Errno.EMFILE


def test_the_page_shows_what_a_program_looks_like() -> None:
    root = Path(__file__).parents[2]
    source = (root / "servers" / "posix" / "clients" / "upper.py").read_text()
    main = source[source.index("async def main") :].strip()
    assert main in (root / "docs" / "posix.md").read_text()


def test_every_name_is_listed_once_whatever_it_begins_with() -> None:
    calls = first(world())
    made = sorted(["-00", "!", ".a", ".z", *(f"-{number}-{'x' * 60}" for number in range(20)), *"abc"])
    for name in made:
        now(calls.close(now(calls.open(f"/{name}", px.O_CREAT | px.O_WRONLY))))
    listed: list[str] = []
    while names := now(calls.readdir("/", len(listed))).names:
        listed += names
    assert sorted(listed) == made
