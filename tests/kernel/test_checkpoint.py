"""Going back to a checkpoint in the middle of a program and going on gives the same again."""

import pytest

from capkernel.runtime.checkpoint import checkpoint
from specs.generate import RandomChooser, program
from specs.programs import Session, world_of
from specs.structure import structure


@pytest.mark.parametrize("seed", range(12))
def test_a_rerun_from_a_checkpoint_is_the_same(seed: int) -> None:
    generated = program(RandomChooser(seed), 30)
    half = len(generated.steps) // 2
    world = world_of(generated.layout)
    world.rewind()
    Session(world).take(*generated.steps[:half])
    saved = checkpoint(world.state, world.machine)
    outcomes = []
    for _ in range(2):
        saved.restore(world.machine)
        session = Session(world)
        execution = session.take(*generated.steps[half:])
        outcomes.append((execution.trace, structure(world.state), world.machine.memory.content_digest()))
    assert outcomes[0] == outcomes[1]
