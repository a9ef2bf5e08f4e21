"""The capability state of a booted system as a specification. Only reads the state.

    text = show(export(system.state))

Objects that are derived from nothing (those of boot) have names that begin with ``boot_``. What capDL cannot say is
left out; ``unsaid`` lists what of it is there.
"""

from collections.abc import Mapping

from capkernel.abi.flags import TCB_FPU_DISABLED
from capkernel.abi.objects import ASID_LOW_BITS, PAGE_TABLE_BITS
from capkernel.abi.registers import FAULT_IP, SP
from capkernel.abi.words import MASK
from capkernel.kernel import vspace
from capkernel.kernel.caps import FrameCap, PageTableCap, UntypedCap
from capkernel.kernel.objects import INACTIVE, NULL, TCB, ASIDPool, CNode, SchedContext, Slot
from capkernel.kernel.slots import is_parent_of
from capkernel.kernel.state import IRQ_SIGNAL, State
from capkernel.runtime.snapshot import save
from capkernel.system.capdl.model import TCB_SLOTS, Cap, Domains, Object, SlotRef, Spec, make_object
from capkernel.tools.capdl.keys import SPECIAL_CAPS, Key, container_key, default_name, describe, key_of, object_of
from capkernel.tools.explain.faults import permissions

KERNEL_TO_CAPDL = {0: 0, 1: 1, 2: 4, 3: 5, 4: 7}
"""The slots of a TCB as the kernel and as capDL number them."""
_RIGHTS_OF = {"R": 2, "W": 1, "X": 4}


def export(state: State, names: Mapping[Key, str] | None = None) -> Spec:
    """What there is, by caps. With ``names``, only the objects that it names."""
    return _Exporter(state, names).run()


class _Exporter:
    def __init__(self, state: State, names: Mapping[Key, str] | None) -> None:
        self.state = state
        self.names = dict(names or {})
        self.named_only = names is not None
        self.spec = Spec()
        items = [item for item, _ in save(state)]
        self.containers = [c for c in items if isinstance(c, CNode | TCB) and c is not state.idle]
        self.slots = [s for c in self.containers for s in c.slots.values() if s.cap is not NULL]
        self.slots += [s for s in state.irq_slots.slots.values() if s.cap is not NULL]
        self.contexts = [c for c in items if isinstance(c, SchedContext)]
        self.pools = [p for p in items if isinstance(p, ASIDPool)]
        self.parents = _parents(self.slots)
        self.untyped_of: dict[Key, Key] = {}
        self.frames: dict[int, str] = {}
        """The frames by address."""

    def run(self) -> Spec:
        self._name_objects()
        for slot in self.slots:
            self._slot(slot)
        for child, parent in self.untyped_of.items():
            if child in self.names and parent in self.names:
                self.spec.covers[self.names[child]] = self.names[parent]
        self.frames = {key[1]: name for key, name in self.names.items() if key[0] == "frame"}
        for key, name in self.names.items():
            if key[0] == "pt" and name in self.spec.objects:
                self._page_table(name, key[1])
        for pool in self.pools:
            self._pool(pool)
        for thread in self.containers:
            if isinstance(thread, TCB):
                self._thread(thread)
        for context in self.contexts:
            self._context(context)
        self._interrupts()
        self._cdt()
        self._domains()
        return self.spec

    def _name_objects(self) -> None:
        """Objects are what caps refer to; their untyped is the nearest that they were derived from."""
        for slot in self.slots:
            key = key_of(slot.cap)
            if key is None:
                continue
            parent = self._untyped_above(slot, key)
            if parent is not None:
                self.untyped_of[key] = parent
        for slot in self.slots:
            key = key_of(slot.cap)
            if key is None or (self.named_only and key not in self.names):
                continue
            if key not in self.names:
                self.names[key] = default_name(key, is_boot=key not in self.untyped_of)
            self.spec.objects[self.names[key]] = object_of(slot.cap)

    def _untyped_above(self, slot: Slot, key: Key) -> Key | None:
        above = self.parents.get(id(slot))
        while above is not None:
            found = key_of(above.cap)
            if isinstance(above.cap, UntypedCap) and found != key:
                return found
            above = self.parents.get(id(above))
        return None

    def ref(self, slot: Slot) -> SlotRef | None:
        """The slot as capDL names it; None if its container has no name."""
        container = slot.container
        if container is self.state.irq_slots:
            name = self.names.get(("irq", slot.index, 0))
            return None if name is None else (name, 0)
        name = self.names.get(container_key(container))
        if name is None:
            return None
        return name, KERNEL_TO_CAPDL[slot.index] if isinstance(container, TCB) else slot.index

    def _slot(self, slot: Slot) -> None:
        ref, cap = self.ref(slot), slot.cap
        special = SPECIAL_CAPS.get(type(cap))
        if ref is None or ref[0] not in self.spec.objects:
            return
        if special is not None:
            self.spec.slots[ref] = describe(cap, special)
            return
        key = key_of(cap)
        if key is None or key not in self.names:
            return
        found = describe(cap, self.names[key])
        if isinstance(cap, PageTableCap) and cap.is_mapped and vspace.vspace_root(self.state, cap.asid) == cap.paddr:
            asid = (cap.asid >> ASID_LOW_BITS, cap.asid & MASK[ASID_LOW_BITS])
            found = Cap(found.object, asid=asid)
        elif isinstance(cap, FrameCap) and cap.asid:
            found = Cap(found.object, rights=found.rights, mapping=self._mapping(cap))
        self.spec.slots[ref] = found

    def _mapping(self, cap: FrameCap) -> SlotRef | None:
        """The page table entry that this cap made, if it is still there."""
        root = vspace.vspace_root(self.state, cap.asid)
        if not root:
            return None
        entry, bits = vspace.lookup_pt_slot(self.state, root, cap.vaddr)
        pte = self.state.machine.read_word(entry)
        if bits != cap.size_bits or not pte & vspace.PTE_VALID or vspace.pte_paddr(pte) != cap.paddr:
            return None
        name = self.names.get(("pt", entry & ~MASK[PAGE_TABLE_BITS], 0))
        return None if name is None else (name, (entry & MASK[PAGE_TABLE_BITS]) >> 3)

    def _page_table(self, name: str, paddr: int) -> None:
        data = self.state.machine.read_bytes(paddr, 1 << PAGE_TABLE_BITS)
        for index in range(512):
            pte = int.from_bytes(data[8 * index : 8 * index + 8], "little")
            if not pte & vspace.PTE_VALID:
                continue
            target = vspace.pte_paddr(pte)
            if vspace.is_table_pte(pte):
                table = self.names.get(("pt", target, 0))
                if table is not None:
                    self.spec.slots[name, index] = Cap(table)
            elif target in self.frames:
                rights = sum(_RIGHTS_OF[letter] for letter in permissions(pte) if letter != "-")
                self.spec.slots[name, index] = Cap(self.frames[target], rights=rights)

    def _pool(self, pool: ASIDPool) -> None:
        name = self.names.get(("asid_pool", pool.paddr, 0))
        if name is None or name not in self.spec.objects:
            return
        for low, paddr in pool.roots.items():
            table = self.names.get(("pt", paddr, 0))
            if table is not None:
                self.spec.slots[name, low] = Cap(table)

    def _thread(self, thread: TCB) -> None:
        name = self.names.get(container_key(thread))
        if name is None or name not in self.spec.objects:
            return
        self.spec.objects[name] = make_object(
            "tcb", addr=thread.ipc_buffer, ip=thread.registers[FAULT_IP], sp=thread.registers[SP],
            prio=thread.priority, max_prio=thread.mcp, dom=thread.domain or None,
            fpu_disabled=bool(thread.flags & TCB_FPU_DISABLED) or None, resume=thread.state is not INACTIVE,
        )  # fmt: skip
        for slot, thing, kind in (
            ("sc_slot", thread.sched_context, "sc"), ("bound_notification", thread.bound_notification, "notification"),
        ):  # fmt: skip
            target = None if thing is None else self.names.get((kind, thing.paddr, 0))
            if target is not None:
                self.spec.slots[name, TCB_SLOTS[slot]] = Cap(target)

    def _context(self, context: SchedContext) -> None:
        name = self.names.get(("sc", context.paddr, 0))
        if name is None or name not in self.spec.objects:
            return
        self.spec.objects[name] = self._context_object(context)

    def _context_object(self, context: SchedContext) -> Object:
        """Times in microseconds; a round-robin context has its budget as period."""
        if not context.refill_max:
            return make_object("sc", bits=context.size_bits)
        ticks = self.state.config.ticks_per_us
        budget = sum(refill.amount for refill in context.refills) // ticks
        period = context.period // ticks or budget
        data = context.badge or None
        return make_object("sc", bits=context.size_bits, period=period, budget=budget, data=data)

    def _interrupts(self) -> None:
        for number, use in enumerate(self.state.irq_states):
            name = self.names.get(("irq", number, 0))
            if use == IRQ_SIGNAL and name is not None and name in self.spec.objects:
                self.spec.irqs[number] = name

    def _cdt(self) -> None:
        """The nearest ancestor that the specification knows."""
        for slot in self.slots:
            child = self.ref(slot)
            if child is None or child not in self.spec.slots:
                continue
            above = self.parents.get(id(slot))
            while above is not None:
                parent = self.ref(above)
                if parent is not None and parent in self.spec.slots:
                    self.spec.cdt[child] = parent
                    break
                above = self.parents.get(id(above))

    def _domains(self) -> None:
        if self.state.config.num_domains > 1:
            entries = list(self.state.domain_schedule)
            while entries and entries[-1] == (0, 0):
                entries.pop()
            self.spec.domains = Domains(tuple(entries), self.state.domain_start)


def _parents(slots: list[Slot]) -> dict[int, Slot]:
    """The slot that each slot's cap was derived from. The lists are in prefix order, so a stack will do."""
    found: dict[int, Slot] = {}
    for head in slots:
        if head.prev is not None:
            continue
        open_: list[Slot] = []
        slot: Slot | None = head
        while slot is not None:
            while open_ and not is_parent_of(open_[-1], slot):
                open_.pop()
            if open_:
                found[id(slot)] = open_[-1]
            open_.append(slot)
            slot = slot.next
    return found
