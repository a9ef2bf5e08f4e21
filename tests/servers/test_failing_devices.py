"""Drivers of serial ports, timers and the clock, while the device fails: nobody waits for ever, and it heals."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from capkernel.protocols.clocks import RealTimeClock, Timer
from capkernel.protocols.console import Console, ConsoleInput
from capkernel.protocols.failures import DeviceError, Failure
from hwmodel.failing import REGISTER_FAULTS, FailingDevice, failing
from hwmodel.faults import Fault, FaultKind, FaultPlan
from hwmodel.memory import BusError
from hwmodel.rtc import DEFAULT_EPOCH_NS
from servers.clients.resident import ALL_STEPS
from servers.drivers import console_ns16550, console_sifive, rtc_goldfish, timer_capkernel, timer_sifive
from servers.drivers.console import INPUT, PATIENCE
from servers.drivers.timer import NEAR
from tests.servers.bench import Bench
from tests.servers.console_stage import FILES, ConsoleStage

DRIVERS = {
    "console": {"virt_iommu": (console_ns16550, "uart0"), "virt_sifive": (console_sifive, "uart0")},
    "timer": {"virt_iommu": (timer_capkernel, "timer0"), "virt_sifive": (timer_sifive, "timer0")},
    "clock": {"virt_iommu": (rtc_goldfish, "rtc0"), "virt_sifive": (rtc_goldfish, "rtc0")},
}
HEARTBEATS = 2 * PATIENCE + 2
PERIOD_US = 10_000
plans = st.lists(
    st.builds(Fault, st.integers(1, 80), st.sampled_from(REGISTER_FAULTS), st.integers(0, 30)), min_size=1, max_size=3
)


class Failing:
    """A driver whose device fails; if the driver faults, the next one takes its place, as a supervisor would do it."""

    def __init__(self, kind: str, board: str, faults: list[Fault], seed: int) -> None:
        self.module, self.window = DRIVERS[kind][board]
        devices = {self.window: failing(FaultPlan(tuple(faults), seed))}
        self.lives = 0
        self.bench: Any = None
        while self.bench is None:
            try:
                self.bench = Bench(self.module, self.window, board=board, devices=devices)
            except BusError:
                # It died while it started. The steps of the first start are over now.
                self.lives += 1
                devices = {self.window: failing()}
        self.device: FailingDevice = self.bench.machine.devices[self.window]

    def tries(self, action: Callable[[], Any]) -> Any:
        """Do something, and say what came of it; None if the driver died of it."""
        for _ in range(4):
            try:
                return action()
            except BusError:
                self.lives += 1
                while not self._reborn():
                    pass
        return None

    def _reborn(self) -> bool:
        machine = self.bench.machine
        machine.complete_irq(self.bench.window.irq)
        try:
            self.bench = Bench(self.module, self.window, board="", machine=machine, life=self.lives + 1)
        except BusError:
            return False
        return True

    def pause(self) -> None:
        """Signs of life, with time between them."""
        for _ in range(HEARTBEATS):
            self.tries(lambda: self.bench.advance(PERIOD_US))
            self.tries(self.bench.heartbeat)


def requests(kind: str, bench: Bench) -> list[Any]:
    """What clients ask for."""
    if kind == "console":
        writers = [bench.client(Console, 2 + number).write(f"line {number} of some length\n") for number in range(3)]
        return [*writers, bench.client(ConsoleInput, INPUT).read_line("> ")]
    if kind == "timer":
        return [bench.client(Timer, 2).sleep(500), bench.client(Timer, 3).now(), bench.client(Timer, 4).alarm(300, 0)]
    now = DEFAULT_EPOCH_NS + 100 * bench.machine.now()
    return [bench.client(RealTimeClock, 2).now(), bench.client(RealTimeClock, 3).alarm(now + 10**6)]


def works(kind: str, failing_driver: Failing) -> None:
    """With the device well again, everything is as it should be."""
    bench = failing_driver.bench
    if kind == "console":
        bench.shown()
        asked = bench.ask(bench.client(Console, 2).write("and all is well\n"))
        bench.advance(PERIOD_US)
        # The last fault may have been an interrupt that is lost only now.
        bench.heartbeat()
        assert asked.result is None
        assert "and all is well" in bench.shown()
        bench.type("\n")
        bench.type("yes\n")
        keys = ""
        while "yes" not in keys:
            # What came from a device without power is before it.
            keys += bench.call(bench.client(ConsoleInput, INPUT).read_keys())
    elif kind == "timer":
        start = bench.machine.now()
        asked = bench.ask(bench.client(Timer, 5).sleep(200))
        bench.advance(250)
        bench.heartbeat()
        assert asked.result is None
        assert start + 2000 <= bench.machine.now()
    else:
        ns = bench.call(bench.client(RealTimeClock, 5).now())
        assert ns == DEFAULT_EPOCH_NS + 100 * bench.machine.now() or failing_driver.device.faults.activated


@pytest.mark.parametrize("kind", DRIVERS)
@pytest.mark.parametrize("board", ["virt_iommu", "virt_sifive"])
@settings(max_examples=15, deadline=None)
@example(faults=[Fault(1, FaultKind.LOST_INTERRUPT), Fault(35, FaultKind.CORRUPT_DATA)], seed=0)
@given(faults=plans, seed=st.integers(0, 1000))
def test_nobody_waits_for_ever_and_the_device_heals(kind: str, board: str, faults: list[Fault], seed: int) -> None:
    driver = Failing(kind, board, faults, seed)
    bench = driver.bench
    asked = [driver.tries(lambda request=request: bench.ask(request)) for request in requests(kind, bench)]
    driver.tries(lambda: bench.type("typed\n"))
    driver.pause()
    if not driver.lives:
        for each in asked[:3]:
            assert each.is_over
            assert each.error is None or isinstance(each.error, Failure)
    driver.device.power_on()
    driver.device.faults.set_plan(FaultPlan())
    driver.pause()
    works(kind, driver)


@pytest.mark.parametrize("board", ["virt_iommu", "virt_sifive"])
def test_a_terminal_that_never_gets_empty_is_a_device_error_to_those_who_write(board: str) -> None:
    driver = Failing("console", board, [], 0)
    stall = Fault(driver.device.faults.steps + 1, FaultKind.STALL, 10_000)
    driver.device.faults.set_plan(FaultPlan((stall,)))
    asked = [driver.bench.ask(driver.bench.client(Console, 2 + n).write("x" * 100)) for n in range(3)]
    driver.pause()
    assert [type(each.error) for each in asked] == [DeviceError] * 3


def test_a_timer_without_power_is_a_device_error_to_those_who_wait_too() -> None:
    driver = Failing("timer", "virt_iommu", [], 0)
    asked = driver.bench.ask(driver.bench.client(Timer, 2).sleep(1000))
    driver.device.lose_power()
    driver.pause()
    for failed in (asked, driver.bench.ask(driver.bench.client(Timer, 2).now())):
        assert isinstance(failed.error, DeviceError)


def test_a_timer_that_is_read_wrongly_once_is_read_again() -> None:
    driver = Failing("timer", "virt_iommu", [], 0)
    timer = driver.bench.client(Timer, 2)
    for step in range(1, 3):
        for seed in range(20):
            steps = driver.device.faults.steps
            driver.device.faults.set_plan(FaultPlan((Fault(steps + step, FaultKind.CORRUPT_DATA),), seed))
            assert abs(driver.bench.call(timer.now()) - driver.bench.machine.now() // 10) <= NEAR // 10
            driver.bench.advance(50)


WINDOWS = {"uart0": "console", "timer0": "timer", "rtc0": "clock"}


def in_the_system(board: str, window: str, kind: FaultKind, step: int) -> ConsoleStage:
    plan = FaultPlan((Fault(step, kind, 20),), step)
    return ConsoleStage(board=board, devices={window: failing(plan)})


def survives(board: str, window: str, kind: FaultKind, step: int) -> None:
    """The client comes to its end, and nobody stops for good; what was asked of other devices is right."""
    stage = in_the_system(board, window, kind, step)
    assert stage.run_client(), (board, window, kind, step)
    assert not stage.system.faults
    assert stage.words[0] == ALL_STEPS
    stage.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("board", "window", "kind", "step"),
    [
        ("virt_iommu", "uart0", FaultKind.IO_ERROR, 60), ("virt_iommu", "timer0", FaultKind.LOST_INTERRUPT, 8),
        ("virt_sifive", "uart0", FaultKind.RESET, 90), ("virt_sifive", "rtc0", FaultKind.POWER_CUT, 3),
    ],
)  # fmt: skip
def test_a_failing_device_harms_nobody_else(board: str, window: str, kind: FaultKind, step: int) -> None:
    survives(board, window, kind, step)


@pytest.mark.campaign
@pytest.mark.parametrize("board", FILES)
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("kind", REGISTER_FAULTS)
def test_a_failing_device_harms_nobody_else_whenever_it_fails(board: str, window: str, kind: FaultKind) -> None:
    for step in (1, 2, 3, 5, 8, 13, 21, 55, 144, 377):
        survives(board, window, kind, step)
