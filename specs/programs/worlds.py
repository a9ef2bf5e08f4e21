"""From a layout to its world: built once, and gone back to for each run."""

from functools import lru_cache
from weakref import WeakSet

from capkernel.runtime.checkpoint import checkpoint
from hwmodel.memory import Memory
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


_memories: WeakSet[Memory] = WeakSet()
"""Those of the worlds that are kept."""


@lru_cache(maxsize=16)
def world_of(layout: Layout) -> World:
    """The world of a layout; to be rewound before each run."""
    world = build(layout)
    _memories.add(world.machine.memory)
    return world


def separate() -> None:
    """In a forked process: have the memory of all worlds for itself. Raises OSError.

    It is shared with the parent and its other children, which may run programs in the same worlds at the same time.
    """
    for memory in _memories:
        memory.separate()
