"""Membranes: over any graph of objects and any history, nobody holds what is the other side's, and a cut ends all."""

from abc import abstractmethod
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capkernel.protocols.failures import Busy, Failure, Gone, NotPermitted
from capkernel.protocols.files import Directory, File
from capkernel.protocols.interface import Cap, Interface, operation
from capkernel.tools.demo.stage import Stage
from capkernel.user.operations import steps_of
from capkernel.user.tasks import Condition, Tasks
from policies.membrane import LOOKING, Membrane, Mode, Proxy, Reach, Side
from tests.policies.broker_bench import program


class Node(Interface, number=211):
    """An object that knows others, and lets them be known."""

    @operation(1)
    @abstractmethod
    async def follow(self, which: int) -> "Node":
        """One that it knows."""

    @operation(2)
    @abstractmethod
    async def learn(self, other: "Node") -> None:
        """Get to know another."""

    @operation(3)
    @abstractmethod
    async def touch(self) -> int:
        """Something happens; how often it did."""

    @operation(4)
    @abstractmethod
    async def swap(self, other: "Node") -> "Node":
        """Get to know another, use it, and hand out the one that was known before it."""

    @operation(5)
    @abstractmethod
    async def frame(self) -> Cap:
        """Memory that could be shared."""

    @operation(6)
    @abstractmethod
    async def share(self, memory: Cap) -> None:
        """Take memory that could be shared."""


class Thing(Node):
    """An object of one side."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.known: list[Any] = []
        self.touched = 0

    async def follow(self, which: int) -> Node:
        if not self.known:
            raise Busy("it knows nobody")
        return self.known[which % len(self.known)]

    async def learn(self, other: Node) -> None:
        self.known.append(other)

    async def touch(self) -> int:
        self.touched += 1
        return self.touched

    async def swap(self, other: Node) -> Node:
        before = list(self.known)
        self.known.append(other)
        await other.touch()
        return before[-1] if before else self

    async def frame(self) -> Cap:
        return Cap(1)

    async def share(self, memory: Cap) -> None:
        raise AssertionError("memory passed")


def run(work: Any) -> Any:
    with pytest.raises(StopIteration) as end:
        steps_of(work).send(None)
    return end.value.value


def own(thing: Any) -> Side:
    """Whose an object is for who has it: a proxy is on the side that it faces."""
    return thing.faces if isinstance(thing, Proxy) else thing.side


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["follow", "follow", "learn", "learn", "touch", "swap", "frame", "share", "forget"]),
        st.sampled_from(Side), st.integers(0, 50), st.integers(0, 50),
    ), max_size=40,
)  # fmt: skip


class World:
    """Objects inside and outside, with a membrane between them. ``held`` is what each side can name."""

    def __init__(self, mode: Mode = Mode.FULL) -> None:
        self.inside = [Thing(Side.INSIDE) for _ in range(3)]
        for one, other in zip(self.inside, self.inside[1:] + self.inside[:1], strict=True):
            one.known.append(other)
        self.membrane = Membrane(self.inside[0], Node, mode, Reach())
        outside: list[Any] = [self.membrane.root, Thing(Side.OUTSIDE), Thing(Side.OUTSIDE)]
        self.held: dict[Side, list[Any]] = {Side.OUTSIDE: outside, Side.INSIDE: list(self.inside)}

    def step(self, what: str, side: Side, first: int, second: int) -> None:
        """Somebody on a side asks something of what that side has, and hands over what it has."""
        mine = self.held[side]
        target, other = mine[first % len(mine)], mine[second % len(mine)]
        try:
            match what:
                case "follow":
                    self.gain(side, run(target.follow(second)))
                case "learn":
                    run(target.learn(other))
                case "touch":
                    run(target.touch())
                case "swap":
                    self.gain(side, run(target.swap(other)))
                case "frame":
                    assert run(target.frame()) == 1
                    assert not isinstance(target, Proxy), "memory passed"
                case "share":
                    if isinstance(target, Proxy):
                        run(target.share(Cap(1)))
                case "forget":
                    if isinstance(target, Proxy) and target is not self.membrane.root:
                        run(target.closed())
        except Failure:
            pass
        self.look()

    def gain(self, side: Side, found: Any) -> None:
        if not any(found is each for each in self.held[side]):
            self.held[side].append(found)

    def look(self) -> None:
        """What a side has, and what its objects know, is its own, or a proxy that faces it."""
        for side in Side:
            for thing in self.held[side]:
                assert own(thing) is side
                if isinstance(thing, Thing):
                    assert all(own(each) is side for each in thing.known), "an object is known on the other side"


@settings(max_examples=150, deadline=None)
@given(STEPS, STEPS)
def test_nobody_ever_holds_what_is_the_other_sides_and_after_the_cut_nothing_passes(
    before: list[Any], after: list[Any]
) -> None:
    world = World()
    for step in before:
        world.step(*step)
    proxies = [each for side in Side for each in world.held[side] if isinstance(each, Proxy)]
    run(world.membrane.cut())
    for proxy in proxies:
        for ask in (proxy.touch(), proxy.follow(0), proxy.learn(proxy), proxy.swap(proxy)):
            with pytest.raises(Gone):
                run(ask)
    # Whatever is tried afterwards, by either side: what one does, the other does not notice.
    touched = {id(thing): thing.touched for thing in world.inside}
    for what, _, first, second in after:
        world.step(what, Side.OUTSIDE, first, second)
    assert touched == {id(thing): thing.touched for thing in world.inside}
    assert not world.membrane.proxies


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_what_is_handed_back_is_what_it_was_and_there_is_one_proxy_for_each(steps: list[Any]) -> None:
    world = World()
    for step in steps:
        world.step(*step)
    for side in Side:
        stand_for = [id(each.target) for each in world.held[side] if isinstance(each, Proxy) and each in _living(world)]
        assert len(stand_for) == len(set(stand_for))
    root = world.membrane.root
    run(root.learn(root))
    assert world.inside[0].known[-1] is world.inside[0]
    mine = Thing(Side.OUTSIDE)
    run(root.learn(mine))
    assert run(root.follow(len(world.inside[0].known) - 1)) is mine


def _living(world: World) -> list[Any]:
    return list(world.membrane.proxies.values())


def test_a_caretaker_lets_out_what_survives_its_cut() -> None:
    """Without wrapping, what was obtained is bare."""
    world = World(Mode.CARETAKER)
    bare = run(world.membrane.root.follow(0))
    run(world.membrane.cut())
    assert run(bare.touch()) == 1
    with pytest.raises(Gone):
        run(world.membrane.root.touch())


class Slow(Reach):
    """The answer is on its way when the membrane is cut."""

    def __init__(self) -> None:
        self.membrane: Any = None
        self.released: list[Any] = []

    async def ask(self, target: Any, operation: Any, values: Any) -> Any:
        answer = await super().ask(target, operation, values)
        await self.membrane.cut()
        return answer

    async def release(self, target: Any) -> None:
        self.released.append(target)


@pytest.mark.parametrize("what", ["touch", "follow"])
def test_who_answers_after_the_cut_is_not_heard(what: str) -> None:
    inside = Thing(Side.INSIDE)
    inside.known.append(Thing(Side.INSIDE))
    reach = Slow()
    membrane = reach.membrane = Membrane(inside, Node, Mode.FULL, reach)
    with pytest.raises(Gone):
        run(membrane.root.touch() if what == "touch" else membrane.root.follow(0))
    assert (inside.known[0] in reach.released) == (what == "follow")


def test_a_proxy_that_strayed_to_the_wrong_side_opens_nothing_there() -> None:
    """Outside has by some other way a proxy that was meant for inside: through it nothing of inside comes bare."""
    world = World()
    mine = Thing(Side.OUTSIDE)
    run(world.membrane.root.learn(mine))
    strayed = world.inside[0].known[-1]
    assert strayed.faces is Side.INSIDE
    with pytest.raises(NotPermitted):
        run(strayed.learn(world.membrane.root))
    with pytest.raises(NotPermitted):
        run(world.membrane.root.learn(strayed))
    assert not mine.known


def test_what_was_handed_over_in_vain_is_not_kept() -> None:
    world = World()
    world.inside[0].known.clear()

    async def refuse(other: Node) -> None:
        raise Busy("not now")

    world.inside[0].learn = refuse
    with pytest.raises(Busy):
        run(world.membrane.root.learn(Thing(Side.OUTSIDE)))
    assert list(world.membrane.proxies.values()) == [world.membrane.root]


class Hesitant(Thing):
    """It takes what it is handed only when it is told whether to."""

    def __init__(self, side: Side) -> None:
        super().__init__(side)
        self.answers: dict[int, Condition] = {}
        self.refused: set[int] = set()

    async def learn(self, other: Node) -> None:
        number = len(self.answers)
        self.answers[number] = Condition()
        await self.answers[number].wait()
        if number in self.refused:
            raise Busy("not now")


class Released(Reach):
    """Remembers what is of no use any more."""

    def __init__(self) -> None:
        self.released: list[Any] = []

    async def release(self, target: Any) -> None:
        self.released.append(target)


class Callers:
    """Calls that go on at once, through the membrane to an object that hesitates."""

    def __init__(self) -> None:
        self.inside = Hesitant(Side.INSIDE)
        self.reach = Released()
        self.membrane = Membrane(self.inside, Node, Mode.FULL, self.reach)
        self.tasks = Tasks()
        self.outcomes: list[Any] = []

    def hand_over(self, thing: Thing) -> None:
        """Begin a call that hands something over."""

        async def done(result: Any, error: BaseException | None) -> None:
            self.outcomes.append(error)

        run(self.tasks.start(self.membrane.root.learn(thing), done))

    def end(self, number: int, *, well: bool) -> None:
        """A call ends."""
        if not well:
            self.inside.refused.add(number)
        self.inside.answers[number].notify()
        run(self.tasks.run_ready())

    def proxy(self, thing: Thing) -> Any:
        return self.membrane.proxies.get(id(thing))


def test_a_call_that_fails_ends_nothing_that_others_received_meanwhile() -> None:
    callers = Callers()
    mine, late = Thing(Side.OUTSIDE), Thing(Side.OUTSIDE)
    callers.inside.known = [Thing(Side.INSIDE)]
    callers.hand_over(mine)
    received = run(callers.membrane.root.follow(0))
    callers.hand_over(late)
    callers.end(0, well=False)
    assert isinstance(callers.outcomes[0], Busy)
    assert run(received.touch()) == 1
    assert callers.proxy(mine) is None
    assert run(callers.proxy(late).touch()) == 1
    assert callers.reach.released == [mine]


@pytest.mark.parametrize("first_well", [True, False])
@pytest.mark.parametrize("second_well", [True, False])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_what_two_calls_hand_over_stays_if_one_of_them_succeeds(
    first_well: bool, second_well: bool, order: tuple[int, int]
) -> None:
    callers = Callers()
    mine = Thing(Side.OUTSIDE)
    callers.hand_over(mine)
    callers.hand_over(mine)
    proxy = callers.proxy(mine)
    ends = (first_well, second_well)
    callers.end(order[0], well=ends[order[0]])
    assert callers.proxy(mine) is proxy, "a call that goes on still needs it"
    callers.end(order[1], well=ends[order[1]])
    assert callers.proxy(mine) is (proxy if any(ends) else None)


def test_what_came_across_otherwise_meanwhile_stays_when_the_call_that_was_first_fails() -> None:
    callers = Callers()
    mine = Thing(Side.OUTSIDE)
    callers.hand_over(mine)
    proxy = callers.membrane.passed(mine, Node, Side.OUTSIDE)
    callers.end(0, well=False)
    assert callers.proxy(mine) is proxy


def test_a_proxy_that_ended_does_not_end_the_one_that_came_after_it() -> None:
    callers = Callers()
    mine = Thing(Side.OUTSIDE)
    callers.hand_over(mine)
    old = callers.proxy(mine)
    run(old.closed())
    callers.hand_over(mine)
    new = callers.proxy(mine)
    assert new is not old
    callers.end(0, well=False)
    run(old.closed())
    assert callers.proxy(mine) is new


@pytest.mark.parametrize("interface", [Directory, File])
def test_through_a_read_only_membrane_there_is_nothing_but_looking(interface: type[Interface]) -> None:
    """However it was obtained: rights of an inner cap make no difference."""

    class Anything:
        def __getattr__(self, name: str) -> Any:
            async def answer(**values: Any) -> Any:
                return Anything()

            return answer

    membrane = Membrane(Anything(), interface, Mode.READ_ONLY, Reach())
    reached = [membrane.root]
    if interface is Directory:
        reached += [run(membrane.root.open("a", 3)), run(run(membrane.root.directory("b", 3)).open("c", 3))]
    for proxy in reached:
        for name, arguments in {"write": (0, b""), "resize": (0,), "create": ("a",), "remove": ("a",)}.items():
            if hasattr(proxy, name):
                with pytest.raises(NotPermitted):
                    run(getattr(proxy, name)(*arguments))
        assert run(proxy.info("") if proxy.interface is Directory else proxy.info())


def test_the_operations_that_change_nothing_exist() -> None:
    for interface, names in LOOKING.items():
        assert all(hasattr(interface, name) for name in names)


def test_caps_of_both_sides_pass_through_the_kernel_in_both_directions_and_end_with_the_membrane() -> None:
    stage = Stage("membrane", variant=str(Path(__file__).parent / "nodes"))
    stage.run_until(lambda: bool(stage.system.crashes), 20_000)
    run = stage.run(time_us=100)
    assert not run.crashes, run.crashes[0]
    inside, outside = (program(stage, name).thing for name in ("inside", "outside"))
    seen = program(stage, "client").seen
    assert seen["over"]
    # The outside server got its own object back, not somebody's proxy for it.
    assert outside.known == [outside]
    assert (seen["first"], seen["back"], seen["used"], seen["own"]) == (1, 1, 3, 5)
    assert (seen["memory"], seen["after"]) == ("NotPermitted", ["Gone", "Gone"])
    assert seen["itself"] == inside.touched == 2
    assert seen["cut"] >= seen["objects"] > 1
    stage.close()
