"""Who can influence whom, by a declared policy: the ``sources`` of the information flow proofs.

Murray et al., "seL4: from General Purpose to a Proof of Information Flow Enforcement", 2013: a label's sources are all
labels from which information may come to it, over any number of steps.
"""

from collections.abc import Iterable

from specs.invariants.authority import (
    ACKNOWLEDGE,
    CALL,
    CONTROL,
    DELETE_DERIVED,
    GRANT,
    NOTIFY,
    READ,
    RECEIVE,
    REPLY,
    RESET,
    SEND,
    WRITE,
    Edge,
)

OUTWARD = frozenset((SEND, CALL, NOTIFY, GRANT, REPLY, WRITE, CONTROL, DELETE_DERIVED, RESET, ACKNOWLEDGE))
"""Authority by which information goes from the subject to the target."""
INWARD = frozenset((RECEIVE, READ, CONTROL, CALL, DELETE_DERIVED, RESET))
"""Authority by which it comes from the target to the subject; a call is answered, who deletes sees what happened."""


def sources(label: str, edges: Iterable[Edge]) -> frozenset[str]:
    """The label itself and all from which information may reach it."""
    flows = set()
    for subject, authority, target in edges:
        flows |= {(subject, target)} if authority in OUTWARD else set()
        flows |= {(target, subject)} if authority in INWARD else set()
    found = {label}
    while more := {source for source, target in flows if target in found} - found:
        found |= more
    return frozenset(found)
