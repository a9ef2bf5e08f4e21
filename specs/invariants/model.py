"""What an invariant is: a name, a statement, and a predicate that says what is wrong.

A predicate is given a ``View`` of one state, or a ``Step`` from one state to the next. It answers None if the
statement holds, else one line that names the objects concerned. It never raises for a broken state.
"""

from collections.abc import Callable
from dataclasses import dataclass

from specs.invariants.view import View

Check = Callable[[View], str | None]


@dataclass(frozen=True)
class Invariant:
    """One row of the table: ``name`` is the proofs' own where they have one.

    ``of_caps`` says that nothing but the caps, their places in the tree, and which objects there are decides: where
    none of these changed, neither did the answer.
    """

    id: str
    name: str
    statement: str
    check: Check
    of_caps: bool = False


@dataclass(frozen=True)
class Violation:
    """An invariant that does not hold, and why."""

    id: str
    name: str
    detail: str

    def __str__(self) -> str:
        return f"{self.id} {self.name}: {self.detail}"


def first(problems: list[str]) -> str | None:
    """The first few of a list of problems as one line; None for an empty list."""
    if not problems:
        return None
    more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
    return "; ".join(problems[:3]) + more
