"""The abstraction function: from a kernel's state and the page tables in RAM to the abstract state.

Reads only. The derivation list becomes a tree (by ``specs.invariants.regions``' idea of who begets whom), links between
objects become addresses, queues tuples, page tables maps. What cannot tell two states apart is left out: flags of empty
slots, a notification's word after it was taken, objects that no cap leads to.
"""

from collections.abc import Callable, Iterable
from copy import copy
from functools import lru_cache
from itertools import chain
from operator import attrgetter
from typing import Any

from capkernel.abi.words import MASK
from capkernel.kernel import caps as kc
from capkernel.kernel import objects as ko
from capkernel.kernel import state as ks
from capkernel.kernel.config import KernelConfig
from hwmodel.machine import Machine
from hwmodel.sv39 import PTE_A, PTE_D, PTE_R, PTE_U, PTE_V, PTE_W, PTE_X
from specs.abstract import caps, objects
from specs.abstract.state import ChooseNewThread, Config, CSlot, ResumeCurrentThread, State
from specs.invariants.regions import begets, referent

TABLE_BYTES = 4096
_LINKS = tuple(attrgetter(name) for name in ("cap", "next", "revocable", "first_badged"))
_REFILL = attrgetter("time", "amount")
_TCB_FIELDS = attrgetter(*(name for name in ko.TCB.__slots__ if name != "registers"))
_SC_FIELDS = attrgetter(*(name for name in ko.SchedContext.__slots__ if name not in ("refills", "turn_ended")))


def abstract_config(config: KernelConfig) -> Config:
    """The constants of a build. Raises ValueError for one that departs from seL4, of which nothing is specified."""
    if config.fix_send_to_passive or config.fix_atomic_cancel or config.fix_lent_turns:
        raise ValueError("the specification says what seL4 does, not what a kernel with fix_… options does")
    return Config(
        num_domains=config.num_domains,
        retype_fan_out_limit=config.retype_fan_out_limit,
        timer_irq=config.timer_irq,
        ticks_per_us=config.ticks_per_us,
        min_budget_us=config.min_budget_us,
        max_period_us=config.max_period_us,
        timer_precision=config.timer_precision_us * config.ticks_per_us,
        work_units_limit=config.work_units_per_preemption,
        reset_chunk_bits=config.reset_chunk_bits,
        debug=config.debug,
        has_iommu=config.has_iommu,
    )


def _ptr(item: Any) -> int:
    address: int = item.paddr
    return address


def _ref(item: Any) -> int | None:
    """A reference to an object, which may lead to none."""
    return None if item is None else item.paddr


_CAPS: dict[type[ko.Cap], Callable[[Any], caps.Cap]] = {
    ko.NullCap: lambda cap: caps.NULL,
    kc.UntypedCap: lambda cap: caps.UntypedCap(cap.paddr, cap.size_bits, cap.is_device, cap.free_offset),
    kc.EndpointCap: lambda cap: caps.EndpointCap(cap.endpoint.paddr, cap.badge, cap.rights),
    kc.NotificationCap: lambda cap: caps.NotificationCap(cap.notification.paddr, cap.badge, cap.rights),
    kc.ReplyCap: lambda cap: caps.ReplyCap(cap.reply.paddr, cap.can_grant),
    kc.CNodeCap: lambda cap: caps.CNodeCap(cap.cnode.paddr, cap.radix, cap.guard, cap.guard_size),
    kc.ThreadCap: lambda cap: caps.ThreadCap(cap.tcb.paddr),
    kc.ZombieCap: lambda cap: caps.Zombie(cap.container.paddr, cap.size_bits, cap.number),
    kc.IRQControlCap: lambda cap: caps.IRQControlCap(),
    kc.IRQHandlerCap: lambda cap: caps.IRQHandlerCap(cap.irq),
    kc.DomainCap: lambda cap: caps.DomainCap(),
    kc.SchedContextCap: lambda cap: caps.SchedContextCap(cap.sched_context.paddr, cap.size_bits),
    kc.SchedControlCap: lambda cap: caps.SchedControlCap(cap.core),
    kc.FrameCap: lambda cap: caps.FrameCap(
        cap.paddr, cap.size_bits, cap.rights, cap.is_device, cap.asid, cap.vaddr, cap.io
    ),
    kc.PageTableCap: lambda cap: caps.PageTableCap(cap.paddr, (cap.asid, cap.vaddr) if cap.is_mapped else None),
    kc.ASIDControlCap: lambda cap: caps.ASIDControlCap(),
    kc.ASIDPoolCap: lambda cap: caps.ASIDPoolCap(cap.pool.paddr, cap.base),
    kc.IOSpaceCap: lambda cap: caps.IOSpaceCap(cap.domain_id, cap.request_id),
    kc.IOPageTableCap: lambda cap: caps.IOPageTableCap(cap.paddr, cap.io, cap.level, cap.ioaddr),
}


@lru_cache(maxsize=1 << 14)
def abstract_cap(cap: ko.Cap) -> caps.Cap:
    """A cap; as caps never change, what is said of one is remembered."""
    return _CAPS[type(cap)](cap)


def _thread_state(state: ko.ThreadState) -> objects.ThreadState:
    match state:
        case ko.PlainState():
            return state.name
        case ko.BlockedOnSend():
            return objects.BlockedOnSend(
                state.endpoint.paddr, state.badge, state.can_grant, state.can_grant_reply, state.is_call
            )
        case ko.BlockedOnReceive():
            return objects.BlockedOnReceive(state.endpoint.paddr, _ref(state.reply))
        case ko.BlockedOnNotification():
            return objects.BlockedOnNotification(state.notification.paddr)
        case ko.BlockedOnReply():
            return objects.BlockedOnReply(state.reply.paddr)
    raise AssertionError(f"a thread state that is none: {state!r}")


def _fault(fault: ko.Fault | None) -> objects.Fault | None:
    match fault:
        case None:
            return None
        case ko.CapFault():
            failure = objects.LookupFailure(fault.failure.kind, fault.failure.words)
            return objects.CapFault(fault.address, fault.in_receive_phase, failure)
        case ko.UnknownSyscall():
            return objects.UnknownSyscall(fault.number)
        case ko.UserException():
            return objects.UserException(fault.number, fault.code)
        case ko.VMFault():
            return objects.VMFault(fault.address, fault.is_fetch, fault.status)
        case ko.Timeout():
            return objects.Timeout(fault.badge)
    raise AssertionError(f"a fault that is none: {fault!r}")


def _tcb(tcb: ko.TCB) -> objects.TCB:
    return objects.TCB(
        _thread_state(tcb.state), tuple(tcb.registers), _fault(tcb.fault), tcb.priority, tcb.mcp, tcb.domain, tcb.flags,
        tcb.ipc_buffer, _ref(tcb.sched_context), _ref(tcb.yield_to), _ref(tcb.bound_notification), tcb.name,
    )  # fmt: skip


def _queue(queue: ko.TCBQueue) -> tuple[int, ...]:
    return tuple(map(_ptr, queue)) if queue.head is not None else ()


def _endpoint(endpoint: ko.Endpoint) -> objects.Endpoint:
    queue = _queue(endpoint.queue)
    if endpoint.state == ko.EP_RECEIVE:
        return objects.Endpoint(receivers=queue)
    return objects.Endpoint(senders=queue)


def _notification(notification: ko.Notification) -> objects.Notification:
    badge = notification.badge if notification.state == ko.NTFN_ACTIVE else None
    return objects.Notification(
        badge, _queue(notification.queue), _ref(notification.bound_tcb), _ref(notification.sched_context)
    )


def _sched_context(sc: ko.SchedContext) -> objects.SchedContext:
    refills = tuple([objects.Refill(refill.time, refill.amount) for refill in sc.refills])
    stack: list[int] = []
    reply = sc.reply
    while reply is not None:
        stack.append(reply.paddr)
        reply = reply.prev
    return objects.SchedContext(
        sc.size_bits, sc.period, sc.refill_max, refills, sc.consumed, sc.badge, sc.sporadic, _ref(sc.tcb),
        _ref(sc.notification), tuple(stack), _ref(sc.yield_from),
    )  # fmt: skip


_OBJECTS: dict[type, Callable[[Any], objects.Object]] = {
    ko.Endpoint: _endpoint,
    ko.Notification: _notification,
    ko.Reply: lambda reply: objects.Reply(_ref(reply.tcb)),
    ko.ASIDPool: lambda pool: objects.ASIDPool(pool.base, dict(pool.roots)),
}


def _pte(word: int) -> objects.PTE:
    """A valid entry. One that no kernel should write becomes a value that no specification has."""
    flags, paddr = word & MASK[10], (word >> 10 & MASK[44]) << 12
    if flags == PTE_V:
        return objects.PageTablePTE(paddr)
    execute = bool(flags & PTE_X)
    if flags & ~(PTE_R | PTE_W | PTE_X) != PTE_V | PTE_U | PTE_A | PTE_D:
        return objects.PagePTE(-word, False, False, execute)
    return objects.PagePTE(paddr, bool(flags & PTE_R), bool(flags & PTE_W), execute)


def _words(data: bytes) -> Iterable[tuple[int, int]]:
    """The words of a table that are not zero, by index."""
    return ((n, word) for n, word in enumerate(memoryview(data).cast("Q")) if word)


def _page_table(data: bytes) -> objects.PageTable:
    return objects.PageTable({n: _pte(word) for n, word in _words(data) if word & PTE_V})


def _io_page_table(data: bytes) -> objects.IOPageTable:
    return objects.IOPageTable({n: (word & ~MASK[12], word & MASK[12]) for n, word in _words(data)})


def derivations(slots: list[ko.Slot]) -> dict[ko.Slot, ko.Slot]:
    """Slot → the slot that it was derived from, in the order of the kernel's lists.

    A list is the tree in prefix order: what stands behind a slot comes from it, or from what that comes from. Slots in
    a list without head or end are left out where it repeats itself.
    """
    parents: dict[ko.Slot, ko.Slot] = {}
    for head in slots:
        before, slot = head, head.next if head.prev is None else None
        while slot is not None and slot not in parents and slot is not head:
            ancestor: ko.Slot | None = before
            while ancestor is not None and not begets(ancestor, slot):
                ancestor = parents.get(ancestor)
            if ancestor is not None:
                parents[slot] = ancestor
            before, slot = slot, slot.next
    return parents


class _Family:
    """Objects of one kind that rarely change: which of them must be abstracted again is told by their fields."""

    def __init__(self, abstract: Callable[[Any], objects.Object], fields: Callable[[Any], Any]) -> None:
        self.abstract, self._fields = abstract, fields
        self.items: list[Any] = []
        self._names: list[int] = []
        self._seen: list[Any] = []
        self._abstract: list[Any] = []

    def take(self, named: dict[int, Any]) -> None:
        """Be about these objects from now on, by their addresses."""
        known = dict(zip(self.items, zip(self._seen, self._abstract, strict=True), strict=True))
        self.items, self._names = list(named.values()), list(named)
        pairs = [known.get(item, (None, None)) for item in self.items]
        self._seen, self._abstract = [seen for seen, _ in pairs], [abstract for _, abstract in pairs]

    def all(self) -> Iterable[tuple[int, objects.Object]]:
        """The abstractions by address."""
        seen = [*map(self._fields, self.items)]
        if seen != self._seen:
            pairs = zip(self.items, seen, self._seen, self._abstract, strict=True)
            self._abstract = [old if now == before else self.abstract(item) for item, now, before, old in pairs]
            self._seen = seen
        return zip(self._names, self._abstract, strict=True)


_BLOCKED: dict[type, Callable[[Any], Any]] = {
    kind: attrgetter(*kind.__slots__)
    for kind in (ko.BlockedOnSend, ko.BlockedOnReceive, ko.BlockedOnNotification, ko.BlockedOnReply)
}


def _all_of_tcb(tcb: ko.TCB) -> tuple[Any, ...]:
    """All that a thread's abstraction depends on."""
    blocked = _BLOCKED.get(type(tcb.state))
    return _TCB_FIELDS(tcb), tuple(tcb.registers), blocked and blocked(tcb.state)


def _all_of_sc(sc: ko.SchedContext) -> tuple[Any, ...]:
    """All that a scheduling context's abstraction depends on."""
    stack = _sched_context(sc).replies if sc.reply is not None else ()
    return _SC_FIELDS(sc), [*map(_REFILL, sc.refills)], stack


class Abstraction:
    """The abstraction of one running kernel, again and again; what has not changed is not taken apart twice.

    That caps and tree have not changed is told by all slots' caps, links and flags; of a table by its 4,096 bytes; of a
    thread or scheduling context by all of its fields.
    """

    def __init__(self, state: ks.State, machine: Machine) -> None:
        self.state = state
        self.machine = machine
        self.config = abstract_config(state.config)
        self.changed = True
        """Whether the last ``abstract`` found caps or tree changed since the one before."""
        # Objects that lie in no memory get addresses of their own.
        self._names: dict[int, int] = {
            id(state.idle): objects.IDLE_THREAD, id(state.idle_sc): objects.IDLE_SC,
            id(state.irq_slots): objects.IRQ_NODE,
        }  # fmt: skip
        self._containers: dict[int, ko.SlotContainer] = {}
        self._slots: list[ko.Slot] = []
        self._links: list[list[Any]] = []
        self._caps: dict[CSlot, caps.Cap] = {}
        self._cdt: dict[CSlot, CSlot] = {}
        self._cdt_list: dict[CSlot, tuple[CSlot, ...]] = {}
        self._original: set[CSlot] = set()
        self._others: list[Any] = []
        self._families = {
            ko.TCB: _Family(_tcb, _all_of_tcb),
            ko.SchedContext: _Family(_sched_context, _all_of_sc),
            ko.CNode: _Family(lambda cnode: objects.CNode(cnode.radix), attrgetter("radix")),
            kc.PageTableCap: _Family(lambda paddr: _page_table(self._table(paddr)), self._table),
            kc.IOPageTableCap: _Family(lambda paddr: _io_page_table(self._table(paddr)), self._table),
        }

    def abstract(self) -> State:
        """The abstract state now. Its maps are not to be changed; ``State.copy`` gives one that may be."""
        self._look_at_slots()
        new = State(self.config)
        new.caps, new.cdt, new.cdt_list, new.is_original_cap = self._caps, self._cdt, self._cdt_list, self._original
        new.kheap = self._heap()
        self._variables(new)
        return new

    def fork(self) -> "Abstraction":
        """Another of the same kernel, which knows what this one does and goes its own way."""
        other = copy(self)
        other._containers = self._containers.copy()
        other._families = {kind: copy(family) for kind, family in self._families.items()}
        return other

    def threads(self) -> list[ko.TCB]:
        """The threads that some cap led to when it was last looked, and the idle thread."""
        return self._families[ko.TCB].items

    def _name(self, item: Any) -> int:
        return self._names.get(id(item)) or _ptr(item)

    # Caps and tree

    def _look_at_slots(self) -> None:
        state = self.state
        for container in (state.irq_slots, state.initial, state.current):
            self._containers.setdefault(id(container), container)
        self.changed = not self._links_are_known()
        if self.changed:
            self._gather()
            self._links_are_known()

    def _links_are_known(self) -> bool:
        """Whether all slots that hold caps are as they were when this was last asked."""
        slots = [*chain.from_iterable([container.slots.values() for container in self._containers.values()])]
        slots = [slot for slot in slots if slot.cap is not ko.NULL]
        links = [[*map(link, slots)] for link in _LINKS]
        known = slots == self._slots and links == self._links
        self._slots, self._links = slots, links
        return known

    def _gather(self) -> None:
        """All slots that hold caps, from all containers that hold some or that a cap leads to."""
        live: dict[int, Any] = {}
        tables: dict[int, type] = {}
        self._caps, self._original = {}, set()
        names: dict[ko.Slot, CSlot] = {}
        work = list(self._containers.values())
        holding: set[int] = set()
        for container in work:
            name = self._name(container)
            for slot in container.slots.values():
                if slot.cap is ko.NULL:
                    continue
                key = names[slot] = name, slot.index
                holding.add(id(container))
                self._caps[key] = abstract_cap(slot.cap)
                if slot.revocable:
                    self._original.add(key)
                target = referent(slot.cap)
                if target is None:
                    if isinstance(slot.cap, (kc.PageTableCap, kc.IOPageTableCap)):
                        tables[slot.cap.paddr] = type(slot.cap)
                elif id(target) not in live:
                    live[id(target)] = target
                    if isinstance(target, ko.SlotContainer) and id(target) not in self._containers:
                        self._containers[id(target)] = target
                        work.append(target)
        self._containers = {key: item for key, item in self._containers.items() if key in live or key in holding}
        self._take(live.values(), tables)
        self._cdt = {names[slot]: names[parent] for slot, parent in derivations(list(names)).items()}
        below: dict[CSlot, list[CSlot]] = {}
        for child, parent in self._cdt.items():
            below.setdefault(parent, []).append(child)
        self._cdt_list = {parent: tuple(children) for parent, children in below.items()}

    # Objects and variables

    def _take(self, live: Iterable[Any], tables: dict[int, type]) -> None:
        """Sort what caps lead to by kind: tables by their caps', all others by their own."""
        state = self.state
        kinds: dict[type, dict[int, Any]] = {kind: {} for kind in self._families}
        kinds[ko.TCB][objects.IDLE_THREAD], kinds[ko.SchedContext][objects.IDLE_SC] = state.idle, state.idle_sc
        for item in live:
            kinds.setdefault(type(item), {})[item.paddr] = item
        for paddr, kind in tables.items():
            kinds[kind][paddr] = paddr
        for kind, family in self._families.items():
            family.take(kinds.pop(kind))
        self._others = [*chain.from_iterable(named.values() for named in kinds.values())]

    def _table(self, paddr: int) -> bytes:
        return self.machine.read_bytes(paddr, TABLE_BYTES)

    def _heap(self) -> dict[int, objects.Object]:
        heap = {item.paddr: _OBJECTS[type(item)](item) for item in self._others}
        for family in self._families.values():
            heap.update(family.all())
        return heap

    def _variables(self, new: State) -> None:
        state = self.state
        ready = [(index, _queue(queue)) for index, queue in state.ready.items() if queue.head is not None]
        new.ready_queues = {divmod(index, ks.PRIORITIES): queue for index, queue in ready}
        new.release_queue = _queue(state.release)
        new.irq_states = tuple(state.irq_states)
        new.asid_table = {high: pool.paddr for high, pool in state.asid_table.items()}
        new.io_contexts = dict(state.io_contexts)
        new.cur_thread, new.cur_sc = self._name(state.current), self._name(state.current_sc)
        new.scheduler_action = ResumeCurrentThread
        if state.action != ks.RESUME_CURRENT:
            new.scheduler_action = ChooseNewThread if state.candidate is None else self._name(state.candidate)
        new.cur_time, new.consumed_time = state.time, state.consumed
        new.reprogram_timer, new.work_units = state.reprogram, state.work_units
        new.cur_domain, new.domain_time = state.domain, state.domain_time
        new.domain_index, new.domain_start = state.domain_index, state.domain_start
        new.domain_list = tuple(state.domain_schedule)
