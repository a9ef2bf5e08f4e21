"""Going back to a world's start, at the cost of what has changed since: for drivers that run many short programs."""

from operator import attrgetter
from typing import Any

from capkernel.runtime.snapshot import FIELDS
from specs.programs.layout import World


class Rewinder:
    """Does what ``World.rewind`` does; fields that are as they were are not written again."""

    def __init__(self, world: World) -> None:
        assert world.saved is not None
        self._world, self._machine_then = world, world.saved.machine
        self._items = [
            (item, attrgetter(*FIELDS[type(item)]), FIELDS[type(item)], values) for item, values in world.saved.kernel
        ]

    def rewind(self) -> None:
        """Go back to the program's start."""
        for item, get, names, then in self._items:
            now = get(item)
            if now != then:
                for name, value, old in zip(names, now, then, strict=True):
                    if value is not old and value != old:
                        setattr(item, name, _copied(old))
        self._world.machine.restore(self._machine_then)
        self._world.state.machine = self._world.machine


def _copied(value: Any) -> Any:
    kind = type(value)
    return kind(value) if kind in (list, dict) else value
