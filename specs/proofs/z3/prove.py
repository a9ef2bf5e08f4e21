"""Asking z3: each operation, from any state at all that satisfies the invariant; and what a refutation looks like."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from types import ModuleType
from typing import Any, Protocol

import z3

from specs.proofs.z3.logic import Term, and_, not_

TIMEOUT_MS = 60_000


Conjuncts = dict[str, Callable[[Any], Term]]
Theorems = dict[str, Callable[[Any, Any, Any], Term]]


@dataclass(frozen=True)
class Stage:
    """A part of a step: it takes what satisfies ``before`` to what satisfies ``after``, and to ``theorems`` of both.

    ``perform`` is a function of the model's module, by name; ``operation`` what it is given beside the state, of
    symbols of which ``about`` is assumed. A step is made of stages whose conditions fit together.
    """

    name: str
    before: str
    perform: str
    operation: Any
    after: str
    theorems: str = ""
    about: tuple[Term, ...] = ()


class Theory(Protocol):
    """A model whose inductive step is to be proved. Conditions are tables in the model's module, by name."""

    @property
    def name(self) -> str:
        """What the model is of."""

    @property
    def model(self) -> ModuleType:
        """The module of the model."""

    def state(self) -> tuple[Any, list[Term]]:
        """A state of symbols, and what is assumed of those beside the conditions."""

    def stages(self) -> Iterator[Stage]:
        """All stages of all steps."""


@dataclass
class Answer:
    """What z3 said of one claim: ``proved``, or a program that shows that it is false, or why it does not know."""

    claim: str
    proved: bool
    seconds: float
    counterexample: str = ""


def prove(theory: Theory) -> Iterator[Answer]:
    """All claims of a theory, one by one."""
    state, assumed = theory.state()
    tables = vars(theory.model)
    yield _possible(theory, and_(*(conjunct(state) for conjunct in tables["INVARIANT"].values()), *assumed))
    for stage in theory.stages():
        given = and_(*(conjunct(state) for conjunct in tables[stage.before].values()), *assumed, *stage.about)
        after = tables[stage.perform](state, stage.operation)
        claims = {f"keeps {name}": conjunct(after) for name, conjunct in tables[stage.after].items()}
        for name, theorem in tables.get(stage.theorems, {}).items():
            claims[name] = theorem(state, after, stage.operation)
        solver = _solver(given)
        for name, claim in claims.items():
            if claim is not True:
                yield _ask(theory, stage, f"{theory.name}: {stage.name} {name}", solver, claim, state)


def _solver(given: Term) -> z3.Solver:
    solver = z3.Solver()
    solver.set("timeout", TIMEOUT_MS)
    solver.set("random_seed", 1)
    solver.add(given)
    return solver


def _parts(claim: Term) -> list[Term]:
    """What a conjunction says, one by one: z3 is some ten times faster if it is asked so."""
    return [part for child in claim.children() for part in _parts(child)] if z3.is_and(claim) else [claim]


def _possible(theory: Theory, holds: Term) -> Answer:
    """The invariant can be satisfied: else everything would follow from it."""
    started = time.perf_counter()
    proved = _solver(holds).check() == z3.sat
    return Answer(f"{theory.name}: the invariant holds of some state", proved, time.perf_counter() - started)


def _ask(theory: Theory, stage: Stage, claim: str, solver: z3.Solver, claimed: Term, state: Any) -> Answer:
    started = time.perf_counter()
    for part in _parts(claimed):
        solver.push()
        solver.add(not_(part))
        verdict = solver.check()
        if verdict == z3.unsat:
            solver.pop()
            continue
        if verdict == z3.sat:
            model = solver.model()
            shown = script(theory, stage, claim, concrete(model, state), concrete(model, stage.operation))
        else:
            shown = f"# z3 does not know: {solver.reason_unknown()}\n"
        solver.pop()
        return Answer(claim, False, time.perf_counter() - started, shown)
    return Answer(claim, True, time.perf_counter() - started)


def concrete(model: z3.ModelRef, value: Any) -> Any:
    """A value of symbols as the values that they have in a model."""
    if isinstance(value, z3.ExprRef):
        found = model.eval(value, model_completion=True)
        return z3.is_true(found) if z3.is_bool(found) else found.as_long()
    if isinstance(value, tuple):
        return tuple(concrete(model, item) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        return type(value)(*(concrete(model, getattr(value, field.name)) for field in fields(value)))
    return value


def script(theory: Theory, stage: Stage, claim: str, state: Any, operation: Any) -> str:
    """A program that takes the step and says what is wrong then."""
    name = theory.model.__name__
    types = sorted(_types(state) | _types(operation))
    package, _, module = name.rpartition(".")
    about = f"{module}, {stage.perform!r}, {stage.after!r}, {stage.theorems!r}"
    return "\n".join((
        f"# Refuted: {claim}", "",
        f"from {package} import {module}", f"from {name} import {', '.join(types)}",
        "from specs.proofs.z3.prove import report", "",
        f"state = {literal(state)}", f"operation = {literal(operation)}", "",
        'if __name__ == "__main__":', f"    raise SystemExit(report({about}, state, operation))", "",
    ))  # fmt: skip


def _types(value: Any) -> set[str]:
    """The names of the records in a value."""
    if isinstance(value, tuple):
        return set().union(*(_types(item) for item in value)) if value else set()
    if is_dataclass(value):
        inner = (_types(getattr(value, field.name)) for field in fields(value))
        return {type(value).__name__}.union(*inner)
    return set()


def literal(value: Any) -> str:
    """A value as Python source; of records only what differs from the defaults."""
    if isinstance(value, tuple):
        inner = ", ".join(literal(item) for item in value)
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if is_dataclass(value) and not isinstance(value, type):
        parts = [(f.name, getattr(value, f.name)) for f in fields(value) if getattr(value, f.name) != f.default]
        return f"{type(value).__name__}({', '.join(f'{name}={literal(item)}' for name, item in parts)})"
    return repr(value)


def report(model: ModuleType, perform: str, conditions: str, theorems: str, state: Any, operation: Any) -> int:
    """Take a step from a state, print both and what does not hold then; 1 if something does not."""
    tables = vars(model)
    after = tables[perform](state, operation)
    print(f"before: {literal(state)}\n{literal(operation)}\nafter:  {literal(after)}")
    wrong = [f"{name} does not hold" for name, conjunct in tables[conditions].items() if not conjunct(after)]
    for name, theorem in tables.get(theorems, {}).items():
        if not theorem(state, after, operation):
            wrong.append(f"{name} does not hold")
    print("\n".join(wrong) or "Everything holds.")
    return 1 if wrong else 0
