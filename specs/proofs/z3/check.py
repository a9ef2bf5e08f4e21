"""Asking z3 for every claim, and running the models beside the specification, with a report."""

import time
from collections.abc import Iterator

from specs.proofs.z3.capability_theory import CapabilityTheory
from specs.proofs.z3.lockstep import Result, capabilities, scheduler
from specs.proofs.z3.prove import Theory, prove
from specs.proofs.z3.scheduler_theory import SchedulerTheory

PROVED, WRONG = 0, 1
SLOTS, THREADS = 4, 3
"""For so many slots, and so many threads and contexts, with anything in them."""
SEEDS, STEPS = 5, 200


def check() -> int:
    """Exit status: 0 all proved and equal, 1 not so."""
    started = time.perf_counter()
    theories: tuple[Theory, ...] = (CapabilityTheory(SLOTS), SchedulerTheory(THREADS, THREADS))
    for theory in theories:
        answers, began = [], time.perf_counter()
        for answer in prove(theory):
            answers.append(answer)
            if not answer.proved:
                print(f"refuted: {answer.claim}\n{answer.counterexample}")
        proved = sum(answer.proved for answer in answers)
        seconds = time.perf_counter() - began
        print(f"z3: {theory.name}: {proved} of {len(answers)} claims proved ({seconds:.0f} s)", flush=True)
        if proved < len(answers):
            return WRONG
    for name, result, seconds in _lockstep():
        if result.difference is not None:
            print(f"the model of {name} and the specification differ:\n{result.difference}")
            return WRONG
        print(f"z3: model and specification of {name} agree on {result.performed:,} operations ({seconds:.0f} s)")
    print(f"z3: {time.perf_counter() - started:.0f} s")
    return PROVED


def _lockstep() -> Iterator[tuple[str, Result, float]]:
    for name, run in (("capabilities", capabilities), ("the scheduler", scheduler)):
        total, began = Result(), time.perf_counter()
        for seed in range(SEEDS):
            result = run(seed, STEPS)
            total.performed += result.performed
            total.difference = total.difference or result.difference
        yield name, total, time.perf_counter() - began
