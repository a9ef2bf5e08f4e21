"""A kernel state as plain data: to compare two states, and to show how they differ."""

from collections.abc import Callable, Iterable
from typing import Any

from capkernel.kernel import objects
from capkernel.kernel.objects import NULL, Cap, Fault, LookupFailure, PlainState, Slot, ThreadState
from capkernel.kernel.state import State
from capkernel.runtime.snapshot import FIELDS, save, value_fields

Structure = dict[str, dict[str, Any]]
"""Object name → field → value, with references by name: equal exactly if the states are."""


def structure(state: State, keep: Callable[[Any], bool] | None = None, roots: Iterable[Any] = ()) -> Structure:
    """The state as plain data, for comparing and for showing what changed. Empty slots are left out.

    With ``keep`` only of the objects for which that is true, and that those and the ``roots`` lead to.
    """
    result: Structure = {}
    for item, values in save(state, keep, roots):
        if isinstance(item, (objects.Refill, objects.TCBQueue)) or (isinstance(item, Slot) and item.cap is NULL):
            continue
        names = FIELDS[type(item)]
        result[name_of(item)] = {
            name: _plain(value) for name, value in zip(names, values, strict=True) if name != "slots"
        }
    return dict(sorted(result.items()))


def name_of(item: Any) -> str:
    """A name that tells an object from all others: its kind and address; a slot by where it is."""
    if isinstance(item, State):
        return "State"
    if isinstance(item, Slot):
        return f"{name_of(item.container)}[{item.index}]"
    return f"{type(item).__name__}@{item.paddr:#x}"


def _is_empty_queue(value: Any) -> bool:
    return isinstance(value, objects.TCBQueue) and value.head is None


def _plain(value: Any) -> Any:
    kind = type(value)
    if kind is objects.Refill:
        return value.time, value.amount
    if kind is objects.TCBQueue:
        return [name_of(thread) for thread in value]
    if kind in FIELDS:
        return name_of(value)
    if kind is list:
        return [_plain(item) for item in value]
    if kind is dict:
        # A ready queue without members is the same as one that was never used.
        return {key: _plain(item) for key, item in sorted(value.items()) if not _is_empty_queue(item)}
    if kind is PlainState:
        return value.name
    if isinstance(value, (Cap, ThreadState, Fault, LookupFailure)):
        return (kind.__name__, *(_plain(getattr(value, name)) for name in value_fields(kind)))
    return value
