"""One batch: in a system that runs already, fault after fault happens while its client works and checks."""

import gc
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from attrs import asdict, define, evolve, field, frozen

from capkernel.kernel.objects import TCB
from capkernel.tools.campaign.harms import Harm
from capkernel.tools.campaign.schedule import Planned, batch
from capkernel.tools.campaign.subjects import COMPILED, Subject
from capkernel.tools.checking import attach_checker
from capkernel.tools.demo.stage import Stage
from capkernel.tools.inject import Fault, Kind
from hwmodel.block import RamDisk
from hwmodel.faults import Fault as DeviceFault
from hwmodel.faults import FaultKind, FaultPlan
from hwmodel.virtio.transport import VirtioMmio

WARM_UP, SETTLE = 8, 1
"""Rounds of the client: before the first fault; and after a trial's faults until it is over."""
LIMIT_US: Final = 12_000_000
"""Virtual time within which the client must have made its next rounds; else it hangs.

A file server that hangs is given 80 ms, since it may have to wait for its driver; a connection is given up after 10 s;
several faults may each take so long.
"""
REST_US: Final = 12_000_000
"""Virtual time that is given at most to what comes back; for a driver that hung again and again it is 10 s."""
FIRST_PAUSE_US, LONGEST_PAUSE_US = 100, 10_000
"""Between rounds of the client meanwhile, each time twice as long: its work then would show little, and take long."""
REPORT: Final = "report"
REPORT_WORDS: Final = 512
"""A page. In the last word stands how long the client is to do nothing after each round."""
AFTERWARDS: Final = "as it found when it was started anew"
PART: Final = "capkernel_pd_"
"""How the name of a module begins in which a program is: the domain's name follows, and that of its part."""
TICKS_PER_US: Final = 10


@frozen
class Failed:
    """A trial that was not survived: which of the batch, its first kind, what was planned, what came of it."""

    trial: int
    kind: str
    planned: str
    harm: Harm
    detail: str = ""


@define
class Result:
    """What came of a batch. ``planned`` and ``activated`` count faults by target and kind, ``trials`` those made."""

    planned: Counter[str] = field(factory=Counter)
    activated: Counter[str] = field(factory=Counter)
    failed: list[Failed] = field(factory=list)
    trials: int = 0
    retries: int = 0
    rounds: int = 0
    recoveries_us: list[float] = field(factory=list)
    states_checked: int = 0
    trace_hash: str = ""

    def data(self) -> dict[str, Any]:
        """For a process that waits for it."""
        return asdict(self) | {"planned": dict(self.planned), "activated": dict(self.activated)}


class Batch:
    """A system in which faults are to happen. Once it is warm it may be forked, and each copy plays another batch.

    Its programs of machine code, if it has any, are in ``compiled``.
    """

    def __init__(self, subject: Subject, compiled: Path = COMPILED) -> None:
        self.subject = subject
        self.result = Result()
        self._target = 0
        self.stage = Stage(
            subject.system or subject.name, variant="campaign", programs=subject.programs(compiled),
            devices=subject.devices(), disk=RamDisk(subject.disk_bytes),
        )  # fmt: skip
        self.stage.system.loop.on_host = lambda thread, rounds: rounds < self._target and not self._has_died()
        self._life: TCB | None = None
        """The thread of the client's domain, when it was last seen to work."""
        self.stage.injector.code = {
            each.name: f"{PART}{each.name}_{each.part}" for each in subject.targets if each.part
        }  # fmt: skip
        self.devices = {each.name: self._device(each.device) for each in subject.targets if each.device}
        self._before = Counter[str]()
        self._noted = 0

    def warm_up(self) -> None:
        """Boot, and let the client work undisturbed for a while. Raises RuntimeError if it does not."""
        self.stage.booted.boot()
        harm = None
        if not self._begins() or (harm := self._harm()) is not None:
            raise RuntimeError(f"{self.subject.name}: the client does not work, before there was any fault: {harm}")
        self._noted = len(self.stage.system.lives)

    def play(self, number: int, *, spoilt: bool = False, tell: Callable[[str], None] = lambda line: None) -> Result:
        """All trials of a batch, or until one was not survived: what comes after that shows nothing. Only a client that
        is promised nothing may die, and begins anew. ``tell`` is told of each.
        """
        return self.play_trials(batch(self.subject, number, spoilt=spoilt), tell)

    def play_trials(
        self, trials: Iterable[tuple[Planned, ...]], tell: Callable[[str], None] = lambda line: None
    ) -> Result:
        """The same with other trials."""
        # What a program dropped may act when it is collected, so that must not be when the host likes it.
        gc.disable()
        try:
            return self._play(trials, tell)
        finally:
            gc.enable()

    def _play(self, trials: Iterable[tuple[Planned, ...]], tell: Callable[[str], None]) -> Result:
        result = self.result
        for trial, faults in enumerate(trials):
            self._rest()
            self._plan(faults)
            survived = self._try()
            self._count(faults)
            harm, detail = self._harm() or (None if survived else (Harm.HANG, "")) or (None, "")
            tell(f"{trial}: {'; '.join(map(str, faults))}: {harm or 'survived'} {detail}".rstrip())
            if harm is not None:
                result.failed.append(Failed(trial, faults[0].name, "; ".join(map(str, faults)), harm, detail))
                if self.subject.promises or harm is not Harm.DIED or not self._begins():
                    break
                if (later := self._harm()) is not None:
                    result.failed.append(evolve(result.failed[-1], harm=later[0], detail=AFTERWARDS))
                    break
        self._check_invariants()
        result.rounds, _, _, result.retries = self._report()
        result.recoveries_us = self._recoveries()
        result.trace_hash = self.stage.booted.trace.hash()
        self.stage.close()
        return result

    def _device(self, window: str) -> VirtioMmio:
        device = self.stage.system.machine.devices[window]
        if not isinstance(device, VirtioMmio):
            raise TypeError(f"there is no virtio device in {window}")
        return device

    def _report(self) -> tuple[int, ...]:
        """What the client reports; zeros if it is not there."""
        return self.stage.words(REPORT, 4) if self._client() else (0, 0, 0, 0)

    def _client(self) -> TCB | None:
        return self.stage.system.threads.get(self.subject.domain)

    def _has_died(self) -> bool:
        """Whether the client is another, or none, since it was last seen to work."""
        return self._life is not None and self._client() is not self._life

    def _begins(self) -> bool:
        """Let the client work undisturbed for a while, whichever life of it this is; false if it does not."""
        self._life = None
        if not self._advances(WARM_UP):
            return False
        self._life = self._client()
        return True

    def _advances(self, rounds: int) -> bool:
        """Run until the client has made so many rounds more, or died and made one; false if it does not in time."""
        self._target = self._report()[0] + rounds
        system, size = self.stage.system, self.subject.poll_us or LIMIT_US
        for _ in range(0, LIMIT_US, size):
            if system.run(time_us=size) == "host":
                return True
            if self.subject.poll_us:
                system.machine.poll_input()
        return False

    def _try(self) -> bool:
        """Let what is planned happen, and see whether the client goes on."""
        for _ in range(self.subject.reach):
            if not self._advances(1):
                return False
            if not self._is_waiting():
                break
        self._withdraw()
        return self._advances(SETTLE)

    def _rest(self) -> None:
        """Let come back what is there twice, if it does in time; a client that hangs meanwhile hangs in the trial."""
        now = self.stage.system.machine.now
        end, pause = now() + REST_US * TICKS_PER_US, FIRST_PAUSE_US
        while not self._is_whole() and now() < end and self._advances(1):
            self._pause(pause)
            pause = min(2 * pause, LONGEST_PAUSE_US)
        self._pause(0)

    def _pause(self, pause_us: int) -> None:
        """Let the client do nothing for so long after each round."""
        words = self.stage.words(REPORT, REPORT_WORDS)
        if words[-1] != pause_us * TICKS_PER_US:
            self.stage.write_words(REPORT, *words[:-1], pause_us * TICKS_PER_US)

    def _is_whole(self) -> bool:
        if self.subject.spare is None:
            return True
        region, word = self.subject.spare
        try:
            return not self.stage.words(region, word + 1)[word]
        except KeyError:
            # Whoever maps it is being started anew.
            return False

    def _is_waiting(self) -> bool:
        """Whether something of what is planned may still happen."""
        injector = self.stage.injector
        return any(fault.or_later or fault.step > injector.steps[fault.pd] for fault in injector.faults) or any(
            fault.step > device.faults.steps or (fault.or_later and fault.record not in device.faults.activated)
            for device in self.devices.values()
            for fault in device.faults.plan.faults
        )

    def _plan(self, faults: tuple[Planned, ...]) -> None:
        injector = self.stage.injector
        injector.faults = [
            Fault(
                each.target.name, injector.steps[each.target.name] + each.ahead, each.kind, each.seed,
                count=each.count, or_later=each.or_later,
            )
            for each in faults
            if isinstance(each.kind, Kind)
        ]  # fmt: skip
        for name, device in self.devices.items():
            planned = tuple(
                DeviceFault(device.faults.steps + each.ahead, each.kind, _parameter(each.kind), each.or_later)
                for each in faults
                if each.target.name == name and isinstance(each.kind, FaultKind)
            )
            device.faults.set_plan(FaultPlan(planned, faults[0].seed))
        self._before = self._activated()
        self.result.trials += 1
        for each in faults:
            self.result.planned[each.name] += each.count

    def _activated(self) -> Counter[str]:
        found = Counter(f"{fault.pd}: {fault.kind}" for fault in self.stage.injector.activated)
        for name, device in self.devices.items():
            found.update(f"{name}: {kind}" for _, kind, _ in device.faults.activated)
        return found

    def _withdraw(self) -> None:
        """What did not happen in time will not."""
        self.stage.injector.clear()
        for device in self.devices.values():
            device.faults.set_plan(FaultPlan())

    def _count(self, faults: tuple[Planned, ...]) -> None:
        self._withdraw()
        self.result.activated.update(self._activated() - self._before)
        self.stage.injector.activated.clear()
        for device in self.devices.values():
            device.faults.activated.clear()

    def _harm(self) -> tuple[Harm, str] | None:
        """What is not as it should be."""
        _, lost, errors, _ = self._report()
        if self.stage.system.faults:
            return Harm.STOPPED, ": ".join(self.stage.system.faults[-1])
        if self._has_died():
            return Harm.DIED, ""
        if lost:
            return Harm.LOST, ""
        return (Harm.ERROR, "") if errors else None

    def _recoveries(self) -> list[float]:
        """How long each domain that died was not there, in microseconds."""
        ended: dict[str, int] = {}
        gaps = []
        for tick, name, began in self.stage.system.lives[self._noted :]:
            if not began:
                ended[name] = tick
            elif name in ended:
                gaps.append((tick - ended.pop(name)) / TICKS_PER_US)
        return gaps

    def _check_invariants(self) -> None:
        """The kernel's invariants in the last states. Raises BadParameter if nobody can check them."""
        system = self.stage.system
        checker = attach_checker(system.loop, system.machine)
        system.loop.run(max_entries=3)
        self.result.states_checked += checker.checked
        self.result.failed += [Failed(-1, "end", "the end", Harm.INVARIANT, each) for each in checker.violations]


def _parameter(kind: FaultKind) -> int:
    """A storm is of ten interrupts, a wrong length a long one; a rogue device tries an address of its own choice."""
    return {FaultKind.INTERRUPT_STORM: 10, FaultKind.WRONG_LENGTH: 1 << 20, FaultKind.ROGUE_DMA: -1}.get(kind, 0)
