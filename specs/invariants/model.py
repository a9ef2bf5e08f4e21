"""What an invariant is: a name, a statement, and a predicate that says what is wrong.

A predicate is given a ``View`` of one state, or a ``Step`` from one state to the next. It answers None if the
statement holds, else one line that names the objects concerned. It never raises for a broken state.
"""

from collections.abc import Callable
from dataclasses import dataclass

from specs.invariants.parts import ALL
from specs.invariants.view import View

Check = Callable[[View], str | None]


@dataclass(frozen=True)
class Invariant:
    """One row of the table: ``name`` is the proofs' own where they have one.

    ``reads`` are the parts of a state (``parts``) that decide: where none of these has changed, neither has the answer.
    Of objects of a kind that ``View.touched`` gives, a predicate may look at those alone if each is judged by itself.
    """

    id: str
    name: str
    statement: str
    check: Check
    reads: int = ALL


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
