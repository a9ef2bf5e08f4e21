"""``python -m specs.proofs [SEEDS [STEPS]] [--json]``: check every proof, run what was proved beside the specification.

``--z3 [--json]`` asks z3 for the inductive steps instead; ``--spin [NAME…] [--json]`` compares what Spin reaches in the
model of the IPC protocol with what the explored kernel reaches.

Exit status: 0 all proved and equal, 1 not so, 3 nothing was run, since a tool is missing.
"""

import json
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from specs.proofs import coq_model, lockstep
from specs.proofs.spin.command import main as spin_main
from specs.proofs.z3.command import main as z3_main

DEFAULTS = ("20", "500")
WRONG, NOT_RUN = 1, 3


@dataclass
class Outcome:
    """What was proved; how often which operation was performed by both; where they differ, if they do."""

    theorems: list[str]
    performed: Counter[str] = field(default_factory=Counter)
    difference: str = ""


def checked(seeds: int, steps: int) -> Outcome:
    """Check the proofs, and run the model beside the specification. Raises ProofError."""
    with coq_model.workspace() as folder:
        program = coq_model.build(Path(folder))
        outcome = Outcome(coq_model.theorems())
        for seed in range(seeds):
            result = lockstep.run(program, seed, steps)
            outcome.performed += result.performed
            if result.difference is not None:
                outcome.difference = result.difference
                break
    return outcome


def main(arguments: list[str]) -> int:
    """Do it, and tell; returns the exit status."""
    if "--z3" in arguments:
        return z3_main(as_json="--json" in arguments)
    if "--spin" in arguments:
        names = [word for word in arguments if not word.startswith("--")]
        return spin_main(names, as_json="--json" in arguments)
    numbers = [word for word in arguments if word != "--json"]
    seeds, steps = (int(word) for word in (*numbers, *DEFAULTS[len(numbers) :]))
    missing = coq_model.missing_tools()
    if missing:
        print(f"NOT RUN: {', '.join(missing)} not found (Debian: apt-get install coq)")
        return NOT_RUN
    try:
        outcome = checked(seeds, steps)
    except coq_model.ProofError as error:
        print(error)
        return WRONG
    if "--json" in arguments:
        operations = outcome.performed.total()
        print(json.dumps({"theorems": outcome.theorems, "operations": operations, "difference": outcome.difference}))
    else:
        _tell(outcome)
    return WRONG if outcome.difference else 0


def _tell(outcome: Outcome) -> None:
    for name in outcome.theorems:
        print(f"proved, without assumptions: {name}")
    if outcome.difference:
        print(f"the model and the specification differ:\n{outcome.difference}")
        return
    counts = ", ".join(f"{name} {count:,}" for name, count in sorted(outcome.performed.items()))
    print(f"model and specification agree on {outcome.performed.total():,} operations: {counts}")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
