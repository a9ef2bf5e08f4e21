"""When services are started anew: back-off, heartbeats, orders, updates; a table that survives its writer."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from capkernel.protocols.supervision import Order, State
from capkernel.user.messages import SharedRegion
from capkernel.user.operations import READ
from servers.system.manifest import ManifestError, read_manifest
from servers.system.reincarnation import DECLINED, DELAYS, NO_HEARTBEAT, OUTDATED, STEADY, Act, Service, Step, Table
from servers.system.table_store import TableStore
from tests.servers.stepping import run_steps

REGION = SharedRegion(0x1000, 0x2000)


def running(**options: object) -> Table:
    table = Table.of([Service("disk", **{"patience": 2, "asks": False, "alternatives": 1, **options})])
    table.adopt("disk")
    assert table.begin() == []
    return table


def starts(steps: list[Step]) -> bool:
    return any(step.act is Act.START for step in steps)


def beats_until_start(table: Table) -> int:
    """Let time pass until the service is started again; it gives signs of life."""
    for beats in range(100):
        if starts(table.beat()):
            return beats + 1
    raise AssertionError("it is not started any more")


def test_a_service_that_crashes_at_every_start_is_started_after_0_2_4_8_16_30_30_beats() -> None:
    table = running()
    delays = []
    for _ in range(8):
        steps = table.crashed("disk", "fault")
        assert steps[0] == Step(Act.DESTROY, "disk")
        delays.append(0 if starts(steps) else beats_until_start(table))
    assert delays == [0, 2, 4, 8, 16, 30, 30, 30]


def test_a_service_that_ran_for_long_is_started_at_once_again() -> None:
    table = running(patience=0)
    for _ in range(3):
        table.crashed("disk", "fault")
    for _ in range(STEADY + DELAYS[-1]):
        table.beat()
    assert starts(table.crashed("disk", "fault"))


@given(st.integers(1, 5), st.integers(0, 30))
def test_a_service_is_killed_when_its_last_sign_of_life_is_older_than_its_patience(patience: int, alive: int) -> None:
    table = running(patience=patience)
    for _ in range(alive):
        assert table.beat() == [Step(Act.PING, "disk")]
        table.lives("disk")
    for _ in range(patience):
        assert table.beat() == [Step(Act.PING, "disk")]
    assert table.beat() == [Step(Act.DESTROY, "disk"), Step(Act.START, "disk", 0)]
    assert table.events[-1].reason == NO_HEARTBEAT
    assert table.events[-1].incarnation == 1


def test_whom_a_silent_service_waits_for_is_started_anew_with_it_but_not_twice() -> None:
    table = Table.of([Service("disk", 5, False, 0), Service("files", 2, False, 0), Service("clock", 5, False, 0)])
    table.providers = {"files": ("disk",)}
    for label in table.services:
        table.adopt(label)
    table.begin()
    steps = [step for _ in range(3) for step in table.beat() if step.act is not Act.PING]
    assert steps == [Step(act, label) for label in ("disk", "files") for act in (Act.DESTROY, Act.START)]
    assert table.services["disk"].incarnation == 2
    assert table.services["clock"].incarnation == 1
    table.beat()
    table.crashed("disk", "fault")
    table.beat()
    assert any(step.label == "files" and step.act is Act.DESTROY for step in table.beat())
    assert table.services["disk"].incarnation == 3


def test_those_on_whom_a_service_relies_are_started_anew_when_it_crashes_again_and_again() -> None:
    table = Table.of([Service("disk", 5, False, 0), Service("files", 2, False, 0), Service("clock", 5, False, 0)])
    table.providers = {"files": ("disk",)}
    for label in table.services:
        table.adopt(label)
    table.begin()
    lives: list[int] = []
    for _ in range(7):
        steps = table.crashed("files", "fault")
        assert steps[-1].label == "files"
        lives.append(table.services["disk"].incarnation)
        while table.services["files"].state is not State.RUNNING:
            for label in ("disk", "clock"):
                table.lives(label)
            table.beat()
    assert lives == [1, 1, 2, 2, 2, 3, 3]
    assert table.services["clock"].incarnation == 1
    for _ in range(STEADY):
        for label in table.services:
            table.lives(label)
        table.beat()
    table.crashed("files", "fault")
    assert table.services["disk"].incarnation == 3


def test_a_service_that_asks_waits_for_an_order_but_not_for_ever() -> None:
    table = running(asks=True)
    assert not starts(table.crashed("disk", "fault"))
    assert table.services["disk"].state is State.ASKING
    assert table.ordered("disk", Order.RESTART, 1) == [Step(Act.START, "disk", 1)]
    assert not starts(table.crashed("disk", "fault"))
    assert beats_until_start(table) == 2
    table.crashed("disk", "fault")
    table.ordered("disk", Order.STOP, 0)
    assert not any(starts(table.beat()) for _ in range(100))


def test_an_update_that_fails_goes_back_and_one_that_works_stays() -> None:
    table = running()
    assert table.update("disk", 1) == [Step(Act.ASK_FOR_STATE, "disk")]
    assert table.state_saved("disk") == [Step(Act.DESTROY, "disk"), Step(Act.START, "disk", 1)]
    assert table.crashed("disk", "v2 is broken") == [Step(Act.DESTROY, "disk"), Step(Act.START, "disk", 0)]
    assert table.services["disk"].state is State.RUNNING
    assert not table.services["disk"].is_updated
    table.update("disk", 1)
    table.state_saved("disk")
    assert table.lives("disk")
    assert table.services["disk"].is_updated
    assert table.services["disk"].alternative == 1
    assert starts(table.crashed("disk", "later"))
    assert table.services["disk"].alternative == 1


def test_a_service_can_be_updated_to_the_program_that_it_has() -> None:
    table = running()
    table.update("disk", 0)
    assert not table.lives("disk"), "the old one's sign of life is not the new one's"
    assert table.state_saved("disk") == [Step(Act.DESTROY, "disk"), Step(Act.START, "disk", 0)]
    assert table.state_saved("disk") == []
    assert table.beat() == [Step(Act.PING, "disk")]
    assert table.lives("disk")
    assert table.services["disk"].state is State.RUNNING
    assert table.services["disk"].is_updated


def test_an_update_to_the_program_that_it_has_is_known_to_have_failed() -> None:
    table = running()
    for fails in (lambda: table.crashed("disk", "v2 is broken"), lambda: [table.beat() for _ in range(DECLINED)]):
        table.update("disk", 0)
        table.state_saved("disk")
        assert table.lives("disk")
        table.update("disk", 0)
        fails()
        table.lives("disk")
        assert table.services["disk"].state is State.RUNNING
        assert not table.services["disk"].is_updated


def test_a_service_that_goes_on_when_it_is_asked_for_its_state_is_left_alone() -> None:
    table = running()
    table.update("disk", 1)
    assert not table.lives("disk"), "that may be the answer to an earlier question"
    for _ in range(DECLINED):
        assert table.beat() == [Step(Act.PING, "disk")]
    assert table.lives("disk")
    assert (table.services["disk"].state, table.services["disk"].alternative) == (State.RUNNING, 0)


def test_a_service_that_retires_when_nobody_wants_it_to_any_more_is_started_anew_at_once() -> None:
    table = running()
    table.update("disk", 1)
    begun = starts([step for _ in range(4) for step in table.beat()])
    assert begun, "it died before it saw the order, which the next life will see"
    assert table.state_saved("disk") == [Step(Act.DESTROY, "disk"), Step(Act.START, "disk", 0)]
    assert (table.services["disk"].state, table.events[-1].reason) == (State.RUNNING, OUTDATED)
    assert not table.services["disk"].is_updated


def test_a_service_that_gives_no_signs_of_life_is_updated_once_it_is_started() -> None:
    table = running(patience=0)
    table.update("disk", 1)
    assert starts(table.state_saved("disk"))
    assert table.services["disk"].state is State.RUNNING
    assert not any(table.beat() for _ in range(20))
    assert table.services["disk"].alternative == 1


ACTS = st.lists(
    st.one_of(
        st.just(("beat",)), st.just(("crashed", "disk", "x")), st.just(("lives", "disk")),
        st.just(("ordered", "disk", Order.RESTART, 1)), st.just(("update", "disk", 1)),
        st.just(("state_saved", "disk")), st.just(("restarted", "disk", "x")),
    ),
    max_size=60,
)  # fmt: skip


@given(ACTS, st.booleans())
def test_whatever_happens_each_start_follows_a_destruction_and_each_death_a_start(
    acts: list[tuple[object, ...]], asks: bool
) -> None:
    table = running(asks=asks)
    alive = True
    for name, *arguments in acts:
        state = table.services["disk"].state
        if (name == "ordered" and state is not State.ASKING) or (name == "update" and state is not State.RUNNING):
            continue
        steps = getattr(table, str(name))(*arguments)
        for step in steps if isinstance(steps, list) else []:
            if step.act is Act.DESTROY:
                alive = False
            elif step.act is Act.START:
                assert not alive, "started while it runs"
                alive = True
        assert alive or table.services["disk"].state in (State.WAITING, State.ASKING)
    if not alive:
        beats_until_start(table)


class Memory:
    """Memory that a writer leaves in the middle after so many bytes."""

    def __init__(self) -> None:
        self.content = bytearray(REGION.size)
        self.left = 1 << 30

    def run(self, awaitable: Any) -> object:
        return run_steps(awaitable, self._access)

    def _access(self, kind: int, vaddr: int, value: Any) -> bytes | None:
        start = vaddr - REGION.vaddr
        if kind == READ:
            return bytes(self.content[start : start + value])
        part = value[: self.left]
        self.left -= len(part)
        self.content[start : start + len(part)] = part
        return None


@given(ACTS, st.integers(0, 3000))
@example([], 321)
def test_a_table_is_whole_or_what_it_was_before_wherever_its_writer_dies(
    acts: list[tuple[object, ...]], left: int
) -> None:
    memory, table = Memory(), running()
    memory.run(TableStore(REGION).save(table))
    store = TableStore(REGION)
    assert memory.run(store.load()) == table
    before = memory.run(TableStore(REGION).load())
    for _ in range(3):
        table.crashed("disk", "a reason")
    memory.left = left
    memory.run(store.save(table))
    assert memory.run(TableStore(REGION).load()) in (before, table)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("x = 1", "nothing but"),
        ("[[service]]\nlabel = 'a'", "child is missing"),
        ("[[service]]\nlabel = 'a'\nchild = 77", "0 to 39"),
        ("[[service]]\nlabel = 'a'\nchild = 1\n[[service]]\nlabel = 'b'\nchild = 1", "the child 1"),
        ("[[service]]\nlabel = 3\nchild = 1", "not of type str"),
        ("[[service]]\nlabel = 'a'\nchild = 1\ncolour = 1", "colour is unknown"),
        ("[[service]]\nlabel = 'a'\nchild = 1\nrelies_on = ['b']", "no other service"),
        ("[[", "no TOML"),
    ],
)
def test_a_wrong_manifest_is_refused_with_its_place(text: str, complaint: str) -> None:
    with pytest.raises(ManifestError, match=complaint):
        read_manifest(text)
