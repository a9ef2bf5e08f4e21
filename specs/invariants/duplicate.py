"""Copies of what the oracle keeps: as ``copy.copy`` makes them, which can make none of a compiled object."""

from typing import Any


def take_over(item: Any, other: Any) -> None:
    """Give ``item`` the values of all attributes of another of its class."""
    kind: Any = type(other)
    names = kind.__mypyc_attrs__ if hasattr(kind, "__mypyc_attrs__") else tuple(vars(other))
    for name in names:
        if hasattr(other, name):
            setattr(item, name, getattr(other, name))
