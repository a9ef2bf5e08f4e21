"""Replaying one recorded program, of any group, and saying whether and where ours differs.

    outcome = replay(program)          # a dict as read from one line of a recording
    outcome.divergence is None         # true if every observation agrees

A step-by-step program (every group but ``time``) is a list of operations with what was observed after each. In a cut
program (``shrink``) an operation may carry ``compare``, the names of the observed fields that count; in its ``map``,
``?`` is a slot that does not. Without ``compare`` everything counts.
"""

import traceback
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from capkernel.tools.conform.compare import differences
from capkernel.tools.conform.patience import Patience
from capkernel.tools.conform.populate import start
from capkernel.tools.conform.steps import Record, Stepper
from capkernel.tools.conform.timeline import replay_timeline
from capkernel.tools.conform.unwritten import DeviceWatch, leave_ret
from capkernel.tools.conform.world import World

STEPPED_GROUPS = ("capspace", "ipc", "vspace", "tcb", "memory", "faults")
TIMELINE_GROUP = "time"
GROUPS = (*STEPPED_GROUPS, TIMELINE_GROUP)
BEFORE_FIRST = -1
MAX_ASSUMPTIONS = 4

Program = dict[str, Any]
Differences = dict[str, tuple[Any, Any]]
"""Observed field → what was recorded, what we saw."""


@dataclass(frozen=True)
class Divergence:
    """Where a program's replay first differs from the record.

    ``operation`` is its index (of the log entry in group ``time``), ``BEFORE_FIRST`` if the start state differs.
    ``error`` is the traceback if the replay raised.
    """

    program: str
    operation: int
    differences: Differences = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True)
class Outcome:
    """What a replay gave: operations carried out, the first divergence, and what had to be assumed to agree."""

    operations: int
    divergence: Divergence | None
    assumed: list[str] = field(default_factory=list)


class Observer(Protocol):
    """Somebody who looks on during a replay."""

    def begin(self, world: World) -> None:
        """The program's start state is there."""

    def step(self, record: Record) -> None:
        """An operation is about to be carried out."""


def replay(program: Program, observers: Iterable[Observer] = ()) -> Outcome:
    """Replay one program. Never raises for what the replayed kernel does; that is a divergence."""
    if program["group"] == TIMELINE_GROUP:
        return _replay_timeline(program)
    operations, divergence = run_steps(program, observers)
    if divergence is None:
        return Outcome(operations, None)
    return _replay_with_leftovers(program, observers) or Outcome(operations, divergence)


def run_steps(
    program: Program, observers: Iterable[Observer] = (), leftovers: frozenset[int] = frozenset()
) -> tuple[int, Divergence | None]:
    """Carry out a step-by-step program up to its first divergence; returns how many operations that were.

    ``leftovers`` are the physical addresses of device memory that hold ``ret`` from before the program.
    """
    name, index = program["id"], BEFORE_FIRST
    observers = [Patience(), *observers]
    try:
        world = start(program)
        leave_ret(world, leftovers)
        for observer in observers:
            observer.begin(world)
        stepper = Stepper(world, program["group"])
        found = _start_difference(program, stepper)
        if found:
            return 0, Divergence(name, BEFORE_FIRST, found)
        for index, record in enumerate(program["ops"]):
            for observer in observers:
                observer.step(record)
            found = _counting(record, differences(record, stepper.step(record)))
            if found:
                return index + 1, Divergence(name, index, found)
    except Exception:
        return index + 1, Divergence(name, index, error=traceback.format_exc())
    return len(program["ops"]), None


def _start_difference(program: Program, stepper: Stepper) -> Differences:
    expected, actual = "".join(program["init"]["map"]), stepper.map()
    return {} if expected == actual else {"map": (expected, actual)}


def _counting(record: Record, found: Differences) -> Differences:
    """The differences that count by the record's ``compare``."""
    if "compare" not in record:
        return found
    found = {name: pair for name, pair in found.items() if name in record["compare"]}
    if "map" in found and all(want in ("?", got) for want, got in zip(*found["map"], strict=True)):
        del found["map"]
    return found


def _replay_with_leftovers(program: Program, observers: Iterable[Observer]) -> Outcome | None:
    """Replay assuming ``ret`` where a diverging step executes device memory that nobody wrote; None if it is no help.

    One assumption may lead to the next step that needs one.
    """
    leftovers: frozenset[int] = frozenset()
    assumed: list[str] = []
    while len(assumed) < MAX_ASSUMPTIONS:
        watch = DeviceWatch()
        operations, divergence = run_steps(program, [*observers, watch], leftovers)
        if divergence is None:
            return Outcome(operations, None, assumed)
        new = frozenset(watch.fetched) - leftovers
        if not new:
            return None
        leftovers |= new
        assumed += [_assumption(divergence.operation, paddr - watch.base) for paddr in sorted(new)]
    return None


def _assumption(operation: int, offset: int) -> str:
    return (
        f"operation {operation} executes device memory that the program never wrote (offset {offset:#x} of its device "
        "untyped): assumed to hold ret, 0x00008067"
    )


def _replay_timeline(program: Program) -> Outcome:
    name = program["id"]
    try:
        compared, difference = replay_timeline(program)
    except Exception:
        return Outcome(0, Divergence(name, BEFORE_FIRST, error=traceback.format_exc()))
    if difference is None:
        return Outcome(compared, None)
    return Outcome(compared, Divergence(name, compared, {"log": ("the recorded log", difference)}))


def report(program: Program) -> int:
    """Replay a program and print what came of it; returns 0 if all agrees, else 1. Used by generated scripts."""
    outcome = replay(program)
    divergence = outcome.divergence
    for text in outcome.assumed:
        print(f"assumed: {text}")
    if divergence is None:
        print(f"{program['id']}: {outcome.operations} operations, all as recorded")
        return 0
    print(f"{program['id']}: differs {place(divergence)}")
    for name, (expected, actual) in divergence.differences.items():
        print(f"  {name}\n    expected {expected!r}\n    actual   {actual!r}")
    if divergence.error:
        print(divergence.error)
    return 1


def place(divergence: Divergence) -> str:
    """Where a divergence is, in words."""
    if divergence.operation == BEFORE_FIRST:
        return "before the first operation"
    return f"at operation {divergence.operation}"
