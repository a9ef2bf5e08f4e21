"""The process server's table: what is read back is what was written; what nobody can have written is refused. And a
process server that gives way to its next version again and again, with processes running and being prepared.
"""

import struct
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from capkernel.protocols.given import GivenCap
from capkernel.protocols.memory import PAGE
from capkernel.protocols.processes import State, Status
from capkernel.protocols.service import NUMBER_BITS
from capkernel.tools.demo.replacing import ClientReport
from capkernel.tools.demo.stage import Stage
from capkernel.user.kept import Kept
from capkernel.user.messages import SharedRegion, from_words, to_words
from capkernel.user.operations import READ
from capkernel.user.process import NamedCap
from hwmodel.virtio import virtio_rng
from servers.system.process_objects import PLACE
from servers.system.process_recovery import restore
from servers.system.process_server import Left, Program, Server
from servers.system.process_table import (
    KeptChild,
    KeptChunk,
    KeptLauncher,
    KeptObject,
    KeptProcess,
    KeptProcesses,
    KeptShare,
    Record,
)
from tests.servers.update_bench import Lasting

HERE = Path(__file__).parent
QUOTAS = """
memory = { size_bits = 20, accounts = [{ channel = 2, pages = 100 }] }
processes = { times = 3, launchers = [{ channel = 2, pages = 90, processes = 3 }] }
"""
LIFE = 2
FIRST = LIFE - 1 << NUMBER_BITS
SESSION = 64
RUNNING = KeptChild(
    number=255, time=321, chunks=[KeptChunk(1, 12, 12)], slots=[PLACE | slot for slot in range(4, 16)], tcb=PLACE | 4,
    cnode=PLACE | 5, vspace=PLACE | 6, badged=PLACE | 16, tables=[0x3F_C000_001E], entry=0x3F_FFFC_0000,
    caps=[NamedCap("launcher", 2), NamedCap("input", 3)], shares=[KeptShare("launcher", 2)], pending=0, is_paged=False,
    is_running=True, startup=[PLACE | 14, PLACE | 15], granted_at=128, version=4,
)  # fmt: skip
TABLE = KeptProcesses(
    next_process=8, next_launcher=4, next_number=3,
    launchers=[
        KeptLauncher(1, 0, 2, 2, 9, PLACE | 2, 90 * PAGE, 3, 0, []),
        KeptLauncher(2, 1, 0, 3, 4, PLACE | 3, 20 * PAGE, 1, 5, [SESSION]),
        KeptLauncher(3, 1, 0, 4, 1, PLACE | 17, 10 * PAGE, 1, 0, []),
    ],
    processes=[
        KeptProcess(4, 0, 0, "over", Status(State.FAULTED, 0, "VMFault", 4096, "at …"), False, 77, PLACE | 18, None),
        KeptProcess(5, 0, 1, "parent", Status(State.RUNNING), False, 1200, 0, RUNNING),
        KeptProcess(
            7, 5, 2, "child", Status(State.PREPARED), False, 0, 0,
            KeptChild(
                254, 320, [KeptChunk(2, 9, 5)], [PLACE | slot for slot in (20, 21, 22)], PLACE | 21, PLACE | 20,
                PLACE | 22, PLACE | 23, [], 0, [], [], 9, False, False, [], 0, 0,
            ),
        ),
    ],
    objects=[KeptObject(False, 4), KeptObject(False, 5), KeptObject(False, 7), KeptObject(True, 3)],
    caps=[
        GivenCap(FIRST + 1, 2, 0, False, 0), GivenCap(FIRST + 2, 2, 0, False, 1),
        GivenCap(FIRST + 3, SESSION, 0, False, 2), GivenCap(FIRST + 4, 2, 0, False, 3),
        GivenCap(FIRST + 5, 2, FIRST + 2, True, 1),
    ],
)  # fmt: skip


def server() -> Server:
    return Server(Lasting().pd(LIFE, "processes"), QUOTAS, {})


def test_what_is_written_down_is_what_is_restored() -> None:
    again = server()
    restore(again, from_words(KeptProcesses, to_words(TABLE)), 0)
    assert again.kept() == TABLE
    assert again.times == [322]
    assert sorted(again.sessions) == [2, SESSION]
    assert again.launchers[1].taken == 1 + 2


def test_a_cap_that_may_not_have_arrived_and_a_process_that_is_not_prepared_lead_nowhere() -> None:
    again = server()
    restore(again, TABLE, FIRST + 4)
    assert [cap.number for cap in again.kept().caps] == [FIRST + number for number in (1, 2, 3, 5)]
    again = server()
    broken = [evolve(process, is_broken=process.id == 5) for process in TABLE.processes]
    restore(again, evolve(TABLE, processes=broken), 0)
    assert [cap.number for cap in again.kept().caps] == [FIRST + number for number in (1, 3, 4)]


WORDS = to_words(TABLE)


WORD = st.integers(0, 30) | st.sampled_from(WORDS) | st.integers(0, (1 << 64) - 1)


@settings(max_examples=1000, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(WORDS) - 1), WORD), min_size=1, max_size=3))
def test_a_table_that_somebody_has_changed_is_refused_or_means_something(changes: list[tuple[int, int]]) -> None:
    words = list(WORDS)
    for place, word in changes:
        words[place] = word
    again = server()
    try:
        restore(again, from_words(KeptProcesses, words), 0)
    except ValueError:
        return
    found = again.kept()
    assert {cap.number for cap in found.caps} <= {FIRST + number for number in range(1, 6)} | set(words)
    assert len(again.times) + sum(process.child is not None for process in found.processes) == 3


def test_only_the_version_that_was_left_is_taken_up() -> None:
    lasting = Lasting(0x8000)
    former = Record(lasting.region)
    lasting.run(former.save(TABLE))
    for version, is_right in ((former.version, True), (former.version + 1, False)):
        program = Program()
        program.server = server()
        program.server.record = Record(lasting.region)
        try:
            lasting.run(program._take_up(Left(version)))
        except ValueError:
            assert not is_right
        else:
            assert is_right
            assert program.server.kept() == TABLE


def test_a_table_has_room_or_says_that_it_has_not() -> None:
    lasting = Lasting(0x4000)
    record = Record(lasting.region)
    lasting.run(record.save(TABLE))
    assert record.has_room()
    assert not record.has_room(0x1000)
    with pytest.raises(ValueError, match="there is room for"):
        lasting.run(record.save(evolve(TABLE, processes=[*TABLE.processes] * 10)))
    lasting.run(record.offer(9))
    later = Record(lasting.region)
    assert lasting.run(later.load()) == TABLE
    assert lasting.run(later.offered()) == 9
    lasting.memory[200:] = bytes(len(lasting.memory) - 200)
    with pytest.raises(AssertionError):
        assert lasting.run(Record(lasting.region).load()) == TABLE


def _table_in(data: bytes) -> KeptProcesses | None:
    """The table as it lies in a region."""

    def at(place: int, size: int) -> bytes:
        return data[place : place + size]

    steps: Any = Kept(SharedRegion(8, len(data) - 8)).load().__await__()
    found: Any = None
    try:
        while True:
            kind, place, size = steps.send(found)
            assert kind == READ
            found = at(place, size)
    except StopIteration as end:
        content: bytes | None = end.value
    if not content:
        return None
    return from_words(KeptProcesses, struct.unpack(f"<{len(content) // 8}Q", content))


def test_forty_updates_with_processes_running_and_being_prepared_lose_nothing() -> None:
    stage = Stage(
        "replace_services", variant=str(HERE / "process_clients"), programs={"replacer": "process_replacer.elf"},
        devices={"virtio1": virtio_rng(seed=0)},
    )  # fmt: skip
    stage.booted.boot()
    prepared = lives = 0

    def look(trap: Any) -> None:
        nonlocal prepared, lives
        if stage.injector.lives["processes"] > lives:
            lives = stage.injector.lives["processes"]
            table = _table_in(stage.system.read_region("process_table"))
            prepared += table is not None and any(each.state.state is State.PREPARED for each in table.processes)

    stage.system.loop.observers.append(look)
    assert stage.run_until(lambda: bool(stage.report(ClientReport, "report").done), 4_000_000)
    run = stage.run(time_us=1000)
    report, (replaced, refused, _) = stage.report(ClientReport, "report"), stage.words("replaced", 3)
    assert (replaced, refused, lives) == (40, 0, 41)
    assert prepared >= 3
    assert report.rounds > 10
    assert not report.bad
    assert not run.faults
    stage.close()
