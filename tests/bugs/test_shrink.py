"""Shrinking: what is left violates the same, and nothing of it could go."""

from dataclasses import replace

from specs.programs import Compute, Execution, Program, Syscall
from specs.shrink import shrink, violated


def judged(program: Program) -> Execution:
    """As if a kernel broke X when 7 is said after 5, and Y whenever 9 is said."""
    labels = [step.label for step in program.steps if isinstance(step, Syscall)]
    broken = [f"X said: {labels}"] if 5 in labels and 7 in labels[labels.index(5) :] else []
    broken += ["Y said: 9"] if 9 in labels else []
    return Execution(program, len(program.steps), ran=["t"] * len(program.steps), problem="\n".join(broken) or None)


def test_the_steps_that_matter_are_left_with_the_arguments_that_matter() -> None:
    noise = [Syscall(label=n, words=(1, 2, 3), caps=(4,)) for n in range(20, 30)]
    steps = (*noise, Syscall(label=5, words=(9, 9), length=3), *noise, Compute(50), Syscall(label=7, caps=(1,)), *noise)
    small = shrink(Program(steps=tuple(steps)), judged)
    assert small.steps == (Syscall(label=5), Syscall(label=7))
    assert violated(judged(small)) == {"X"}


def test_another_violation_does_not_count() -> None:
    program = Program(steps=(Syscall(label=5), Syscall(label=7)))
    with_other = replace(program, steps=(*program.steps, Syscall(label=9)))
    assert violated(judged(with_other)) == {"X", "Y"}
    assert violated(judged(shrink(program, judged))) == {"X"}


def test_it_gives_up_with_what_it_has() -> None:
    steps = tuple(Syscall(label=n) for n in (20, 5, 21, 7, 22))
    small = shrink(Program(steps=steps), judged, most_runs=3)
    assert violated(judged(small)) == {"X"}
