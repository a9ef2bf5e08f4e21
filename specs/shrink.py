"""Cutting a program that shows something to the steps and arguments that matter: delta debugging (Zeller, 2002)."""

from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields, replace
from typing import Any

from specs.programs import Execution, Layout, Program, Step

Run = Callable[[Program], Execution]


def violated(execution: Execution) -> frozenset[str]:
    """The names of the invariants that a run found violated."""
    return frozenset(line.split(" ", 1)[0] for line in (execution.problem or "").splitlines() if line)


def shrink(program: Program, run: Run, most_runs: int = 1_500) -> Program:
    """The smallest program found that violates one of the same invariants.

    ``run`` runs a program under the oracle. Steps that nobody took, and those behind the violation, go first; then
    ever smaller runs of steps; then each argument becomes its default, zero, or one element shorter. Gives up after
    ``most_runs`` runs with what it has by then.
    """
    first = run(program)
    wanted = violated(first)
    left = most_runs

    def fails(candidate: Program) -> bool:
        nonlocal left
        left -= 1
        return left >= 0 and bool(violated(run(candidate)) & wanted)

    taken = [s for s, who in zip(program.steps, first.ran, strict=False) if not who.startswith("skipped")]
    for candidate in (replace(program, steps=program.steps[: first.taken]), replace(program, steps=tuple(taken))):
        if fails(candidate):
            program = candidate
    before = None
    while program != before and left > 0:
        before = program
        program = _fewer_steps(program, fails)
        program = _simpler_world(program, fails)
        program = _simpler_steps(program, fails)
    return program


def _fewer_steps(program: Program, fails: Callable[[Program], bool]) -> Program:
    size = max(len(program.steps) // 2, 1)
    while size:
        for start in range(len(program.steps) - size, -1, -size):
            shorter = replace(program, steps=program.steps[:start] + program.steps[start + size :])
            if fails(shorter):
                program = shorter
        size //= 2
    return program


def _simpler_world(program: Program, fails: Callable[[Program], bool]) -> Program:
    for candidate in _simpler_layouts(program.layout):
        simpler = replace(program, layout=candidate)
        if fails(simpler):
            return simpler
    return program


def _simpler_layouts(layout: Layout) -> Iterator[Layout]:
    """The standard layout, then the same with one thing fewer."""
    standard = Layout()
    if layout == standard or layout.partitioned:
        return
    yield standard
    for field in fields(Layout):
        value = getattr(standard, field.name)
        if getattr(layout, field.name) != value and field.name != "workers":
            yield replace(layout, **{field.name: value})
    for number in range(len(layout.workers) - 1, -1, -1):
        yield replace(layout, workers=layout.workers[:number] + layout.workers[number + 1 :])


def _simpler_steps(program: Program, fails: Callable[[Program], bool]) -> Program:
    for number in range(len(program.steps)):
        for field in fields(program.steps[number]):
            for value in _simpler_values(program.steps[number], field.name):
                steps = list(program.steps)
                steps[number] = replace(steps[number], **{field.name: value})
                simpler = replace(program, steps=tuple(steps))
                if fails(simpler):
                    program = simpler
                    break
    return program


def _simpler_values(step: Step, name: str) -> Iterator[Any]:
    """What a field could be instead, simplest first."""
    value = getattr(step, name)
    default = next(field.default for field in fields(step) if field.name == name)
    if default is not MISSING and value != default:
        yield default
    if name in ("number", "label", "cap", "op") or not isinstance(value, int | tuple) or isinstance(value, bool):
        return
    if isinstance(value, int):
        yield from (simple for simple in (0, 1, value // 2) if simple < value and simple != default)
        return
    yield from (value[:index] + (0,) + value[index + 1 :] for index, word in enumerate(value) if word)
    if name != "receive" and value:
        yield value[:-1]
