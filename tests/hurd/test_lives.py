"""The servers of the Hurd die, and come back: what was open at a file server is gone, what is on the disk is there, and
translators start again when somebody looks; who has which identity stays as it was.
"""

from pathlib import Path

import pytest

from capkernel.tools.demo.hurd.hu3 import SECRET
from capkernel.tools.demo.hurd.meeting import meet
from capkernel.tools.demo.hurd.playing import Outcome, play
from capkernel.tools.demo.storage import spread
from capkernel.tools.demo.volumes import spread_from
from capkernel.tools.inject import Fault, Kind

LOUD, QUIET = "QUIET WORDS", "quiet words"
PROGRAMS = {"alice": "returner.elf", "mallory": "prowler.elf"}
ITSELF = {"(1001,)", "NotPermitted"}
STEPS = {"nodes": 870, "auth": 890}
"""About how many steps they take until the end."""
MEETING = 90
"""Of the file server, in the story of claims."""
FAILED = {"Gone", "ServerDied"}


def live(faults: tuple[Fault, ...] = ()) -> Outcome:
    return play(faults=faults, programs=PROGRAMS, variant=str(Path(__file__).parent / "programs"))


def seen(notes: dict[str, str], name: str) -> set[str]:
    return set(notes[name].split(", "))


def check(name: str, step: int) -> Outcome:
    """Alice has all that was hers, and mallory nothing of it."""
    outcome = live((Fault(name, step, Kind.CRASH),))
    assert outcome.is_over
    assert (outcome.alice["last"], outcome.alice["diary"]) == (LOUD, SECRET)
    # None, if the file server died after the last look.
    assert outcome.alice["running"] in ("0", "1")
    assert seen(outcome.alice, "kept") <= {LOUD, QUIET} | FAILED
    assert seen(outcome.mallory, "seen") <= ITSELF | FAILED
    return outcome


@pytest.mark.slow
def test_without_a_death_nothing_is_asked_twice() -> None:
    outcome = live()
    assert outcome.is_over
    assert (seen(outcome.alice, "kept"), outcome.alice["again"]) == ({LOUD, QUIET}, "0")
    assert seen(outcome.mallory, "seen") == ITSELF
    assert all(abs(outcome.steps[name] - steps) < steps // 4 for name, steps in STEPS.items()), outcome.steps


@pytest.mark.slow
def test_what_was_open_at_a_file_server_that_dies_fails_and_is_there_again_when_it_is_looked_up() -> None:
    outcome = check("nodes", STEPS["nodes"] // 2)
    assert outcome.activated
    assert {LOUD, QUIET} < seen(outcome.alice, "kept")
    assert "Gone" in seen(outcome.alice, "kept")
    assert outcome.alice["again"] != "0"


@pytest.mark.slow
def test_who_has_which_identity_is_the_same_after_the_auth_server_has_died() -> None:
    outcome = check("auth", STEPS["auth"] // 2)
    assert outcome.activated
    assert seen(outcome.alice, "kept") == {LOUD, QUIET}, "nobody's cap is the auth server's matter once it is given"


@pytest.mark.slow
@pytest.mark.parametrize("step", spread_from(2, MEETING, 2))
def test_a_file_server_that_dies_over_a_claim_lets_nothing_pass(step: int) -> None:
    check_meeting(step)


@pytest.mark.campaign
@pytest.mark.parametrize("step", range(2, MEETING))
def test_a_file_server_that_dies_anywhere_among_claims_lets_nothing_pass(step: int) -> None:
    check_meeting(step)


def check_meeting(step: int) -> None:
    """Nothing of others' diaries comes to mallory, who hands on, repeats and forges claims."""
    told = meet(faults=(Fault("nodes", step, Kind.CRASH),))
    assert told.deaths
    assert SECRET not in told.mallory.values()
    assert told.mallory.get("own", "(1001,)") == "(1001,)"


@pytest.mark.campaign
@pytest.mark.parametrize(("name", "step"), [(name, step) for name in STEPS for step in spread(STEPS[name], 60)])
def test_wherever_they_die(name: str, step: int) -> None:
    check(name, step)
