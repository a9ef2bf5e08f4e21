"""The table row of an invariant that speaks of a step, not of a state."""

from collections.abc import Callable
from dataclasses import dataclass

from specs.invariants.parts import ALL
from specs.invariants.step import Step


@dataclass(frozen=True)
class StepInvariant:
    """As ``model.Invariant``, but for one kernel entry.

    It holds of every entry that changes none of the ``reads`` and in which none of the events among them happens.
    """

    id: str
    name: str
    statement: str
    check: Callable[[Step], str | None]
    reads: int = ALL
