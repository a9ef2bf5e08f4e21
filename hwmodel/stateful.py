"""Snapshots of parts whose whole state is plain data.

A part names its state fields once, in `STATE`; saving, restoring and digesting then need no code of
its own, and a field that is forgotten is forgotten in one place only.
"""

from collections.abc import Callable
from typing import Any, ClassVar, Protocol

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
    lists of those, and bytearrays. Order inside dicts and lists counts as state. A part that is made of
    smaller ones names those in `parts`; they are saved with it.
    """

    __slots__ = ()
    STATE: ClassVar[tuple[str, ...]] = ()

    def parts(self) -> "tuple[Saveable, ...]":
        """Return the parts that are saved with this one, always the same ones in the same order."""
        return ()

    def snapshot(self) -> Saved:
        """Return the state as a value that later changes of the part do not touch."""
        own = tuple(_copied(getattr(self, name)) for name in self.STATE)
        parts = self.parts()
        return (*own, *(part.snapshot() for part in parts)) if parts else own

    def restore(self, saved: Saved) -> None:
        """Go back to a state that `snapshot` of this part (or of an equal one) returned."""
        own = len(self.STATE)
        for name, value in zip(self.STATE, saved[:own], strict=True):
            setattr(self, name, _copied(value))
        for part, value in zip(self.parts(), saved[own:], strict=True):
            if not isinstance(value, tuple):
                raise TypeError(f"a saved part is a tuple, not {value!r}")
            part.restore(value)


class Saveable(Protocol):
    """Anything that can be saved and restored."""

    def snapshot(self) -> Saved:
        """Save the state."""
        ...

    def restore(self, saved: Saved) -> None:
        """Go back to a saved state."""
        ...
