"""States as short tuples of numbers: each object's fields are kept once and numbered (collapse compression).

A state is saved by numbering what is in each object now, and gone back to by rewriting the objects whose number
differs. What makes the set of states finite is here, too, and nowhere else:

* Time is relative to now. Going back to a state sets the clock to the same tick each time.
* A refill that is ready, of a context that is not the current one, has the time now: when the context is switched to,
  the kernel sets that (``refill_unblock_check``); until then it only asks whether it has come. A round-robin context's
  refill times are never looked at but for that.
* Of a thread's registers only the program counter counts, and, where that is at a system call that will be made
  (again), which one of its actions it is, and what an answer has overwritten since. All messages are empty, and an
  action sets all registers afresh.
* ``SchedContext.consumed`` and the time left of a domain's (endless) turn are not part of a state. They are reported
  to users, and decide nothing.
"""

from collections.abc import Callable
from functools import partial
from operator import attrgetter
from typing import Any

from capkernel.abi.registers import FAULT_IP, NEXT_IP
from capkernel.kernel import objects as ko
from capkernel.kernel.caps import ThreadCap, ZombieCap
from capkernel.kernel.objects import TCB, CapFault, Endpoint, Notification, Refill, Reply, SchedContext, Slot
from capkernel.kernel.objects import Timeout as TimeoutFault
from capkernel.kernel.state import State
from specs.explore.board import Board
from specs.programs.layout import INSN_PC

ECALL = INSN_PC["ecall"]
NEVER = 1 << 50
"""Ticks: no time that is waited for in a system is as far away."""
_TCB = ("bound_notification", "domain", "flags", "mcp", "priority", "queue_next", "queue_prev", "queued",
        "sched_context", "yield_to")  # fmt: skip
_ENDPOINT = ("state",)
_NOTIFICATION = ("badge", "bound_tcb", "sched_context", "state")
_REPLY = ("next", "prev", "tcb")
_SC = ("badge", "notification", "period", "refill_max", "reply", "size_bits", "sporadic", "tcb", "yield_from")
_SLOT = ("cap", "first_badged", "next", "prev", "revocable")
_KERNEL = ("action", "candidate", "consumed", "current", "current_sc", "domain", "reprogram", "work_units")
CAPTURED: dict[type, frozenset[str]] = {
    TCB: frozenset((*_TCB, "registers", "state", "fault")), Endpoint: frozenset((*_ENDPOINT, "queue")),
    Notification: frozenset((*_NOTIFICATION, "queue")), Reply: frozenset(_REPLY),
    SchedContext: frozenset((*_SC, "refills")), Slot: frozenset(_SLOT),
    State: frozenset((*_KERNEL, "ready", "ready_bitmap", "release")),
}  # fmt: skip
"""The fields that are part of a state, by the kind of object."""
IGNORED: dict[type, frozenset[str]] = {
    State: frozenset(("time", "domain_time")), SchedContext: frozenset(("consumed",)), TCB: frozenset(("fp_registers",))
}
"""The fields that change and are no part of a state, for the reasons above."""

StateKey = tuple[int, ...]
"""The numbers of what is in each object."""


class Component:
    """What one object can look like: ``look`` gives its fields as a hashable value, ``put`` puts such a value back.

    What ``holds_times`` is the same number at another time, but other fields. ``learn`` is called when ``look`` has
    found something that it never saw.
    """

    def __init__(
        self, look: Callable[[], Any], put: Callable[[Any], None], *, holds_times: bool = False,
        learn: Callable[[], None] | None = None,
    ) -> None:  # fmt: skip
        self.look, self.put, self.holds_times, self._learn = look, put, holds_times, learn
        self._numbers: dict[Any, int] = {}
        self.values: list[Any] = []
        """By number."""
        self.now: int | None = None
        """The number of what was in the object last; None if that is not known."""

    def number(self, value: Any) -> int:
        """The number of what is in the object now, which is this."""
        found = self._numbers.get(value)
        if found is None:
            found = self._numbers[value] = len(self.values)
            self.values.append(value)
            if self._learn is not None:
                self._learn()
        self.now = found
        return found


class States:
    """Numbers the states of a system, whose objects are given. ``last`` is each thread's last action."""

    def __init__(self, state: State, board: Board, threads: list[TCB], others: list[Any], slots: list[Slot]) -> None:
        self.state, self.board, self.threads = state, board, threads
        self.last = [0] * len(threads)
        self.base = state.time
        self._domain_time = state.domain_time
        self._waits: dict[Any, Any] = {}
        makers = {Endpoint: self._queued, Notification: self._queued, Reply: self._reply, SchedContext: self._context}
        self.components = [
            self._kernel(),
            *(self._thread(index, tcb) for index, tcb in enumerate(threads)),
            *(makers[type(item)](item) for item in others),
            self._slots(slots),
        ]

    def key(self) -> StateKey:
        """The state now."""
        found = []
        for component in self.components:
            value, now = component.look(), component.now
            if now is None or value != component.values[now]:
                now = component.number(value)
            found.append(now)
        return tuple(found)

    def restore(self, key: StateKey) -> None:
        """Go back to a state."""
        shifted = self.state.time != self.base
        for component, number in zip(self.components, key, strict=True):
            if component.now != number or (shifted and component.holds_times):
                component.put(component.values[number])
                component.now = number
        self.state.time = self.board.time = self.base
        self.state.domain_time = self._domain_time

    def forget(self) -> None:
        """Nothing is known of what is in the objects: the next ``restore`` rewrites them all."""
        for component in self.components:
            component.now = None

    # One component for each kind of object

    def _thread(self, index: int, tcb: TCB) -> Component:
        fields, last, waits = attrgetter(*_TCB), self.last, self._waits
        plain = {ko.INACTIVE: "Inactive", ko.RUNNING: "Running", ko.RESTART: "Restart"}

        def look() -> Any:
            doing, fault = tcb.state, tcb.fault
            registers = tcb.registers
            pending: Any = 0
            if registers[NEXT_IP if doing is ko.RUNNING else FAULT_IP] == ECALL:
                pending = last[index] + 1
                if registers[:FAULT_IP] != self.loaded[index][pending - 1][:FAULT_IP]:
                    pending = pending, tuple(registers[:FAULT_IP])
            key = plain.get(doing) or _doing(doing)
            return fields(tcb), key, fault and _fault(fault), pending

        def learn() -> None:
            waits.setdefault(_doing(tcb.state), tcb.state)
            waits.setdefault(tcb.fault and _fault(tcb.fault), tcb.fault)

        def put(value: Any) -> None:
            names, doing, fault, pending = value
            (tcb.bound_notification, tcb.domain, tcb.flags, tcb.mcp, tcb.priority, tcb.queue_next, tcb.queue_prev,
             tcb.queued, tcb.sched_context, tcb.yield_to) = names  # fmt: skip
            tcb.state, tcb.fault = waits[doing], waits[fault]
            if pending:
                pending, overwritten = pending if type(pending) is tuple else (pending, ())
                last[index] = pending - 1
                tcb.registers[:] = self.loaded[index][pending - 1]
                tcb.registers[: len(overwritten)] = overwritten
                if doing == "Running":
                    tcb.registers[NEXT_IP] = ECALL
            else:
                tcb.registers[FAULT_IP] = tcb.registers[NEXT_IP] = ECALL + 4

        return Component(look, put, learn=learn)

    loaded: list[list[list[int]]]
    """For each thread the registers with which each of its actions is begun, the program counter behind the call."""

    def _queued(self, item: Any) -> Component:
        names = _ENDPOINT if type(item) is Endpoint else _NOTIFICATION
        fields, queue = attrgetter(*names, "queue.head", "queue.tail"), item.queue

        def put(value: Any) -> None:
            for name, field in zip(names, value, strict=False):
                setattr(item, name, field)
            queue.head, queue.tail = value[-2:]

        # One field and two of the queue, or more: ``attrgetter`` gives a tuple of them all.
        return Component(partial(fields, item), put)

    def _reply(self, item: Any) -> Component:
        fields = attrgetter(*_REPLY)

        def put(value: Any) -> None:
            item.next, item.prev, item.tcb = value

        return Component(partial(fields, item), put)

    def _context(self, sc: Any) -> Component:
        fields, base = attrgetter(*_SC), self.base

        def look() -> Any:
            if sc.period == 0:
                return fields(sc), tuple([(0, refill.amount) for refill in sc.refills])
            return fields(sc), self._relative_refills(sc)

        def put(value: Any) -> None:
            names, refills = value
            (sc.badge, sc.notification, sc.period, sc.refill_max, sc.reply, sc.size_bits, sc.sporadic, sc.tcb,
             sc.yield_from) = names  # fmt: skip
            sc.refills = [Refill(base + time, amount) for time, amount in refills]

        return Component(look, put, holds_times=True)

    def _relative_refills(self, sc: SchedContext) -> tuple[tuple[int, int], ...]:
        """A periodic context's refills with times relative to now, one that is ready at 0 if only that is asked."""
        now = self.state.time
        refills = [(refill.time - now, refill.amount) for refill in sc.refills]
        if refills and refills[0][0] <= 0 and sc is not self.state.current_sc and not sc.sporadic:
            amount = refills.pop(0)[1]
            while refills and refills[0][0] <= amount:
                amount += refills.pop(0)[1]
            refills.insert(0, (0, amount))
        return tuple(refills)

    def _slots(self, slots: list[Slot]) -> Component:
        fields, waits = attrgetter(*_SLOT), self._waits
        threads = [slot for slot in slots if isinstance(slot.cap, ThreadCap)]
        # Links and flags change only where a cap comes or goes; they are looked at when one has.
        held: list[ko.Cap] = []
        shown: Any = ()

        def look() -> Any:
            nonlocal held, shown
            caps = [slot.cap for slot in slots]
            if caps != held:
                values = tuple(map(fields, slots))
                zombie = any(type(slot.cap) is ZombieCap for slot in threads)
                held, shown = caps, tuple(map(plain, values)) if zombie else values
            return shown

        def plain(value: Any) -> Any:
            cap = value[0]
            if type(cap) is not ZombieCap:
                return value
            key = ("zombie", cap.container, cap.number, cap.size_bits)
            waits.setdefault(key, cap)
            return key, *value[1:]

        def put(value: Any) -> None:
            nonlocal held, shown
            for slot, (cap, first_badged, after, before, revocable) in zip(slots, value, strict=True):
                slot.cap = waits[cap] if type(cap) is tuple else cap
                slot.first_badged, slot.next, slot.prev, slot.revocable = first_badged, after, before, revocable
            held, shown = [slot.cap for slot in slots], value

        return Component(look, put)

    def _kernel(self) -> Component:
        state, board, fields = self.state, self.board, attrgetter(*_KERNEL)

        def look() -> Any:
            ready = [(index, q.head, q.tail) for index, q in state.ready.items() if q.head or q.tail]
            ready.sort(key=lambda item: item[0])
            release, until = state.release, board.deadline - state.time
            rest = tuple(state.ready_bitmap), release.head, release.tail, board.claimed, board.masked
            return fields(state), tuple(ready), rest, until if until < NEVER else NEVER

        def put(value: Any) -> None:
            names, ready, rest, until = value
            (state.action, state.candidate, state.consumed, state.current, state.current_sc, state.domain,
             state.reprogram, state.work_units) = names  # fmt: skip
            for queue in state.ready.values():
                queue.head = queue.tail = None
            for index, head, tail in ready:
                state.ready[index].head, state.ready[index].tail = head, tail
            state.ready_bitmap[:] = rest[0]
            state.release.head, state.release.tail, board.claimed, board.masked = rest[1:]
            board.deadline = self.base + until

        return Component(look, put, holds_times=True)


def _doing(state: Any) -> Any:
    """What a thread does, as a value that is equal for equal states."""
    kind = type(state)
    if kind is ko.PlainState:
        return state.name
    if kind is ko.BlockedOnSend:
        return kind, state.endpoint, state.badge, state.can_grant, state.can_grant_reply, state.is_call
    if kind is ko.BlockedOnReceive:
        return kind, state.endpoint, state.reply
    return kind, state.notification if kind is ko.BlockedOnNotification else state.reply


def _fault(fault: Any) -> Any:
    kind = type(fault)
    if kind is CapFault:
        return kind, fault.address, fault.in_receive_phase
    return kind, fault.badge if kind is TimeoutFault else fault.number
