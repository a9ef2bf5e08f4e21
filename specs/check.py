"""Checking whole programs: run one under the oracle, and print one that fails so that anyone can run it."""

from collections.abc import Callable, Sequence

from capkernel.abi.labels import BY_LABEL
from specs.generate import LAYOUTS, Chooser, Focus
from specs.generate import step as make_step
from specs.monitor import Monitor
from specs.programs import SLOTS, Execution, Layout, Program, Session, Step, Syscall, run, world_of
from specs.programs.execute import Watcher
from specs.programs.layout import World
from specs.programs.model import literal
from specs.sight import Sight

_NAMES = {index: name for name, index in SLOTS.items()}
_HEAD = """# {problem}

from specs.check import report
from specs.programs import Access, Compute, Dma, Interrupt, Layout, Program, Syscall, Worker

program = Program(
    layout={layout},
    steps=(
{steps}
    ),
)

if __name__ == "__main__":
    raise SystemExit(report(program))
"""


def checked(program: Program, *, fresh: bool = False) -> Execution:
    """Run a program with all invariants evaluated at each kernel entry."""
    watcher = Monitor(policy=world_of(program.layout).policy)
    return run(program, watcher=watcher, fresh=fresh, final=False)


def _monitor(world: World) -> Watcher:
    return Monitor(policy=world.policy)


def wander(
    choose: Chooser, most_steps: int, watcher_of: Callable[[World], Watcher] = _monitor,
    layouts: Sequence[Layout] = LAYOUTS,
) -> Execution:  # fmt: skip
    """Run a program that is made up as it goes, each step in sight of what those before it have left.

    Unless another watcher is wanted, all invariants are evaluated at each kernel entry. The execution's program is what
    was made up, and runs the same again. It begins in one of the ``layouts``.
    """
    layout = choose.of(layouts)
    world = world_of(layout)
    world.rewind()
    session = Session(world, watcher_of(world))
    sight = Sight(world)
    focus = Focus(choose, layout, sight=sight)
    for _ in range(choose.number(1, most_steps)):
        sight.look()
        done = session.take(make_step(choose, focus))
        if done.problem is not None or done.reason != "host":
            break
    return session.execution


def comment(step: Step, thread: str) -> str:
    """What a step means, for a reader: who took it, the invocation, the caps."""
    words = [thread]
    if isinstance(step, Syscall):
        spec = BY_LABEL.get(step.label)
        words.append(f"on {_NAMES.get(step.cap, hex(step.cap))}")
        if spec is not None:
            words.append(spec.name)
        words += [f"cap {_NAMES.get(cap, hex(cap))}" for cap in step.caps]
    return ", ".join(word for word in words if word)


def to_script(program: Program, execution: Execution | None = None) -> str:
    """The program as a Python script; with an execution, up to where that ended and with who took each step."""
    threads = [""] * len(program.steps) if execution is None else execution.ran
    lines = []
    for step, thread in zip(program.steps, threads, strict=False):
        said = comment(step, thread)
        lines.append(f"        {literal(step)}," + (f"  # {said}" if said else ""))
    problem = (execution and execution.problem) or "A program, run with all invariants evaluated at each kernel entry."
    problem = "\n# ".join(problem.split("\n"))
    return _HEAD.format(problem=problem, layout=literal(program.layout), steps="\n".join(lines))


def report(program: Program, watched: Callable[[Program], Execution] = checked) -> int:
    """Run a program under the oracle and print what came of it; 1 if something is wrong."""
    execution = watched(program)
    for number, (step, thread) in enumerate(zip(program.steps, execution.ran, strict=False)):
        print(f"{number:4} {literal(step)}  # {comment(step, thread)}")
    print(f"{execution.entries} kernel entries, ended: {execution.reason}")
    print(execution.problem or "All invariants hold.")
    return 1 if execution.problem else 0


def require(program: Program) -> Execution:
    """Run a program under the oracle; raises AssertionError with a script that shows what is wrong."""
    execution = checked(program)
    if execution.problem is not None:
        raise AssertionError(f"{execution.problem}\n\n{to_script(program, execution)}")
    return execution
