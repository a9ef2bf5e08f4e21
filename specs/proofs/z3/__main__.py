"""``python -m specs.proofs.z3``: the inductive step of both models, and both beside the specification."""

from specs.proofs.z3.command import main

if __name__ == "__main__":
    raise SystemExit(main())
