"""The inductive steps hold; a flaw is refuted by a program; the models do what the specification does."""

from dataclasses import replace
from typing import Any

import pytest

z3 = pytest.importorskip("z3", reason="NOT RUN: z3 not found (pip install 'capkernel[proofs]')")

from specs.abstract import scheduler as spec_scheduler  # noqa: E402
from specs.proofs.z3 import capabilities, lockstep, scheduler  # noqa: E402
from specs.proofs.z3.capability_theory import CapabilityTheory  # noqa: E402
from specs.proofs.z3.prove import Answer, Theory, prove  # noqa: E402
from specs.proofs.z3.scheduler_theory import SchedulerTheory  # noqa: E402


@pytest.mark.parametrize("theory", [CapabilityTheory(3), SchedulerTheory(2, 2)], ids=lambda theory: theory.name)
def test_every_step_keeps_the_invariant(theory: Theory) -> None:
    answers = list(prove(theory))
    assert [answer.counterexample for answer in answers if not answer.proved] == []
    assert len(answers) > 40


def refuted(theory: Theory) -> Answer:
    return next(answer for answer in prove(theory) if not answer.proved)


def run(program: str, capsys: Any) -> str:
    with pytest.raises(SystemExit) as ended:
        exec(compile(program, "counter-example", "exec"), {"__name__": "__main__"})
    assert ended.value.code == 1
    return str(capsys.readouterr().out)


def test_memory_that_is_given_out_twice_is_refuted_by_a_program(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    real = capabilities._retype

    def from_the_start(state: Any, operation: Any, source: Any, may: Any) -> Any:
        return real(state, operation, replace(source, mark=0), may)

    monkeypatch.setattr(capabilities, "_retype", from_the_start)
    answer = refuted(CapabilityTheory(3))
    assert answer.claim.startswith("capabilities: retype keeps")
    assert "does not hold" in run(answer.counterexample, capsys)


def test_a_thread_that_stays_in_the_ready_queue_is_refuted_by_a_program(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(scheduler, "leave_queues", scheduler.release_remove)
    answer = refuted(SchedulerTheory(2, 2))
    assert answer.claim == "scheduler: suspend keeps valid_ready_qs"
    assert "valid_ready_qs does not hold" in run(answer.counterexample, capsys)


def test_a_bit_that_is_never_cleared_is_refuted(monkeypatch: pytest.MonkeyPatch) -> None:
    real = scheduler.dequeue
    monkeypatch.setattr(scheduler, "dequeue", lambda state, thread: replace(real(state, thread), bits=state.bits))
    assert "valid_ready_qs" in refuted(SchedulerTheory(2, 2)).claim


def test_the_model_of_capabilities_does_what_the_specification_does() -> None:
    results = [lockstep.capabilities(seed, 50) for seed in range(2)]
    assert [result.difference for result in results if result.difference] == []
    assert sum(result.performed for result in results) > 30


def test_the_model_of_the_scheduler_does_what_the_specification_does() -> None:
    results = [lockstep.scheduler(seed, 60) for seed in range(5)]
    assert [result.difference for result in results if result.difference] == []
    assert set(scheduler.OPERATIONS) == set().union(*(result.effective for result in results))


def test_a_specification_that_queues_elsewhere_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spec_scheduler, "tcb_sched_enqueue", spec_scheduler.tcb_sched_append)
    assert any(lockstep.scheduler(seed, 80).difference for seed in range(6))
