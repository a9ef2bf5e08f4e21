"""Memory larger than what is there: pages come and go, what is shared is copied, a pager that dies loses nothing."""

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from capkernel.protocols.failures import Failure, Malformed, QuotaExceeded, Refused
from capkernel.protocols.memory import PAGE
from capkernel.protocols.paging import Pager, Segment
from capkernel.protocols.processes import State, Status
from capkernel.protocols.strategies import hostile_requests
from capkernel.tools.inject import Fault, Kind
from capkernel.user import process as user
from capkernel.user.loop import BASE_ENDPOINT_CAP
from capkernel.user.syscalls import Message
from tests.servers.process_bench import PAGER, World, play

PAGES, FRAMES = 64, 8
PATTERN = bytes(range(251)) * 200


async def fill_and_sum(process: user.Process, pages: str) -> int:
    """Write a number into each page, change each, and add them up."""
    count = int(pages)
    for page in range(count):
        assert await process.read(user.HEAP + page * PAGE, 16) == bytes(16)
        await process.store(user.HEAP + page * PAGE + 8 * page, page + 1)
    for page in range(count):
        where = user.HEAP + page * PAGE + 8 * page
        await process.store(where, 2 * await process.load(where))
    return sum([await process.load(user.HEAP + page * PAGE + 8 * page) for page in range(count)])


async def check_file(process: user.Process, first: str, second: str) -> int:
    """Read the file's content; then write into it, and read that."""
    size = PAGE * 12
    assert await process.read(user.HEAP, size) == PATTERN[:size]
    await process.write(user.HEAP + int(first), second.encode())
    expected = bytearray(PATTERN[:size])
    expected[int(first) : int(first) + len(second)] = second.encode()
    assert await process.read(user.HEAP, size) == expected
    return 1


SLOW = [pytest.param(step, marks=pytest.mark.slow) for step in (60, 150, 700, 1200)]


@pytest.mark.parametrize("step", [0, 400, *SLOW])
def test_many_pages_in_few_frames_give_the_right_result_even_if_the_pager_dies(monkeypatch: Any, step: int) -> None:
    infos: list[Any] = []

    async def story(world: World) -> None:
        pager = world.at(Pager, PAGER)
        segment = await pager.zeros(PAGES * PAGE, FRAMES)
        child = await world.spawn(await world.puppet(), "fill_and_sum", str(PAGES), segment=segment)
        assert await child.wait() == Status(State.EXITED, PAGES * (PAGES + 1))
        try:
            infos.append(await segment.info())
        except Failure:
            assert step

    def watch(stage: Any) -> None:
        if step:
            stage.injector.faults.append(Fault("pager", step, Kind.CRASH))

    stage = play(monkeypatch, story, watch=watch, every=0 if step else 100, fill_and_sum=fill_and_sum)
    assert bool(stage.injector.activated) == bool(step)
    if not step:
        (info,) = infos
        assert info.frames == info.resident == FRAMES
        assert info.page_outs >= 2 * PAGES - FRAMES
        assert info.page_ins >= 2 * (PAGES - FRAMES)
        assert info.dropped >= PAGES - FRAMES, "what was only read a second time is not written again"


def test_a_file_is_paged_in_and_what_is_written_stays_the_segments_own(monkeypatch: Any) -> None:
    async def story(world: World) -> None:
        # The channel's own cap cannot hand over caps; one that the server gives out can.
        pager = await world.at(Pager, PAGER).derive()
        file = await world.file("data", PATTERN)
        segment = await pager.file(await file.derive(), 12 * PAGE, 4)
        copy = await segment.snapshot()
        program = await world.puppet()
        for each, at in ((segment, "5000"), (copy, "20000")):
            child = await world.spawn(program, "check_file", at, "changed", segment=each)
            assert await child.wait() == Status(State.EXITED, 1)
        assert await file.read(5000, 100) == PATTERN[5000:5100]
        info = await copy.info()
        assert info.copies >= 1
        assert info.resident <= info.frames == 4

    play(monkeypatch, story, every=100, check_file=check_file)


def test_a_snapshot_keeps_what_was_when_either_writes(monkeypatch: Any) -> None:
    async def write(process: user.Process, text: str) -> int:
        for page in range(6):
            await process.write(user.HEAP + page * PAGE, text.encode())
        return 0

    async def expect(process: user.Process, text: str) -> int:
        return sum([await process.read(user.HEAP + page * PAGE, len(text)) == text.encode() for page in range(6)])

    async def story(world: World) -> None:
        pager = world.at(Pager, PAGER)
        program = await world.puppet()

        async def run(main: str, text: str, segment: Segment) -> int:
            child = await world.spawn(program, main, text, segment=segment)
            return (await child.wait()).code

        first = await pager.zeros(6 * PAGE, 3)
        await run("write", "one", first)
        second = await first.snapshot()
        await run("write", "two", first)
        third = await first.snapshot()
        await run("write", "333", second)
        for text, segment in (("two", first), ("333", second), ("two", third)):
            assert await run("expect", text, segment) == 6

    play(monkeypatch, story, write=write, expect=expect)


def test_frames_are_exact_and_come_back(monkeypatch: Any) -> None:
    async def lose(process: user.Process) -> int:
        return await process.load(user.HEAP + 8 * PAGE)

    async def story(world: World) -> None:
        pager = world.at(Pager, PAGER)
        segments = [await pager.zeros(40 * PAGE, 20) for _ in range(3)]
        with pytest.raises(QuotaExceeded):
            await pager.zeros(40 * PAGE, 20)
        for size, frames in ((0, 4), (PAGE + 1, 4), (PAGE, 1), (1 << 40, 4)):
            with pytest.raises(Malformed):
                await pager.zeros(size, frames)
        for segment in segments:
            await segment.drop()
        program = await world.puppet()
        segment = await pager.zeros(8 * PAGE, 64)
        child = await world.launcher.create("twice")
        await child.page(segment.cap)
        with pytest.raises(Refused):
            await child.page(segment.cap)
        await child.drop()
        lost = await (await world.spawn(program, "lose", segment=segment)).wait()
        assert (lost.state, lost.fault) == (State.FAULTED, "VMFault")
        with pytest.raises(Failure):
            await world.spawn(program, "lose", segment=world.account)
        await segment.drop()
        for _ in range(5):
            await (await pager.zeros(100 * PAGE, 60)).drop()
        assert (await world.launcher.quota()).memory_taken == 0

    play(monkeypatch, story, lose=lose)


@settings(
    max_examples=5, deadline=None, phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(st.lists(hostile_requests(Pager) | hostile_requests(Segment), min_size=30, max_size=60))
def test_no_request_kills_the_pager(monkeypatch: Any, requests: list[Message]) -> None:
    async def story(world: World) -> None:
        pager = world.at(Pager, PAGER)
        segment: Any = await pager.zeros(4 * PAGE, 2)
        for request in requests:
            for cap in (segment.cap, BASE_ENDPOINT_CAP + PAGER):
                reply = await world.pd.sys.call(cap, Message(request.label, request.words))
                await world.connection.inbox.refuse(reply)
        await pager.revoke()
        await (await pager.zeros(4 * PAGE, 2)).drop()

    play(monkeypatch, story)


