"""Snapshots of parts whose whole state is plain data.

A part names its state fields once, in `STATE`; saving, restoring and digesting then need no code of
its own, and a field that is forgotten is forgotten in one place only.
"""

from collections.abc import Callable
from typing import Any, ClassVar

Saved = tuple[object, ...]
"""A saved state: the values of the fields named by `STATE`, in that order. Never changed in place."""


def _copied(value: object) -> object:
    """Copy containers all the way down; numbers, bytes, strings and tuples are shared."""
    copier = _COPIERS.get(type(value))
    return copier(value) if copier else value


_COPIERS: dict[type, Callable[[Any], object]] = {
    dict: lambda value: {key: _copied(item) for key, item in value.items()},
    list: lambda value: [_copied(item) for item in value],
    bytearray: bytearray,
}


class Stateful:
    """A part of the machine that can be saved and restored.

    The fields named by `STATE` hold only int, bool, bytes, str, None, tuples of those, dicts and
    lists of those, and bytearrays. Order inside dicts and lists counts as state.
    """

    __slots__ = ()
    STATE: ClassVar[tuple[str, ...]] = ()

    def snapshot(self) -> Saved:
        """Return the state as a value that later changes of the part do not touch."""
        return tuple(_copied(getattr(self, name)) for name in self.STATE)

    def restore(self, saved: Saved) -> None:
        """Go back to a state that `snapshot` of this part (or of an equal one) returned."""
        for name, value in zip(self.STATE, saved, strict=True):
            setattr(self, name, _copied(value))
