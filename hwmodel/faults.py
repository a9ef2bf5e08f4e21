"""Devices that fail on purpose: what goes wrong, at which step, and what came of it.

A device counts its steps from 1. Those of virtio devices are what they do for a request; those of the others are the
accesses to their registers (`failing`). A `FaultPlan` is plain data and names, for some steps, what goes wrong in them.
A fault for a step in which it can have no effect does nothing and is not counted; the others appear in
`FaultInjector.activated`. So a run without a plan tells how many steps there are, and a campaign tries each of them.
What is left open by a fault (which bit, which sectors) follows from the plan's seed and the step.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from hwmodel.stateful import Stateful

PARAMETER_SEEDED = -1


class FaultKind(StrEnum):
    """What can go wrong, with the steps in which it can and the meaning of the fault's parameter."""

    POWER_CUT = "power cut"
    """Any step, which is not done. The device is dead until `power_on`. What its volatile memory held is lost (0), or
    a seeded part of it survives (1), or that and one sector half written (2)."""
    RESET = "reset"
    """Any step, which is not done. The device forgets everything and sets DEVICE_NEEDS_RESET (0) or nothing (1)."""
    STALL = "stall"
    """Any step, which is not done, nor any other until the driver resets the device. Register devices: all registers
    read as 0 and stores do nothing, for as many accesses as the parameter says."""
    ROGUE_DMA = "rogue dma"
    """Any step, before it. The device reads 8 bytes at the parameter's I/O address (a seeded one if -1), and then
    writes 8 others there."""
    INTERRUPT_STORM = "interrupt storm"
    """Any step, before it: as many interrupts for nothing as the parameter says, one every 20 ticks. Register devices:
    the wire stays up for that long."""
    LOST_INTERRUPT = "lost interrupt"
    """The completion of a request of which the driver was to be notified; it is not. Register devices: any step; the
    next interrupt after it stays away, until there would have been another one."""
    WRONG_ID = "wrong id"
    """The completion of a request: the used ring names the head plus 1 plus the parameter, modulo 2**32."""
    WRONG_LENGTH = "wrong length"
    """The completion of a request: the used ring gives the parameter as length."""
    DOUBLE_COMPLETION = "double completion"
    """The completion of a request: it is put into the used ring twice."""
    CORRUPT_DATA = "corrupt data"
    """A step that moves data: one seeded bit of it is inverted on the way. Register devices: any step."""
    IO_ERROR = "i/o error"
    """A step of a block request that moves data: the request ends there with an error. Register devices: any step,
    which is not done; nothing answers on the bus."""
    TORN_WRITE = "torn write"
    """A step that writes to a disk: only as many bytes of the piece as the parameter says (a seeded number if -1) get
    there."""
    LOST_WRITE = "lost write"
    """A step that writes to a disk: nothing gets there, and the device says that it did. Register devices: a store."""
    REORDERED_WRITE = "reordered write"
    """A step that writes to a disk: with a cache, the piece reaches the medium before what was written earlier; without
    one, only after what is written next."""
    LOST_FLUSH = "lost flush"
    """A step of a flush with something to write: nothing is made durable, and the device says that it was."""
    BAD_SECTOR = "bad sector"
    """Any step: from it on the sector of the parameter (a seeded one if -1) cannot be read until it is written. Counted
    when it is read."""
    LOST_FRAME = "lost frame"
    """A step that moves a network frame: it is dropped."""
    DOUBLE_FRAME = "double frame"
    """A step that moves a network frame: it arrives twice."""
    LATE_FRAME = "late frame"
    """A step that moves a network frame out: it leaves after the next one."""


@dataclass(frozen=True, slots=True)
class Fault:
    """At the device's step number `step`, `kind` goes wrong; see there for the parameter. With `or_later` it does so at
    the first step from there on at which it can have an effect, and once.
    """

    step: int
    kind: FaultKind
    parameter: int = 0
    or_later: bool = False

    @property
    def record(self) -> tuple[int, str, int]:
        """The fault as plain data, as `FaultInjector.activated` has it."""
        return (self.step, self.kind.value, self.parameter)


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """All that goes wrong with one device."""

    faults: tuple[Fault, ...] = ()
    seed: int = 0


def sweep(steps: Iterable[int], kind: FaultKind, parameter: int = 0, seed: int = 0) -> list[FaultPlan]:
    """Return one plan for each of the steps, with that fault alone."""
    return [FaultPlan((Fault(step, kind, parameter),), seed) for step in steps]


class FaultInjector(Stateful):
    """Counts a device's steps and knows what goes wrong in the current one.

    `rogue_refused` and `rogue_through` count the accesses of `ROGUE_DMA`. The plan itself is no part of the state: a
    snapshot of a run without faults may be restored into a machine whose device has a plan.
    """

    __slots__ = ("_by_step", "_due", "_later", "activated", "plan", "rogue_refused", "rogue_through", "steps")
    STATE = ("activated", "rogue_refused", "rogue_through", "steps")

    def __init__(self, plan: FaultPlan | None = None) -> None:
        self.steps = 0
        self.activated: list[tuple[int, str, int]] = []
        self.rogue_refused = self.rogue_through = 0
        self.set_plan(plan or FaultPlan())

    def set_plan(self, plan: FaultPlan) -> None:
        """Let this plan be followed from the next step on."""
        self.plan = plan
        self._by_step: dict[int, list[Fault]] = {}
        for fault in plan.faults:
            if not fault.or_later:
                self._by_step.setdefault(fault.step, []).append(fault)
        self._later = [fault for fault in plan.faults if fault.or_later]
        self._due: list[Fault] = []

    def next_step(self) -> bool:
        """Count a step; say whether something is to go wrong in it."""
        self.steps += 1
        self._due = self._by_step.get(self.steps, []) if self._by_step else []
        if self._later:
            self._due = [*self._due, *(fault for fault in self._later if fault.step <= self.steps)]
        return bool(self._due)

    def due(self, kind: FaultKind) -> Fault | None:
        """Return the fault of this kind for the current step, if there is one."""
        for fault in self._due:
            if fault.kind is kind:
                return fault
        return None

    def activate(self, fault: Fault) -> None:
        """Note that the fault had an effect."""
        self.activated.append(fault.record)
        if fault.or_later:
            self._later.remove(fault)
            self._due.remove(fault)

    def strikes(self, kind: FaultKind) -> Fault | None:
        """As `due`, for a fault that has an effect wherever this is asked: it is noted."""
        fault = self.due(kind)
        if fault is not None:
            self.activate(fault)
        return fault
