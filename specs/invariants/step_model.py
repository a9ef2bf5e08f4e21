"""The table row of an invariant that speaks of a step, not of a state."""

from collections.abc import Callable
from dataclasses import dataclass

from specs.invariants.parts import ALL
from specs.invariants.step import Step


@dataclass(frozen=True)
class StepInvariant:
    """As ``model.Invariant``, but for one kernel entry: it holds of every entry that changes none of the ``reads``."""

    id: str
    name: str
    statement: str
    check: Callable[[Step], str | None]
    reads: int = ALL
