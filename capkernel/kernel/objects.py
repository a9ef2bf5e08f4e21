"""Kernel objects: what exists. Each lives at a physical address inside the untyped that paid for it.

Objects are mutable and slotted; a cap (``caps``) is an immutable value that refers to one. Frames and page
tables are not objects here: they are memory, and live in RAM only.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from capkernel.abi.registers import REGISTER_COUNT

READY_QUEUE = 1
RELEASE_QUEUE = 2


class KernelBug(Exception):
    """The kernel broke one of its own rules. Never the user's fault."""


class Cap:
    """Authority over something. Every cap but ``NULL`` is defined in ``caps``."""

    __slots__ = ()


class NullCap(Cap):
    """No authority; an empty slot holds it."""

    __slots__ = ()


NULL = NullCap()


class Slot:
    """A place that holds a cap, with its links in the capability derivation list.

    The derivation tree is kept as one list in prefix order, as seL4 does: the children of a slot follow it, and
    ``revocable`` and ``first_badged`` say where a subtree can begin. ``container`` and ``index`` say where it is.
    """

    __slots__ = ("cap", "container", "first_badged", "index", "next", "prev", "revocable")

    def __init__(self, container: "SlotContainer", index: int) -> None:
        self.cap: Cap = NULL
        self.prev: Slot | None = None
        self.next: Slot | None = None
        self.revocable = False
        self.first_badged = False
        self.container = container
        self.index = index


class SlotContainer:
    """Whatever has slots: a CNode, a TCB, the kernel's interrupt table. Slots appear when first touched."""

    __slots__ = ("paddr", "slots")

    def __init__(self, paddr: int) -> None:
        self.paddr = paddr
        self.slots: dict[int, Slot] = {}

    def slot(self, index: int) -> Slot:
        """The slot of that index; the caller has checked the range."""
        found = self.slots.get(index)
        if found is None:
            found = self.slots[index] = Slot(self, index)
        return found


class CNode(SlotContainer):
    """A table of 2**radix slots."""

    __slots__ = ("radix",)

    def __init__(self, paddr: int, radix: int) -> None:
        super().__init__(paddr)
        self.radix = radix


class ThreadState:
    """What a thread is doing. A state that waits for something carries what it waits for."""

    __slots__ = ()


class PlainState(ThreadState):
    """A state without data."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


INACTIVE: ThreadState = PlainState("Inactive")
RUNNING: ThreadState = PlainState("Running")
RESTART: ThreadState = PlainState("Restart")
IDLE: ThreadState = PlainState("IdleThread")


class Blocked(ThreadState):
    """A state that ends when somebody else acts."""

    __slots__ = ()


@dataclass(eq=False, slots=True)
class BlockedOnSend(Blocked):
    """Queued on an endpoint to send (or call, or deliver a fault), with what the sending cap allowed."""

    endpoint: "Endpoint"
    badge: int
    can_grant: bool
    can_grant_reply: bool
    is_call: bool


@dataclass(eq=False, slots=True)
class BlockedOnReceive(Blocked):
    """Queued on an endpoint to receive; ``reply`` will hold the caller."""

    endpoint: "Endpoint"
    reply: "Reply | None"


@dataclass(eq=False, slots=True)
class BlockedOnNotification(Blocked):
    """Queued on a notification."""

    notification: "Notification"


@dataclass(eq=False, slots=True)
class BlockedOnReply(Blocked):
    """Waiting for the answer to a call or a fault."""

    reply: "Reply"


@dataclass(eq=False, slots=True)
class LookupFailure:
    """Why a cap address did not lead to a cap: kind (``abi.errors``) and its words."""

    kind: int
    words: tuple[int, ...] = ()


class Fault:
    """What a thread did that the kernel cannot let pass; sent to its handler (manual, section 6.2)."""

    __slots__ = ()


@dataclass(eq=False, slots=True)
class CapFault(Fault):
    """A cap address led nowhere, in the send or the receive phase of a system call."""

    address: int
    in_receive_phase: bool
    failure: LookupFailure


@dataclass(eq=False, slots=True)
class UnknownSyscall(Fault):
    """A system call number that means nothing."""

    number: int


@dataclass(eq=False, slots=True)
class UserException(Fault):
    """An exception that is not a memory access: RISC-V cause number, and code (always 0)."""

    number: int
    code: int


@dataclass(eq=False, slots=True)
class VMFault(Fault):
    """A memory access that the page tables do not allow; status is 1, 5 or 7 (fetch, load, store)."""

    address: int
    is_fetch: bool
    status: int


@dataclass(eq=False, slots=True)
class Timeout(Fault):
    """The budget is used up; ``badge`` is that of the scheduling context."""

    badge: int


class TCB(SlotContainer):
    """A thread: registers, state, priority, and five slots of its own.

    ``queue_next``/``queue_prev`` link it into the one queue it stands in: ready, release, or an object's.
    """

    __slots__ = (
        "bound_notification", "buffer_slot", "cspace_slot", "domain", "fault", "fault_slot", "flags", "fp_registers",
        "ipc_buffer", "mcp", "name", "priority", "queue_next", "queue_prev", "queued", "registers",
        "sched_context", "state", "timeout_slot", "vspace_slot", "yield_to",
    )  # fmt: skip

    def __init__(self, paddr: int) -> None:
        super().__init__(paddr)
        self.cspace_slot = self.slot(0)
        self.vspace_slot = self.slot(1)
        self.buffer_slot = self.slot(2)
        self.fault_slot = self.slot(3)
        self.timeout_slot = self.slot(4)
        self.registers = [0] * REGISTER_COUNT
        self.fp_registers: list[int] | None = None
        self.state: ThreadState = INACTIVE
        self.fault: Fault | None = None
        self.priority = 0
        self.mcp = 0
        self.domain = 0
        self.flags = 0
        self.ipc_buffer = 0
        self.name = ""
        self.sched_context: SchedContext | None = None
        self.yield_to: SchedContext | None = None
        self.bound_notification: Notification | None = None
        self.queue_next: TCB | None = None
        self.queue_prev: TCB | None = None
        self.queued = 0
        """0, READY_QUEUE or RELEASE_QUEUE; queues of endpoints and notifications follow from ``state``."""


TCB_SLOTS = 5


class TCBQueue:
    """A doubly linked queue of threads, by the links inside the TCBs."""

    __slots__ = ("head", "tail")

    def __init__(self) -> None:
        self.head: TCB | None = None
        self.tail: TCB | None = None

    def __iter__(self) -> Iterator[TCB]:
        thread = self.head
        while thread is not None:
            yield thread
            thread = thread.queue_next

    def insert_before(self, tcb: TCB, after: TCB | None) -> None:
        """Put ``tcb`` in front of ``after``; at the tail if that is None."""
        before = self.tail if after is None else after.queue_prev
        tcb.queue_prev = before
        tcb.queue_next = after
        if before is None:
            self.head = tcb
        else:
            before.queue_next = tcb
        if after is None:
            self.tail = tcb
        else:
            after.queue_prev = tcb

    def insert_by_priority(self, tcb: TCB) -> None:
        """Behind all of at least its priority: highest first, first come first served among equals."""
        after = None
        before = self.tail
        while before is not None and before.priority < tcb.priority:
            after, before = before, before.queue_prev
        self.insert_before(tcb, after)

    def remove(self, tcb: TCB) -> None:
        """Take a member out."""
        before, after = tcb.queue_prev, tcb.queue_next
        if before is None:
            self.head = after
        else:
            before.queue_next = after
        if after is None:
            self.tail = before
        else:
            after.queue_prev = before
        tcb.queue_prev = tcb.queue_next = None


EP_IDLE = 0
EP_SEND = 1
EP_RECEIVE = 2


class Endpoint:
    """Where senders and receivers meet; its queue holds all senders or all receivers."""

    __slots__ = ("paddr", "queue", "state")

    def __init__(self, paddr: int) -> None:
        self.paddr = paddr
        self.state = EP_IDLE
        self.queue = TCBQueue()

    def enqueue(self, tcb: TCB, state: int) -> None:
        """Queue a thread by priority and say which kind the queue now holds."""
        self.queue.insert_by_priority(tcb)
        self.state = state

    def dequeue(self, tcb: TCB) -> None:
        """Take a thread out; an empty queue makes the endpoint idle."""
        self.queue.remove(tcb)
        if self.queue.head is None:
            self.state = EP_IDLE


NTFN_IDLE = 0
NTFN_WAITING = 1
NTFN_ACTIVE = 2


class Notification:
    """A word of signals, OR-ed together until somebody takes them."""

    __slots__ = ("badge", "bound_tcb", "paddr", "queue", "sched_context", "state")

    def __init__(self, paddr: int) -> None:
        self.paddr = paddr
        self.state = NTFN_IDLE
        self.badge = 0
        self.queue = TCBQueue()
        self.bound_tcb: TCB | None = None
        self.sched_context: SchedContext | None = None

    def enqueue(self, tcb: TCB) -> None:
        """Queue a waiting thread by priority."""
        self.queue.insert_by_priority(tcb)
        self.state = NTFN_WAITING

    def dequeue(self, tcb: TCB) -> None:
        """Take a thread out; an empty queue makes the notification idle."""
        self.queue.remove(tcb)
        if self.queue.head is None:
            self.state = NTFN_IDLE


class Reply:
    """One outstanding call: who waits for the answer, and the place in the stack of donated time.

    ``next`` is towards the running server: another reply, or at the head the scheduling context itself.
    """

    __slots__ = ("next", "paddr", "prev", "tcb")

    def __init__(self, paddr: int) -> None:
        self.paddr = paddr
        self.tcb: TCB | None = None
        self.prev: Reply | None = None
        self.next: Reply | SchedContext | None = None


@dataclass(eq=False, slots=True)
class Refill:
    """A quantum of budget: ``amount`` ticks, usable from ``time`` on."""

    time: int
    amount: int


class SchedContext:
    """The right to run: budget ticks in each period, as a list of refills. Period 0 means round robin."""

    __slots__ = (
        "badge", "consumed", "notification", "paddr", "period", "refill_max", "refills", "reply", "size_bits",
        "sporadic", "tcb", "turn_ended", "yield_from",
    )  # fmt: skip

    def __init__(self, paddr: int, size_bits: int) -> None:
        self.paddr = paddr
        self.size_bits = size_bits
        self.period = 0
        self.consumed = 0
        self.badge = 0
        self.sporadic = False
        self.turn_ended = False
        self.refill_max = 0
        self.refills: list[Refill] = []
        self.tcb: TCB | None = None
        self.reply: Reply | None = None
        self.notification: Notification | None = None
        self.yield_from: TCB | None = None


class ASIDPool:
    """512 address space identifiers, each free or naming a root page table by its physical address."""

    __slots__ = ("base", "paddr", "roots")

    def __init__(self, paddr: int, base: int) -> None:
        self.paddr = paddr
        self.base = base
        self.roots: dict[int, int] = {}
