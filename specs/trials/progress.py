"""That something happens at last: budgets, Revoke, interrupts, replies (L3–L6)."""

from capkernel.abi import labels
from capkernel.abi import registers as reg
from capkernel.abi import syscalls as sc
from capkernel.kernel import objects as ko
from capkernel.kernel.objects import TCB
from hwmodel.cpu.trap import Trap
from specs.generate import Chooser, Focus, RandomChooser, message, step
from specs.programs import SLOTS, Compute, Interrupt, Layout, Session, Step, Syscall, Worker, world_of
from specs.programs.layout import FREE, IRQ_LINE, TEST_BITS
from specs.trials.model import Trial

TICKS_PER_US = 10
OVERHEAD = 300
"""Ticks by which a budget may be late at the end: interrupts, at 3 ticks each, of all periods before."""
PERIODS = 6
ROUNDS = 12


class Acting(Session):
    """A run in which each worker does what a function says; it is watched who runs how long."""

    def __init__(self, layout: Layout) -> None:
        world = world_of(layout)
        world.rewind()
        super().__init__(world)
        self.index = {id(thread): index for index, thread in world.threads.items()}
        self.slices: list[tuple[int, int, int]] = []
        """(worker, from, to) in ticks, one after the other."""
        self._running = self.state.current, self.machine.now()
        self.loop.observers.append(self._watch)

    def _watch(self, trap: Trap) -> None:
        thread, since = self._running
        now = self.machine.now()
        if self.state.current is not thread:
            self.slices.append((self.index.get(id(thread), -2), since, now))
            self._running = self.state.current, now

    def act(self, worker: int) -> Step:
        """What a worker does next."""
        return Compute(1_000_000)

    def _on_host(self, thread: TCB, what: int) -> bool:
        return self._take(self.act(self.index.get(id(thread), -2)), thread)


def admissible(choose: Chooser) -> Layout:
    """Three periodic threads, the more frequent above, that use 70 % at most (rate monotonic, Liu and Layland 1973).

    They are sporadic: of a context of constant bandwidth a period begins when its thread really runs, so that who is
    held up once stays late. Below them is one who wants all the time that there is.
    """
    periods = sorted(choose.of((1_000, 2_000, 2_500, 4_000)) for _ in range(3))
    shares = [choose.of((5, 10, 20, 23)) for _ in periods]
    workers = [
        Worker(
            priority=150 - n,
            budget=period * share // 100,
            period=period,
            extra_refills=choose.number(0, 2),
            sporadic=True,
        )
        for n, (period, share) in enumerate(zip(periods, shares, strict=True))
    ]
    return Layout(workers=(*workers, Worker(priority=100)), syscall_ticks=0, work_unit_ticks=0)


def budgets_are_served(seed: int) -> str | None:
    """L3: in an admissible set each thread that wants it gets its budget in each of its periods.

    Catches: S40, S42, S46: time charged twice, refills that are lost or late.
    """
    layout = admissible(RandomChooser(seed))
    session = Acting(layout)
    longest = max(worker.period for worker in layout.workers[:3]) * TICKS_PER_US
    start = session.machine.now()
    session.loop.run(until=start + (PERIODS + 1) * longest)
    for index, worker in enumerate(layout.workers[:3]):
        period, budget = worker.period * TICKS_PER_US, worker.budget * TICKS_PER_US
        windows = range(start, start + PERIODS * longest, period)
        for window in windows:
            ran = sum(max(0, min(to, window + period) - max(since, window))
                      for who, since, to in session.slices if who == index)  # fmt: skip
            if ran < budget - OVERHEAD:
                return f"worker {index} ({worker}) ran {ran} of {budget} ticks from tick {window} on"
    return None


class Race(Acting):
    """Worker 0 revokes; worker 1, of the same priority, copies what is revoked as fast as it can."""

    def __init__(self, choose: Chooser) -> None:
        slices = Worker(priority=120, budget=choose.of((60, 100, 300)), period=1_000, extra_refills=2)
        workers = (slices, Worker(priority=120, budget=choose.of((60, 100, 300)), period=1_000, extra_refills=2))
        super().__init__(Layout(workers=workers, work_units_per_preemption=choose.number(1, 3), work_unit_ticks=40))
        self.choose, self.copies = choose, 0
        self.revoked = self.ended = False

    def act(self, worker: int) -> Step:
        """Revoke once the copies are there, or copy."""
        node = SLOTS["cnode"]
        self.ended |= self.revoked and worker == 0
        if worker == 0 and self.copies > len(FREE):
            self.revoked = True
            return Syscall(cap=node, label=labels.CNODE_REVOKE, words=(SLOTS["ep0"], TEST_BITS))
        if worker < 0:
            return Compute(100)
        self.copies += 1
        words = (self.choose.of(FREE), TEST_BITS, SLOTS["ep0"], TEST_BITS, 15)
        return Syscall(cap=node, label=labels.CNODE_COPY, words=words, caps=(node,))


def revoke_ends(seed: int) -> str | None:
    """L4: Revoke comes to its end although somebody derives from the same cap meanwhile.

    Catches: S39; a Revoke that begins again from the root after each preemption, or that waits for silence.
    """
    session = Race(RandomChooser(seed))
    for _ in range(5_000):
        session.loop.run(max_entries=1)
        if session.ended:
            return None
    return f"Revoke has not ended after {session.loop.entries} kernel entries and {session.copies} copies"


def interrupts_come_again(seed: int) -> str | None:
    """L5: an interrupt that was acknowledged is delivered again, as often as its line fires.

    Catches: a line that stays masked, an acknowledgement that is lost, a signal that nobody gets.
    """
    choose = RandomChooser(seed)
    session = Session(world_of(Layout()))
    session.world.rewind()
    for round_ in range(ROUNDS):
        noise = [Compute(choose.of((1, 50, 400))) for _ in range(choose.number(0, 2))]
        session.take(*noise, Interrupt(IRQ_LINE), Compute(1), Syscall(number=sc.NBWAIT, cap=SLOTS["ntfn0"]))
        badge = session.state.current.registers[reg.BADGE_REGISTER]
        if session.execution.problem is not None or badge != 1:
            return session.execution.problem or f"round {round_}: badge {badge:#x} instead of 1"
        session.take(Syscall(cap=SLOTS["irq_handler"], label=labels.IRQ_HANDLER_ACK))
    return None


SERVED = Layout(workers=(
    Worker(priority=120, mcp=100), Worker(priority=110, mcp=100),
    Worker(priority=130, passive=True, serves=(SLOTS["ep0"], SLOTS["reply0"])),
    Worker(priority=115, fault=SLOTS["ep1"], buffer=False),
))  # fmt: skip
_REPLIES = ("reply0", "reply1", "reply2")
_MOVING = frozenset((
    labels.CNODE_MOVE, labels.CNODE_MUTATE, labels.CNODE_ROTATE, labels.CNODE_COPY, labels.CNODE_MINT,
))  # fmt: skip
"""What would take the reply objects where the supervisor does not look."""


def callers_are_answered_or_failed(seed: int) -> str | None:
    """L6b: whoever waits for a reply is answered, or fails when a supervisor takes the reply objects away.

    After a random conversation the root thread, as supervisor, deletes the reply objects; then nobody waits for a reply
    any more. Catches: S4, S27, S45.
    """
    choose = RandomChooser(seed)
    session = Session(world_of(SERVED))
    session.world.rewind()
    focus = Focus(choose, SERVED)
    drawn = [message(choose, focus) if choose.number(0, 3) else step(choose, focus) for _ in range(20)]
    session.take(*(item for item in drawn if not isinstance(item, Syscall) or item.label not in _MOVING))
    if session.execution.problem is not None:
        return session.execution.problem
    root = session.world.threads[-1]
    for thread in (thread for thread in session.world.threads.values() if thread is not root):
        if isinstance(thread.state, ko.BlockedOnReply) and thread.state.reply.tcb is not thread:
            return f"{thread.name} waits for a reply that no reply object is for"
    return _after_supervision(session)


def _after_supervision(session: Session) -> str | None:
    node = SLOTS["cnode"]
    deletions = [
        Syscall(cap=node, label=label, words=(SLOTS[name], TEST_BITS), thread=-1)
        for name in _REPLIES for label in (labels.CNODE_REVOKE, labels.CNODE_DELETE)
    ]  # fmt: skip
    for _ in range(40):
        before = session.execution.taken
        session.take(Compute(70_000), *deletions)
        if session.execution.ran[before + 1 :].count("rootserver") == len(deletions):
            break
    else:
        return None  # There is no supervisor left: it stopped itself, or lost its caps.
    waiting = [t.name for t in session.world.threads.values() if isinstance(t.state, ko.BlockedOnReply)]
    return f"{', '.join(waiting)} still wait for replies that cannot come" if waiting else None


CHECKS = (
    Trial("L3", "admissible_sets_are_served", "an admissible set gets its budget each period", budgets_are_served),
    Trial("L4", "revoke_terminates", "Revoke ends under concurrent derivation", revoke_ends),
    Trial("L5", "interrupts_come_again", "an acknowledged interrupt is delivered again", interrupts_come_again),
    Trial("L6b", "callers_are_answered_or_failed", "whoever waits for a reply is answered or failed by a supervisor",
          callers_are_answered_or_failed),
)  # fmt: skip
