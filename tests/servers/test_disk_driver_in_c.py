"""The disk's driver in C: it takes the place of the one in Python, and whoever uses it sees no difference."""

import struct
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from capkernel.kernel.caps import PageTableCap
from capkernel.kernel.objects import TCB
from capkernel.protocols.block import SECTOR, Block
from capkernel.protocols.failures import (
    Busy,
    DeviceError,
    Failure,
    Gone,
    Malformed,
    NotPermitted,
    QuotaExceeded,
    ServerDied,
)
from capkernel.protocols.interface import DERIVE, DROP, REVOKE, operations_of
from capkernel.protocols.strategies import hostile_requests
from capkernel.system.board import find_board
from capkernel.system.elf import read_program
from capkernel.tools.demo import replace, storage
from capkernel.tools.demo.stage import BOARD, Stage
from capkernel.tools.inject import Fault, Kind
from capkernel.tools.tour_systems import Booted
from capkernel.user.messages import SPILLED, to_words
from capkernel.user.syscalls import Message
from hwmodel.block import RamDisk
from hwmodel.cpu.trap import Trap
from hwmodel.faults import Fault as DeviceFault
from hwmodel.faults import FaultKind, FaultPlan
from hwmodel.sv39 import walk
from hwmodel.virtio import virtio_blk as disk_device
from tests.crosscompiler import needs_compiler
from tests.runtime.pdelf import build_examples
from tests.scenarios.playing import must_hold

pytest.importorskip("unicorn", reason="NOT RUN: machine code needs the extra [riscv]")
pytestmark = needs_compiler

SYSTEM = Path(__file__).parent / "disk_asking" / "disk_asking.system"
ASKERS, WRITERS, WAITING = 6, 4, 4
"""Clients; those who may write; who may wait at the same time."""
SHARE = 16
"""Sectors of the disk and of the transfer region that each client uses for himself."""
SECTORS, REGION = ASKERS * SHARE, 0x10000
OPERATIONS = {operation.name: operation for operation in operations_of(Block).values()}
STRANGER = 1
"""The first client's channel by which nobody is to be served."""
LONGEST_US = 3_000_000


@frozen
class Request:
    """What is asked, through which of the client's channels."""

    message: Message
    channel: int = 0

    @property
    def words(self) -> tuple[int, ...]:
        return self.channel, self.message.label, len(self.message.words), *self.message.words


Answer = tuple[int, ...]
"""A label, and words."""


def ask(name: str, *arguments: int) -> Request:
    operation = OPERATIONS[name]
    return Request(Message(operation.label, to_words(operation.request(*arguments))))


def raw(label: int, *words: int, channel: int = 0) -> Request:
    return Request(Message(label, words), channel)


def failure(answer: Answer) -> str:
    """The text of a failure."""
    return struct.pack(f"<{len(answer) - 2}Q", *answer[2:])[: answer[1]].decode()


def filling(size: int) -> bytes:
    return bytes(n * 7 % 251 for n in range(size))


@frozen
class Outcome:
    """What clients were answered, in order, and what is on the disk and in the transfer region afterwards."""

    answers: dict[int, list[Answer]]
    disk: bytes
    region: bytes

    def labels(self) -> dict[int, list[int]]:
        return {asker: [answer[0] for answer in answers] for asker, answers in self.answers.items()}


class Clients:
    """Plays what clients ask, each one thing after the other and all at the same time, of one driver or the other."""

    def __init__(self, place: Path, native: Path) -> None:
        self.place = place
        self.native = native
        (place / "transfer").write_bytes(filling(REGION))

    def play(
        self, plans: Mapping[int, Sequence[Request]], faults: Sequence[DeviceFault] = (), *, python: bool = False,
        read_only: bool = False,
    ) -> Outcome:  # fmt: skip
        for asker in range(ASKERS):
            requests = plans.get(asker, ())
            words = [len(requests), *(word for request in requests for word in request.words)]
            (self.place / f"plan{asker}").write_bytes(struct.pack(f"<{len(words)}Q", *words))
        medium = RamDisk(SECTORS * SECTOR)
        device = disk_device(medium, read_only=read_only, plan=FaultPlan(tuple(faults), 1))
        booted = Booted(
            SYSTEM, search_path=[self.place], board=find_board(BOARD), devices={"virtio0": device},
            programs={} if python else {"disk": str(self.native)},
        )  # fmt: skip
        system = booted.system
        run = booted.run(time_us=LONGEST_US)
        assert run.faults == ()
        answers = {asker: self._answers(system.read_region(f"answers{asker}"), len(plans[asker])) for asker in plans}
        region = system.read_region("transfer")
        system.cpu.close()
        return Outcome(answers, medium.contents(), region)

    @staticmethod
    def _answers(content: bytes, count: int) -> list[Answer]:
        words = iter(struct.unpack(f"<{len(content) // 8}Q", content))
        assert next(words) == 1, "a client is never answered"
        found = []
        for _ in range(count):
            label, length = next(words), next(words)
            found.append((label, *(next(words) for _ in range(length))))
        return found


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_examples(tmp_path_factory.mktemp("pd")) / "drivers" / "virtio_blk.elf"


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory, native: Path) -> Clients:
    return Clients(tmp_path_factory.mktemp("plans"), native)


def plain(steps: Sequence[tuple[str, int, int, int]], asker: int) -> list[Request]:
    """Requests within a client's own part."""
    base, requests = asker * SHARE, [ask("info")]
    for what, sector, count, offset in steps:
        count = min(count, SHARE - sector, SHARE - offset)
        arguments = () if what == "flush" else (base + sector, count, (base + offset) * SECTOR)
        requests.append(ask(what, *arguments))
    return requests


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["read", "write", "flush"]), st.integers(0, SHARE - 1), st.integers(1, SHARE),
        st.integers(0, SHARE - 1),
    ),
    max_size=8,
)  # fmt: skip
FAULTS = st.sampled_from([
    FaultKind.LOST_INTERRUPT, FaultKind.RESET, FaultKind.WRONG_LENGTH, FaultKind.WRONG_ID, FaultKind.STALL,
    FaultKind.INTERRUPT_STORM, FaultKind.DOUBLE_COMPLETION,
])  # fmt: skip


@settings(max_examples=8, deadline=None)
@given(
    st.dictionaries(st.integers(0, WRITERS - 1), STEPS, min_size=1),
    st.lists(st.builds(DeviceFault, st.integers(1, 60), FAULTS), max_size=2),
)
def test_whatever_the_device_does_all_are_answered_and_have_what_they_would_have_alone(
    clients: Clients, plans: dict[int, list[tuple[str, int, int, int]]], faults: list[DeviceFault]
) -> None:
    asked = {asker: [*plain(steps, asker), ask("flush")] for asker, steps in plans.items()}
    disk, region = bytearray(SECTORS * SECTOR), bytearray(filling(REGION))
    for requests in asked.values():
        for request in requests:
            if request.message.label not in (OPERATIONS["read"].label, OPERATIONS["write"].label):
                continue
            sector, count, there = request.message.words
            at, size = sector * SECTOR, count * SECTOR
            if request.message.label == OPERATIONS["read"].label:
                region[there : there + size] = disk[at : at + size]
            else:
                disk[at : at + size] = region[there : there + size]
    outcome = clients.play(asked, faults)
    assert {label for labels in outcome.labels().values() for label in labels} == {0}
    assert (outcome.disk, outcome.region) == (bytes(disk), bytes(region))


@settings(max_examples=10, deadline=None)
@given(st.lists(st.one_of(
    hostile_requests(Block).map(Request),
    st.sampled_from([raw(DROP), raw(REVOKE), raw(DERIVE), raw(Block.number << 8 | DERIVE), ask("info")]),
    st.builds(lambda label: raw(label, channel=STRANGER), st.integers(0, 0x200)),
), min_size=1, max_size=40))  # fmt: skip
def test_whatever_is_asked_both_drivers_give_the_same_answer(clients: Clients, requests: list[Request]) -> None:
    plans = {0: requests, WRITERS: [each for each in requests if each.channel != STRANGER]}
    native, python = (clients.play(plans, python=each) for each in (False, True))
    assert native.labels() == python.labels()
    results = ([answer for answers in each.answers.values() for answer in answers if not answer[0]]
               for each in (native, python))  # fmt: skip
    assert next(results) == next(results)
    assert (native.disk, native.region) == (python.disk, python.region)


WRONG = [
    ask("read", 0, 1, 0), ask("flush"), ask("info"), ask("read", SECTORS, 1, 0), ask("write", 0, 0, 0),
    ask("read", -1, 1, 0), ask("write", 0, SECTORS, REGION - SECTOR), ask("read", SECTORS - 1, 2, 0),
    ask("read", 0, 1, -SECTOR), ask("read", 0, 1, REGION - SECTOR + 1), ask("write", 1 << 62, 1 << 62, 0),
    ask("read", 0, -(1 << 63), 0), ask("write", 0, 1, 1 << 62),
]  # fmt: skip


def test_a_wrong_request_is_refused_in_the_same_words(clients: Clients) -> None:
    native, python = (clients.play({0: WRONG, WRITERS: WRONG}, python=each) for each in (False, True))
    assert native == python
    kinds = [type_of(answer) for answer in native.answers[0]]
    assert kinds == [ServerDied, ServerDied, None, *[Malformed] * 10]
    assert NotPermitted in map(type_of, native.answers[WRITERS])
    assert failure(native.answers[0][3]) == f"1 sectors at {SECTORS}: the disk has {SECTORS}"


def type_of(answer: Answer) -> type[Failure] | None:
    kinds: list[type[Failure]] = [
        Busy, DeviceError, Gone, Malformed, NotPermitted, QuotaExceeded, ServerDied,
    ]  # fmt: skip
    return {0x100 + kind.code: kind for kind in kinds}[answer[0]] if answer[0] else None


def test_a_disk_that_is_read_only_is_not_written(clients: Clients) -> None:
    requests = [ask("info"), ask("write", 0, 1, 0), ask("read", 0, 1, 0)]
    native, python = (clients.play({0: requests}, python=each, read_only=True) for each in (False, True))
    assert native == python
    assert [type_of(answer) for answer in native.answers[0]] == [None, NotPermitted, None]
    assert native.answers[0][0][2] == 1


def test_a_device_that_fails_is_told_in_the_same_words(clients: Clients) -> None:
    plan = [DeviceFault(1, FaultKind.IO_ERROR, or_later=True)]
    requests = [ask("info"), ask("read", 3, 1, 0), ask("read", 3, 1, 0)]
    native, python = (clients.play({0: requests}, plan, python=each) for each in (False, True))
    assert native == python
    assert [type_of(answer) for answer in native.answers[0]] == [None, DeviceError, None]


def test_who_derives_too_many_caps_is_told_so_until_he_gives_them_up(clients: Clients) -> None:
    requests = [*[raw(DERIVE)] * 257, raw(REVOKE), raw(DERIVE), ask("info"), raw(DROP), ask("flush")]
    native, python = (clients.play({1: requests}, python=each) for each in (False, True))
    assert native.labels() == python.labels()
    kinds = [type_of(answer) for answer in native.answers[1]]
    assert kinds == [*[None] * 256, QuotaExceeded, None, None, None, None, ServerDied]


def test_who_finds_too_many_waiting_is_told_so_and_has_not_begun_anything(clients: Clients) -> None:
    asked = {asker: [ask("info"), ask("read", asker, 1, asker * SECTOR)] for asker in range(ASKERS)}
    outcome = clients.play(asked, [DeviceFault(1, FaultKind.STALL)])
    busy = [asker for asker in range(ASKERS) if type_of(outcome.answers[asker][1]) is Busy]
    assert len(busy) == ASKERS - WAITING
    before = filling(REGION)
    for asker in range(ASKERS):
        part = slice(asker * SECTOR, (asker + 1) * SECTOR)
        assert outcome.region[part] == (before[part] if asker in busy else bytes(SECTOR))


def test_words_that_lie_elsewhere_and_other_interfaces_are_refused(clients: Clients) -> None:
    label = OPERATIONS["read"].label
    requests = [
        raw(label | SPILLED, 0, 24), raw(2 << 8 | 1), raw(1), raw(Block.number << 8 | 9), raw(label, 0, 1),
        raw(label, 0, 1, 0, 0), raw(label, channel=STRANGER),
    ]  # fmt: skip
    native, python = (clients.play({0: requests}, python=each) for each in (False, True))
    assert native.labels() == python.labels()
    assert [type_of(answer) for answer in native.answers[0]] == [*[Malformed] * 6, Gone]


# The system of MINIX's demonstrations


def root_of(thread: TCB) -> int:
    """The physical address of a thread's root table."""
    cap = thread.vspace_slot.cap
    assert isinstance(cap, PageTableCap)
    return cap.paddr


@pytest.fixture
def on_stage(native: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Demonstrations of storage play with the driver in C."""
    monkeypatch.setattr(storage, "Stage", partial(Stage, programs={"disk": str(native)}))


@pytest.mark.parametrize("variant", ["", "no_iommu", "virt_sifive", "campaign"])
def test_a_file_is_written_through_it_as_through_the_other(
    native: Path, variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = storage.play(variant=variant)
    monkeypatch.setattr(storage, "Stage", partial(Stage, programs={"disk": str(native)}))
    first, second = (storage.play(variant=variant) for _ in range(2))
    assert first.trace_hash == second.trace_hash != python.trace_hash
    assert first.done
    assert (first.errors, first.wrong, first.faults) == (0, 0, 0)
    assert first.digest == python.digest
    assert (first.steps["disk"], first.device_steps) == (python.steps["disk"], python.device_steps)


@pytest.mark.usefixtures("on_stage")
def test_mx_1_holds_at_a_sample_of_points() -> None:
    must_hold("mx-1")


@pytest.mark.campaign
@pytest.mark.usefixtures("on_stage")
def test_mx_1_holds_at_every_point() -> None:
    must_hold("mx-1", everywhere=True)


@pytest.mark.slow
@pytest.mark.usefixtures("on_stage")
@pytest.mark.parametrize("name", ["mx-2", "mx-7"])
def test_other_demonstrations_hold(name: str) -> None:
    must_hold(name)


def test_each_life_begins_with_what_is_in_the_file_whatever_the_one_before_wrote(native: Path) -> None:
    stage = Stage("storage", programs={"disk": str(native)}, faults=(Fault("disk", 60, Kind.CRASH),))
    system = stage.system
    data = read_program(native.read_bytes()).symbols["requests"]
    assert data is not None
    lives: list[list[bytes]] = []
    known: list[TCB | None] = [None]

    def look(trap: Trap) -> None:
        thread = system.threads.get("disk")
        if thread is None:
            return
        if thread is not known[0]:
            known[0] = thread
            lives.append([])
        page = walk(system.machine.memory, root_of(thread), data.value)
        assert page is not None
        lives[-1].append(system.machine.read_bytes(page.paddr + data.value % page.size, data.size))

    system.loop.observers.append(look)
    assert stage.run_until(lambda: bool(stage.words("report", 1)[0]), LONGEST_US)
    stage.close()
    assert len(lives) == 2
    for contents in lives:
        assert not any(contents[0])
        assert any(contents[-1])


def test_it_gives_way_to_another_driver_and_takes_its_place_again(
    native: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replace, "Stage", partial(Stage, programs=dict.fromkeys(("disk", "disk2"), str(native))))
    outcome = replace.play()
    assert (outcome.ended, outcome.replaced, outcome.refused) == (True, replace.REPLACEMENTS, replace.REFUSED)
    assert not outcome.total.bad
    assert not outcome.faults
