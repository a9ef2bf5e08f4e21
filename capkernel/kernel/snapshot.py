"""Copies of the kernel's state: to go back to (``save``, ``restore``), and to compare (``structure``).

Everything mutable hangs off ``State``; caps, thread states and faults are values and are shared. Restoring puts the
saved fields back into the very same objects, so whoever holds one of them still holds the right one.
"""

from typing import Any

from capkernel.kernel import objects
from capkernel.kernel.objects import NULL, Cap, Fault, LookupFailure, PlainState, Slot, ThreadState
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


def save(state: State) -> Saved:
    """Save all kernel state. Costs time for what exists, not for what could (an untouched slot costs nothing)."""
    saved: Saved = []
    seen: set[int] = set()
    work: list[Any] = [state]
    while work:
        item = work.pop()
        names = FIELDS.get(type(item))
        if names is None or id(item) in seen:
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
    return [getattr(value, name) for name in _value_fields(kind)]


def _value_fields(kind: type) -> tuple[str, ...]:
    """The fields of an immutable value (a dataclass)."""
    return tuple(getattr(kind, "__dataclass_fields__", ()))


def restore(saved: Saved) -> None:
    """Put everything back as it was saved. The same save can be restored any number of times."""
    for item, values in saved:
        for name, value in zip(FIELDS[type(item)], values, strict=True):
            setattr(item, name, _copied(value))


Structure = dict[str, dict[str, Any]]
"""Object name → field → value, with references by name: equal exactly if the states are."""


def structure(state: State) -> Structure:
    """The state as plain data, for comparing and for showing what changed. Empty slots are left out."""
    result: Structure = {}
    for item, values in save(state):
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


def _plain(value: Any) -> Any:
    kind = type(value)
    if kind is objects.Refill:
        return value.time, value.amount
    if kind is objects.TCBQueue:
        return _members(value)
    if kind in FIELDS:
        return name_of(value)
    if kind is list:
        return [_plain(item) for item in value]
    if kind is dict:
        return {key: _plain(item) for key, item in sorted(value.items())}
    if kind is PlainState:
        return value.name
    if isinstance(value, (Cap, ThreadState, Fault, LookupFailure)):
        return (kind.__name__, *(_plain(getattr(value, name)) for name in _value_fields(kind)))
    return value


def _members(queue: objects.TCBQueue) -> list[str]:
    names, thread = [], queue.head
    while thread is not None:
        names.append(name_of(thread))
        thread = thread.queue_next
    return names
