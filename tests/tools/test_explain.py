"""Every refusal is explained, and what the explanation says is missing, once given, makes the operation succeed.

The refusals come from the recorded programs (thousands, of every kind in the tables) and from a few scenarios for
those that no recording has. ``Giver.give`` hands out what is missing; then the very same operation is made again. It
may then meet its next obstacle, but never the same one twice.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from capkernel.abi import bootinfo as bi
from capkernel.abi import labels
from capkernel.abi import objects as obj
from capkernel.abi import registers as reg
from capkernel.abi import rights as rt
from capkernel.abi import syscalls as sc
from capkernel.abi.errors import ERROR_NAMES
from capkernel.abi.labels import BY_NAME
from capkernel.abi.message import message_info
from capkernel.kernel import caps as k
from capkernel.kernel import deletion, slots, vspace
from capkernel.kernel.invocations.vspace import perform_page_table_unmap, perform_page_unmap
from capkernel.kernel.objects import NULL, TCB, Cap, SchedContext, Slot
from capkernel.kernel.scheduler import schedule
from capkernel.kernel.thread import activate, suspend
from capkernel.runtime.snapshot import save
from capkernel.tools.conform.populate import configure_sc, configure_thread, start
from capkernel.tools.conform.possible import POSSIBLE
from capkernel.tools.conform.recordings import read
from capkernel.tools.conform.steps import Stepper, value_of
from capkernel.tools.conform.world import INSN_PC, SPIN, TEN_SECONDS_US, World, create
from capkernel.tools.explain import Explainer, Explanation, Missing, grantors
from capkernel.tools.explain import missing as m
from capkernel.tools.explain.census import containers, slot_at, slots_of, threads
from capkernel.tools.explain.faults import table_walk
from specs.structure import Structure, structure

GOLDEN = Path(__file__).parents[1] / "golden"
GROUPS = ("capspace", "tcb", "vspace", "ipc", "faults", "memory")
ROUNDS = 16
LARGEST = 28


class Contradiction(Exception):
    """The operation cannot succeed by gifts: it asks for two things that exclude each other, or for too much."""


@dataclass
class Operation:
    """A Call by the root thread that can be made again, with other arguments if need be."""

    name: str
    cptr: int
    words: list[int]
    caps: list[int]
    length: int | None = None
    ncaps: int | None = None

    @property
    def spec(self) -> labels.InvocationSpec:
        return BY_NAME[self.name]

    def run(self, world: World) -> None:
        spec = self.spec
        world.call(self.cptr, spec.label, self.words, self.caps, length=self.length, ncaps=self.ncaps)

    def set(self, name: str, value: int) -> None:
        self.words[self.spec.words.index(name)] = value & (1 << 64) - 1


@dataclass
class Giver:
    """Gives what is missing, in a world of the recordings' kind."""

    world: World
    explainer: Explainer
    operation: Operation | None = None
    vaddr: int = 0x2000_0000
    used: set[Any] = field(default_factory=set)

    def give(self, missing: Missing) -> None:
        """The one thing that was said to be missing."""
        getattr(self, "_" + type(missing).__name__.lower())(missing)

    # Caps and slots

    def slot(self, place: m.Place) -> Slot:
        found = slot_at(self.world.loop.state, place)
        if found is None:
            found = next(s for s in all_containers(self.world) if s.paddr == place.paddr).slot(place.index)
        return found

    def put(self, slot: Slot, cap: Cap, parent: Slot | None = None) -> None:
        """Replace what is in a slot, without destroying anything."""
        if slot.cap is not NULL:
            slots.unlink(slot)
        if parent is None:
            slots.insert_root(cap, slot)
        else:
            slots.insert_derived(cap, parent, slot)

    def own(self, cap: Cap) -> int:
        """A cap address of the root thread with that cap."""
        index = self.world.slot()
        cnode = own_cnode(self.world)
        slots.insert_root(cap, cnode.slot(index))
        return self.world.own(index)

    def new(self, object_type: int, bits: int = 0) -> Slot:
        return own_cnode(self.world).slot(self.world.new(object_type, bits))

    def _capofkind(self, missing: m.CapOfKind) -> None:
        target = self.slot(missing.place)
        if missing.kinds == ("any object",):
            source = self.new(obj.TCB)
        else:
            source = self.made(missing.kinds[0], missing.that)
        if target.container is self.world.root and target.index == 2:
            raise Contradiction("the root thread itself has no buffer")
        self.put(target, source.cap, source if source.prev or source.next else None)

    def made(self, kind: str, that: str) -> Slot:
        """A new cap of some kind."""
        types = {
            "Endpoint": obj.ENDPOINT, "Notification": obj.NOTIFICATION, "Reply": obj.REPLY, "TCB": obj.TCB,
            "Frame": obj.PAGE, "PageTable": obj.PAGE_TABLE,
        }  # fmt: skip
        if kind == "PageTable" and ("ASID" in that or "root" in that):
            slot = self.new(obj.PAGE_TABLE)
            pool = self.world.own(bi.CAP_INIT_ASID_POOL)
            self.world.make(pool, labels.ASID_POOL_ASSIGN, [], [self.world.own(slot.index)])
            return slot
        if kind in types:
            return self.new(types[kind])
        if kind == "CNode":
            limit = re.search(r"2\*\*(\d+) slots", that)
            if limit and int(limit[1]) < 1:
                raise Contradiction("no CNode is so small")
            return self.new(obj.CNODE, min(4, int(limit[1])) if limit else 4)
        if kind == "SchedContext":
            return self.new(obj.SCHED_CONTEXT, 8)
        if kind == "Untyped":
            return self.new(obj.UNTYPED, 12)
        pools = own_cnode(self.world).slot(bi.CAP_INIT_ASID_POOL).cap
        cap = {
            "IRQControl": k.IRQControlCap(), "ASIDControl": k.ASIDControlCap(), "Domain": k.DomainCap(),
            "SchedControl": k.SchedControlCap(0), "IRQHandler": k.IRQHandlerCap(7), "ASIDPool": pools,
        }[kind]  # fmt: skip
        slot = own_cnode(self.world).slot(self.world.slot())
        slots.insert_root(cap, slot)
        return slot

    def _right(self, missing: m.Right) -> None:
        slot = self.slot(missing.place)
        assert isinstance(slot.cap, (k.EndpointCap, k.NotificationCap, k.FrameCap))
        slot.cap = replace(slot.cap, rights=missing.wanted)

    def _guard(self, missing: m.Guard) -> None:
        slot = self.slot(missing.place)
        assert isinstance(slot.cap, k.CNodeCap)
        slot.cap = replace(slot.cap, guard=missing.guard, guard_size=missing.guard_size)

    def _emptyslot(self, missing: m.EmptySlot) -> None:
        key = ("emptied", missing.place)
        if key in self.used:
            raise Contradiction("a slot must be both empty and full")
        self.used.add(key)
        slots.unlink(self.slot(missing.place))

    def _nochildren(self, missing: m.NoChildren) -> None:
        for place in missing.children:
            slots.unlink(self.slot(place))

    def _onlycap(self, missing: m.OnlyCap) -> None:
        for place in missing.others:
            slots.unlink(self.slot(place))

    def _secondcap(self, missing: m.SecondCap) -> None:
        held = self.slot(missing.place)
        slots.insert_derived(held.cap, held, own_cnode(self.world).slot(self.world.slot()))

    def _memory(self, missing: m.Memory) -> None:
        if missing.size_bits > LARGEST:
            raise Contradiction("so much memory does not exist")
        base = 0x90000000
        self.put(self.slot(missing.place), k.UntypedCap(base, max(4, missing.size_bits), False, 0))

    # Arguments

    def op(self) -> Operation:
        assert self.operation is not None
        return self.operation

    def _argument(self, missing: m.Argument) -> None:
        step = missing.multiple_of
        value = min(max(missing.value, missing.low), missing.high) // step * step
        op = self.op()
        op.set(missing.name, op.words[op.spec.words.index(missing.name)] & ~missing.mask | value)

    def _address(self, missing: m.Address) -> None:
        if not 1 <= missing.depth <= 64:
            raise Contradiction("no address is so long")
        self.op().set(missing.index_name, missing.index)
        self.op().set(missing.depth_name, missing.depth)

    def _distinct(self, missing: m.Distinct) -> None:
        op = self.op()
        slot = self.new(obj.TCB).index
        op.set("pivot_index", slot)
        op.set("pivot_depth", 64)
        op.caps[0] = self.world.own(bi.CAP_INIT_CNODE)

    def _words(self, missing: m.Words) -> None:
        op = self.op()
        op.words += [0] * (missing.words - len(op.words))
        op.caps += [self.world.own(self.world.slot()) for _ in range(missing.caps - len(op.caps))]
        op.length, op.ncaps = max(missing.words, missing.sent_words), max(missing.caps, missing.sent_caps)

    # States

    def thread(self, paddr: int) -> TCB:
        return next(thread for thread in threads(self.world.loop.state) if thread.paddr == paddr)

    def sched_context(self, paddr: int) -> SchedContext:
        found = (item for item, _ in save(self.world.loop.state) if isinstance(item, SchedContext))
        return next(item for item in found if item.paddr == paddr)

    def call(self, cptr: int, name: str, words: list[int], given: list[int]) -> None:
        """A remedy is itself an operation, which may be refused, explained and helped."""
        settle(self.world, self.explainer, Operation(name, cptr, words, given), depth=1)

    def _authority(self, missing: m.Authority) -> None:
        cap = self.own(k.ThreadCap(self.thread(missing.paddr)))
        root = self.world.own(bi.CAP_INIT_TCB)
        self.world.root.mcp = 255
        self.call(cap, "TCB_SetMCPriority", [missing.wanted], [root])

    def _objectstate(self, missing: m.ObjectState) -> None:
        remedy = missing.remedy.split()[0].lower()
        getattr(self, "_do_" + remedy)(missing)

    def _do_tcb_unbindnotification(self, missing: m.ObjectState) -> None:
        self.call(self.own(k.ThreadCap(self.thread(missing.on_paddr))), "TCB_UnbindNotification", [], [])

    def _do_tcb_bindnotification(self, missing: m.ObjectState) -> None:
        notification = self.world.own(self.new(obj.NOTIFICATION).index)
        self.call(self.own(k.ThreadCap(self.thread(missing.on_paddr))), "TCB_BindNotification", [], [notification])

    def _do_schedcontext_unbindobject(self, missing: m.ObjectState) -> None:
        context = self.sched_context(missing.on_paddr)
        if context.tcb is self.world.root:
            raise Contradiction("the root thread cannot take its own time")
        bound: Cap = NULL
        if missing.field == "notification" and context.notification is not None:
            bound = k.NotificationCap(context.notification, 0, rt.READ_WRITE)
        elif context.tcb is not None:
            bound = k.ThreadCap(context.tcb)
        cap = self.own(k.SchedContextCap(context, context.size_bits))
        self.call(cap, "SchedContext_UnbindObject", [], [self.own(bound)])

    def _do_schedcontext_bind(self, missing: m.ObjectState) -> None:
        context = self.sched_context(missing.on_paddr)
        named = re.search(r"@(0x[0-9a-f]+)", missing.wanted)
        if named is None:
            target = self.world.own(self.new(obj.TCB).index)
        elif missing.field == "thread":
            target = self.own(k.ThreadCap(self.thread(int(named[1], 16))))
        else:
            found = (s.cap for s in slots_of(self.world.loop.state) if isinstance(s.cap, k.NotificationCap))
            target = self.own(next(c for c in found if c.notification.paddr == int(named[1], 16)))
        self.call(self.own(k.SchedContextCap(context, context.size_bits)), "SchedContext_Bind", [], [target])

    def _do_schedcontrol_configureflags(self, missing: m.ObjectState) -> None:
        context = self.sched_context(missing.on_paddr)
        control = self.own(k.SchedControlCap(0))
        words = [TEN_SECONDS_US, TEN_SECONDS_US, 0, 0, 0]
        target = self.own(k.SchedContextCap(context, context.size_bits))
        self.call(control, "SchedControl_ConfigureFlags", words, [target])

    def _do_signal(self, missing: m.ObjectState) -> None:
        found = (s.cap for s in slots_of(self.world.loop.state) if isinstance(s.cap, k.NotificationCap))
        target = next(c.notification for c in found if c.notification.paddr == missing.on_paddr)
        cap = self.own(k.NotificationCap(target, 0, rt.READ_WRITE))
        while target.queue.head is not None:
            self.world.root_syscall(sc.NBSEND, {reg.CAP_REGISTER: cap, reg.MSG_INFO_REGISTER: 0}, [0] * 4, [])

    def tables(self, missing: m.ObjectState, *, mapped: bool) -> list[Slot]:
        """The slots with a cap to the page table that is meant."""
        wanted = missing.paddr, mapped
        return [
            slot
            for slot in slots_of(self.world.loop.state)
            if isinstance(slot.cap, k.PageTableCap) and (slot.cap.paddr, slot.cap.is_mapped) == wanted
        ]

    def _do_pagetable_unmap(self, missing: m.ObjectState) -> None:
        state = self.world.loop.state
        for slot in self.tables(missing, mapped=True):
            assert isinstance(slot.cap, k.PageTableCap)
            if vspace.vspace_root(state, slot.cap.asid) == slot.cap.paddr:
                vspace.delete_asid(state, slot.cap.asid, slot.cap.paddr)
            perform_page_table_unmap(state, slot, slot.cap)

    def _do_pagetable_map(self, missing: m.ObjectState) -> None:
        for slot in self.tables(missing, mapped=False):
            self.vaddr += 1 << 30
            own = self.own(slot.cap)
            self.call(own, "PageTable_Map", [self.vaddr, 0], [self.world.own(bi.CAP_INIT_VSPACE)])
            slot.cap = own_cnode(self.world).slot(own - self.world.offset).cap

    def _do_page_unmap(self, missing: m.ObjectState) -> None:
        for slot in slots_of(self.world.loop.state):
            if isinstance(slot.cap, k.FrameCap) and slot.cap.paddr == missing.paddr and slot.cap.asid:
                perform_page_unmap(self.world.loop.state, slot, slot.cap)

    def _do_tcb_setflags(self, missing: m.ObjectState) -> None:
        self.call(self.own(k.ThreadCap(self.thread(missing.on_paddr))), "TCB_SetFlags", [1, 0], [])

    def _do_cnode_delete(self, missing: m.ObjectState) -> None:
        state = self.world.loop.state
        kind = {"IRQHandler": k.IRQHandlerCap, "ASIDPool": k.ASIDPoolCap, "PageTable": k.PageTableCap}[missing.on]
        if missing.object == "ASID table":
            state.asid_table.pop(max(state.asid_table))
            return
        if missing.object == "ASIDPool":
            next(p for p in state.asid_table.values() if p.paddr == missing.paddr).roots.popitem()
            return
        for slot in [s for s in slots_of(state) if isinstance(s.cap, kind)]:
            if getattr(slot.cap, "irq", None) == missing.paddr:
                deletion.delete(state, slot)

    def _do_domainset_scheduleconfigure(self, missing: m.ObjectState) -> None:
        if missing.paddr > len(self.world.loop.state.domain_schedule) - 2:
            raise Contradiction("the last entry is always the end marker")
        self.call(self.own(k.DomainCap()), "DomainSet_ScheduleConfigure", [missing.paddr, 0, 1000], [])

    def _time(self, missing: m.Time) -> None:
        context = self.sched_context(missing.sched_context)
        cap = self.own(k.SchedContextCap(context, context.size_bits))
        configure_sc(self.world, cap, TEN_SECONDS_US, TEN_SECONDS_US, 0, 0, 0)

    def _systemcall(self, missing: m.SystemCall) -> None:
        assert "Call" in missing.wanted

    # Memory

    def vspace_cap(self, root: int) -> int:
        pool = self.world.loop.state.asid_table
        asid = next(p.base + low for p in pool.values() for low, paddr in p.roots.items() if paddr == root)
        return self.own(k.PageTableCap(root, True, asid, 0))

    def _table(self, missing: m.Table) -> None:
        cap = self.vspace_cap(missing.root)
        for _ in range((missing.ends_at - missing.bits) // vspace.INDEX_BITS):
            table = self.world.own(self.new(obj.PAGE_TABLE).index)
            self.world.make(table, labels.PAGE_TABLE_MAP, [missing.vaddr, 0], [cap])

    def _unmapped(self, missing: m.Unmapped) -> None:
        for entry in table_walk(self.world.loop.state, missing.root, missing.vaddr):
            if entry.bits == missing.bits:
                vspace.write_pte(self.world.loop.state, entry.table + 8 * entry.index, 0)

    def _mapped(self, missing: m.Mapped) -> None:
        state = self.world.loop.state
        if missing.frame is not None:
            entry = table_walk(state, missing.root, missing.vaddr)[-1]
            bits = sum(bit for letter, bit in (("R", 2), ("W", 4), ("X", 8)) if letter in missing.wanted)
            vspace.write_pte(state, entry.table + 8 * entry.index, entry.pte & ~14 | bits)
            return
        if missing.ends_at > obj.PAGE_BITS:
            self._table(m.Table(missing.root, missing.vaddr, missing.ends_at, obj.PAGE_BITS))
        rights = (2 if "R" in missing.wanted else 0) | (1 if "W" in missing.wanted else 0)
        frame = self.world.own(self.new(obj.PAGE).index)
        words = [missing.vaddr & ~0xFFF, rights, 0 if "X" in missing.wanted else 1]
        self.world.make(frame, labels.PAGE_MAP, words, [self.vspace_cap(missing.root)])


def own_cnode(world: World) -> Any:
    """The root task's own CNode."""
    cap = next(s.cap for s in world.root.cspace_slot.cap.cnode.slots.values() if s.index == 1)
    return cap.cnode


def all_containers(world: World) -> Iterator[Any]:
    return iter(containers(world.loop.state))


def settle(
    world: World, explainer: Explainer, operation: Operation, depth: int = 0, kind: type[Giver] = Giver
) -> int:
    """Make an operation, and give what is missing until it succeeds; returns how many gifts that took."""
    if depth > 2:
        raise Contradiction("remedies of remedies")
    giver, history = kind(world, explainer, operation), History()
    for gifts in range(ROUNDS):
        before = len(explainer.explanations)
        operation.run(world)
        refused = [e for e in explainer.explanations[before:] if e.thread == world.root.paddr]
        if not refused:
            return gifts
        history.meets(refused[-1])
        giver.give(refused[-1].missing)
    raise Contradiction("gifts undo each other")


@dataclass
class History:
    """What was given on the way. Given, but missing again at once: then the explanation was wrong."""

    given: list[str] = field(default_factory=list)

    def meets(self, refused: Explanation) -> None:
        missing = refused.missing
        assert type(missing) is not Missing, refused.text()
        if isinstance(missing, m.CapOfKind):
            # What is in the slot now is not what somebody else could give.
            offered = [g.place for g in refused.could_grant if g.how.startswith("give")]
            assert missing.place not in offered, refused.text()
        if not missing.grantable or isinstance(missing, m.OtherCaller):
            raise Contradiction(missing.says)
        text = json.dumps(missing.data())
        assert text not in self.given[-1:], f"given, but missing again:\n{refused.text()}"
        if text in self.given:
            raise Contradiction("gifts undo each other")
        self.given.append(text)


# The recorded programs

Key = tuple[str, str, str]
"""Operation, refusal, kind of what was missing."""

NEEDED = 2
"""So many samples of each key are tried."""


@dataclass
class Tally:
    """What the samples gave: gifts that worked, refusals for which nothing can be given, contradictory requests."""

    helped: Counter[Key] = field(default_factory=Counter)
    hopeless: Counter[Key] = field(default_factory=Counter)
    contradictory: Counter[Key] = field(default_factory=Counter)
    unexplained: list[str] = field(default_factory=list)
    explained: int = 0

    def tried(self, key: Key) -> int:
        return self.helped[key] + self.hopeless[key] + self.contradictory[key] // 4


def key_of(explanation: Explanation) -> Key:
    operation = explanation.operation.split(": ")[-1]
    known = operation if operation in BY_NAME else operation.split()[0]
    return known, explanation.refusal, explanation.missing.kind


def scan(group: str, limit: int, tally: Tally) -> None:
    """Run recorded programs, each up to the first refusal of a kind that has too few samples; help there."""
    for count, recorded in enumerate(read(GOLDEN / f"{group}.jsonl.gz")):
        if count == limit:
            return
        program = recorded.program
        world = start(program)
        explainer, stepper = Explainer(world.loop), Stepper(world, group)
        for record in program["ops"]:
            before = len(explainer.explanations)
            stepper.step(record)
            new = explainer.explanations[before:]
            tally.explained += len(new)
            tally.unexplained += [e.text() for e in new if type(e.missing) is Missing]
            wanted = [e for e in new if tally.tried(key_of(e)) < NEEDED]
            if wanted and help_out(world, explainer, record, wanted[0], tally):
                break


def help_out(world: World, explainer: Explainer, record: Any, refused: Explanation, tally: Tally) -> bool:
    """Give what is missing for one refusal; false if it is none that can be tried again."""
    key = key_of(refused)
    if not refused.missing.grantable or isinstance(refused.missing, m.OtherCaller | m.SystemCall):
        tally.hopeless[key] += 1
        return False
    try:
        if record["op"] in BY_NAME and "err" in record:
            settle(world, explainer, operation_of(record))
        elif refused.thread == world.root.paddr or not restartable(refused):
            return False
        else:
            resume(world, explainer, refused)
        tally.helped[key] += 1
    except Contradiction:
        tally.contradictory[key] += 1
    return True


def operation_of(record: Any) -> Operation:
    spec, args = BY_NAME[record["op"]], record["args"]
    words = [value_of(args[name]) for name in spec.words] + [value_of(v) for v in record.get("extra_mrs", [])]
    caps = [args[name] for name in spec.caps]
    return Operation(record["op"], record["svc"], words, caps, record.get("len"), record.get("ncaps"))


def restartable(refused: Explanation) -> bool:
    """A thread that faulted makes its access or system call again when it is resumed."""
    return "Fault" in refused.refusal and "silently" not in refused.outcome


def resume(world: World, explainer: Explainer, refused: Explanation) -> None:
    """Give a faulted worker what is missing, and let it try again."""
    giver, history = Giver(world, explainer), History()
    tcb = giver.own(k.ThreadCap(giver.thread(refused.thread)))
    for _ in range(ROUNDS):
        history.meets(refused)
        giver.give(refused.missing)
        before = len(explainer.explanations)
        world.make(tcb, labels.TCB_RESUME, [], [])
        again = [e for e in explainer.explanations[before:] if e.thread == refused.thread and "Fault" in e.refusal]
        if not again or not again[0].missing.grantable:
            return
        refused = again[0]
    raise Contradiction("gifts undo each other")


def never_helped(tally: Tally) -> list[Key]:
    """The kinds of refusal of which no sample could be helped, although something could be given."""
    return sorted(key for key in tally.contradictory if not tally.helped[key])


@pytest.mark.parametrize("group", GROUPS)
def test_what_recorded_programs_are_refused_can_be_given(group: str) -> None:
    tally = Tally()
    scan(group, 60, tally)
    assert not tally.unexplained, "\n".join(tally.unexplained[:3])
    assert tally.explained > 50
    assert sum(tally.helped.values()) > 3 * sum(tally.contradictory.values())


@pytest.mark.slow
def test_every_kind_of_refusal_in_the_recordings_can_be_helped() -> None:
    tally = Tally()
    for group in GROUPS:
        scan(group, 1000, tally)
    assert not tally.unexplained, "\n".join(tally.unexplained[:3])
    assert never_helped(tally) == []
    met = {key[:2] for counts in (tally.helped, tally.hopeless) for key in counts}
    met |= {(build()[1].name, refusal) for build, refusal, _ in SCENARIOS.values()}
    # The one that is refused whatever is given: test_the_end_marker_cannot_be_a_start.
    met |= {("DomainSet_ScheduleSetStart", refusal) for refusal in ("InvalidArgument", "RangeError")}
    possible = {(name, ERROR_NAMES[code]) for name, codes in POSSIBLE.items() for code in codes if code}
    assert possible - met == set()


def test_what_is_asked_of_a_cap_is_asked_in_the_words_of_the_rules() -> None:
    """Who could give a cap is found by these words: one that no rule says any more would find nobody out."""
    folder = Path(grantors.__file__).parent
    rules = "".join(path.read_text() for path in folder.glob("*.py") if path.name != "grantors.py")
    said = rules.replace("{obj.ASID_POOL_BITS}", str(obj.ASID_POOL_BITS))
    assert [words for words in grantors._FITS if f'"{words}"' not in said] == []


# What no recording has


def _words(name: str) -> tuple[World, Operation]:
    """A message without words and caps, to an object made for the purpose."""
    world = create()
    kind = {"TCB": obj.TCB, "ASIDPool": obj.ENDPOINT}
    prefix = name.split("_")[0]
    cptr = world.own(bi.CAP_DOMAIN) if prefix == "DomainSet" else world.own(world.new(kind[prefix]))
    return world, Operation(name, cptr, [], [], 0, 0)


def _on_domain(name: str, *words: int) -> tuple[World, Operation]:
    world = create()
    return world, Operation(name, world.own(bi.CAP_DOMAIN), list(words), [])


def _on_empty(name: str, *words: int) -> tuple[World, Operation]:
    world = create()
    return world, Operation(name, world.own(world.slot()), list(words), [])


def _on_endpoint(name: str, *words: int) -> tuple[World, Operation]:
    """A message that an endpoint would take; so the wrong object is a TCB."""
    world = create()
    return world, Operation(name, world.own(world.new(obj.TCB)), list(words), [])


def _pool(*, lost: bool) -> tuple[World, Operation]:
    world = create()
    untyped, pool, table = world.new(obj.UNTYPED, 12), world.slot(), world.new(obj.PAGE_TABLE)
    caps = [world.own(untyped), world.own(bi.CAP_INIT_CNODE)]
    world.make(world.own(bi.CAP_ASID_CONTROL), labels.ASID_CONTROL_MAKE_POOL, [pool, 64], caps)
    made = own_cnode(world).slot(pool).cap.pool
    if lost:
        del world.loop.state.asid_table[made.base >> obj.ASID_LOW_BITS]
    else:
        made.roots.update((low, 0x1000) for low in range(512))
    return world, Operation("ASIDPool_Assign", world.own(pool), [], [world.own(table)])


def _used_slot() -> tuple[World, Operation]:
    world = create()
    slot = world.new(obj.TCB)
    words = [9, 1, slot, 64]
    return world, Operation(
        "IRQControl_GetTrigger", world.own(bi.CAP_IRQ_CONTROL), words, [world.own(bi.CAP_INIT_CNODE)]
    )


def _last_cap() -> tuple[World, Operation]:
    """A thread whose TCB holds the last cap to its CNode."""
    world = create()
    tcb, node, space = world.new(obj.TCB), world.new(obj.CNODE, 4), world.own(bi.CAP_INIT_VSPACE)
    words, caps = [0, 0], [world.own(world.slot()), world.own(node), space]
    world.make(world.own(tcb), labels.TCB_SET_SPACE, words, caps)
    own = world.own(bi.CAP_INIT_CNODE)
    world.make(own, labels.CNODE_DELETE, [node, 64], [])
    caps = [world.own(world.slot()), own, space]
    return world, Operation("TCB_SetSpace", world.own(tcb), words, caps)


SCENARIOS = {
    "SetIPCBuffer is too short": (lambda: _words("TCB_SetIPCBuffer"), "TruncatedMessage", "message"),
    "SetFlags is too short": (lambda: _words("TCB_SetFlags"), "TruncatedMessage", "message"),
    "Configure is too short": (lambda: _words("DomainSet_ScheduleConfigure"), "TruncatedMessage", "message"),
    "SetStart is too short": (lambda: _words("DomainSet_ScheduleSetStart"), "TruncatedMessage", "message"),
    "no such entry": (lambda: _on_domain("DomainSet_ScheduleConfigure", 99, 0, 9), "RangeError", "argument"),
    "no such domain": (lambda: _on_domain("DomainSet_ScheduleConfigure", 0, 7, 9), "RangeError", "argument"),
    "too long": (lambda: _on_domain("DomainSet_ScheduleConfigure", 0, 0, 1 << 60), "InvalidArgument", "argument"),
    "end at start": (lambda: _on_domain("DomainSet_ScheduleConfigure", 0, 0, 0), "InvalidArgument", "argument"),
    "empty slot configures": (lambda: _on_empty("DomainSet_ScheduleConfigure", 0, 0, 9), "InvalidCapability", "cap"),
    "empty slot starts": (lambda: _on_empty("DomainSet_ScheduleSetStart", 0), "InvalidCapability", "cap"),
    "a TCB configures": (lambda: _on_endpoint("DomainSet_ScheduleConfigure", 0, 0, 9), "IllegalOperation", "cap"),
    "a TCB starts": (lambda: _on_endpoint("DomainSet_ScheduleSetStart", 0), "IllegalOperation", "cap"),
    "pool is gone": (lambda: _pool(lost=True), "FailedLookup", "cap"),
    "pool is full": (lambda: _pool(lost=False), "DeleteFirst", "object state"),
    "handler into a used slot": (_used_slot, "DeleteFirst", "empty slot"),
    "the last cap to a CNode": (_last_cap, "IllegalOperation", "last cap"),
}  # fmt: skip


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario(name: str) -> None:
    build, refusal, kind = SCENARIOS[name]
    world, operation = build()
    explainer = Explainer(world.loop)
    assert settle(world, explainer, operation) >= 1
    first = explainer.explanations[0]
    assert (first.refusal, first.missing.kind) == (refusal, kind), first.text()


@pytest.mark.parametrize(("index", "refusal"), [(1, "InvalidArgument"), (5, "RangeError")])
def test_the_end_marker_cannot_be_a_start(index: int, refusal: str) -> None:
    """The recorded kernel's schedule has one entry and the end marker, which is always the last."""
    world, operation = _on_domain("DomainSet_ScheduleSetStart", index)
    explainer = Explainer(world.loop)
    with pytest.raises(Contradiction):
        settle(world, explainer, operation)
    assert explainer.explanations[0].refusal == refusal


# Threads that are refused in other ways than by an error


@dataclass
class Stage:
    """A world with a second thread, more important than the root thread once that is told so."""

    world: World = field(default_factory=create)

    def __post_init__(self) -> None:
        world = self.world
        test, hidden = world.own(world.test_slot), world.own(world.hidden)
        self.cap, self.context = 8, 9
        world.retype(hidden, obj.TCB, 0, test, self.cap)
        world.retype(hidden, obj.SCHED_CONTEXT, 8, test, self.context)
        configure_sc(world, self.context, TEN_SECONDS_US, TEN_SECONDS_US, 0, 0, 0)
        self.tcb = configure_thread(world, self.cap, self.context, 200, 255, None, has_buffer=True)
        self.explainer = Explainer(world.loop)
        self.ended = 0
        world.on_worker = self.end
        world.make(world.own(bi.CAP_INIT_TCB), labels.TCB_SET_PRIORITY, [100], [world.own(bi.CAP_INIT_TCB)])

    def end(self, what: int, thread: TCB) -> bool:
        """The thread has done what it was to do: it stops, and the root thread goes on."""
        state = self.world.loop.state
        self.ended += 1
        suspend(state, thread)
        schedule(state)
        activate(state)
        return True

    def run(self, pc: int, registers: dict[int, int]) -> list[Explanation]:
        """Let the thread run from ``pc``; what was refused meanwhile."""
        before = len(self.explainer.explanations)
        for register, word in registers.items():
            self.tcb.registers[register] = word & (1 << 64) - 1
        self.tcb.registers[reg.FAULT_IP] = self.tcb.registers[reg.NEXT_IP] = pc
        self.world.make(self.cap, labels.TCB_RESUME, [], [])
        return self.explainer.explanations[before:]

    def ecall(self, number: int, cptr: int, info: int = 0, reply: int = 0, words: list[int] | None = None) -> Any:
        registers = {reg.CAP_REGISTER: cptr, reg.SYSCALL_REGISTER: number, reg.MSG_INFO_REGISTER: info}
        registers |= dict(zip(reg.MSG_REGISTERS, words or [], strict=False))
        return self.run(INSN_PC["ecall"], registers | {reg.REPLY_REGISTER: reply, reg.NBSEND_DEST_REGISTER: reply})


@pytest.mark.parametrize("number", [sc.SEND, sc.RECV], ids=["send", "receive"])
@pytest.mark.parametrize("failure", ["InvalidRoot", "DepthMismatch", "GuardMismatch", "MissingCapability"])
def test_every_lookup_failure_in_both_phases(failure: str, number: int) -> None:
    stage = Stage()
    giver = Giver(stage.world, stage.explainer)
    address = {"InvalidRoot": 0, "DepthMismatch": 5 << 12, "GuardMismatch": 1 << 63, "MissingCapability": 7 << 12}
    if failure == "InvalidRoot":
        slots.unlink(stage.tcb.cspace_slot)
    elif failure == "DepthMismatch":
        # 12 bits are left at this level, too few for 2**13 slots.
        root = stage.world.root.cspace_slot.cap
        assert isinstance(root, k.CNodeCap)
        giver.put(root.cnode.slot(5), giver.new(obj.CNODE, 13).cap)
    # The reply object is looked up in the same CNode, in another slot.
    further = {"InvalidRoot": 1 << 60, "DepthMismatch": 1 << 8, "GuardMismatch": 1, "MissingCapability": 1 << 12}
    reply = address[failure] + further[failure]
    (found,) = stage.ecall(number, address[failure], reply=reply)
    if (failure, number) == ("MissingCapability", sc.SEND):
        # To send through an empty slot is an error, not a fault; Send drops it.
        assert (found.refusal, found.outcome, found.missing.kind) == ("InvalidCapability", "dropped silently", "cap")
        return
    phase = "send" if number == sc.SEND else "receive"
    assert found.refusal == f"CapFault: {failure}, {phase} phase"
    assert found.outcome == "it has no fault handler and stopped"
    resume(stage.world, stage.explainer, found)


def test_both_halves_of_a_combined_call_are_explained() -> None:
    stage = Stage()
    cnode = stage.world.own(bi.CAP_INIT_CNODE)
    first, second = stage.ecall(sc.NBSEND_RECV, cnode, reply=cnode)
    assert (first.missing.kind, first.outcome) == ("system call", "dropped silently")
    assert first.missing.data()["wanted"] == ["Send", "Call"]
    assert (second.refusal, second.missing.kind) == ("CapFault: MissingCapability, receive phase", "cap")
    # What the first half was told to use instead works.
    assert stage.ecall(sc.CALL, cnode, message_info(labels.CNODE_DELETE, 2), words=[stage.world.slot(), 64]) == []


def test_a_notification_bound_to_another_thread_can_be_unbound() -> None:
    stage = Stage()
    world = stage.world
    notification = world.own(world.new(obj.NOTIFICATION))
    world.make(world.own(bi.CAP_INIT_TCB), labels.TCB_BIND_NOTIFICATION, [], [notification])
    (found,) = stage.ecall(sc.WAIT, notification)
    assert found.missing.data()["remedy"] == "TCB_UnbindNotification"
    assert [g for g in found.could_grant if g.paddr == world.root.paddr]
    resume(world, stage.explainer, found)


def test_what_a_thread_may_not_do_to_itself_another_can() -> None:
    stage = Stage()
    world, root = stage.world, stage.world.own(bi.CAP_INIT_TCB)
    world.call(root, labels.TCB_READ_REGISTERS, [0, 1], [])
    found = stage.explainer.explanations[-1]
    assert (found.refusal, found.missing.kind) == ("IllegalOperation", "other caller")
    assert found.missing.data()["paddr"] == world.root.paddr
    assert stage.tcb.paddr in {grantor.paddr for grantor in found.could_grant}
    assert stage.ecall(sc.CALL, root, message_info(labels.TCB_READ_REGISTERS, 2), words=[0, 1]) == []


def test_a_used_up_budget() -> None:
    stage = Stage()
    world = stage.world
    endpoint = world.own(world.new(obj.ENDPOINT))
    world.make(stage.cap, labels.TCB_SET_TIMEOUT_ENDPOINT, [], [endpoint])
    configure_sc(world, stage.context, 1_000, 10_000, 0, 7, 0)
    (found,) = stage.run(SPIN, {reg.T0 + 26: 50_000})
    assert (found.refusal, found.words, found.missing.kind) == ("Timeout", (7,), "time")
    assert stage.ended == 0
    assert found.outcome.startswith("sent to its handler")
    assert world.root.paddr in {grantor.paddr for grantor in found.could_grant}
    control = world.own(world.info.sched_control[0])
    words = [TEN_SECONDS_US, TEN_SECONDS_US, 0, 0, 0]
    world.make(control, labels.SCHED_CONTROL_CONFIGURE_FLAGS, words, [stage.context])
    assert stage.run(SPIN, {reg.T0 + 26: 50_000}) == []
    assert stage.ended == 1


@pytest.mark.parametrize("number", [-100, 0, 5, sc.DEBUG_NAME_THREAD - 1])
def test_nothing_can_be_given_for_an_unknown_system_call(number: int) -> None:
    (found,) = Stage().ecall(number, 0)
    assert (found.refusal, found.missing.grantable) == ("UnknownSyscall", False)
    assert "Call" in found.text()


@pytest.mark.parametrize("name", ["ebreak", "ill0", "csrr"])
def test_nothing_can_be_given_for_an_exception(name: str) -> None:
    (found,) = Stage().run(INSN_PC[name], {})
    assert (found.refusal, found.missing.grantable) == ("UserException", False)


@pytest.mark.parametrize("name", ["ld8", "st8", "exec", "amoadd"])
@pytest.mark.parametrize("address", [0, 0x4000_0000, 0x1000_0000, 0x1_0000_0000], ids=hex)
def test_memory_accesses(name: str, address: int) -> None:
    """No table, no page, a page of one's own, another gigabyte."""
    stage = Stage()
    found = stage.run(INSN_PC[name], {reg.A1: address})
    if address == 0x1000_0000:
        # The recordings' code page may be read and written, and what is executed there is code.
        assert all("VMFault" not in e.refusal for e in found)
        return
    assert (found[0].refusal, found[0].missing.kind) == ("VMFault", "mapping")
    assert found[0].entries
    assert found[0].missing.data()["vaddr"] == address
    resume(stage.world, stage.explainer, found[0])


# The explanation itself


def test_an_explanation_says_who_what_and_who_could_help() -> None:
    world = create()
    explainer = Explainer(world.loop)
    endpoint, copy = world.new(obj.ENDPOINT), world.slot()
    own = world.own(bi.CAP_INIT_CNODE)
    world.make(own, labels.CNODE_MINT, [copy, 64, endpoint, 64, rt.READ, 0], [own])
    world.call(world.own(copy), 0, [], [])
    (found,) = explainer.explanations
    assert found.operation == "Call: send to Endpoint"
    assert isinstance(found.missing, m.Right)
    assert (found.missing.held, found.missing.wanted) == (rt.READ, rt.READ_WRITE)
    assert found.cap is not None
    assert found.cap.notation.endswith("(R)")
    assert [link.place.index for link in found.derived_from] == [endpoint, world.hidden]
    assert [(g.paddr, g.address) for g in found.could_grant] == [(world.root.paddr, world.own(endpoint))]
    text = found.text()
    for part in ("rootserver", "needs rights RW", "derived from", "could copy its cap"):
        assert part in text
    assert json.loads(json.dumps(found.data()))["missing"]["kind"] == "right"


def test_looking_on_changes_nothing() -> None:
    """The same program, with and without: the same kernel state after every operation."""
    program = next(r.program for r in read(GOLDEN / "capspace.jsonl.gz"))
    plain, watched = start(program), start(program)
    Explainer(watched.loop)
    steppers = Stepper(plain, "capspace"), Stepper(watched, "capspace")
    for record in program["ops"]:
        assert steppers[0].step(record) == steppers[1].step(record)
        assert _comparable(plain) == _comparable(watched)


def _comparable(world: World) -> Structure:
    found = structure(world.loop.state)
    found["State"] = {name: value for name, value in found["State"].items() if name != "refusal"}
    return found


def test_detached_means_as_before() -> None:
    world = create()
    before = (len(world.loop.before), len(world.loop.observers))
    explainer = Explainer(world.loop)
    explainer.detach()
    assert (len(world.loop.before), len(world.loop.observers)) == before
    world.call(world.own(world.slot()), 0, [], [])
    assert explainer.explanations == []
