"""A state of the protocol as bytes, for comparing with another checker's: who does what, who waits where, whose time.

References are numbers from 1, 0 is nobody; the order is that of ``FIELDS``. Left out of it are ticks (waiting for a
refill is counted in units), addresses in faults, and how the caps are derived from each other.
"""

from collections.abc import Iterable
from itertools import chain
from typing import Any

from capkernel.abi.registers import FAULT_IP, NEXT_IP
from capkernel.kernel import objects as ko
from capkernel.kernel.caps import EndpointCap, ZombieCap
from capkernel.kernel.objects import NULL, TCB, SchedContext, Timeout
from specs.explore.model import UNIT_US
from specs.explore.states import ECALL
from specs.explore.system import System
from specs.programs import SLOTS
from specs.programs.layout import IRQ_LINE

THREADS, PLACES = 3, 3
ENDPOINTS, NOTIFICATIONS = ("ep0", "ep1"), ("ntfn0", "ntfn1")
REPLIES, CONTEXTS, TCBS = (tuple(f"{kind}{n}" for n in range(THREADS)) for kind in ("reply", "sc", "tcb"))
CAPS = ("ep0", "ep0_badged", "ep1", "ep1_badged", "ntfn0", "ntfn0_badge1", "ntfn0_badge2", "ntfn1",
        *REPLIES, *TCBS, *CONTEXTS)  # fmt: skip
FIELDS: tuple[tuple[str, int], ...] = (
    *((name, THREADS) for name in (
        "doing", "on", "with reply", "badge", "calls", "fault", "priority", "context", "yields to", "bound to",
        "pending", "queued", "fault handler", "timeout handler",
    )),
    ("ready", PLACES), ("released later", PLACES), ("at ep0", PLACES), ("at ep1", PLACES), ("at ntfn0", PLACES),
    ("at ntfn1", PLACES), ("endpoint tag", 2), ("notification tag", 2), ("signals", 2), ("bound thread", 2),
    ("lends context", 2), ("reply thread", 3), ("reply below", 3), ("reply above", 3), ("context thread", 3),
    ("stack top", 3), ("context notification", 3), ("yielded from", 3), ("units to wait", 3), ("configured", 3),
    ("caps", len(CAPS)), ("line has cap", 1), ("line claimed", 1), ("current", 1),
)  # fmt: skip
"""The bytes of a projection: name and how many."""
_DOING = {"Inactive": 0, "Running": 1, "Restart": 2, ko.BlockedOnSend: 3, ko.BlockedOnReceive: 4,
          ko.BlockedOnNotification: 5, ko.BlockedOnReply: 6}  # fmt: skip
_FAULTS: dict[type, int] = {type(None): 0, ko.CapFault: 1, ko.UnknownSyscall: 2, Timeout: 3}
OVERWRITTEN = 99
"""A pending call whose registers an answer has overwritten: made again, it invokes the cap at address 0."""
UNIT_TICKS = UNIT_US * 10


class Projector:
    """Projects the states of one system."""

    def __init__(self, system: System) -> None:
        self.system = system
        slot = system.node.slot
        caps = {name: slot(SLOTS[name]).cap for name in (*ENDPOINTS, *NOTIFICATIONS, *REPLIES, *CONTEXTS)}
        # All of these exist, whether the configuration speaks of them or not; only of threads there may be fewer.
        self.endpoints: list[Any] = [getattr(caps[name], "endpoint", None) for name in ENDPOINTS]
        self.notifications: list[Any] = [getattr(caps[name], "notification", None) for name in NOTIFICATIONS]
        self.replies: list[Any] = [getattr(caps[name], "reply", None) for name in REPLIES]
        self.contexts: list[Any] = [getattr(caps[name], "sched_context", None) for name in CONTEXTS]
        self.threads: list[TCB | None] = [*system.threads, *[None] * (THREADS - len(system.threads))]
        kinds = (self.threads, self.endpoints, self.notifications, self.replies, self.contexts)
        self._number = {id(x): n for items in kinds for n, x in enumerate(items, 1) if x is not None}
        self._slots = [slot(SLOTS[name]) for name in CAPS]

    def _of(self, item: Any) -> int:
        return 0 if item is None else self._number.get(id(item), 0)

    def __call__(self) -> bytes:
        """The present state."""
        state, system = self.system.state, self.system
        threads = [self._thread(index, tcb) for index, tcb in enumerate(self.threads)]
        notifications, contexts = self.notifications, self.contexts
        ready = [tcb for _, queue in sorted(state.ready.items(), reverse=True) for tcb in queue]
        queues = [ready, state.release, *(e.queue for e in self.endpoints), *(n.queue for n in notifications)]
        above = [self._of(r.next) + (3 if type(r.next) is SchedContext else 0) for r in self.replies]
        per_context = [self._context(sc) for sc in contexts]
        return bytes(chain(
            *zip(*threads, strict=True), *(self._places(queue) for queue in queues),
            (e.state for e in self.endpoints), (n.state for n in notifications),
            (n.badge if n.state == ko.NTFN_ACTIVE else 0 for n in notifications),
            (self._of(n.bound_tcb) for n in notifications), (self._of(n.sched_context) for n in notifications),
            (self._of(r.tcb) for r in self.replies), (self._of(r.prev) for r in self.replies), above,
            *zip(*per_context, strict=True), (_cap(slot.cap) for slot in self._slots),
            (system.state.irq_slots.slot(IRQ_LINE).cap is not NULL, system.board.claimed, self._of(state.current)),
        ))  # fmt: skip

    def _places(self, queue: Iterable[TCB]) -> list[int]:
        found = [self._of(tcb) for tcb in queue]
        return found + [0] * (PLACES - len(found))

    def _thread(self, index: int, tcb: TCB | None) -> tuple[int, ...]:
        if tcb is None:
            return (0,) * 14
        doing = tcb.state
        sends = type(doing) is ko.BlockedOnSend
        on = getattr(doing, "endpoint", None) or getattr(doing, "notification", None)
        with_reply = getattr(doing, "reply", None)
        if type(doing) is ko.BlockedOnReply:
            on, with_reply = with_reply, None
        at = tcb.registers[NEXT_IP if doing is ko.RUNNING else FAULT_IP] == ECALL
        return (
            _DOING[doing.name if type(doing) is ko.PlainState else type(doing)], self._of(on), self._of(with_reply),
            int(sends and getattr(doing, "badge", 0) != 0), int(sends and bool(getattr(doing, "is_call", False))),
            _FAULTS[type(tcb.fault)], tcb.priority, self._of(tcb.sched_context), self._of(tcb.yield_to),
            self._of(tcb.bound_notification), self._pending(index) if at else 0, tcb.queued,
            self._handler(tcb.fault_slot.cap), self._handler(tcb.timeout_slot.cap),
        )  # fmt: skip

    def _pending(self, index: int) -> int:
        return OVERWRITTEN if self.system.is_overwritten(index) else self.system.states.last[index] + 1

    def _handler(self, cap: ko.Cap) -> int:
        return self._of(cap.endpoint) if isinstance(cap, EndpointCap) else 0

    def _context(self, sc: Any) -> tuple[int, ...]:
        if sc is None:
            return (0,) * 6
        wait = 0
        if sc.refill_max and sc.period:
            wait = max(0, -(-(sc.refills[0].time - self.system.state.time) // UNIT_TICKS))
        return (
            self._of(sc.tcb), self._of(sc.reply), self._of(sc.notification), self._of(sc.yield_from), wait,
            int(sc.refill_max > 0),
        )  # fmt: skip


def _cap(cap: ko.Cap) -> int:
    if isinstance(cap, ZombieCap):
        return 10 + cap.number
    return 0 if cap is NULL else 1


def explain(projection: bytes) -> dict[str, list[int]]:
    """A projection by the names of its fields."""
    found, at = {}, 0
    for name, count in FIELDS:
        found[name] = list(projection[at : at + count])
        at += count
    return found
