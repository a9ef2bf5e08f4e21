"""Machines without kernels: gateways, objects that count what is done to them, and a link with a seeded mind."""

from abc import abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from capkernel.protocols.interface import Interface, operation
from capkernel.user.operations import steps_of
from capkernel.user.tasks import Tasks
from policies.membrane import Reach
from policies.remote.gateway import Checks, Gateway, World
from policies.remote.objects import Offer, Revocations
from policies.remote.sessions import DEFAULT_SUITES, Machine
from policies.remote.tokens import Identity

START = 1_767_225_600
"""Second since 1970."""
STEP_US = 5_000


class Counter(Interface, number=212):
    """Something to be used from afar."""

    @operation(1)
    @abstractmethod
    async def add(self, mark: int) -> int:
        """Do something that should not be done twice; how often it was."""

    @operation(2)
    @abstractmethod
    async def look(self) -> int:
        """How often something was done."""

    @operation(3)
    @abstractmethod
    async def child(self) -> "Counter":
        """Another one, below this."""

    @operation(4)
    @abstractmethod
    async def use(self, other: "Counter", mark: int) -> int:
        """Add to another one."""

    @operation(5)
    @abstractmethod
    async def same(self, other: "Counter") -> bool:
        """Whether the other is this very object."""


class Thing(Counter):
    """The object."""

    def __init__(self) -> None:
        self.marks: list[int] = []
        self.children: list[Thing] = []
        self.others: list[Any] = []

    async def add(self, mark: int) -> int:
        self.marks.append(mark)
        return len(self.marks)

    async def look(self) -> int:
        return len(self.marks)

    async def child(self) -> Counter:
        self.children.append(Thing())
        return self.children[-1]

    async def use(self, other: Counter, mark: int) -> int:
        self.others.append(other)
        return await other.add(mark)

    async def same(self, other: Counter) -> bool:
        return other is self


class Wire:
    """Carries packets between machines, in the order of its mind: it may lose, double, delay, and be cut."""

    def __init__(self, seed: int = 0, loss: float = 0, double: float = 0, late: float = 0) -> None:
        self.random = Random(seed)
        self.loss, self.double, self.late = loss, double, late
        self.cut: set[frozenset[str]] = set()
        self.waiting: deque[tuple[str, str, bytes]] = deque()
        self.seen: list[tuple[str, str, bytes]] = []
        """All that was ever sent, for whoever listens."""
        self.between: Callable[[str, str, bytes], bytes | None] = lambda source, target, packet: packet

    def send(self, source: str, target: str, packet: bytes) -> None:
        self.seen.append((source, target, packet))
        changed = self.between(source, target, packet)
        if changed is None or frozenset((source, target)) in self.cut or self.random.random() < self.loss:
            return
        for _ in range(1 + (self.random.random() < self.double)):
            at = self.random.randrange(len(self.waiting) + 1) if self.random.random() < self.late else len(self.waiting)
            self.waiting.insert(at, (source, target, changed))


class Node:
    """A machine."""

    def __init__(self, net: "Net", name: str, checks: Checks | None, suites: tuple[int, ...], skew: int) -> None:
        self.name = name
        self.net = net
        self.skew = skew
        self.tasks = Tasks()
        self.root = Thing()
        self.kept: list[Revocations] = []
        self.closed: list[Any] = []
        self.random = Random(f"{net.seed}{name}")
        others = {each: net.machine(each) for each in net.names if each != name}
        offers = [Offer("root", each, net.operations, net.seconds) for each in others]

        async def keep(revocations: Revocations) -> None:
            self.kept.append(revocations)

        self.world = World(
            net.identities[name], others, offers, suites, Reach(), self.tasks, self.random.randbytes,
            lambda machine, packet: net.wire.send(name, machine.name, packet), lambda: net.now_us,
            lambda: START + self.skew + net.now_us // 1_000_000, keep, self.closed.append,
        )  # fmt: skip
        self.checks = checks
        self.restart()

    def restart(self) -> None:
        """The gateway starts anew, with what was written down."""
        made = self.net.gateways.get(self.name)
        self.gateway = made(self.world) if made else Gateway(self.world, self.checks)
        if self.kept:
            self.gateway.revocations = self.kept[-1]
        self.gateway.name("root", self.root, Counter)

    def begin(self, work: Awaitable[Any]) -> list[Any]:
        """Start something; the list has its result, or what it raised, when it is over."""
        outcome: list[Any] = []

        async def done(result: Any, error: BaseException | None) -> None:
            outcome.append(result if error is None else error)

        run(self.tasks.start(work, done))
        return outcome


class Net:
    """Machines on a wire."""

    def __init__(
        self, *names: str, seed: int = 0, wire: Wire | None = None, checks: dict[str, Checks] | None = None,
        suites: tuple[int, ...] = DEFAULT_SUITES, operations: list[str] | None = None, seconds: int = 3600,
        skew: dict[str, int] | None = None, gateways: dict[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self.seed = seed
        self.names = names
        self.operations, self.seconds = operations, seconds
        self.wire = wire or Wire(seed)
        self.gateways = gateways or {}
        self.now_us = 0
        self.identities = {name: Identity(name, Random(f"key of {name}").randbytes(32)) for name in names}
        self.nodes = {
            name: Node(self, name, (checks or {}).get(name), suites, (skew or {}).get(name, 0)) for name in names
        }

    def machine(self, name: str) -> Machine:
        """A machine as others know it."""
        return Machine(name, self.identities[name].public, name.encode())

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    def carry(self, limit: int = 10_000) -> None:
        """Let all that is on the wire arrive, and all go on that can."""
        for _ in range(limit):
            for node in self.nodes.values():
                run(node.tasks.run_ready())
            if not self.wire.waiting:
                return
            source, target, packet = self.wire.waiting.popleft()
            run(self.nodes[target].gateway.take(source.encode(), packet))
        raise AssertionError("the wire is never quiet")

    def turn(self) -> None:
        """A little time passes."""
        self.carry()
        self.now_us += STEP_US
        for node in self.nodes.values():
            run(node.gateway.tick())
        self.carry()

    def pass_time(self, us: int) -> None:
        """Time passes."""
        for _ in range(us // STEP_US):
            self.turn()

    def ask(self, name: str, work: Awaitable[Any], turns: int = 400) -> Any:
        """Do something on a machine to its end. Raises what it raises."""
        outcome = self[name].begin(work)
        for _ in range(turns):
            self.carry()
            if outcome:
                break
            self.turn()
        assert outcome, "it never ended"
        if isinstance(outcome[0], BaseException):
            raise outcome[0]
        return outcome[0]

    def lookup(self, name: str, machine: str) -> Any:
        """The other machine's root, for this one."""
        return self.ask(name, self[name].gateway.lookup(machine, "root"))


def run(work: Awaitable[Any]) -> Any:
    """Run what makes no system call."""
    steps = steps_of(work)
    try:
        while True:
            next(steps)
            raise AssertionError("it waits for something outside a task")
    except StopIteration as end:
        return end.value
