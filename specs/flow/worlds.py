"""Worlds of three labels, each in a domain of its own, with declared channels between them or none.

Each label has an untyped, a CNode that is its threads' CSpace, an address space, objects and two threads. What is
*wired* may be more than what is *declared*: that is how a leak is planted.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from capkernel.abi import bootinfo as bi
from capkernel.abi import labels, rights
from capkernel.abi import objects as obj
from capkernel.kernel.caps import FrameCap
from capkernel.runtime.checkpoint import checkpoint
from specs.invariants.authority import NOTIFY, READ, RECEIVE, RESET, Edge, Policy
from specs.programs.layout import SLOTS, World, booted
from specs.programs.model import Layout, Worker
from specs.programs.partitions import AREA_BITS, CHANNEL_BITS, CODE_PAGE, GUARD_58, UNTYPED_BITS, PartitionBuilder

PARTIES = ("alice", "bob", "carol")
CHANNEL = "channel"
DOMAINS = 4
PAUSE = (0, 1_000)
"""A turn of a domain in which nobody is, once the root thread has stopped: (domain, ticks)."""
TURNS = (PAUSE, (1, 20_000), (2, 8_000), (3, 12_000))
"""A domain schedule. It begins with the pause."""
ROUND_ROBIN = Worker(budget=1_000, period=1_000)
"""A context whose budget is its period: it never waits for a refill, so that its thread needs no clock but its own."""
_READ_ONLY = Edge("", READ, CODE_PAGE)


@dataclass(frozen=True)
class Gift:
    """A cap that a party is given: from another party's slot, or to the channel's notification if that is empty."""

    holder: str
    name: str
    giver: str = ""
    source: str = ""
    rights: int = rights.ALL
    badge: int | None = None


@dataclass(frozen=True)
class Wiring:
    """What there is and what is declared. ``contexts`` are the budgets of each party's two threads.

    ``turns`` are the domain schedule, which is gone through ``rounds`` times; ``domains`` are the parties' own.
    ``lodgers`` are pairs (lodger, host): the threads of the first run in the CSpace of the second.
    """

    gifts: tuple[Gift, ...] = ()
    edges: frozenset[Edge] = frozenset()
    turns: tuple[tuple[int, int], ...] = TURNS
    rounds: int = 3
    domains: tuple[int, int, int] = (1, 2, 3)
    contexts: tuple[Worker, Worker, Worker] = (ROUND_ROBIN,) * 3
    lodgers: tuple[tuple[str, str], ...] = ()
    syscall_ticks: int = 5
    work_unit_ticks: int = 1


ISOLATED = Wiring()
"""Nobody has anything of anybody."""
ONE_WAY = Wiring(
    gifts=(Gift("bob", "ntfn0", rights=rights.WRITE, badge=1), Gift("alice", "ntfn0", rights=rights.READ)),
    edges=frozenset((
        Edge("bob", NOTIFY, CHANNEL), Edge("alice", RECEIVE, CHANNEL), Edge("alice", RESET, CHANNEL),
    )),
)  # fmt: skip
"""Bob signals, alice waits; nothing comes back to bob."""

WIRINGS = {"isolated": ISOLATED, "one-way": ONE_WAY}
"""Those whose declaration is the truth."""


class Plant(NamedTuple):
    """Something shared that is not declared, and what everybody's steps are about (``generate.KINDS``; invocations)."""

    wiring: Wiring
    kinds: str = ""
    about: tuple[int, ...] = ()


_NOTIFICATIONS = ("ntfn0", "ntfn0_badge1", "ntfn0_badge2")
PLANTED = {
    "a shared object's last cap": Plant(
        Wiring((Gift("bob", "ep0_badged", "alice", "ep1", rights=0),)), "i", (labels.CNODE_DELETE, labels.CNODE_REVOKE)
    ),
    "a shared notification's badge": Plant(
        Wiring(
            tuple(Gift("bob", name, rights=rights.WRITE, badge=2) for name in _NOTIFICATIONS)
            + tuple(Gift("alice", name, rights=rights.READ) for name in _NOTIFICATIONS)
        ),
        "m",
    ),
    "a shared untyped's watermark": Plant(Wiring(lodgers=(("bob", "alice"),)), "i", (labels.UNTYPED_RETYPE,)),
    "a shared domain's scheduler": Plant(Wiring(domains=(1, 1, 3))),
}
"""Leaks that the comparison must find."""
SPORADIC = Wiring(contexts=(Worker(budget=900, period=3_300, extra_refills=2), ROUND_ROBIN, ROUND_ROBIN), rounds=12)
"""Declared and wired as isolated, but alice's budget is refilled by the clock: she can see when her turns begin."""


@dataclass
class FlowWorld(World):
    """A world with the policy that is declared for it, and each party's own objects to begin from."""

    declared: Policy = field(default_factory=lambda: Policy((), frozenset()))
    roots: dict[str, tuple[Any, ...]] = field(default_factory=dict)


class FlowBuilder(PartitionBuilder):
    """The root thread as it builds the parties."""

    def __init__(self, world: FlowWorld, wiring: Wiring) -> None:
        super().__init__(world)
        self.flow, self.wiring = world, wiring

    def build(self) -> None:
        """Everything, in order; the root thread stops itself at the end."""
        self.areas: list[tuple[int, int, str]] = []
        channel = self._child(self._area(CHANNEL_BITS, CHANNEL), obj.NOTIFICATION)
        image = self.own.slot(self.info.user_image_frames[0]).cap
        assert isinstance(image, FrameCap)
        self.areas.append((image.paddr, image.paddr + 4096, CODE_PAGE))
        parties = {label: self._party(label) for label in PARTIES}
        for gift in self.wiring.gifts:
            self._present(gift, parties, channel)
        hosts = dict(self.wiring.lodgers)
        for number, label in enumerate(PARTIES):
            for index in (2 * number, 2 * number + 1):
                tcb = self._worker(index, self.world.layout.workers[index], parties[label])
                if label in hosts:
                    spaces = self._slot(), parties[hosts[label]][0], parties[label][1]
                    self.invoke(tcb, labels.TCB_SET_SPACE, (GUARD_58, 0), spaces)
            threads = self.world.threads[2 * number], self.world.threads[2 * number + 1]
            self.flow.roots[label] = *threads, getattr(self.own.slot(parties[label][0]).cap, "cnode", None)
        read = {_READ_ONLY._replace(subject=label) for label in PARTIES}
        self.flow.declared = Policy(tuple(self.areas), self.wiring.edges | read)
        for index, (domain, ticks) in enumerate(self.wiring.turns):
            self.invoke(bi.CAP_DOMAIN, labels.DOMAIN_SCHEDULE_CONFIGURE, (index, domain, ticks))
        self.invoke(bi.CAP_DOMAIN, labels.DOMAIN_SCHEDULE_SET_START, (0,))
        self._stop()

    def _party(self, label: str) -> tuple[int, int, int]:
        area = self._area(AREA_BITS, label)
        node = self._child(area, obj.CNODE, 6)
        self._give(node, "cnode", node)
        vspace = self._vspace(area)
        self._give(node, "vspace1", vspace)
        self.invoke(area, labels.UNTYPED_RETYPE, (obj.UNTYPED, UNTYPED_BITS, 0, 0, SLOTS["untyped"], 1), (node,))
        kinds = (("ep0", obj.ENDPOINT), ("ep1", obj.ENDPOINT), ("ntfn1", obj.NOTIFICATION), ("reply0", obj.REPLY),
                 ("frame0", obj.PAGE), ("frame1", obj.PAGE), ("table_low", obj.PAGE_TABLE),
                 ("sc_spare", obj.SCHED_CONTEXT), ("tcb_fresh", obj.TCB))  # fmt: skip
        for name, kind in kinds:
            bits = obj.MIN_SCHED_CONTEXT_BITS if kind == obj.SCHED_CONTEXT else 0
            self.invoke(area, labels.UNTYPED_RETYPE, (kind, bits, 0, 0, SLOTS[name], 1), (node,))
        return node, vspace, area

    def _present(self, gift: Gift, parties: dict[str, tuple[int, int, int]], channel: int) -> None:
        node = parties[gift.holder][0]
        if not gift.giver:
            self._give(node, gift.name, channel, gift.rights, gift.badge)
            return
        words = (SLOTS[gift.name], 6, SLOTS[gift.source], 6, gift.rights)
        self.invoke(node, labels.CNODE_COPY, words, (parties[gift.giver][0],))

    def _name(self, index: int) -> str:
        return f"{PARTIES[index // 2]}{index % 2}"

    def _place(self, index: int) -> int:
        return index % 2

    def _worker(self, index: int, worker: Worker, partition: tuple[int, int, int]) -> int:
        tcb = super()._worker(index, worker, partition)
        if worker.domain:
            self.invoke(bi.CAP_DOMAIN, labels.DOMAIN_SET_SET, (worker.domain,), (tcb,))
        return tcb


@lru_cache(maxsize=16)
def flow_world(wiring: Wiring) -> FlowWorld:
    """The world of a wiring; to be rewound before each run."""
    workers = tuple(
        Worker(priority=priority, mcp=150, domain=domain, budget=context.budget, period=context.period)
        for domain, context in zip(wiring.domains, wiring.contexts, strict=True) for priority in (120, 100)
    )  # fmt: skip
    layout = Layout(
        workers=workers, partitioned=True, syscall_ticks=wiring.syscall_ticks, work_unit_ticks=wiring.work_unit_ticks
    )
    plain = booted(layout, num_domains=DOMAINS, domain_schedule_length=len(wiring.turns) + 1)
    world = FlowWorld(layout, plain.config, plain.machine, plain.state)
    FlowBuilder(world, wiring).build()
    world.saved = checkpoint(world.state, world.machine)
    return world
