"""The explorer: it visits all states, goes back to them exactly, leaves nothing out, and sees what is wrong."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from typer import Typer
from typer.testing import CliRunner, Result

from capkernel.kernel import reply as replies
from capkernel.kernel import schedcontext, scheduler
from capkernel.kernel.objects import INACTIVE, TCB, SchedContext
from capkernel.kernel.state import State
from capkernel.runtime.snapshot import FIELDS, save
from specs.explore.actions import ActionError, parse
from specs.explore.command import explore_command
from specs.explore.configurations import CONFIGURATIONS
from specs.explore.projection import FIELDS as PROJECTED
from specs.explore.projection import Projector
from specs.explore.search import explore
from specs.explore.states import CAPTURED, IGNORED
from specs.explore.system import System

SMALL = ("passive-server", "call-chain", "broken-chain", "timeouts", "interrupted-server", "yield-to-and-calls")
"""A few of the configurations, for every day; all of them are explored by ``make campaign``."""


def command(*arguments: str) -> Result:
    app = Typer()
    app.command()(explore_command)
    return CliRunner().invoke(app, list(arguments))


def test_there_are_enough_configurations_of_up_to_three_threads() -> None:
    assert len(CONFIGURATIONS) >= 40
    assert all(1 <= len(configuration.threads) <= 3 for configuration in CONFIGURATIONS.values())


@pytest.mark.parametrize("name", SMALL)
def test_small_configurations_are_exhausted_and_nothing_is_wrong(name: str) -> None:
    result = explore(CONFIGURATIONS[name])
    assert [violation.script() for violation in result.violations] == []
    assert result.exhausted
    assert result.transitions >= result.states - 1


@pytest.mark.campaign
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_every_configuration_is_exhausted_under_all_invariants_of_states(name: str) -> None:
    result = explore(CONFIGURATIONS[name], everything=True)
    assert [violation.script() for violation in result.violations] == []
    assert result.exhausted


def test_the_same_states_are_found_whatever_comes_first() -> None:
    once, again = (explore(CONFIGURATIONS["suspend-and-resume"], check=check) for check in (True, False))
    assert (once.states, once.transitions, once.depth) == (again.states, again.transitions, again.depth)


def test_going_back_to_a_state_restores_all_of_it() -> None:
    projectors: list[Projector] = []

    def visit(system: System) -> None:
        projector = projectors[0] if projectors else Projector(system)
        projectors[:] = [projector]
        here, projection = system.states.key(), projector()
        system.states.restore(system.initial)
        system.states.restore(here)
        assert (system.states.key(), projector()) == (here, projection)

    assert explore(CONFIGURATIONS["everything-goes"], check=False, visit=visit).exhausted


def test_a_run_that_never_goes_back_comes_through_the_same_states() -> None:
    """So time, and what else a state leaves out, decides nothing: a run is compared with one from restored states."""
    for name, seed in (("periodic-goes", 1), ("timeouts", 2), ("woken-on-lent-time", 3), ("own-timeout", 4)):
        straight, stepwise = System(CONFIGURATIONS[name]), System(CONFIGURATIONS[name])
        there, here_too = Projector(straight), Projector(stepwise)
        rng, here = random.Random(seed), stepwise.initial
        for _ in range(150):
            stepwise.states.forget()
            stepwise.states.restore(here)
            choices = straight.choices()
            assert choices == stepwise.choices()
            if not choices:
                break
            choice = rng.choice(choices)
            straight.take(choice)
            stepwise.take(choice)
            here = stepwise.states.key()
            assert there() == here_too()


@pytest.mark.parametrize("name", ["everything-goes", "interrupted-revoke"])
def test_nothing_changes_that_is_no_part_of_a_state(name: str) -> None:
    first: dict[int, tuple[Any, ...]] = {}
    seen = []

    def visit(system: System) -> None:
        seen.append(1)
        if len(seen) % 9 != 1:
            return
        parts = {id(item) for item in (*system.threads, *system.objects, *system.slots, system.state)}
        for item, values in save(system.state, roots=(system.node,)):
            kind = type(item)
            left_out = (CAPTURED.get(kind, frozenset()) | IGNORED.get(kind, frozenset())) if id(item) in parts else ()
            known = first.setdefault(id(item), values)
            for field, old, new in zip(FIELDS[kind], known, values, strict=True):
                if field in left_out or kind.__name__ in ("TCBQueue", "Refill"):
                    continue
                assert old == new, (kind.__name__, field)

    assert explore(CONFIGURATIONS[name], check=False, visit=visit).exhausted
    assert len(first) > 100


def test_a_receiver_that_keeps_its_reply_object_is_found_and_printed_as_a_program(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def forgets(state: State, reply: object, thread: TCB) -> None:
        scheduler.set_thread_state(state, thread, INACTIVE)

    monkeypatch.setattr(replies, "unlink", forgets)
    result = explore(CONFIGURATIONS["suspend-and-resume"])
    assert not result.exhausted
    violation = result.violations[0]
    assert "G16 valid_replies" in violation.problem
    assert violation.run.problem is not None
    assert "G16" in violation.run.problem
    program: dict[str, Any] = {"__name__": "shown"}
    exec(compile(violation.script(), "violation", "exec"), program)
    assert program["program"] == violation.run.program


def test_time_that_two_threads_have_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def shares(state: State, context: SchedContext, to: TCB) -> None:
        context.tcb, to.sched_context = to, context

    monkeypatch.setattr(schedcontext, "donate", shares)
    found = explore(CONFIGURATIONS["forgetful-server"]).violations
    assert "G14 sym_refs" in found[0].problem
    assert "P2 time_is_somewhere" in found[0].problem


def test_a_server_that_stops_answering_is_no_violation_unless_somebody_should_always_go_on() -> None:
    result = explore(CONFIGURATIONS["forgetful-server"])
    assert result.exhausted
    assert result.quiet > 0


@pytest.mark.parametrize("line", ["Dance ep0", "Call", "Call ep7", "ReplyRecv ep0", "Delete nothing"])
def test_what_no_thread_can_do_is_refused(line: str) -> None:
    with pytest.raises(ActionError, match=line.split()[0]):
        parse(line)


def test_projections_say_what_each_byte_is() -> None:
    system = System(CONFIGURATIONS["passive-server"])
    assert len(Projector(system)()) == sum(count for _, count in PROJECTED)


def test_the_command_goes_on_where_it_was(tmp_path: Path) -> None:
    record = tmp_path / "explore.json"
    first = command("passive-server", "--record", str(record))
    assert first.exit_code == 0, first.output
    assert "configurations: 1 of 1 exhausted" in first.output
    kept = json.loads(record.read_text())
    kept["passive-server"]["result"]["seconds"] = 4321.0
    record.write_text(json.dumps(kept))
    second = command("passive-server", "--record", str(record))
    assert "4321.0" in second.output


def test_the_command_says_what_it_did_not_finish_and_what_it_does_not_know() -> None:
    assert "periodic" in command("--list").output
    given_up = command("everything-goes", "--max-states", "20")
    assert given_up.exit_code == 1
    assert "0 of 1 exhausted" in given_up.output
    assert command("no-such-thing").exit_code == 2


@pytest.mark.parametrize("text", ["no JSON", "[]", '{"signals": 3}', '{"signals": {"of": ""}}'])
def test_a_file_that_is_no_record_is_refused_and_stays_what_it_is(text: str, tmp_path: Path) -> None:
    record = tmp_path / "notes.txt"
    record.write_text(text)
    refused = command("signals", "--record", str(record))
    assert refused.exit_code == 2
    assert f"{record}: this is no record of an exploration" in refused.stderr
    assert record.read_text() == text


def test_a_record_that_cannot_be_written_is_refused_before_anything_is_explored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("specs.explore.command.explore", lambda *_, **__: pytest.fail("it explored"))
    (tmp_path / "file").touch()
    refused = command("signals", "--record", str(tmp_path / "file" / "r.json"))
    assert refused.exit_code == 2
    assert "r.json cannot be written: " in refused.stderr


def test_an_interrupt_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("specs.explore.command.explore", interrupted)
    record = str(tmp_path / "r.json")
    stopped = command("signals", "--record", record)
    assert stopped.exit_code == 130
    assert f"goes on from what is kept in {record}" in stopped.stderr
    assert "with --record FILE" in command("signals").stderr
