"""No predicate that cannot fail: each invariant is broken by hand, and must be the one (or among those) that notice."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from capkernel.abi import labels
from capkernel.abi import objects as obj
from capkernel.abi import registers as reg
from capkernel.abi import syscalls as sc
from capkernel.kernel import caps as kc
from capkernel.kernel import objects as ko
from capkernel.kernel import scheduler, slots
from capkernel.kernel.objects import TCB, CNode, Slot
from capkernel.kernel.state import IRQ_SIGNAL
from capkernel.kernel.vspace import table_pte
from hwmodel.cpu.trap import Trap
from specs.comparing import Comparing
from specs.generate import LAYOUTS
from specs.invariants import INVARIANTS, STEP_INVARIANTS, check_all
from specs.invariants.authority import CONTROL, Edge, Policy
from specs.invariants.recorder import Recorder
from specs.invariants.spaces import find_leaf, walk_all
from specs.invariants.step import Picture
from specs.monitor import Monitor
from specs.programs import SLOTS, Access, Layout, Program, Step, Syscall, Worker, run, world_of
from specs.programs.layout import BUFFERS, MAPPED_AT, TEST_BITS, World
from specs.programs.partitions import LAYOUT as PARTITIONED

FREE = 60
IOMMU, SERVED = LAYOUTS[1], LAYOUTS[2]


class Broken:
    """A world to be broken: its objects by the names of their slots."""

    looked = 0
    """How many kernel entries were looked at before."""
    before: Picture
    """What there was before the kernel entry."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.state, self.machine = world.state, world.machine
        self.threads = world.threads
        root = next(iter(world.threads.values())).cspace_slot.cap
        assert isinstance(root, kc.CNodeCap)
        inner = root.cnode.slot(0).cap
        self.node: CNode = inner.cnode if isinstance(inner, kc.CNodeCap) else root.cnode

    def slot(self, name: str) -> Slot:
        return self.node.slot(SLOTS[name])

    def free(self) -> Slot:
        return self.node.slot(FREE)

    def change(self, name: str, **fields: object) -> None:
        self.slot(name).cap = replace(cast(Any, self.slot(name).cap), **fields)

    def get(self, name: str) -> object:
        """The object behind a cap."""
        cap = self.slot(name).cap
        return next(getattr(cap, f) for f in ("endpoint", "notification", "reply", "sched_context") if hasattr(cap, f))

    def untyped(self) -> kc.UntypedCap:
        cap = self.slot("untyped").cap
        assert isinstance(cap, kc.UntypedCap)
        return cap

    def entry(self) -> int:
        """Where the page-table entry of the mapped frame lies."""
        leaf, _ = find_leaf(self.machine, self.state.asid_table[0].roots[1], MAPPED_AT)
        assert leaf is not None
        return leaf.entry_paddr

    def map(self, paddr: int) -> None:
        """Write an entry behind the kernel's back: the page after the mapped frame."""
        self.machine.write_word(self.entry() + 8, paddr >> 12 << 10 | 0xD7)


def g2(b: Broken) -> None:
    b.threads[0].bound_notification = ko.Notification(0x80F00000)


def g4(b: Broken) -> None:
    one, other = b.slot("ep0"), b.slot("ep1")
    one.next, other.next, one.prev, other.prev = other, one, other, one


def g9c(b: Broken) -> None:
    slots.insert_root(kc.UntypedCap(b.state.config.kernel_image[0], 12, True, 0), b.free())


def g10(b: Broken) -> None:
    parent = b.slot("untyped").prev
    while parent is not None and not (isinstance(parent.cap, kc.UntypedCap) and parent.cap.size_bits > 20):
        parent = parent.prev
    assert parent is not None
    parent.cap = replace(parent.cap, free_offset=0)


def g11(b: Broken) -> None:
    gone = ko.SchedContext(0x80F00000, 8)
    b.threads[0].yield_to, gone.yield_from = gone, b.threads[0]


def g12(b: Broken) -> None:
    slots.insert_derived(b.slot("ep0").cap, b.slot("ep0"), CNode(0x80F00000, 1).slot(0))


def g13(b: Broken) -> None:
    cap = b.slot("cnode4").cap
    assert isinstance(cap, kc.CNodeCap)
    b.free().cap = kc.ZombieCap(cap.cnode, 4, 7)


def g15b(b: Broken) -> None:
    endpoint = b.get("ep0")
    assert isinstance(endpoint, ko.Endpoint)
    for thread in sorted((b.threads[1], b.threads[-1]), key=lambda t: t.priority):
        scheduler.leave_queues(b.state, thread)
        thread.state = ko.BlockedOnSend(endpoint, 0, False, False, False)
        endpoint.queue.insert_before(thread, None)
        endpoint.state = ko.EP_SEND


def g16(b: Broken) -> None:
    reply = b.get("reply0")
    assert isinstance(reply, ko.Reply)
    reply.tcb = b.threads[1]


def g17(b: Broken) -> None:
    reply, context = b.get("reply0"), b.get("sc1")
    assert isinstance(reply, ko.Reply)
    assert isinstance(context, ko.SchedContext)
    context.reply, reply.next, reply.prev = reply, context, reply


def g20(b: Broken) -> None:
    for thread, time in ((b.threads[1], 900_000), (b.threads[-1], 800_000)):
        scheduler.dequeue(b.state, thread)
        assert thread.sched_context is not None
        thread.sched_context.refills[0].time = time
        b.state.release.insert_before(thread, None)
        thread.queued = ko.RELEASE_QUEUE


def g21(b: Broken) -> None:
    context = b.get("sc1")
    assert isinstance(context, ko.SchedContext)
    context.refills.append(ko.Refill(context.refills[0].time + 1, 10**6))


def g28(b: Broken) -> None:
    b.threads[1].registers[8] = 1 << 64


def g29(b: Broken) -> None:
    target = b.threads[2].buffer_slot
    assert isinstance(target.cap, kc.FrameCap)
    slots.insert_derived(replace(target.cap, asid=0, vaddr=0), target, b.free())


def g31(b: Broken) -> None:
    assert b.machine.iommu is not None
    root = b.state.io_contexts[0x18][1]
    table = b.machine.read_word(b.machine.read_word(root) & ~0xFFF) & ~0xFFF
    b.machine.write_word(table + 16, b.untyped().paddr | 3)


def g32(b: Broken) -> None:
    b.machine.load(MAPPED_AT, 8)
    b.machine.write_word(b.entry(), 0)


def set_attribute(item: object, name: str, value: object) -> None:
    setattr(item, name, value)


Breaker = Callable[[Broken], None]
BREAKERS: dict[str, tuple[Breaker, Layout]] = {
    "G1": (lambda b: b.change("untyped", free_offset=1 << 17), Layout()),
    "G2": (g2, Layout()),
    "G3": (lambda b: set_attribute(b.slot("ep0_badged"), "prev", None), Layout()),
    "G4": (g4, Layout()),
    "G5": (lambda b: b.change("ep0", rights=1), Layout()),
    "G6": (lambda b: set_attribute(b.free(), "cap", kc.FrameCap(b.untyped().paddr, 12, 3, False)), Layout()),
    "G7": (lambda b: slots.insert_root(kc.UntypedCap(b.untyped().paddr, 12, False, 0), b.free()), Layout()),
    "G8": (lambda b: set_attribute(b.slot("untyped"), "revocable", False), Layout()),
    "G8b": (lambda b: set_attribute(b.slot("ep0_badged"), "first_badged", False), Layout()),
    "G9": (lambda b: b.change("frame0", paddr=b.untyped().paddr + 8), Layout()),
    "G9b": (lambda b: b.change("frame0", paddr=b.threads[0].paddr & ~0xFFF), Layout()),
    "G9c": (g9c, Layout()),
    "G10": (g10, Layout()),
    "G11": (g11, Layout()),
    "G12": (g12, Layout()),
    "G13": (g13, Layout()),
    "G14": (lambda b: set_attribute(b.threads[1], "sched_context", None), Layout()),
    "G15": (lambda b: set_attribute(b.get("ep0"), "state", ko.EP_SEND), Layout()),
    "G15b": (g15b, Layout()),
    "G16": (g16, Layout()),
    "G17": (g17, Layout()),
    "G18": (lambda b: scheduler.dequeue(b.state, b.threads[1]), Layout()),
    "G19": (lambda b: set_attribute(b.threads[1], "priority", 7), Layout()),
    "G20": (g20, Layout()),
    "G21": (g21, Layout()),
    "G22": (lambda b: b.map(b.untyped().paddr), Layout()),
    "G23": (lambda b: b.map(b.threads[0].paddr), Layout()),
    "G23b": (lambda b: b.change("frame_mapped", rights=2), Layout()),
    "G24": (lambda b: b.state.asid_table[0].roots.update({5: b.state.asid_table[0].roots[1]}), Layout()),
    "G25": (lambda b: b.state.irq_states.__setitem__(7, IRQ_SIGNAL), Layout()),
    "G26": (lambda b: set_attribute(b.state.current, "state", ko.INACTIVE), Layout()),
    "G27": (lambda b: slots.insert_root(kc.DomainCap(), b.free()), PARTITIONED),
    "G28": (g28, Layout()),
    "G29": (g29, PARTITIONED),
    "G31": (g31, IOMMU),
    "G32": (g32, Layout()),
}  # fmt: skip


def test_every_invariant_has_a_breaker() -> None:
    assert BREAKERS.keys() == INVARIANTS.keys()
    assert SABOTAGES.keys() == STEP_INVARIANTS.keys()


def test_two_objects_of_one_kind_in_one_place_are_noticed() -> None:
    world = world_of(Layout())
    world.rewind()
    broken = Broken(world)
    endpoint = broken.get("ep0")
    assert isinstance(endpoint, ko.Endpoint)
    broken.change("ep1", endpoint=ko.Endpoint(endpoint.paddr))
    assert "G9b" in {violation.id for violation in check_all(world.state, world.machine)}


def test_a_table_full_of_itself_is_walked_once_at_each_level() -> None:
    world = world_of(Layout())
    world.rewind()
    table = Broken(world).untyped().paddr
    for index in range(512):
        world.machine.write_word(table + 8 * index, table_pte(table))
    assert len(walk_all(world.machine, 1, table).tables) == 1 + 2 * 512


def test_a_policy_that_can_hold_of_no_system_is_refused() -> None:
    policy = Policy((), frozenset({Edge("a", CONTROL, "b")}))
    with pytest.raises(ValueError, match="a controls b"):
        Monitor(policy=policy)


@pytest.mark.parametrize("which", BREAKERS)
def test_a_broken_state_is_noticed(which: str) -> None:
    breaker, layout = BREAKERS[which]
    world = world_of(layout)
    world.rewind()
    assert check_all(world.state, world.machine, world.policy) == []
    breaker(Broken(world))
    found = {violation.id for violation in check_all(world.state, world.machine, world.policy)}
    assert which in found, f"only {sorted(found)} noticed"


class Saboteur(Comparing):
    """Breaks something after the kernel has returned and before the oracle looks, incrementally and from scratch."""

    def __init__(self, world: World, sabotage: Breaker) -> None:
        super().__init__(policy=world.policy)
        self.world = world
        self.sabotage = sabotage

    def after(self, trap: Trap) -> None:
        broken = Broken(self.world)
        broken.looked = self.checked
        assert self._step is not None
        broken.before = self._step.before
        self.sabotage(broken)
        super().after(trap)


def set_register(thread: TCB, register: int, word: int) -> None:
    thread.registers[register] = word


def flip(thread: TCB, register: int) -> None:
    thread.registers[register] ^= 1


def t15(b: Broken) -> None:
    for _ in range(2000):
        b.state.machine.read_word(b.untyped().paddr)


def g21b(b: Broken) -> None:
    context = b.get("sc_spare")
    assert isinstance(context, ko.SchedContext)
    context.refills[0].amount -= 1


def g22b(b: Broken) -> None:
    b.machine.write_word(b.entry(), 0)
    b.machine.flush_all()


def t8b(b: Broken) -> None:
    """In the second kernel entry, the thread that faulted in the first is let go."""
    endpoint = b.get("ep0")
    assert isinstance(endpoint, ko.Endpoint)
    if b.looked == 1:
        endpoint.dequeue(b.threads[0])
        b.threads[0].fault, b.threads[0].state = None, ko.RESTART


def t4(b: Broken) -> None:
    cap = b.slot("ep0").cap
    assert isinstance(cap, kc.EndpointCap)
    slots.insert_derived(replace(cap, badge=77), b.slot("ep0"), b.free())


def t5(b: Broken) -> None:
    slots.insert_derived(b.before.cap(b.slot("ep0_badged")), b.slot("ep0"), b.slot("ep0_badged"))


def t6(b: Broken) -> None:
    cap = b.before.cap(b.slot("ntfn1"))
    assert isinstance(cap, kc.NotificationCap)
    cap.notification.bound_tcb, b.threads[0].bound_notification = b.threads[0], cap.notification


def t7b(b: Broken) -> None:
    frame = b.slot("frame_mapped").cap
    assert isinstance(frame, kc.FrameCap)
    b.state.machine.clear(frame.paddr, 8)


def t10(b: Broken) -> None:
    """In the second kernel entry, the caller of the first goes on without an answer."""
    reply = b.get("reply0")
    assert isinstance(reply, ko.Reply)
    if b.looked == 1 and reply.tcb is not None:
        reply.tcb.state = ko.RESTART


def t11b(b: Broken) -> None:
    for _ in range(2):
        b.state.machine.irq_pending()


def t14(b: Broken) -> None:
    fault = b.state.refusal
    assert isinstance(fault, ko.UserException)
    fault.number += 1


def l1(b: Broken) -> None:
    scheduler.dequeue(b.state, b.threads[1])
    b.threads[1].priority = 200
    scheduler.enqueue(b.state, b.threads[1])


def l1b(b: Broken) -> None:
    scheduler.dequeue(b.state, b.threads[1])
    scheduler.enqueue(b.state, b.threads[0])
    b.state.current = b.threads[1]


def l6(b: Broken) -> None:
    """In the first kernel entry a thread waits with a timeout, in the second it has another."""
    thread, reply = b.threads[1], b.get("reply0")
    assert isinstance(reply, ko.Reply)
    thread.fault = ko.Timeout(0)
    if b.looked == 0:
        scheduler.dequeue(b.state, thread)
        thread.state, reply.tcb = ko.BlockedOnReply(reply), thread


def t17(b: Broken) -> None:
    """A notification is left bound to the thread that the step destroyed."""
    cap = b.before.cap(b.slot("tcb_fresh"))
    assert isinstance(cap, kc.ThreadCap)
    set_attribute(b.get("ntfn1"), "bound_tcb", cap.tcb)


def t2(b: Broken) -> None:
    if b.looked:
        g29(b)


class InTheSecondEntry(Comparing):
    """Breaks a state in the second kernel entry, when the watcher already leaves out what it takes to be unchanged."""

    def __init__(self, world: World, sabotage: Breaker) -> None:
        super().__init__(policy=world.policy)
        self.world, self.sabotage = world, sabotage

    def after(self, trap: Trap) -> None:
        if self.checked == 1:
            self.sabotage(Broken(self.world))
        super().after(trap)


@pytest.mark.parametrize("which", BREAKERS)
def test_what_a_run_leaves_out_would_not_have_been_found(which: str) -> None:
    """The watcher of runs looks at what has changed: it finds what a look from scratch finds, and nothing else."""
    breaker, layout = BREAKERS[which]
    watcher = InTheSecondEntry(world_of(layout), breaker)
    run(Program(layout, (YIELD, YIELD)), watcher=watcher)
    assert any(line.startswith(f"{which} ") for line in watcher.violations), watcher.violations
    assert watcher.differences == ()


def on_cnode(label: int, name: str) -> Syscall:
    return Syscall(cap=SLOTS["cnode"], label=label, words=(SLOTS[name], TEST_BITS))


YIELD = Syscall(number=sc.YIELD)
REFUSED = Syscall(cap=SLOTS["tcb1"], label=99)
CALLED = Syscall(cap=SLOTS["ep0"], label=3, words=(1, 2, 3, 4, 5), thread=1)
SIGNAL = Syscall(number=sc.NBSEND, cap=SLOTS["ntfn0_badge1"])
READ = Syscall(cap=SLOTS["tcb1"], label=labels.TCB_SET_FLAGS, words=(0, 0))
FAULTING = Layout(workers=(Worker(fault=SLOTS["ep0"]),))
PAIR = Layout(workers=(Worker(priority=120), Worker(priority=120)))
RETYPE = Syscall(
    cap=SLOTS["untyped"], label=labels.UNTYPED_RETYPE, words=(obj.PAGE, 0, 0, 0, FREE, 1), caps=(SLOTS["cnode"],)
)
SUSPEND = Syscall(cap=SLOTS["tcb_root"], label=labels.TCB_SUSPEND)
BUFFER = Syscall(cap=SLOTS["tcb1"], label=labels.TCB_SET_IPC_BUFFER, words=(BUFFERS,), caps=(SLOTS["frame0"],))
YIELD_TO = Syscall(cap=SLOTS["sc0"], label=labels.SCHED_CONTEXT_YIELD_TO, thread=1)
SABOTAGES: dict[str, tuple[Step | tuple[Step, ...], Breaker, Layout]] = {
    "T1": (YIELD, lambda b: set_attribute(b.threads[2], "mcp", 3), PARTITIONED),
    "T2": ((YIELD, YIELD), t2, PARTITIONED),
    "T3": (YIELD, lambda b: slots.insert_derived(b.slot("ep0").cap, b.slot("ep0"), b.free()), Layout()),
    "T4": (YIELD, t4, Layout()),
    "T5": (on_cnode(labels.CNODE_REVOKE, "ep0"), t5, Layout()),
    "T6": (on_cnode(labels.CNODE_DELETE, "ntfn1"), t6, Layout()),
    "T6b": (YIELD, lambda b: slots.unlink(b.slot("ep1_badged")), Layout()),
    "T7": (RETYPE, lambda b: b.machine.write_word(b.untyped().paddr, 1), Layout()),
    "T7b": (YIELD, t7b, Layout()),
    "T8": (CALLED, lambda b: flip(b.threads[3], reg.A2), SERVED),
    "T8b": ((Access(op="illegal"), YIELD), t8b, FAULTING),
    "T9": (REFUSED, lambda b: set_attribute(b.threads[1], "mcp", 3), Layout()),
    "T10": ((CALLED, YIELD), t10, SERVED),
    "T11": (YIELD, lambda b: set_attribute(b.get("sc1"), "consumed", 5), Layout()),
    "T11b": (YIELD, t11b, Layout()),
    "T12": (YIELD, lambda b: set_attribute(b.threads[1], "priority", b.threads[1].priority - 1), Layout()),
    "T13": (SIGNAL, lambda b: set_attribute(b.get("ntfn0"), "badge", 0), Layout()),
    "T13b": (YIELD, lambda b: cast(Recorder, b.state.machine).effects.append(("mask_irq", 0, True)), Layout()),
    "T14": (Access(op="illegal"), t14, FAULTING),
    "T15": (YIELD, t15, Layout()),
    "T16": (SUSPEND, lambda b: flip(b.threads[-1], reg.FAULT_IP), Layout()),
    "T17": (on_cnode(labels.CNODE_DELETE, "tcb_fresh"), t17, Layout()),
    "T18b": (READ, lambda b: set_register(b.threads[0], reg.BADGE_REGISTER, 5), Layout()),
    "T18c": (BUFFER, lambda b: set_attribute(b.threads[1], "ipc_buffer", 8), Layout()),
    "L1": (YIELD, l1, Layout()),
    "L1b": (YIELD_TO, l1b, PAIR),
    "L6": ((YIELD, YIELD), l6, Layout()),
    "T18": (READ, lambda b: flip(b.threads[0], 9), Layout()),
    "G10b": (YIELD, g10, Layout()),
    "G21b": (YIELD, g21b, Layout()),
    "G22b": (YIELD, g22b, Layout()),
}  # fmt: skip


@pytest.mark.parametrize("which", SABOTAGES)
def test_a_broken_step_is_noticed(which: str) -> None:
    steps, sabotage, layout = SABOTAGES[which]
    program = Program(layout, steps if isinstance(steps, tuple) else (steps,))
    world = world_of(layout)
    assert run(program, watcher=Monitor(policy=world.policy)).problem is None
    saboteur = Saboteur(world, sabotage)
    found = run(program, watcher=saboteur).problem or "nothing"
    assert any(line.startswith(f"{which} ") for line in found.splitlines()), found
    assert saboteur.differences == ()
