"""Remembering what was said of values that never change, by their identity: their equality takes longer to compute."""

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")
V = TypeVar("V")
W = TypeVar("W")
_MOST = 1 << 16
"""So many answers are kept; then all are forgotten."""


def remembered(say: Callable[[V], T]) -> Callable[[V], T]:
    """A function of one immutable value; the value is kept as long as the answer, so that no other has its identity."""
    known: dict[int, tuple[V, T]] = {}

    def answer(value: V) -> T:
        found = known.get(id(value))
        if found is None:
            if len(known) >= _MOST:
                known.clear()
            found = known[id(value)] = value, say(value)
        return found[1]

    answer.__doc__ = say.__doc__
    return answer


def remembered_of_two(say: Callable[[V, W], T]) -> Callable[[V, W], T]:
    """The same of two values."""
    known: dict[tuple[int, int], tuple[Any, Any, T]] = {}

    def answer(one: V, other: W) -> T:
        key = id(one), id(other)
        found = known.get(key)
        if found is None:
            if len(known) >= _MOST:
                known.clear()
            found = known[key] = one, other, say(one, other)
        return found[2]

    answer.__doc__ = say.__doc__
    return answer
