"""``python -m specs.proofs [SEEDS [STEPS]]``: check every proof, and run what was proved beside the specification."""

import sys
from collections import Counter
from pathlib import Path

from specs.proofs import coq_model, lockstep

DEFAULTS = ("20", "500")


def main(arguments: list[str]) -> int:
    """Exit status: 0 all proved and equal, 1 not so, 3 nothing was run, since a tool is missing."""
    seeds, steps = (int(word) for word in (*arguments, *DEFAULTS[len(arguments) :]))
    missing = coq_model.missing_tools()
    if missing:
        print(f"NOT RUN: {', '.join(missing)} not found (Debian: apt-get install coq)")
        return 3
    with coq_model.workspace() as folder:
        try:
            program = coq_model.build(Path(folder))
        except coq_model.ProofError as error:
            print(error)
            return 1
        for name in coq_model.theorems():
            print(f"proved, without assumptions: {name}")
        performed: Counter[str] = Counter()
        for seed in range(seeds):
            result = lockstep.run(program, seed, steps)
            performed += result.performed
            if result.difference is not None:
                print(f"the model and the specification differ:\n{result.difference}")
                return 1
    counts = ", ".join(f"{name} {count:,}" for name, count in sorted(performed.items()))
    print(f"model and specification agree on {performed.total():,} operations: {counts}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
