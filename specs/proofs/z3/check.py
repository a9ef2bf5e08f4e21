"""Asking z3 for every claim, and running the models beside the specification, with a report."""

import json
import sys
import time
from collections.abc import Callable

from specs.proofs.z3.capability_theory import CapabilityTheory
from specs.proofs.z3.lockstep import Result, capabilities, scheduler
from specs.proofs.z3.prove import Theory, prove
from specs.proofs.z3.scheduler_theory import SchedulerTheory

PROVED, WRONG = 0, 1
SLOTS, THREADS = 4, 3
"""For so many slots, and so many threads and contexts, with anything in them."""
SEEDS, STEPS = 5, 200


def check(*, as_json: bool = False) -> int:
    """Exit status: 0 all proved and equal, 1 not so."""
    out = sys.stderr if as_json else sys.stdout
    started = time.perf_counter()
    theories: tuple[Theory, ...] = (CapabilityTheory(SLOTS), SchedulerTheory(THREADS, THREADS))
    proved = claims = performed = 0
    wrong = []
    for theory in theories:
        began = time.perf_counter()
        answers = list(prove(theory))
        refuted = [f"refuted: {answer.claim}\n{answer.counterexample}" for answer in answers if not answer.proved]
        wrong += refuted
        proved, claims = proved + len(answers) - len(refuted), claims + len(answers)
        said = f"{len(answers) - len(refuted)} of {len(answers)} claims proved"
        print("\n".join([*refuted, _line(theory.name, said, began)]), file=out, flush=True)
    for name, run in (("capabilities", capabilities), ("the scheduler", scheduler)):
        began = time.perf_counter()
        result = _lockstep(run)
        performed += result.performed
        if result.difference is not None:
            wrong.append(f"the model of {name} and the specification differ:\n{result.difference}")
            print(wrong[-1], file=out)
            continue
        print(_line(name, f"model and specification agree on {result.performed:,} operations", began), file=out)
    print(f"z3: {time.perf_counter() - started:.0f} s", file=out)
    if as_json:
        print(json.dumps({"claims": claims, "proved": proved, "operations": performed, "wrong": wrong}, indent=1))
    return WRONG if wrong else PROVED


def _line(name: str, said: str, began: float) -> str:
    return f"z3: {name}: {said} ({time.perf_counter() - began:.0f} s)"


def _lockstep(run: Callable[[int, int], Result]) -> Result:
    """A model beside the specification, over all seeds."""
    total = Result()
    for seed in range(SEEDS):
        result = run(seed, STEPS)
        total.performed += result.performed
        total.difference = total.difference or result.difference
    return total
