"""What exists: kernel objects, thread states and faults, all of them values.

Names are those of the abstract specification of seL4's proofs (``kernel_object``, ``thread_state``, ``fault``). An
object is known by its physical address; a reference to one is that address. Times are ticks.
"""

from typing import Final, NamedTuple

from capkernel.abi import registers as reg
from capkernel.abi.objects import TCB_BITS

Ptr = int
"""The physical address of an object."""

IDLE_THREAD: Final = -1
IDLE_SC: Final = -2
IRQ_NODE: Final = -3
"""Objects that lie in no user memory: the idle thread, its scheduling context, the slots of the interrupt lines."""


class BlockedOnSend(NamedTuple):
    """Queued on an endpoint to send, with what the sending cap allowed."""

    endpoint: Ptr
    badge: int
    can_grant: bool
    can_grant_reply: bool
    is_call: bool


class BlockedOnReceive(NamedTuple):
    """Queued on an endpoint to receive, perhaps with a reply object for the caller."""

    endpoint: Ptr
    reply: Ptr | None


class BlockedOnNotification(NamedTuple):
    """Queued on a notification."""

    notification: Ptr


class BlockedOnReply(NamedTuple):
    """Waiting for the answer to a call or a fault."""

    reply: Ptr


Running: Final = "Running"
Restart: Final = "Restart"
Inactive: Final = "Inactive"
IdleThreadState: Final = "IdleThread"

ThreadState = str | BlockedOnSend | BlockedOnReceive | BlockedOnNotification | BlockedOnReply


class LookupFailure(NamedTuple):
    """Why an address leads to no cap: a kind (``abi.errors``) and its words."""

    kind: int
    words: tuple[int, ...] = ()


class CapFault(NamedTuple):
    """A cap address that leads nowhere."""

    address: int
    in_receive_phase: bool
    failure: LookupFailure


class UnknownSyscall(NamedTuple):
    """A system call number without meaning, as an unsigned word."""

    number: int


class UserException(NamedTuple):
    """A processor exception: RISC-V cause and code."""

    number: int
    code: int


class VMFault(NamedTuple):
    """A memory access that failed; status 1 fetch, 5 load, 7 store."""

    address: int
    is_fetch: bool
    status: int


class Timeout(NamedTuple):
    """A budget that is used up; the scheduling context's badge."""

    badge: int


Fault = CapFault | UnknownSyscall | UserException | VMFault | Timeout


class TCB(NamedTuple):
    """A thread. Its five caps are slots 0..4 of its address: CSpace, VSpace, IPC buffer, fault and timeout handler."""

    state: ThreadState = Inactive
    context: tuple[int, ...] = (0,) * reg.REGISTER_COUNT
    fault: Fault | None = None
    priority: int = 0
    mcpriority: int = 0
    domain: int = 0
    flags: int = 0
    ipc_buffer: int = 0
    sched_context: Ptr | None = None
    yield_to: Ptr | None = None
    bound_notification: Ptr | None = None
    name: str = ""


CTABLE, VTABLE, IPC_BUFFER, FAULT_HANDLER, TIMEOUT_HANDLER = range(5)
"""The slots of a TCB."""
TCB_SLOTS: Final = 5


class Endpoint(NamedTuple):
    """Threads that wait to send, or threads that wait to receive, in the order in which they will be served."""

    senders: tuple[Ptr, ...] = ()
    receivers: tuple[Ptr, ...] = ()


class Notification(NamedTuple):
    """A word of signals (None: no signal since it was last taken), or threads that wait for one."""

    badge: int | None = None
    waiting: tuple[Ptr, ...] = ()
    bound_tcb: Ptr | None = None
    sched_context: Ptr | None = None


class Reply(NamedTuple):
    """One outstanding call: the caller, or the receiver that holds the object ready for one."""

    tcb: Ptr | None = None


class Refill(NamedTuple):
    """``amount`` ticks that may be used from ``time`` on."""

    time: int
    amount: int


class SchedContext(NamedTuple):
    """The right to run. ``replies`` is the stack of calls along which it was lent, the latest first."""

    size_bits: int
    period: int = 0
    refill_max: int = 0
    refills: tuple[Refill, ...] = ()
    consumed: int = 0
    badge: int = 0
    sporadic: bool = False
    tcb: Ptr | None = None
    notification: Ptr | None = None
    replies: tuple[Ptr, ...] = ()
    yield_from: Ptr | None = None


class CNode(NamedTuple):
    """2**``radix`` slots. What they hold is in the state's ``caps``."""

    radix: int


class PageTablePTE(NamedTuple):
    """An entry that leads to a table."""

    table: Ptr


class PagePTE(NamedTuple):
    """An entry that maps a page."""

    paddr: int
    read: bool
    write: bool
    execute: bool


PTE = PageTablePTE | PagePTE


class PageTable(NamedTuple):
    """512 entries, of which the valid ones are here."""

    entries: dict[int, PTE]


class IOPageTable(NamedTuple):
    """512 entries of a device's table: index → (physical address, permission bits)."""

    entries: dict[int, tuple[int, int]]


class ASIDPool(NamedTuple):
    """Address space identifiers: low nine bits → root table."""

    base: int
    roots: dict[int, Ptr]


Object = (
    TCB | Endpoint | Notification | Reply | SchedContext | CNode | PageTable | IOPageTable | ASIDPool
)  # fmt: skip


def slot_count(item: Object) -> tuple[int, int]:
    """How many slots a CNode or TCB has, and log2 of its bytes."""
    if isinstance(item, CNode):
        return 2**item.radix, item.radix + 5
    return TCB_SLOTS, TCB_BITS
