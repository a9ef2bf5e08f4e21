"""One batch: a system is booted once, and fault after fault happens in it while its client works and checks."""

from collections import Counter
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any, Final

from attrs import asdict, define, field, frozen

from capkernel.tools.campaign.schedule import DEVICE, SURVIVABLE, Kinds, Planned, batch
from capkernel.tools.demo.lives import Lives
from capkernel.tools.demo.stage import Stage
from capkernel.tools.inject import Fault, Kind
from hwmodel.faults import Fault as DeviceFault
from hwmodel.faults import FaultKind, FaultPlan

WARM_UP, SETTLE = 8, 2
"""Rounds of the client before the first fault, and after each one until it counts as survived."""
LIMIT_US: Final = 10_000_000
"""Virtual time within which the client must have made its rounds after a fault; else it hangs.

A file server that hangs is given 300 ms, since it may have to wait for its driver; a pair of faults, and one of
before that happens only now, may each take so long.
"""
SLICE_US: Final = 100
GROWTH: Final = 1.05
CHECKS = "capkernel.checks"


@frozen
class Failed:
    """A fault that was not survived: which of the batch, what was planned, what came of it."""

    index: int
    planned: str
    what: str


@define
class Result:
    """What came of a batch. ``planned`` and ``activated`` count faults by target and kind."""

    number: int
    planned: Counter[str] = field(factory=Counter)
    activated: Counter[str] = field(factory=Counter)
    failed: list[Failed] = field(factory=list)
    retries: int = 0
    rounds: int = 0
    recoveries_us: list[float] = field(factory=list)
    states_checked: int = 0
    trace_hash: str = ""

    def data(self) -> dict[str, Any]:
        """For the record."""
        return asdict(self) | {"planned": dict(self.planned), "activated": dict(self.activated)}


class Batch:
    """A batch being played. ``tell`` is told of each fault (for a replay)."""

    def __init__(self, number: int, kinds: Kinds = SURVIVABLE, tell: Callable[[str], None] = lambda line: None) -> None:
        self.result = Result(number)
        self.kinds = kinds
        self.tell = tell
        self.stage = Stage("storage", variant="campaign", programs={"client": "churner.elf"})
        self.lives = [Lives(self.stage, pd) for pd in ("disk", "files", "supervisor")]
        self._before = (0, 0)

    def play(self) -> Result:
        """All of it, or until something was not survived: what comes after that shows nothing."""
        stage, result = self.stage, self.result
        if not self._advances(WARM_UP):
            result.failed.append(Failed(-1, "nothing", "the client does not begin"))
        for index, faults in enumerate(batch(result.number, self.kinds)):
            if result.failed:
                break
            self._plan(faults)
            survived = self._advances(SETTLE)
            self._count(faults)
            wrong = self._wrong(survived)
            self.tell(f"{index}: {'; '.join(map(str, faults))}: {wrong or 'survived'}")
            if wrong:
                result.failed.append(Failed(index, "; ".join(map(str, faults)), wrong))
        self._check_invariants()
        result.rounds, _, _, result.retries = stage.words("report", 4)
        result.recoveries_us = [gap for lives in self.lives for gap in lives.gaps_us]
        result.trace_hash = stage.booted.trace.hash()
        stage.close()
        return result

    def _advances(self, rounds: int) -> bool:
        target = self.stage.words("report", 1)[0] + rounds if self.stage.system.ready else rounds
        return self.stage.run_until(
            lambda: self.stage.words("report", 1)[0] >= target, LIMIT_US, SLICE_US, growth=GROWTH
        )

    def _plan(self, faults: tuple[Planned, ...]) -> None:
        injector, device = self.stage.injector, self.stage.disk_device
        injector.faults = [
            Fault(fault.target, injector.steps[fault.target] + fault.ahead, fault.kind, fault.seed)
            for fault in faults
            if isinstance(fault.kind, Kind)
        ]
        planned = tuple(
            DeviceFault(device.faults.steps + fault.ahead, fault.kind, _parameter(fault.kind))
            for fault in faults
            if isinstance(fault.kind, FaultKind)
        )
        device.faults.set_plan(FaultPlan(planned, faults[0].seed))
        self._before = len(injector.activated), len(device.faults.activated)

    def _count(self, faults: tuple[Planned, ...]) -> None:
        """Note which of the faults happened. What did not happen in time will not."""
        injector, device = self.stage.injector, self.stage.disk_device
        self.result.planned.update(f"{fault.target}: {fault.kind}" for fault in faults)
        self.result.activated.update(f"{fault.pd}: {fault.kind}" for fault in injector.activated[self._before[0] :])
        self.result.activated.update(f"{DEVICE}: {kind}" for _, kind, _ in device.faults.activated[self._before[1] :])
        injector.faults = []
        device.faults.set_plan(FaultPlan())

    def _wrong(self, survived: bool) -> str:
        """What is not as it should be, or nothing."""
        _, lost, errors, _ = self.stage.words("report", 4)
        if self.stage.system.faults:
            return f"a domain stopped for good: {self.stage.system.faults[-1]}"
        if lost:
            return "acknowledged data is lost"
        if errors:
            return "the client saw an error"
        return "" if survived else "the client hangs"

    def _check_invariants(self) -> None:
        """The kernel's invariants in the last state, if there is somebody who can check them."""
        for point in entry_points(group=CHECKS):
            system = self.stage.system
            sampler = point.load()(system.loop, system.machine, 1)
            system.loop.run(max_entries=3)
            self.result.states_checked += sampler.checked
            self.result.failed += [Failed(-1, "the kernel's invariants", str(each)) for each in sampler.violations]


def _parameter(kind: FaultKind) -> int:
    """A storm is of ten interrupts, a wrong length a long one; a rogue device tries an address of its own choice."""
    return {FaultKind.INTERRUPT_STORM: 10, FaultKind.WRONG_LENGTH: 1 << 20, FaultKind.ROGUE_DMA: -1}.get(kind, 0)
