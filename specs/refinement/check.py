"""Running one program on both kernels, and printing one that diverges so that anyone can run it."""

from functools import lru_cache

from specs.check import comment, to_script, wander
from specs.generate import Chooser
from specs.programs import Execution, Layout, Program, Session, world_of
from specs.programs.layout import World
from specs.programs.model import literal
from specs.refinement.abstraction import Abstraction
from specs.refinement.lockstep import Lockstep
from specs.shrink import shrink

MOST_RUNS = 400
"""So many runs of ever smaller programs are worth a shorter one."""


@lru_cache(maxsize=16)
def _start(layout: Layout) -> Abstraction:
    """The abstraction of a layout's world, which is at its start."""
    world = world_of(layout)
    abstraction = Abstraction(world.state, world.machine)
    abstraction.abstract()
    return abstraction


def beside(program: Program) -> tuple[Execution, Lockstep]:
    """Run a program from its start with the specification beside the kernel."""
    world = world_of(program.layout)
    world.rewind()
    lockstep = Lockstep(_start(program.layout))
    session = Session(world, lockstep)
    # Nobody asks for the trace of registers: what it would show has been compared.
    session.loop.observers = [lockstep.after]
    return session.take(*program.steps), lockstep


def beside_made_up(choose: Chooser, most_steps: int) -> tuple[Execution, Lockstep]:
    """The same for a program that is made up as it goes, each step in sight of what those before it have left."""
    locksteps: list[Lockstep] = []

    def watch(world: World) -> Lockstep:
        locksteps.append(Lockstep(_start(world.layout)))
        return locksteps[0]

    return wander(choose, most_steps, watch), locksteps[0]


def shrunk(program: Program) -> Program:
    """The smallest program found that diverges, too."""
    return shrink(program, lambda candidate: beside(candidate)[0], MOST_RUNS)


def script(program: Program) -> str:
    """A diverging program as a Python script that shows the divergence."""
    return to_script(program, beside(program)[0]).replace("specs.check", "specs.refinement.check", 1)


def report(program: Program) -> int:
    """Run a program on both kernels and print what came of it; 1 if they diverge. Used by generated scripts."""
    execution, lockstep = beside(program)
    for number, (step, thread) in enumerate(zip(program.steps, execution.ran, strict=False)):
        print(f"{number:4} {literal(step)}  # {comment(step, thread)}")
    print(f"{lockstep.entries} kernel entries, ended: {execution.reason}")
    print(execution.problem or "The specification comes to the same states.")
    return 1 if execution.problem else 0
