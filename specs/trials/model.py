"""What a trial is: a name, a statement, and runs that are made of a seed and judged."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Trial:
    """One row of the tables of liveness and of two runs compared.

    ``check`` makes the runs of a seed; it answers None if the statement holds of them, else what is wrong.
    """

    id: str
    name: str
    statement: str
    check: Callable[[int], str | None]
