"""Whatever field of whatever kernel object changes behind its back, the look at what has changed finds it.

Of a compiled kernel as well, whose numbers and flags the garbage collector does not see: ``make compiled`` runs this.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from capkernel.kernel import objects as ko
from capkernel.kernel.state import State
from capkernel.runtime.snapshot import FIELDS
from specs.generate import LAYOUTS
from specs.invariants.changes import Look
from specs.invariants.parts import CAPS, bit
from specs.invariants.view import View
from specs.programs import world_of

LAYOUT = LAYOUTS[0]
LOOKED_AT = (ko.TCB, ko.SchedContext, ko.Endpoint, ko.Notification, ko.Reply, ko.CNode, ko.ASIDPool, State)
APART = ("slots", "refills", "ready")
"""What is no value of its own."""
ALSO_CAPS = ("paddr", "radix", "size_bits", "base")


def _other(value: Any) -> Any:
    """Another value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, str):
        return value + "x"
    raise AssertionError(f"there is no other {value!r}")


def _look() -> tuple[View, Look]:
    world = world_of(LAYOUT)
    world.rewind()
    view = View(world.state, world.machine)
    return view, Look(view)


def _numbers() -> Iterator[tuple[type, str]]:
    view, _ = _look()
    for kind in LOOKED_AT:
        item = view.state if kind is State else view.of_kind(kind)[0]
        for name in FIELDS[kind]:
            if name not in APART and isinstance(getattr(item, name), int | str):
                yield kind, name


@pytest.mark.parametrize(("kind", "name"), list(_numbers()), ids=lambda value: getattr(value, "__name__", value))
def test_a_number_or_flag_that_changes_is_found(kind: type, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    view, look = _look()
    item: Any = view.state if kind is State else view.of_kind(kind)[-1]
    monkeypatch.setattr(item, name, _other(getattr(item, name)))
    mask, changed = look.changes()
    assert changed == {item: {name}}
    assert mask & ~CAPS == bit(kind, name)
    assert bool(mask & CAPS) == (name in ALSO_CAPS)


@pytest.mark.parametrize("name", ["time", "amount"])
def test_a_refill_that_changes_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    view, look = _look()
    context = next(sc for sc in view.sched_contexts if sc.refills)
    monkeypatch.setattr(context.refills[-1], name, getattr(context.refills[-1], name) + 1)
    assert look.changes() == (bit(ko.SchedContext, "refills"), {context: {"refills"}})


@pytest.mark.parametrize("name", ["badge", "can_grant", "can_grant_reply", "is_call"])
def test_what_a_waiting_senders_state_carries_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    view, look = _look()
    thread, endpoint = view.threads[0], view.of_kind(ko.Endpoint)[0]
    state = ko.BlockedOnSend(endpoint, 5, can_grant=False, can_grant_reply=False, is_call=True)
    monkeypatch.setattr(thread, "state", state)
    assert look.changes()[0] & bit(ko.TCB, "state")
    setattr(state, name, _other(getattr(state, name)))
    assert look.changes() == (bit(ko.TCB, "state"), {thread: {"state"}})


@pytest.mark.parametrize("name", ["revocable", "first_badged", "index", "prev", "next", "container", "cap"])
def test_a_slot_that_changes_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    view, look = _look()
    slot, another = view.slots[3], view.slots[-1]
    old = getattr(slot, name)
    monkeypatch.setattr(slot, name, _other(old) if isinstance(old, int) else getattr(another, name))
    assert getattr(slot, name) is not old
    mask, _ = look.changes()
    assert mask == CAPS
    assert look.slots == (slot,)


@pytest.mark.parametrize("registers", ["registers", "fp_registers"])
def test_a_register_that_changes_is_found(registers: str, monkeypatch: pytest.MonkeyPatch) -> None:
    view, _ = _look()
    thread = view.threads[1]
    monkeypatch.setattr(thread, "fp_registers", [0] * 33)
    monkeypatch.setattr(thread, "registers", list(thread.registers))
    look = Look(view)
    getattr(thread, registers)[7] += 1
    assert look.changes() == (bit(ko.TCB, registers), {thread: {registers}})


def test_nothing_is_found_where_nothing_has_changed() -> None:
    _, look = _look()
    assert look.changes() == (0, {})
    assert look.copy(look.view).changes() == (0, {})
