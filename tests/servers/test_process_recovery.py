"""A process server that dies: its processes go on, and every history is what it would have been without the death."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from capkernel.protocols.again import insist
from capkernel.protocols.failures import Failure, Gone, NotFound, ServerDied
from capkernel.protocols.files import READ, File
from capkernel.protocols.interface import Cap
from capkernel.protocols.paging import Pager
from capkernel.protocols.processes import Launcher, State, Status
from capkernel.protocols.spawn import Share, spawn
from capkernel.protocols.spawn import given as given_cap
from capkernel.tools.demo.lives import Lives
from capkernel.tools.explain.census import holdings, threads
from capkernel.tools.inject import Fault, Kind
from capkernel.user import process as user
from tests.servers.process_bench import PAGER, World, play

MEMORY, PROCESSES = 0x2_0000, 2
"""What a part of the launcher has: room for each of its processes."""
ALL = 10
"""The processes that the client may have."""
PAGES = 12
ENDING = ("end_with", "crash", "stray", "parent", "sum_pages")
"""Those that end by themselves."""


async def end_with(process: user.Process, code: str, ticks: str) -> int:
    await process.compute(int(ticks))
    return int(code)


async def hang(process: user.Process) -> int:
    while True:
        await process.compute(1000)


async def crash(process: user.Process, ticks: str) -> int:
    await process.compute(int(ticks))
    raise RuntimeError("as planned")


async def stray(process: user.Process, ticks: str) -> int:
    await process.compute(int(ticks))
    return await process.load(0x6666_6000)


async def watch_caps(process: user.Process) -> int:
    """The sum of the sizes of the files that it has when it is given one named ``end``."""
    while "end" not in process.caps:
        await process.compute(3000)
        await process.refresh()
    names = sorted(set(process.caps) - {"end", user.SLOTS})
    return sum([(await given_cap(File, process, name).info()).size for name in names])


async def parent(process: user.Process, child: str) -> int:
    """Start a process, wait for it, and end as it did; one that hangs is left behind."""
    launcher, program = given_cap(Launcher, process, "launcher"), given_cap(File, process, "program")
    while True:
        try:
            started: Any = await spawn(launcher, program, [child, "77", "2000"], name=child)
        except (ServerDied, Gone):
            continue
        break
    if child == "hang":
        return 5
    status = await insist(started.wait)
    return -1 if status is None else status.code


async def sum_pages(process: user.Process, pages: str) -> int:
    for page in range(int(pages)):
        await process.store(user.HEAP + page * 4096, page + 1)
    return sum([await process.load(user.HEAP + page * 4096) for page in range(int(pages))])


MAINS: dict[str, Callable[..., Awaitable[int]]] = {
    "end_with": end_with, "hang": hang, "crash": crash, "stray": stray, "watch_caps": watch_caps, "parent": parent,
    "sum_pages": sum_pages,
}  # fmt: skip
WHICH = st.integers(0, 7)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("spawn"), st.sampled_from(("end_with", "crash", "stray")), WHICH, st.integers(0, 20_000)),
        st.tuples(st.just("hang"), WHICH),
        st.tuples(st.just("watch_caps"), WHICH),
        st.tuples(st.just("parent"), st.sampled_from(("end_with", "hang"))),
        st.tuples(st.just("paged")),
        st.tuples(st.just("prepare"), WHICH),
        st.tuples(st.just("wait"), WHICH),
        st.tuples(st.just("kill"), WHICH),
        st.tuples(st.just("look"), WHICH),
        st.tuples(st.just("give"), WHICH, st.sampled_from("ab")),
        st.tuples(st.just("withdraw"), WHICH, st.sampled_from("ab")),
        st.tuples(st.just("drop"), WHICH),
        st.tuples(st.just("part")),
        st.tuples(st.just("close"), WHICH),
    ),
    min_size=2,
    max_size=14,
)


class Child:
    """A process as the model knows it."""

    def __init__(self, process: Any, kind: str, owner: int, gifts: set[str] | None = None) -> None:
        self.process = process
        self.kind = kind
        self.owner = owner
        self.gifts = gifts
        self.is_gone = False
        self.is_over = False


class Player:
    """Carries out a history; asks again when the server died, and writes down what it learns."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.children: list[Child] = []
        self.parts: list[Any] = [world.launcher]
        self.seen: list[Any] = []
        self.program: Any = None
        self.file: Any = None

    async def play(self, steps: list[Any]) -> None:
        """All of it, and then everything is given up."""
        self.program = await self.world.puppet()
        self.file = await self.world.file("seven", b"seven!!")
        before = await insist(self.world.launcher.quota)
        for step in steps:
            self.seen.append((step[0], await getattr(self, step[0])(*step[1:])))
        for child in self.children:
            await self._drop(child)
        for part in [part for part in self.parts[1:] if part is not None]:
            await give_up(part)
        assert await insist(self.world.launcher.quota) == before
        assert await insist(self.world.launcher.processes, 0) == []

    async def surely(self, do: Callable[[], Awaitable[Any]]) -> Any:
        """Start something; what a death has undone is started again. QuotaExceeded and others are what it is."""
        while True:
            try:
                return await do()
            except (ServerDied, Gone):
                continue
            except Failure as failure:
                return type(failure).__name__

    async def known(self, make: Callable[[], Awaitable[Any]], look: Callable[[Any], Awaitable[Any]]) -> Any:
        """Something new that the server knows, and what it says of it. If it died just when it handed out the cap,
        that leads nowhere.
        """
        made = await make()
        try:
            return made, await insist(look, made)
        except Gone:
            await made.forget()
            raise

    def at(self, which: int, kinds: tuple[str, ...] = ()) -> Child | None:
        """One of the processes to which there is a cap."""
        found = [each for each in self.children if not each.is_gone and (not kinds or each.kind in kinds)]
        return found[which % len(found)] if found else None

    def alive(self, which: int) -> int:
        return which % len(self.parts)

    async def _have_room(self, owner: int, wanted: int) -> bool:
        """See to it that a launcher may have so many more, whether or not those that end by themselves have ended."""
        for child in self.children:
            if self._taken(owner) + wanted <= (PROCESSES if owner else ALL):
                return True
            if child.owner == owner and child.kind in ENDING and not child.is_over and not child.is_gone:
                await insist(child.process.wait)
                child.is_over = True
        return self._taken(owner) + wanted <= (PROCESSES if owner else ALL)

    def _taken(self, owner: int) -> int:
        """Of a launcher's processes, those that may be there."""
        alive = [child for child in self.children if child.owner == owner and not child.is_over and not child.is_gone]
        parts = 0 if owner else sum(PROCESSES for part in self.parts[1:] if part is not None)
        return parts + sum(2 if child.kind == "parent" else 1 for child in alive)

    async def _spawn(self, kind: str, which: int, *arguments: str, **options: Any) -> Any:
        owner = self.alive(which)
        launcher = self.parts[owner]

        async def do() -> Any:
            return await self.world.spawn(self.program, kind, *arguments, launcher=launcher, **options)

        if launcher is None or not await self._have_room(owner, 2 if kind == "parent" else 1):
            return "no room"
        made = await self.surely(lambda: self.known(do, lambda made: made.info()))
        if isinstance(made, str):
            return made
        process, _ = made
        self.children.append(Child(process, kind, owner, set() if kind == "watch_caps" else None))
        return "started"

    async def spawn(self, kind: str, which: int, ticks: int) -> Any:
        arguments = (str(which), str(ticks)) if kind == "end_with" else (str(ticks),)
        return await self._spawn(kind, which, *arguments)

    async def hang(self, which: int) -> Any:
        return await self._spawn("hang", which)

    async def watch_caps(self, which: int) -> Any:
        return await self._spawn("watch_caps", which)

    async def parent(self, child: str) -> Any:
        lent = await self.program.derive()
        caps = {"launcher": Share(MEMORY, 1), "program": lent}
        return await self._spawn("parent", 0, child, caps=caps, slots=True)

    async def paged(self) -> Any:
        segment = await self.world.at(Pager, PAGER).zeros(PAGES * 4096, 3)
        started = await self._spawn("sum_pages", 0, str(PAGES), segment=segment)
        await segment.drop()
        return started

    async def prepare(self, which: int) -> Any:
        """One that is not started."""
        owner = self.alive(which)
        launcher = self.parts[owner]
        if launcher is None or not await self._have_room(owner, 1):
            return "no room"
        made = await self.surely(lambda: self.known(lambda: launcher.create("prepared"), lambda made: made.info()))
        if isinstance(made, str):
            return made
        process, info = made
        self.children.append(Child(process, "prepared", owner))
        return info.state

    async def part(self) -> Any:
        if not await self._have_room(0, PROCESSES):
            return "no room"
        launcher = self.world.launcher
        made = await self.surely(
            lambda: self.known(lambda: launcher.split(MEMORY, PROCESSES), lambda made: made.quota())
        )
        if isinstance(made, str):
            return made
        self.parts.append(made[0])
        return False

    async def close(self, which: int) -> Any:
        """A part ends, and all that it started."""
        place = self.alive(which)
        part = self.parts[place]
        if not place or part is None:
            return None
        started = [child for child in self.children if child.owner == place and not child.is_gone]
        for child in started:
            if child.kind in ENDING:
                await insist(child.process.wait)
                child.is_over = True
        await give_up(part)
        self.parts[place] = None
        killed = [child for child in started if not child.is_over]
        for child in killed:
            assert await insist(child.process.status) == Status(State.KILLED)
            child.is_over = True
        return len(started), len(killed)

    async def wait(self, which: int) -> Any:
        """How one ended that ends by itself; some more are given what they wait for."""
        child = self.at(which, (*ENDING, "watch_caps"))
        if child is None:
            return None
        if child.gifts is not None and not child.is_over:
            await self._give(child, "end")
        status = await insist(child.process.wait)
        assert status == await insist(child.process.wait) == await insist(child.process.status)
        child.is_over = True
        assert (await insist(child.process.info)).memory == 0
        return status.state, status.code, status.fault, child.gifts and sorted(child.gifts)

    async def kill(self, which: int) -> Any:
        child = self.at(which, ("hang", "prepared", "watch_caps"))
        if child is None:
            return None
        child.is_over = True
        return (await insist(child.process.kill)).state, (await insist(child.process.status)).state

    async def look(self, which: int) -> Any:
        """What can be said of one that does not end."""
        child = self.at(which, ("hang", "prepared"))
        if child is None:
            return None
        info = await insist(child.process.info)
        held = await insist(child.process.caps, 0)
        return info.name, info.state, bool(info.memory), info.parent, held

    async def _give(self, child: Child, name: str) -> None:
        lent = await (await self.file.restrict(READ)).derive()
        await insist(child.process.give, name, Cap(lent.cap))
        await lent.forget()

    async def give(self, which: int, name: str) -> Any:
        child = self.at(which, ("watch_caps",))
        if child is None or child.is_over or child.gifts is None or name in child.gifts:
            return None
        await self._give(child, name)
        child.gifts.add(name)
        return [held.name for held in await insist(child.process.caps, 0) if held.is_there]

    async def withdraw(self, which: int, name: str) -> Any:
        child = self.at(which, ("watch_caps",))
        if child is None or child.is_over or child.gifts is None or name not in child.gifts:
            return None
        # It is not found if the server died after it had done it.
        with suppress(NotFound):
            await insist(child.process.withdraw, name)
        child.gifts.remove(name)
        return [held.name for held in await insist(child.process.caps, 0) if held.is_there]

    async def drop(self, which: int) -> Any:
        child = self.at(which)
        if child is None:
            return None
        await self._drop(child)
        return child.kind

    async def _drop(self, child: Child) -> None:
        if not child.is_gone:
            child.is_gone = True
            await give_up(child.process)


async def give_up(stub: Any) -> None:
    """Drop a cap; a server that died over it may have closed it before."""
    try:
        await insist(stub.drop)
    except Gone:
        await stub.forget()


def left_over(world: World) -> Any:
    """What the kernel knows of processes: threads that are no domain's; caps in the process server's lasting slots."""
    system = world.stage.system
    known = {id(thread) for thread in (*system.threads.values(), system.state.initial)}
    strangers = [thread for thread in threads(system.state) if id(thread) not in known]
    places = [held for held in holdings(system.threads["processes"]) if (held.address or 0) >> 58 == 5]
    return len(strangers), sorted(type(held.slot.cap).__name__ for held in places), system.cpu.live_count


def history(monkeypatch: Any, steps: list[Any], faults: tuple[Fault, ...] = ()) -> tuple[list[Any], Any, int, int]:
    """What was seen of it, what is left over, the server's steps, and how many of the faults happened."""
    seen: list[Any] = []
    left: list[Any] = []

    async def story(world: World) -> None:
        player = Player(world)
        await player.play(steps)
        seen.extend(player.seen)
        left.append(left_over(world))

    def watch(stage: Any) -> None:
        stage.injector.faults.extend(faults)

    stage = play(monkeypatch, story, watch=watch, longest_us=8_000_000, **MAINS)
    stage.close()
    return seen, left[0], stage.injector.steps["processes"], len(stage.injector.activated)


def check(monkeypatch: Any, steps: list[Any], deaths: list[float]) -> None:
    """A history with deaths of the server, each so far into the undisturbed one, is the undisturbed one."""
    calm, left, count, _ = history(monkeypatch, steps)
    assert left == (0, ["EndpointCap"] * 2, left[2]), "two caps to the accounts of two launchers"
    steps_of_death = sorted({1 + int(death * (count - 1)) for death in deaths})
    faults = tuple(Fault("processes", step, Kind.CRASH) for step in steps_of_death)
    seen, after, _, happened = history(monkeypatch, steps, faults)
    assert happened == len(faults)
    assert seen == calm, faults
    assert after == left, faults


DEATHS = st.lists(st.floats(0, 1), min_size=1, max_size=3)
MORE_DEATHS = st.lists(st.floats(0, 1), min_size=2, max_size=6)
SUPPRESSED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=8, deadline=None, phases=[Phase.generate], suppress_health_check=SUPPRESSED)
@given(steps=STEPS, deaths=DEATHS)
def test_a_history_in_which_the_server_dies_is_the_one_in_which_it_does_not(
    monkeypatch: Any, steps: list[Any], deaths: list[float]
) -> None:
    check(monkeypatch, steps, deaths)


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=SUPPRESSED)
@given(steps=STEPS, deaths=MORE_DEATHS)
def test_more_histories_in_which_the_server_dies_are_those_in_which_it_does_not(
    monkeypatch: Any, steps: list[Any], deaths: list[float]
) -> None:
    check(monkeypatch, steps, deaths)


@pytest.mark.campaign
@settings(max_examples=300, deadline=None, suppress_health_check=SUPPRESSED)
@given(steps=STEPS, deaths=DEATHS)
def test_many_histories_in_which_the_server_dies_are_those_in_which_it_does_not(
    monkeypatch: Any, steps: list[Any], deaths: list[float]
) -> None:
    check(monkeypatch, steps, deaths)


def test_a_death_while_what_a_dead_parent_started_is_ended_costs_nobody_anything(monkeypatch: Any) -> None:
    """The parent has been taken apart, and is still in the table when its child's end is written down."""
    steps: list[Any] = [("parent", "hang"), ("parent", "end_with"), ("paged",), ("wait", 2)]
    calm, left, count, _ = history(monkeypatch, steps)
    for step in range(count * 9 // 10, count, 4):
        seen, after, _, happened = history(monkeypatch, steps, (Fault("processes", step, Kind.CRASH),))
        assert (happened, seen, after) == (1, calm, left), step


def test_processes_run_on_while_the_server_is_down_and_how_they_end_meanwhile_is_known_later(monkeypatch: Any) -> None:
    """It dies twice in a row, so that the supervisor waits for a while before the last start."""
    lives: list[Lives] = []
    counted: list[int] = []
    ended: list[int] = []

    async def count(process: user.Process) -> int:
        while True:
            await process.compute(100)
            counted.append(await process.clock())

    async def until_it_dies(process: user.Process) -> None:
        while not lives[0].ended or len(lives[0].began) > len(lives[0].ended):
            await process.compute(100)
        ended.append(await process.clock())

    async def exit_then(process: user.Process) -> int:
        await until_it_dies(process)
        return 7

    async def stray_then(process: user.Process) -> int:
        await until_it_dies(process)
        return await process.load(0x6666_6000)

    async def story(world: World) -> None:
        program = await world.puppet()
        counting, exiting, straying = [
            await world.spawn(program, main) for main in ("count", "exit_then", "stray_then")
        ]
        injector = world.stage.injector
        injector.faults.append(Fault("processes", injector.steps["processes"] + 1, Kind.CRASH))
        assert (await insist(exiting.wait)).code == 7
        status = await insist(straying.wait)
        assert (status.state, status.fault) == (State.FAULTED, "VMFault")
        assert (await insist(counting.info)).state is State.RUNNING
        before = len(counted)
        other = await insist(partial(world.spawn, program, "end_with", "3", "20000"))
        assert (await insist(other.wait)).code == 3
        assert len(counted) > before, "it has its time afterwards, too"
        await insist(counting.kill)

    def watch(stage: Any) -> None:
        lives.append(Lives(stage, "processes"))
        stage.injector.faults.append(Fault("processes", 1, Kind.CRASH, life=2))

    mains = {"count": count, "exit_then": exit_then, "stray_then": stray_then, "end_with": end_with}
    play(monkeypatch, story, watch=watch, **mains).close()
    gaps = list(zip(lives[0].ended, lives[0].began[1:], strict=False))
    assert len(gaps) == 2
    assert all(any(start < end < stop for start, stop in gaps) for end in ended)
    start, stop = max(gaps, key=lambda gap: gap[1] - gap[0])
    rounds = [now for now in counted if start < now < stop]
    # Its budget is a fifth of the time; a round takes a little more than what it computes.
    assert len(rounds) > (stop - start) // 5 // 100 // 2


async def crash_paged(process: user.Process) -> int:
    await process.store(user.HEAP, 1)
    raise RuntimeError("as planned")


async def exit_paged(process: user.Process) -> int:
    await process.store(user.HEAP, 1)
    return 3


@pytest.mark.parametrize(("deaths", "lives"), [
    (range(1, 400, 23), 1), pytest.param(range(1, 400, 5), 3, marks=pytest.mark.slow),
    pytest.param(range(1, 400), 1, marks=pytest.mark.campaign),
])  # fmt: skip
@pytest.mark.parametrize("mortal", ["pager", "processes"])
def test_a_paged_process_ends_as_it_ends_whoever_dies(
    monkeypatch: Any, mortal: str, deaths: range, lives: int
) -> None:
    """At each of the steps; so many of them in one run, far apart."""
    async def story(world: World) -> None:
        player = Player(world)
        player.program = await world.puppet()
        for main, ending in (("crash_paged", State.FAULTED), ("exit_paged", State.EXITED), ("stray", State.FAULTED)):
            arguments = ["1"] if main == "stray" else []
            while True:
                # A former pager's segment is of no use.
                segment = await insist(world.at(Pager, PAGER).zeros, 4 * 4096, 2)
                try:
                    process = await world.spawn(player.program, main, *arguments, segment=segment)
                except (ServerDied, Gone):
                    await give_up(segment)
                    continue
                break
            status = await insist(process.wait)
            assert status is not None
            assert status.state is ending
            await give_up(process)
            await give_up(segment)
        assert (await insist(world.launcher.quota)).memory_taken == 0

    mains = {"crash_paged": crash_paged, "exit_paged": exit_paged, "stray": stray}
    steps = play(monkeypatch, story, **mains).injector.steps[mortal]
    faults = [Fault(mortal, step, Kind.CRASH) for step in deaths if step <= steps]
    runs = -(-len(faults) // lives)
    for first in range(runs):
        stage = play(monkeypatch, story, watch=partial(_will_happen, faults[first::runs]), **mains)
        assert stage.injector.activated == faults[first::runs]
        stage.close()


def _will_happen(faults: list[Fault], stage: Any) -> None:
    stage.injector.faults.extend(faults)
