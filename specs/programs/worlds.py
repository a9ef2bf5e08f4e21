"""From a layout to its world: built once, and gone back to for each run."""

from functools import lru_cache

from capkernel.runtime.checkpoint import checkpoint
from specs.programs.layout import Builder, World, booted
from specs.programs.model import Layout
from specs.programs.partitions import PartitionBuilder


def build(layout: Layout) -> World:
    """Boot and make everything that the layout says."""
    world = booted(layout)
    builder = PartitionBuilder(world) if layout.partitioned else Builder(world)
    builder.build()
    world.saved = checkpoint(world.state, world.machine)
    world.guardian = min(world.threads.values(), key=lambda thread: thread.priority)
    return world


@lru_cache(maxsize=16)
def world_of(layout: Layout) -> World:
    """The world of a layout; to be rewound before each run."""
    return build(layout)
