"""The inductive steps by z3, if it is installed."""

from importlib.util import find_spec

NOT_RUN = 3


def main(*, as_json: bool = False) -> int:
    """Exit status: 0 all proved and equal, 1 not so, 3 nothing was run, since z3 is missing."""
    if find_spec("z3") is None:
        print("NOT RUN: z3 not found (pip install 'capkernel[proofs]')")
        return NOT_RUN
    from specs.proofs.z3.check import check

    return check(as_json=as_json)
