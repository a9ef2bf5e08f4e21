"""All invariants, and what of them does not hold."""

from functools import lru_cache
from typing import Any

from capkernel.kernel.state import State
from hwmodel.machine import Machine
from specs.invariants import (
    authority,
    caps_and_cdt,
    devices,
    memory,
    scheduling,
    step_answers,
    step_authority,
    step_caps,
    step_destroyed,
    step_faults,
    step_ipc,
    step_objects,
    step_state,
    step_time,
    threads_and_queues,
    vspace,
)
from specs.invariants.model import Invariant, Violation
from specs.invariants.parts import ALL
from specs.invariants.step import Step
from specs.invariants.step_model import StepInvariant
from specs.invariants.view import View

_MODULES = (caps_and_cdt, memory, threads_and_queues, scheduling, vspace, devices, authority)
INVARIANTS: dict[str, Invariant] = {check.id: check for module in _MODULES for check in module.CHECKS}


_STEP_MODULES = (
    step_authority, step_caps, step_objects, step_destroyed, step_ipc, step_faults, step_answers, step_state, step_time,
)  # fmt: skip
STEP_INVARIANTS: dict[str, StepInvariant] = {check.id: check for module in _STEP_MODULES for check in module.CHECKS}


@lru_cache(maxsize=1 << 12)
def _of_state(changed: int) -> tuple[Invariant, ...]:
    """The invariants that read some of the changed parts."""
    return tuple(invariant for invariant in INVARIANTS.values() if changed & invariant.reads)


@lru_cache(maxsize=1 << 12)
def _of_step(changed: int) -> tuple[StepInvariant, ...]:
    return tuple(invariant for invariant in STEP_INVARIANTS.values() if changed & invariant.reads)


def check_view(view: View, changed: int = ALL) -> list[Violation]:
    """All invariants that do not hold of a view.

    Those that read none of the ``changed`` parts are left out: they were found to hold before those changed.
    """
    found = []
    for invariant in _of_state(changed):
        detail = invariant.check(view)
        if detail is not None:
            found.append(Violation(invariant.id, invariant.name, detail))
    return found


def check_step(step: Step, also: tuple[StepInvariant, ...] = ()) -> list[Violation]:
    """All step invariants, and ``also`` those, that do not hold of a finished step."""
    found = []
    for invariant in (*_of_step(step.changed), *also):
        detail = invariant.check(step)
        if detail is not None:
            found.append(Violation(invariant.id, invariant.name, detail))
    return found


def check_all(
    state: State, machine: Machine, policy: authority.Policy | None = None, roots: tuple[Any, ...] = ()
) -> list[Violation]:
    """All invariants that do not hold of a state.

    ``roots`` are CNodes known from before: when no thread can run any more, nothing need refer to them.
    """
    return check_view(View(state, machine, roots, policy))
