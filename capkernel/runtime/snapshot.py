"""Copies of the kernel's state, to go back to.

Everything mutable hangs off ``State``; caps, thread states and faults are values and are shared. Restoring puts the
saved fields back into the very same objects, so whoever holds one of them still holds the right one.
"""

from collections.abc import Callable, Iterable
from typing import Any

from capkernel.kernel import objects
from capkernel.kernel.objects import NULL, Cap, PlainState, ThreadState
from capkernel.kernel.state import State

_MUTABLE = (
    State, objects.Slot, objects.SlotContainer, objects.CNode, objects.TCB, objects.TCBQueue, objects.Endpoint,
    objects.Notification, objects.Reply, objects.Refill, objects.SchedContext, objects.ASIDPool,
)  # fmt: skip
_NOT_STATE = frozenset(("config", "machine", "refusal"))


def _fields(cls: type) -> tuple[str, ...]:
    """All fields; a compiled class names them as ``__mypyc_attrs__``."""
    names: set[str] = set()
    for base in cls.__mro__:
        names.update(getattr(base, "__mypyc_attrs__", None) or base.__dict__.get("__slots__", ()))
    return tuple(sorted(name for name in names - _NOT_STATE if not name.startswith("__")))


FIELDS: dict[type, tuple[str, ...]] = {cls: _fields(cls) for cls in _MUTABLE}
"""The fields of each kind of mutable object, by name."""

Saved = list[tuple[Any, tuple[Any, ...]]]
"""Each mutable object with the values of its fields."""


def _copied(value: Any) -> Any:
    if type(value) is list:
        return list(value)
    return dict(value) if type(value) is dict else value


def save(state: State, keep: Callable[[Any], bool] | None = None, roots: Iterable[Any] = ()) -> Saved:
    """Save all kernel state. Costs time for what exists, not for what could (an untouched slot costs nothing).

    With ``keep`` only objects for which that is true, and what they lead to; ``roots`` are where to begin beside the
    state itself.
    """
    saved: Saved = []
    seen: set[int] = set()
    work: list[Any] = [*roots, state]
    while work:
        item = work.pop()
        names = FIELDS.get(type(item))
        if names is None or id(item) in seen or (keep is not None and not keep(item)):
            continue
        seen.add(id(item))
        values = tuple(_copied(getattr(item, name)) for name in names)
        saved.append((item, values))
        for value in values:
            work.extend(_referents(value))
    return saved


def _referents(value: Any) -> list[Any]:
    """What a field's value leads to: through containers, caps, thread states and faults."""
    kind = type(value)
    if kind in FIELDS:
        return [value]
    if kind is list:
        return [item for item in value if type(item) in FIELDS]
    if kind is dict:
        return [item for item in value.values() if type(item) in FIELDS]
    if value is NULL or kind is PlainState or not isinstance(value, (Cap, ThreadState)):
        return []
    return [getattr(value, name) for name in value_fields(kind)]


def value_fields(kind: type) -> tuple[str, ...]:
    """The fields of an immutable value (a dataclass)."""
    return tuple(getattr(kind, "__dataclass_fields__", ()))


def restore(saved: Saved) -> None:
    """Put everything back as it was saved. The same save can be restored any number of times."""
    for item, values in saved:
        for name, value in zip(FIELDS[type(item)], values, strict=True):
            setattr(item, name, _copied(value))
