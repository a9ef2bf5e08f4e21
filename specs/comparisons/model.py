"""What a comparison is: a name, a statement, and two runs that are made of a seed and held against each other."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Comparison:
    """One row of the table of comparisons.

    ``check`` makes the runs of a seed; it answers None if the statement holds of them, else what differs.
    """

    id: str
    name: str
    statement: str
    check: Callable[[int], str | None]
