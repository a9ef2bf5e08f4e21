"""Processes: started from files with just the caps that they are given; whatever they do, what they had is returned."""

import struct
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from capkernel.abi import rights as rt
from capkernel.abi import syscalls as sc
from capkernel.abi.errors import INVALID_CAPABILITY
from capkernel.kernel.caps import EndpointCap
from capkernel.protocols.client import Stub
from capkernel.protocols.failures import (
    AlreadyExists,
    Corrupt,
    Failure,
    Gone,
    Malformed,
    NotFound,
    QuotaExceeded,
    Refused,
    TooLarge,
    WrongKind,
)
from capkernel.protocols.files import READ, Directory, File
from capkernel.protocols.interface import Cap
from capkernel.protocols.processes import Launcher, Process, State, Status
from capkernel.protocols.spawn import Share, spawn
from capkernel.protocols.spawn import given as given_cap
from capkernel.protocols.strategies import hostile_requests
from capkernel.tools.explain.census import holdings, slots_of, threads
from capkernel.user import process as user
from capkernel.user import stubs
from capkernel.user.errors import KernelError
from capkernel.user.loop import BASE_ENDPOINT_CAP, ENDPOINT_BADGE
from capkernel.user.syscalls import Message
from servers.system.program_file import read_program_file
from tests.servers.process_bench import LAUNCHER, MAINS, World, play


async def end_with(process: user.Process, code: str) -> int:
    return int(code)


async def hang(process: user.Process) -> int:
    while True:
        await process.compute(1000)


async def nap(process: user.Process, ticks: str) -> int:
    """The client's priority is higher than that of processes: it waits for one to let others run."""
    await process.compute(int(ticks))
    return 0


async def crash(process: user.Process) -> int:
    raise RuntimeError("as planned")


async def stray(process: user.Process) -> int:
    return await process.load(0x6666_6000)


def test_a_process_is_started_from_a_file_and_says_how_it_ended(monkeypatch: Any) -> None:
    async def story(world: World) -> None:
        program = await world.puppet()
        child = await world.spawn(program, "end_with", "-7")
        assert (await child.wait()).code == -7
        assert (await child.status()).state is State.EXITED
        with pytest.raises(Refused):
            await child.start([], 0)
        failed = await (await world.spawn(program, "crash")).wait()
        assert (failed.state, failed.fault) == (State.FAULTED, "UserException")
        assert "raised" in failed.text
        assert user.PROGRAM <= failed.pc < user.PROGRAM + 4096
        lost = await (await world.spawn(program, "stray")).wait()
        assert (lost.state, lost.fault) == (State.FAULTED, "VMFault")
        assert "0x66666000" in lost.text
        hanging = await world.spawn(program, "hang")
        await world.pd.compute(100_000)
        assert (await hanging.status()).state is State.RUNNING
        assert (await hanging.info()).memory
        assert (await hanging.kill()).state is State.KILLED
        assert (await hanging.wait()).state is State.KILLED
        assert (await hanging.info()).memory == 0
        assert (await world.launcher.quota()).memory_taken == 0

    play(monkeypatch, story, every=50, end_with=end_with, crash=crash, stray=stray, hang=hang)


async def let_run(world: World, program: File, ticks: int) -> None:
    """Wait for another process, which needs so many ticks."""
    await (await world.spawn(program, "nap", str(ticks))).wait()


async def await_cap(process: user.Process, name: str, other: str = "") -> int:
    """Wait for a cap; first put a cap of its own where it will come, if it has one."""
    if other:
        own = process.caps[user.SLOTS]
        for slot in range(user.FIRST_CAP + len(process.caps), user.FIRST_EMPTY):
            await stubs.cnode_copy(
                process.sys, own, dest_index=slot, dest_depth=64, src_root=own, src_index=process.caps[other],
                src_depth=64, rights=rt.ALL,
            )  # fmt: skip
    while name not in process.caps:
        await process.compute(5000)
        await process.refresh()
    return (await given_cap(File, process, name).info()).size


async def use_until_it_is_gone(process: user.Process, name: str) -> int:
    """The label that the last call was answered with."""
    cap = process.caps[name]
    while name in process.caps:
        await process.compute(5000)
        await process.refresh()
    return (await process.sys.call(cap, Message(1))).label


def test_a_process_that_runs_is_given_caps_and_learns_of_them(monkeypatch: Any) -> None:
    async def story(world: World) -> None:
        program = await world.puppet()
        file = await world.file("late", b"seven!!")
        child = await world.spawn(program, "await_cap", "late")
        await let_run(world, program, 20_000)
        await child.give("late", Cap((await (await file.restrict(READ)).derive()).cap))
        with pytest.raises(AlreadyExists):
            await child.give("late", Cap((await file.derive()).cap))
        assert (await child.wait()).code == 7
        with pytest.raises(Refused):
            await child.give("later", Cap((await file.derive()).cap))
        # One that put something of its own where the cap will come gets the cap all the same.
        other = await world.file("other", b"")
        caps = {"other": await other.derive()}
        child = await world.spawn(program, "await_cap", "late", "other", caps=caps, slots=True)
        await let_run(world, program, 20_000)
        await child.give("late", Cap((await file.derive()).cap))
        assert (await child.wait()).code == 7

    play(monkeypatch, story, every=1000, await_cap=await_cap, nap=nap)


def test_what_a_process_was_given_can_be_taken_away_while_it_runs(monkeypatch: Any) -> None:
    async def story(world: World) -> None:
        program = await world.puppet()
        file = await world.file("lent", b"x")
        child = await world.spawn(program, "use_until_it_is_gone", "lent", caps={"lent": await file.derive()})
        with pytest.raises(NotFound):
            await child.withdraw("nothing")
        await let_run(world, program, 20_000)
        await child.withdraw("lent")
        assert (await child.wait()).code == INVALID_CAPABILITY
        # A launcher takes with it what was started by it.
        child = await world.spawn(
            program, "fork", caps={"launcher": Share(0x6_0000, 4), "program": await program.derive()},
            slots=True,
        )  # fmt: skip
        await let_run(world, program, 100_000)
        found = await world.launcher.processes(0)
        assert len(found) > 1
        assert {each.parent for each in found} >= {0, (await child.info()).number}
        await child.withdraw("launcher")
        assert [each.number for each in await world.launcher.processes(0)] == [(await child.info()).number]
        await child.kill()
        assert (await world.launcher.quota()).memory_taken == 0

    play(monkeypatch, story, every=1000, use_until_it_is_gone=use_until_it_is_gone, fork=fork_without_end, nap=nap)


@pytest.mark.slow
def test_after_any_gifts_and_withdrawals_a_process_has_the_caps_of_the_list(monkeypatch: Any) -> None:
    seen: list[set[str]] = []

    async def watchful(process: user.Process) -> int:
        while "end" not in process.caps:
            await process.compute(500)
            await process.refresh()
            seen.append(set(process.caps))
        return 0

    async def story(world: World) -> None:
        file, chance = await world.file("file", b""), Random(7)
        program = await world.puppet()
        child = await world.spawn(program, "watchful")
        model: set[str] = set()
        for _ in range(12):
            name = chance.choice("abcdef")
            if name in model:
                await child.withdraw(name)
            else:
                cap = await file.derive()
                await child.give(name, Cap(cap.cap))
                await cap.forget()
            model ^= {name}
            held = await child.caps(0)
            assert {each.name for each in held if each.is_there} == {each.name for each in held} == model
            await let_run(world, program, 2_000)
        await child.give("end", Cap((await file.derive()).cap))
        assert (await child.wait()).code == 0
        assert seen[-1] == model | {"end"}

    play(monkeypatch, story, watchful=watchful, nap=nap)


def process_thread(world: World) -> Any:
    """The thread that is no domain's."""
    system = world.stage.system
    known = {id(thread) for thread in (*system.threads.values(), system.state.initial)}
    (found,) = [each for each in threads(system.state) if id(each) not in known]
    return found


def test_its_cspace_has_exactly_the_caps_of_the_list_and_a_cap_to_say_that_it_is_over(monkeypatch: Any) -> None:
    seen: list[Any] = []

    async def look(process: user.Process) -> int:
        seen.append(process.caps)
        file = given_cap(Directory, process, "files")
        assert (await file.info("")).rights == READ
        # What is not there cannot be guessed.
        seen.append({(await process.sys.call(cap, Message(1))).label for cap in range(3, 128)})
        return 5

    async def guess(process: user.Process, address: str) -> int:
        await process.sys.call(int(address), Message(1))
        return 0

    async def story(world: World) -> None:
        program = await world.puppet()
        reader = await world.files.restrict(READ)
        child = await world.spawn(program, "hang", caps={"files": await reader.derive()})
        await world.pd.compute(20_000)
        seen.append({held.address: held.slot.cap for held in holdings(process_thread(world))})
        await child.kill()
        other = await world.spawn(program, "look", caps={"files": await reader.derive()})
        assert await other.wait() == Status(State.EXITED, 5)
        for address in (300, 5 << 58, 7 << 58, 1 << 63):
            assert (await (await world.spawn(program, "guess", str(address))).wait()).fault == "CapFault"

    play(monkeypatch, story, hang=hang, look=look, guess=guess)
    caps, names, answers = seen
    assert set(caps) == {user.EXIT, user.FIRST_CAP}
    assert all(isinstance(cap, EndpointCap) and not cap.rights & rt.READ for cap in caps.values())
    assert caps[user.EXIT].rights == rt.WRITE
    assert names == {"files": user.FIRST_CAP}
    assert answers == {INVALID_CAPABILITY}


def test_machine_code_runs_as_a_process(monkeypatch: Any) -> None:
    async def story(world: World) -> None:
        program = await world.file("code", elf(EXIT_42))
        child = await world.spawn(program, "code", heap=8192)
        assert await child.wait() == Status(State.EXITED, 42)
        wild = await (await world.spawn(await world.file("wild", elf(WILD)), "wild")).wait()
        assert (wild.state, wild.fault) == (State.FAULTED, "VMFault")
        assert wild.pc == CODE + 4 * (len(WILD) - 1)

    pytest.importorskip("unicorn")
    play(monkeypatch, story, every=20)


def test_files_that_are_no_programs_give_failures(monkeypatch: Any) -> None:
    good = elf(EXIT_42)
    wrong = {
        b"": WrongKind, b"#!/bin/sh\n": WrongKind, b"#!capkernel": WrongKind, b"#!capkernel \n": Corrupt,
        b"#!capkernel \xff\xff": Corrupt, b"#!capkernel nothing\n": NotFound, b"#!capkernel supervisor": NotFound,
        good[:70]: Corrupt, good[:18] + b"\x3e" + good[19:]: Corrupt, elf(EXIT_42, vaddr=0x3F_FFFF_0000): Corrupt,
        elf(EXIT_42, vaddr=0): Corrupt, elf(EXIT_42, memory=1 << 39): Corrupt,
        elf(EXIT_42, memory=0xFFF_0000): QuotaExceeded,
    }  # fmt: skip

    async def story(world: World) -> None:
        for number, (content, failure) in enumerate(wrong.items()):
            file = await world.file(f"wrong{number}", content)
            with pytest.raises(failure):
                await world.spawn(file)
        huge = await world.files.create("huge")
        await huge.resize(600_000)
        with pytest.raises(TooLarge):
            await world.spawn(huge)
        # Who is behind a file is not asked: another server's cap, or another thing, is no file.
        for other in (world.launcher, world.account):
            with pytest.raises((Malformed, Failure)):
                await world.spawn(other)
        assert (await world.launcher.quota()).memory_taken == 0
        assert await (await world.spawn(await world.file("good", good))).wait() == Status(State.EXITED, 42)

    pytest.importorskip("unicorn")
    play(monkeypatch, story)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.lists(st.tuples(st.integers(0, 119), st.integers(0, 255)), max_size=4))
def test_no_file_is_read_otherwise_than_as_a_program_or_with_a_failure(tail: bytes, changes: list[Any]) -> None:
    damaged = bytearray(elf(EXIT_42))
    for place, byte in changes:
        damaged[place] = byte
    for content in (bytes(damaged), b"#!capkernel " + tail, tail):
        try:
            found = read_program_file(content, {"known": bytes(16)})
        except Failure:
            continue
        assert all(segment.vaddr >= 4096 for segment in found.segments)


async def fork_without_end(process: user.Process) -> int:
    """Start as many processes as can be, each of which does the same; then hang."""
    launcher, program = given_cap(Launcher, process, "launcher"), given_cap(File, process, "program")
    refusals = 0
    while refusals < 3:
        try:
            quota = await launcher.quota()
            part = Share(max(0, quota.memory - quota.memory_taken - 0x1_4000) // 2 & ~0xFFF, 1)
            child = await spawn(
                launcher, program, ["fork"], {"launcher": part, "program": await derived(program)}, slots=True
            )
            await forget(child)
        except Failure:
            refusals += 1
    return await hang(process)


async def derived(stub: Any) -> Any:
    return await stub.derive()


async def forget(stub: Any) -> None:
    """The process's last cap to a child; the server keeps its own record of who is whose child."""
    stub.is_owned = False


def test_who_forks_without_end_uses_up_his_quota_and_nobody_else_notices(monkeypatch: Any) -> None:
    seen: list[Any] = []

    async def sibling(process: user.Process, rounds: str) -> int:
        for _ in range(int(rounds)):
            await process.compute(1000)
        return 3

    async def story(world: World) -> None:
        program = await world.puppet()
        before = await world.launcher.quota()
        part = await world.launcher.split(0x8_0000, 6)
        bomb = await world.spawn(
            program, "fork", launcher=part, slots=True,
            caps={"launcher": Share(0x6_0000, 5), "program": await derived(await program.restrict(READ))},
        )  # fmt: skip
        other = await world.spawn(program, "sibling", "20")
        assert await other.wait() == Status(State.EXITED, 3)
        await world.pd.compute(200_000)
        seen.append((await part.quota()).processes_taken)
        seen.append(len(threads(world.stage.system.state)))
        for _ in range(4):
            assert await (await world.spawn(program, "sibling", "1")).wait() == Status(State.EXITED, 3)
        assert (await bomb.status()).state is State.RUNNING
        await part.drop()
        seen.append(len(threads(world.stage.system.state)))
        assert await world.launcher.quota() == before

    play(monkeypatch, story, every=500, fork=fork_without_end, sibling=sibling)
    taken, during, after = seen
    assert taken == 6
    assert 2 < during - after <= 6


def test_a_dead_parents_children_are_killed_and_its_quota_comes_back(monkeypatch: Any) -> None:
    async def parent(process: user.Process, then: str) -> int:
        launcher, program = given_cap(Launcher, process, "launcher"), given_cap(File, process, "program")
        for _ in range(2):
            await forget(await spawn(launcher, program, ["hang"]))
        with pytest.raises(QuotaExceeded):
            await spawn(launcher, program, ["hang"])
        return await MAINS[then](process)

    async def leave(process: user.Process) -> int:
        return 1

    async def story(world: World) -> None:
        program = await world.puppet()
        before = await world.launcher.quota()
        for then in ("leave", "crash", "hang"):
            caps = {"launcher": Share(0x4_0000, 2), "program": await derived(program)}
            child = await world.spawn(program, "parent", then, caps=caps, slots=True)
            if then == "hang":
                assert await (await world.spawn(program, "nap", "50000")).wait() == Status(State.EXITED, 0)
                assert len(threads(world.stage.system.state)) - len(world.stage.system.threads) - 1 == 3
                await child.kill()
            assert (await child.wait()).is_over
            assert len(threads(world.stage.system.state)) - len(world.stage.system.threads) - 1 == 0
            assert await world.launcher.quota() == before
            await child.drop()

    play(monkeypatch, story, every=200, parent=parent, leave=leave, crash=crash, hang=hang, nap=nap)


@pytest.mark.slow
def test_a_hundred_and_fifty_processes_leave_nothing_behind(monkeypatch: Any) -> None:
    seen: list[Any] = []

    def resources(world: World) -> Any:
        system = world.stage.system
        return len(list(slots_of(system.state))), len(threads(system.state)), system.cpu.live_count

    async def story(world: World) -> None:
        program = await world.puppet()
        for number in range(150):
            name = ("end_with", "crash", "hang")[number % 25 // 23]
            lent = await derived(program)
            child = await world.spawn(program, name, str(number), caps={"file": lent})
            await (child.kill() if name == "hang" else child.wait())
            await child.drop()
            await program.revoke()
            await lent.forget()
            if number in (9, 149):
                seen.append((resources(world), await world.launcher.quota()))

    play(monkeypatch, story, longest_us=20_000_000, end_with=end_with, crash=crash, hang=hang)
    assert seen[0] == seen[1]


def test_caps_have_names_of_their_own_and_a_draft_that_is_dropped_leaves_nothing(monkeypatch: Any) -> None:
    async def story(world: World) -> None:
        program = await world.puppet()
        before = await world.launcher.quota()
        child = await world.launcher.create("child")
        for _ in range(2):
            await child.give("a", (await derived(program)).cap)
            with pytest.raises(AlreadyExists):
                await child.give("a", (await derived(program)).cap)
            with pytest.raises(Malformed):
                await child.give("", (await derived(program)).cap)
            with pytest.raises(Refused):
                await child.start([], 0)
            with pytest.raises(Malformed):
                await child.start([], 5)
            await child.drop()
            child = await world.launcher.create("child")
        with pytest.raises(Malformed):
            await world.launcher.create("")
        for number in range(user.MAX_CAPS):
            lent = await derived(program)
            await child.give(str(number), lent.cap)
            await lent.forget()
        with pytest.raises(TooLarge):
            await child.give_slots()
        await child.load(program)
        await child.drop()
        with pytest.raises(Gone):
            await child.info()
        assert await world.launcher.quota() == before

    play(monkeypatch, story)


@settings(
    max_examples=6, deadline=None, phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(st.lists(hostile_requests(Process) | hostile_requests(Launcher), min_size=30, max_size=60))
def test_no_request_kills_the_process_server_and_no_badge_can_be_made_up(monkeypatch: Any, requests: Any) -> None:
    async def story(world: World) -> None:
        program = await world.puppet()
        child = await world.launcher.create("victim")
        assert isinstance(child, Stub)
        for request in requests:
            if request.label & 0xFF not in (0xFD, 0xFF) and request.label != Process.number << 8 | 6:
                for cap in (child.cap, BASE_ENDPOINT_CAP + LAUNCHER):
                    reply = await world.pd.sys.call(cap, Message(request.label, request.words))
                    await world.connection.inbox.refuse(reply)
        with pytest.raises(KernelError):
            await stubs.cnode_mint(
                world.pd.sys, 301, dest_index=399, dest_depth=64, src_root=301, src_index=BASE_ENDPOINT_CAP + LAUNCHER,
                src_depth=64, rights=rt.ALL, badge=ENDPOINT_BADGE | 64,
            )  # fmt: skip
        await world.launcher.revoke()
        assert await (await world.spawn(program, "end_with", "1")).wait() == Status(State.EXITED, 1)

    play(monkeypatch, story, end_with=end_with)


CODE = 0x10000


def elf(code: list[int], *, vaddr: int = CODE, memory: int = 0) -> bytes:
    """A program for RISC-V of one segment."""
    data = struct.pack(f"<{len(code)}I", *code)
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 2, 243, 1, vaddr, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    return header + struct.pack("<IIQQQQQQ", 1, 5, 120, vaddr, vaddr, len(data), memory or len(data), 4096) + data


def li(register: int, value: int) -> int:
    return (value & 0xFFF) << 20 | register << 7 | 0x13


LUI_A1_LABEL = user.EXIT_LABEL << 12 | 11 << 7 | 0x37
ECALL, LOOP = 0x73, 0x6F
EXIT_42 = [
    li(10, user.EXIT), LUI_A1_LABEL, 1 << 20 | 11 << 15 | 11 << 7 | 0x13, li(12, 42), li(17, sc.SEND), ECALL, LOOP,
]  # fmt: skip
WILD = [li(5, 0), 5 << 15 | 3 << 12 | 6 << 7 | 3]
