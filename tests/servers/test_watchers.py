"""Those who watch over others are replaced: whoever dies in just that moment, and nobody's client sees it."""

import pytest

from capkernel.protocols.failures import Malformed, Refused
from capkernel.system.board import find_board
from capkernel.system.extensions import load_extensions
from capkernel.system.grants import GrantKind
from capkernel.system.microkit import load
from capkernel.tools.demo import replace_watchers
from capkernel.tools.demo.lives import Lives
from capkernel.tools.demo.replace_watchers import REPLACEMENTS, Outcome
from capkernel.tools.demo.stage import BOARD, find_system
from capkernel.tools.inject import Fault, Kind
from capkernel.user.loop import PD
from capkernel.user.pdimage import PDValues
from capkernel.user.tasks import Tasks
from servers.system.manifest import ManifestError, read_manifest
from servers.system.reincarnation import NO_HEARTBEAT
from servers.system.watchers import (
    FELL_BACK,
    GUARDIAN_FELL_BACK,
    GUARDIAN_ORDERS,
    GUARDIAN_WORKS,
    PATIENCE,
    SUPERVISOR_ORDERS,
    WORKS,
    Watchers,
)
from tests.servers.unhurried import UnhurriedStage
from tests.servers.update_bench import Lasting

UNDERSTUDY_TICKS = 400_000


@pytest.fixture(params=[True, pytest.param(False, marks=pytest.mark.campaign)], ids=["pausing", "busy"])
def clients(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is replaced notices nothing of it; `capkernel demo replace` has busy ones."""
    if request.param:
        monkeypatch.setattr(replace_watchers, "Stage", UnhurriedStage)


def nobody_noticed(outcome: Outcome) -> bool:
    return outcome.ended and not outcome.total.bad and outcome.total.requests > 0 and not outcome.faults


@pytest.mark.usefixtures("clients")
@pytest.mark.slow
def test_each_watcher_is_replaced_and_the_same_seed_gives_the_same_trace() -> None:
    outcome = replace_watchers.play(seed=2)
    assert (outcome.replaced, outcome.refused, outcome.news_failed) == (REPLACEMENTS, 0, 0)
    assert nobody_noticed(outcome)
    assert replace_watchers.play(seed=2).trace_hash == outcome.trace_hash


@pytest.mark.usefixtures("clients")
@pytest.mark.slow
@pytest.mark.parametrize("name", ["supervisor", "guardian", "metronome"])
@pytest.mark.parametrize("kind", [pytest.param(Kind.CRASH, marks=pytest.mark.campaign), Kind.HANG])
def test_a_new_watcher_that_comes_to_grief_while_it_starts_is_followed_by_the_former_one(name: str, kind: Kind) -> None:
    """`capkernel demo replace` has all three crash in one run."""
    outcome = replace_watchers.play((Fault(name, 1, kind, life=2),))
    assert outcome.activated == outcome.refused == 1
    assert (outcome.replaced, outcome.news_failed, outcome.news_missing) == (REPLACEMENTS, 0, 0)
    assert nobody_noticed(outcome)


@pytest.mark.usefixtures("clients")
@pytest.mark.slow
@pytest.mark.parametrize("faults", [
    pytest.param((Fault("metronome", 40, Kind.HANG),), marks=pytest.mark.campaign),
    (Fault("metronome", 40, Kind.HANG), Fault("supervisor", 300, Kind.CRASH)),
    (Fault("understudy", 3, Kind.HANG), Fault("guardian", 30, Kind.CRASH)),
])  # fmt: skip
def test_nobody_notices_that_the_metronome_falls_silent_nor_its_understudy(faults: tuple[Fault, ...]) -> None:
    outcome = replace_watchers.play(faults)
    assert outcome.activated == len(faults)
    assert outcome.replaced == REPLACEMENTS
    assert outcome.ended
    assert not outcome.total.bad


def test_a_metronome_that_falls_silent_is_started_anew() -> None:
    """Nobody is to be replaced then, so nobody else would notice."""
    faults = (Fault("replacer", 1, Kind.CRASH), Fault("metronome", 3, Kind.HANG))
    stage = UnhurriedStage("replace_watchers", faults=faults)
    lives = Lives(stage, "metronome")
    stage.run_until(lambda: len(lives.began) > 1, 1_000_000)
    assert len(lives.began) == 2
    assert f"metronome 1: {NO_HEARTBEAT}" in stage.booted.output.text
    assert lives.began[1] < 6 * UNDERSTUDY_TICKS
    steps = stage.injector.steps["metronome"]
    stage.run(time_us=50_000)
    assert stage.injector.steps["metronome"] > steps + 10, "it beats again"
    stage.close()


def test_an_understudy_that_falls_silent_is_started_anew_so_somebody_notices_when_the_metronome_does() -> None:
    """One falls silent long before the other: nobody may have needed it until then."""
    faults = (Fault("replacer", 1, Kind.CRASH), Fault("understudy", 3, Kind.HANG), Fault("metronome", 80, Kind.HANG))
    stage = UnhurriedStage("replace_watchers", faults=faults)
    understudy, metronome = Lives(stage, "understudy"), Lives(stage, "metronome")
    stage.run_until(lambda: len(metronome.began) > 1, 2_000_000)
    assert (len(understudy.began), len(metronome.began)) == (2, 2)
    assert understudy.began[1] < metronome.began[1]
    text = stage.booted.output.text
    assert f"understudy 1: {NO_HEARTBEAT}" in text
    assert f"metronome 1: {NO_HEARTBEAT}" in text
    for name in ("metronome", "understudy"):
        steps = stage.injector.steps[name]
        stage.run(time_us=100_000)
        assert stage.injector.steps[name] > steps, "it beats again"
    stage.close()


def test_if_both_are_silent_the_supervisor_notices_as_soon_as_somebody_wants_anything_of_it() -> None:
    """Nothing wakes it by itself; here a service comes to grief a while later."""
    silent = (Fault("metronome", 3, Kind.HANG), Fault("understudy", 3, Kind.HANG))
    later = (Fault("replacer", 1, Kind.CRASH), Fault("tickets", 220, Kind.CRASH))
    stage = UnhurriedStage("replace_watchers", faults=(*silent, *later))
    lives = {name: Lives(stage, name) for name in ("metronome", "understudy")}
    stage.run_until(lambda: all(len(each.began) > 1 for each in lives.values()), 500_000)
    assert [len(each.began) for each in lives.values()] == [2, 2]
    assert stage.booted.output.text.count(NO_HEARTBEAT) == 2
    stage.close()


@pytest.mark.usefixtures("clients")
@pytest.mark.slow
@pytest.mark.parametrize("name", ["supervisor", "guardian", "warden"])
@pytest.mark.parametrize("step", [12, 21, 34])
def test_whoever_watches_over_another_may_die_while_that_one_is_replaced(name: str, step: int) -> None:
    """In that moment nobody knows what became of the update: it is refused, or its answer is lost with the supervisor,
    and tried again.
    """
    outcome = replace_watchers.play((Fault(name, step, Kind.CRASH),))
    assert outcome.activated == 1
    assert outcome.replaced == REPLACEMENTS
    assert outcome.ended
    assert not outcome.total.bad


def test_nobody_has_more_than_the_lifecycle_of_whom_he_watches() -> None:
    path = find_system("replace_watchers")
    system = load(path, search_path=[path.parent], board=find_board(BOARD))
    held: dict[str, set[str]] = {}
    for grant in load_extensions(path, system).grants:
        if grant.kind is GrantKind.LIFECYCLE:
            held.setdefault(grant.pd, set()).add(grant.of)
    assert held == {
        "warden": {"guardian"}, "guardian": {"supervisor"},
        "supervisor": {"metronome", "disk", "warden", "files", "tickets", "understudy"},
    }  # fmt: skip


class Asked:
    """The supervisor's side, without anybody at the other end; ``signals`` are the channels that were signalled."""

    def __init__(self) -> None:
        self.lasting = Lasting()
        notifications = sum(1 << channel for channel in (*GUARDIAN_ORDERS, *SUPERVISOR_ORDERS))
        self.watchers = Watchers(PD(PDValues(name="supervisor", notifications=notifications)))
        self.tasks = Tasks()
        self.outcomes: list[BaseException | None] = []

    def update(self, label: str, program: int) -> None:
        async def done(result: object, error: BaseException | None) -> None:
            self.outcomes.append(error)

        self.lasting.run(self.tasks.start(self.watchers.update(label, program), done))

    def go_on(self) -> list[BaseException | None]:
        self.lasting.run(self.tasks.run_ready())
        return self.outcomes


def test_the_one_who_is_asked_says_what_came_of_it() -> None:
    asked = Asked()
    asked.update("guardian", 1)
    assert asked.lasting.signals == [GUARDIAN_ORDERS[1]]
    assert asked.watchers.told(WORKS), "that is about somebody else"
    assert not asked.go_on()
    assert asked.watchers.told(GUARDIAN_WORKS)
    assert asked.go_on() == [None]
    asked.update("guardian", 0)
    assert asked.watchers.told(GUARDIAN_FELL_BACK)
    assert isinstance(asked.go_on()[1], Refused)
    assert not asked.watchers.told(FELL_BACK + 1)


def test_one_who_says_nothing_has_died_over_it() -> None:
    asked = Asked()
    asked.update("guardian", 0)
    for _ in range(PATIENCE):
        asked.watchers.beat()
    assert not asked.go_on()
    asked.watchers.beat()
    assert isinstance(asked.go_on()[0], Refused)


def test_one_after_the_other_and_no_program_that_there_cannot_be() -> None:
    asked = Asked()
    asked.update("supervisor", 3)
    assert asked.watchers.wanted == 3
    assert not asked.lasting.signals, "first what is to be handed over is written down"
    asked.update("guardian", 0)
    assert isinstance(asked.go_on()[0], Refused)
    asked.watchers.told(WORKS)
    assert asked.go_on()[1] is None
    asked.update("guardian", 4)
    assert isinstance(asked.go_on()[2], Malformed)
    alone = Watchers(PD(PDValues(name="supervisor", notifications=0)))
    assert not alone.labels


def test_who_beats_time_is_started_at_once_whenever_it_crashes() -> None:
    text = '[[service]]\nlabel = "metronome"\nchild = 0\nbeats = true\nsteady = 9\n'
    assert read_manifest(text)[0].service().steady == 0
    with pytest.raises(ManifestError, match="beats is 1"):
        read_manifest(text.replace("true", "1"))
    for key in ("beats", "stands_in"):
        both = text.replace("beats", key)
        with pytest.raises(ManifestError, match=f"two services say {key} = true"):
            read_manifest(both + both.replace("metronome", "other").replace("child = 0", "child = 1"))
