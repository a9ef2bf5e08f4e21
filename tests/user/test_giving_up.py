"""Programs and functions that are given up while they wait: they end, whatever they would still do, in silence."""

import gc
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from types import coroutine
from typing import Any

import pytest

from capkernel.protocols.block import SECTOR
from capkernel.protocols.failures import DeviceError
from capkernel.protocols.files import Kind
from capkernel.protocols.service import Service
from capkernel.runtime.python_system import PythonSystem
from capkernel.user import bridge
from capkernel.user.bridge import run_blocking, wait
from capkernel.user.loop import PD, run
from capkernel.user.operations import compute, give_up
from capkernel.user.pdimage import PDValues
from capkernel.user.tasks import Condition, Tasks
from servers.storage.littlefs_volume import LittlefsVolume

needs_greenlet = pytest.mark.skipif(not bridge.AVAILABLE, reason="NOT RUN: greenlet is not installed")
STEP = ("step",)


@pytest.fixture(autouse=True)
def said(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What Python says of exceptions that nobody can be told of: nothing, in the end."""
    heard: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: heard.append((args.exc_value, args.object)))
    yield heard
    gc.collect()
    assert heard == []


@coroutine
def step() -> Any:
    yield STEP


async def stubborn(times: int, ended: list[str]) -> None:
    """Awaits something so many times more when it is to end."""
    try:
        await step()
    finally:
        for _ in range(times):
            with suppress(GeneratorExit):
                await step()
        ended.append("ended")


@pytest.mark.parametrize("times", [0, 1, 5])
def test_what_awaits_something_in_its_end_is_ended(times: int) -> None:
    ended: list[str] = []
    steps = stubborn(times, ended)
    steps.send(None)
    give_up(steps.__await__())
    assert steps.cr_frame is None
    assert ended == ["ended"]


def test_what_goes_on_whatever_comes_is_left_in_the_end() -> None:
    async def endless() -> None:
        while len(heard) < 1_000:
            try:
                await step()
            except GeneratorExit:
                heard.append("no")

    heard: list[str] = []
    steps = endless()
    steps.send(None)
    give_up(steps.__await__())
    assert 10 < len(heard) < 1_000
    heard *= 1_000
    steps.close()


def test_the_tasks_of_a_program_end_with_it_in_silence_though_it_is_spoilt() -> None:
    async def broken(condition: Condition) -> None:
        try:
            await condition.wait()
        finally:
            ended.append("ended")
            raise ValueError("its program is spoilt")

    async def done(result: Any, error: BaseException | None) -> None:
        raise AssertionError("it is never done")

    class Program:
        async def init(self, pd: PD) -> None:
            tasks, condition = Tasks(), Condition()
            pd.at_end.append(tasks.give_up)
            for _ in range(2):
                await tasks.start(broken(condition), done)
            condition.notify(1)
            await step()

    ended: list[str] = []
    program = run(Program(), PD(PDValues(name="it")))
    assert program.send(None) == STEP
    program.close()
    assert ended == ["ended", "ended"]


def test_a_service_ends_what_waits_in_it_with_its_program() -> None:
    pd: Any = PD(PDValues(name="it"))
    service = Service(pd, roots=lambda session: None)
    assert pd.at_end == [service.tasks.give_up]


def test_a_cpu_ends_programs_that_await_something_in_their_end_and_takes_it_for_no_crash() -> None:
    ended: list[str] = []

    async def program() -> None:
        try:
            await compute(1 << 40)
        finally:
            await compute(1)
            ended.append("never")

    system = PythonSystem([lambda start: program()])
    system.run(max_entries=3, until=1_000)
    assert system.cpu.live_count == 1
    system.cpu.close()
    assert (system.cpu.live_count, ended, system.crashes) == (0, [], [])


def blocking(times: int, ended: list[str]) -> None:
    """A plain function that waits, and in its end, too."""
    try:
        wait(step())
    finally:
        for _ in range(times):
            with suppress(GeneratorExit):
                wait(step())
        ended.append("ended")


async def carried(times: int, ended: list[str]) -> None:
    await run_blocking(blocking, times, ended)


@needs_greenlet
@pytest.mark.parametrize("times", [0, 1, 5])
@pytest.mark.parametrize("how", ["closed", "dropped", "in a circle"])
def test_a_function_that_waits_runs_to_its_end_before_it_is_freed(times: int, how: str) -> None:
    ended: list[str] = []
    steps: Any = carried(times, ended)
    assert steps.send(None) == STEP
    if how == "closed":
        steps.close()
    elif how == "in a circle":
        circle: list[Any] = [steps]
        circle.append(circle)
        del circle
    del steps
    gc.collect()
    assert ended == ["ended"]


@needs_greenlet
def test_no_stack_is_switched_in_the_middle_of_a_collection() -> None:
    phases: list[str] = []

    def collection(phase: str, _: dict[str, int]) -> None:
        phases.append(phase)

    def function() -> None:
        try:
            wait(step())
        finally:
            ended.extend(phases[-1:])

    async def work() -> None:
        await run_blocking(function)

    ended: list[str] = []
    circle: list[Any] = [work()]
    assert circle[0].send(None) == STEP
    circle.append(circle)
    del circle
    gc.callbacks.insert(0, collection)
    try:
        gc.collect()
    finally:
        gc.callbacks.remove(collection)
    assert ended == ["stop"]


@needs_greenlet
def test_a_function_that_goes_on_whatever_comes_is_left_where_it_is() -> None:
    def function() -> None:
        while True:
            heard.append("no")
            with suppress(BaseException):
                wait(step())

    async def work() -> None:
        await run_blocking(function)

    heard: list[str] = []
    steps: Any = work()
    steps.send(None)
    steps.close()
    told = len(heard)
    assert 10 < told < 1_000
    gc.collect()
    other: Any = carried(0, [])
    other.send(None)
    other.close()
    assert len(heard) == told


@needs_greenlet
def test_a_function_that_another_thread_gives_up_is_ended_when_its_own_comes_by() -> None:
    ended: list[str] = []
    waiting: list[Any] = [carried(1, ended)]
    waiting[0].send(None)
    other = threading.Thread(target=waiting.clear)
    other.start()
    other.join()
    assert ended == []
    steps = carried(0, [])
    steps.send(None)
    assert ended == ["ended"]
    steps.close()


class Disk:
    """Awaits something before and after each access, and in the end."""

    is_read_only = False

    def __init__(self, sectors: int) -> None:
        self.sectors = sectors
        self.data = bytearray(sectors * SECTOR)
        self.is_short = False

    async def open(self) -> None:
        await step()

    async def read(self, sector: int, count: int) -> bytes:
        await stubborn(1, [])
        return bytes(self.data[sector * SECTOR : (sector + count - self.is_short) * SECTOR])

    async def write(self, sector: int, data: bytes) -> None:
        await stubborn(1, [])
        self.data[sector * SECTOR : sector * SECTOR + len(data)] = data

    async def flush(self) -> None:
        await stubborn(1, [])


async def used(volume: LittlefsVolume) -> None:
    await volume.open()
    for name in "ab":
        await volume.create(name, Kind.FILE)
        await volume.write(name, 0, bytes(range(256)) * 30)
        await volume.sync(name)
        await volume.list("")


def played(steps: int) -> Any:
    """A file system that is used, after so many steps; None if it is over by then."""
    disk: Any = Disk(128)
    work = used(LittlefsVolume(disk))
    try:
        for _ in range(steps):
            work.send(None)
    except StopIteration:
        return None
    return work


@needs_greenlet
def test_littlefs_ends_wherever_its_program_is_given_up_in_the_middle_of_it() -> None:
    steps = 1
    while (work := played(steps)) is not None:
        give_up(work.__await__())
        assert work.cr_frame is None
        steps += 3
    assert steps > 100


@needs_greenlet
def test_a_disk_that_gives_too_few_bytes_is_an_error_and_no_memory_of_anybody_else() -> None:
    disk: Any = Disk(128)
    volume = LittlefsVolume(disk)

    def to_the_end(work: Any) -> None:
        try:
            while True:
                work.send(None)
        except StopIteration:
            return

    to_the_end(used(volume))
    disk.is_short = True
    with pytest.raises(DeviceError, match="bytes were to be read, and"):
        to_the_end(volume.read("a", 0, 4000))
