"""A program's variables, set for a test as its loader would set them; after the test they are what they were."""

from types import ModuleType
from typing import Any

_MISSING = object()
_former: dict[tuple[int, str], tuple[Any, str, object]] = {}
"""What each variable was before it was set: where it is, its name, its value there."""


def set_variable(module: ModuleType, name: str, value: int) -> None:
    """Set a variable of a program: one of its module, or of its class."""
    holder = module if hasattr(module, name) else module.Program
    _former.setdefault((id(holder), name), (holder, name, vars(holder).get(name, _MISSING)))
    setattr(holder, name, value)


def restore_variables() -> None:
    """Undo all of it. Another program may inherit from the class, here or in a system that is booted later."""
    for holder, name, value in _former.values():
        if value is _MISSING:
            delattr(holder, name)
        else:
            setattr(holder, name, value)
    _former.clear()
