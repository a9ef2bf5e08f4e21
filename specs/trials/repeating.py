"""The same program again: at once, in a fresh world, on the other path, after a crash (H4, H6, H8)."""

from dataclasses import replace

from capkernel.runtime.checkpoint import checkpoint
from specs.check import to_script
from specs.generate import RandomChooser, program
from specs.programs import Execution, Program, Session, run, world_of
from specs.structure import structure
from specs.trials.model import Trial

MOST_STEPS = 40


def difference(one: Execution, other: Execution) -> str | None:
    """Where two executions part, and the program, so that anybody can see it happen; None if they do not."""
    if one.digest == other.digest and one.problem == other.problem:
        return None
    where = f"they end differently: {one.problem or 'well'}, {other.problem or 'well'}"
    for number, (here, there) in enumerate(zip(one.trace, other.trace, strict=False)):
        if here != there:
            where = f"they part at kernel entry {number}"
            break
    else:
        changed = [name for name in one.final if one.final[name] != other.final.get(name)]
        where = f"{changed[0]} differs at the end" if changed else where
    return f"{where}\n{to_script(one.program, one)}"


def repeats(seed: int) -> str | None:
    """H4: the same inputs give the same run, in the same world and in one that was built anew.

    Catches: state that a restart does not reset, an order that depends on addresses or hashes of the host. (That other
    processes and hash seeds agree is a test of whole systems: the trace hash.)
    """
    made = program(RandomChooser(seed), MOST_STEPS)
    first = run(made)
    return difference(first, run(made)) or difference(first, run(made, fresh=True))


def on_path(made: Program, *, fast: bool) -> Execution:
    """Run a program with or without the fast path."""
    world = world_of(made.layout)
    config = world.state.config
    world.state.config = replace(config, fastpath=fast)
    try:
        return run(made)
    finally:
        world.state.config = config


def paths_agree(seed: int) -> str | None:
    """H6: the fast path answers exactly as the slow path does.

    Catches: S21, S30, S68: a check that the fast path leaves out, or a link that it leaves behind.
    """
    made = program(RandomChooser(seed), MOST_STEPS)
    return difference(on_path(made, fast=True), on_path(made, fast=False))


def crash_at(made: Program, step: int) -> Execution:
    """Run up to a step, save, go on; then throw that away, restore what was saved, and go on again from there."""
    world = world_of(made.layout)
    world.rewind()
    session = Session(world)
    session.take(*made.steps[:step])
    if session.execution.problem is None:
        saved, trace = checkpoint(world.state, world.machine), len(session.execution.trace)
        ran, entries, taken = list(session.execution.ran), session.loop.entries, session.execution.taken
        session.take(*made.steps[step:])
        saved.restore(world.machine)
        world.state.machine = world.machine
        again = Session(world)
        again.steps = list(made.steps[:step])
        again.loop.entries = entries
        again.execution.taken, again.execution.ran = taken, ran
        again.execution.trace = session.execution.trace[:trace]
        session = again
        session.take(*made.steps[step:])
    execution = session.execution
    if execution.problem is None:
        execution.final = structure(session.state)
    return execution


def survives_a_crash(seed: int) -> str | None:
    """H8: what is restored from a saved state goes on as if nothing had happened, wherever it was saved.

    Catches: state outside ``State`` and the machine; fields that a snapshot forgets.
    """
    choose = RandomChooser(seed)
    made = program(choose, MOST_STEPS)
    step = choose.number(0, len(made.steps))
    whole = in_two(made, step)
    return difference(whole, crash_at(made, step))


def in_two(made: Program, step: int) -> Execution:
    """Run a program with a pause before a step, as ``crash_at`` does, but without the crash."""
    world = world_of(made.layout)
    world.rewind()
    session = Session(world)
    session.take(*made.steps[:step])
    if session.execution.problem is None:
        session.take(*made.steps[step:])
    if session.execution.problem is None:
        session.execution.final = structure(session.state)
    return session.execution


CHECKS = (
    Trial("H4", "deterministic", "the same inputs give the same run", repeats),
    Trial("H6", "fastpath_refines_slowpath", "the fast path answers as the slow path", paths_agree),
    Trial("H8", "crash_and_replay", "saved at any step and restored, a run goes on as without it",
               survives_a_crash),
)  # fmt: skip
